"""Bodies that are no JSON, too much, too slow or of another kind: each is told what would be right."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import Any

import cherrypy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.errors import Invalid
from cloudmasterd.web import transport
from cloudmasterd.web.body import FORM, MAX_DEPTH, Body, read_body, read_json
from cloudmasterd.web.problems import UnsupportedMedia

MACHINES = "/api/v1/machines"
JSON_TYPE = {"Content-Type": "application/json"}

NOT_JSON = {
    "nothing": (b"", "body", "the body is empty"),
    "blanks": (b" \n", "body", "the body is empty"),
    "half an object": (b'{\n  "name": ', "body", "line 2, column 11"),
    "a comma too many": (b'{"name": "a",}', "body", "line 1"),
    "single quotes": (b"{'name': 'a'}", "body", "line 1, column 2"),
    "two values": (b"{} {}", "body", "line 1, column 4"),
    "a form": (b"name=a&memory_mb=512", "body", "line 1, column 1"),
    "not UTF-8": (b'{"name": "\xff"}', "body", "byte 11 (0xff)"),
    "UTF-16": ('{"name": "a"}'.encode("utf-16"), "body", "not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "body", "line 1, column 1"),
    "a key twice": (b'{"name": "a", "memory_mb": 1, "name": "b"}', "name", "given 2 times"),
    "a key twice inside": (b'{"source": {"kind": "blank", "kind": "iso"}}', "kind", "given 2 times"),
    "not a number": (b'{"memory_mb": NaN}', "body", "NaN is no number"),
    "infinity": (b'{"memory_mb": -Infinity}', "body", "-Infinity is no number"),
    "too large a number": (b'{"memory_mb": 1e999}', "body", "too large"),
    "too long a number": (b'{"memory_mb": ' + b"9" * 5000 + b"}", "body", "5000 digits"),
    "half a character": (b'{"name": "\\ud800"}', "body", "surrogate"),
    "half a character in a key": (b'{"\\udfff": 1}', "body", "surrogate"),
    "very deep": (b"[" * 100_000, "body", "nested deeper"),
    "very deep and whole": (b"[" * 500 + b"]" * 500, "body", "nested deeper"),
    "very deep objects": (b'{"a":' * 40 + b"1" + b"}" * 40, "body", "nested deeper"),
}


@pytest.mark.parametrize(("sent", "field", "words"), NOT_JSON.values(), ids=NOT_JSON)
def test_a_body_that_is_no_sound_json_is_told_where(small: Any, sent: bytes, field: str, words: str) -> None:
    answer = small.ask("POST", MACHINES, JSON_TYPE, sent)
    assert answer.status == 400
    problem = answer.json()
    assert problem["type"] == "urn:cloudmasterd:problem:invalid"
    assert problem["errors"][0]["field"] == field
    assert words in problem["errors"][0]["message"] or words in problem["detail"]


@pytest.mark.parametrize("value", ["text", 1, None, True, []])
def test_json_that_is_no_object_is_told_so(small: Any, value: Any) -> None:
    for method, target in (("POST", MACHINES), ("POST", "/api/v1/placements"), ("PATCH", MACHINES + "/web1")):
        answer = small.ask(method, target, JSON_TYPE, json.dumps(value).encode())
        assert answer.status == 400, target
        assert "an object" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/merge-patch+json",
        "multipart/form-data; boundary=a",
        "application/json; charset=latin-1",
        ";;",
        None,
    ],
)
def test_a_body_of_another_type_is_told_the_right_one(small: Any, content_type: Any) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = small.ask("POST", MACHINES, headers, b'{"name": "a"}')
    assert (answer.status, answer.headers["accept"]) == (415, "application/json")
    assert "application/json" in answer.json()["detail"] or "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["Application/JSON", 'application/json; charset="UTF-8"'])
def test_the_right_type_may_be_written_in_many_ways(small: Any, content_type: str) -> None:
    body = b'{"name": "a", "memory_mb": 512}'
    assert small.ask("POST", MACHINES, {"Content-Type": content_type}, body).status == 202


def test_a_body_above_the_limit_is_refused(small: Any) -> None:
    body = json.dumps({"name": "a", "memory_mb": 512, "notes": "x" * 1024 * 1024}).encode()
    answer = small.ask("POST", MACHINES, JSON_TYPE, body)
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_just_below_the_limit_is_read(small: Any) -> None:
    body = b'{"name": "a", "memory_mb": 512' + b" " * (1024 * 1024 - 31) + b"}"
    assert len(body) == 1024 * 1024
    assert small.ask("POST", MACHINES, JSON_TYPE, body).status == 202


def exchange(small: Any, sent: bytes) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", small.port), timeout=90)) as sock:
        sock.sendall(sent)
        data = b""
        while True:
            some = sock.recv(65536)
            if not some:
                return data
            data += some


def test_a_body_in_chunks_is_asked_for_whole(small: Any) -> None:
    answer = exchange(
        small,
        b"POST /api/v1/machines HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"Content-Length" in answer


def test_a_body_that_is_waited_for_is_read_too(small: Any) -> None:
    body = b'{"name": "a", "memory_mb": 512}'
    head = (
        b"POST /api/v1/machines HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    answer = exchange(small, head + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")


def test_a_body_that_does_not_come_is_told_so(small: Any) -> None:
    before, server = transport.REQUEST_S, cherrypy.server.httpserver
    transport.REQUEST_S = server.timeout = 1.5
    try:
        answer = exchange(
            small,
            b"POST /api/v1/machines HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Expect: 100-continue\r\nContent-Length: 100\r\n\r\n{"name',
        )
    finally:
        transport.REQUEST_S = server.timeout = before
    assert b"HTTP/1.1 408 " in answer
    assert b"send it in one go" in answer


def test_a_connection_goes_on_after_a_body(small: Any) -> None:
    body = b'{"notes": "a"}'
    patch = (
        b"PATCH /api/v1/machines/build1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = exchange(small, patch + body + patch + body + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


texts = st.text(st.characters(exclude_categories=["Cs"]))
nested = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(nested)
def test_sound_json_comes_back_as_it_was(value: Any) -> None:
    assert read_json(json.dumps([value]).encode()) == [value]
    assert read_json(json.dumps([value], ensure_ascii=False).encode()) == [value]


@given(st.binary())
def test_any_bytes_are_json_or_told_why_not(data: bytes) -> None:
    try:
        read_json(data)
    except Invalid as exc:
        assert exc.fields and str(exc)


def test_nesting_is_allowed_up_to_the_bound() -> None:
    def deep(levels: int) -> bytes:
        return b"[" * levels + b"]" * levels

    assert read_json(deep(MAX_DEPTH)) is not None
    with pytest.raises(Invalid, match="nested deeper"):
        read_json(deep(MAX_DEPTH + 1))


def test_a_form_is_handed_on_as_it_came_but_for_another_type() -> None:
    assert read_body(Body.FORM, FORM, b"a=1&b=2") == b"a=1&b=2"
    with pytest.raises(UnsupportedMedia):
        read_body(Body.FORM, "application/json", b"{}")
    assert read_body(Body.DROPPED, "", b"anything") is None
