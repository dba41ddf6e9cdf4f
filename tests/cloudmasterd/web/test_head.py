"""Header lines that can be understood in two ways: what a web server in front checks is what we take."""

from __future__ import annotations

import socket
from contextlib import closing
from io import BytesIO
from typing import Any

import pytest

from cloudmasterd.web.head import SINGLE, HeadReader


def read(head: bytes) -> dict[bytes, bytes]:
    return dict(HeadReader()(BytesIO(head + b"\r\n")))


def test_names_are_those_that_everybody_knows() -> None:
    assert read(b"x-REMOTE-user: eve \r\nHost:\tx\r\n") == {b"X-Remote-User": b"eve", b"Host": b"x"}


def test_a_name_with_an_underscore_is_not_taken_for_one_with_a_dash() -> None:
    assert read(b"X_Remote_User: admin\r\nX-Remote_User: admin\r\nHost: x\r\n") == {b"Host": b"x"}


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_what_has_one_value_comes_once(name: bytes) -> None:
    with pytest.raises(ValueError, match="twice"):
        read(name + b": a\r\n" + name.lower() + b": a\r\n")


def test_lists_may_come_in_pieces() -> None:
    assert read(b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n") == {
        b"X-Forwarded-For": b"10.0.0.1, 10.0.0.2"
    }


WRONG = {
    "a blank before the colon": b"X-Remote-User : admin\r\n",
    "a tab before the colon": b"X-Remote-User\t: admin\r\n",
    "a folded line": b"X-A: b\r\n X-Remote-User: admin\r\n",
    "a line that begins with a blank": b" X-A: b\r\n",
    "no colon": b"X-Remote-User\r\n",
    "no name": b": admin\r\n",
    "a lone carriage return": b"X-A: b\rX-Remote-User: admin\r\n",
    "a null": b"X-A: b\x00c\r\n",
    "a lone line feed": b"X-A: b\nX-Remote-User: admin\r\n",
    "a name that is not ASCII": "X-Ä: b\r\n".encode(),
    "no end": b"X-A: b",
}


@pytest.mark.parametrize("head", WRONG.values(), ids=WRONG)
def test_what_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="header|head"):
        read(head)


SMUGGLED = {
    "two lengths": b"Content-Length: 4\r\nContent-Length: 60\r\n",
    "a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "a length that looks like another header": b"Content-Length : 60\r\n",
    "two tokens": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "a folded token": b"Authorization: Bearer a\r\n b\r\n",
}


@pytest.mark.parametrize("lines", SMUGGLED.values(), ids=SMUGGLED)
def test_a_second_request_is_not_smuggled_in_with_the_first(world: Any, lines: bytes) -> None:
    inner = b"GET /api/v1/clouds HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /api/v1/tasks/1/cancel HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"
    with closing(socket.create_connection(("127.0.0.1", world.port), timeout=90)) as sock:
        sock.sendall(head + b"abcd" + inner)
        answer = b""
        while some := sock.recv(65536):
            answer += some
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1  # and nothing after it


@pytest.mark.parametrize(
    "header",
    [
        ("X-Audit-Reason", "=?nonsense?q?x?="),
        ("X-Audit-Reason", "a =?utf-8?q?b?="),
        ("User-Agent", "=?utf-8?b?x?="),
        ("Accept", "*/*, =?utf-8?q?=ff?="),
        ("Cookie", "a/b=1"),
        ("Cookie", "{x}=[1]; $Version=; ;;=; a"),
        ("Host", "=?utf-8?q?a=0D=0Ab?="),
    ],
)
def test_a_header_is_taken_as_it_was_sent(world: Any, header: tuple[str, str]) -> None:
    assert world.ask("GET", "/api/v1/clouds", dict([header])).status == 200


def test_no_line_end_comes_out_of_an_encoded_word(small: Any) -> None:
    word = "=?utf-8?q?=22a=0D=0Ab=22?="
    answer = small.send("PATCH", "/api/v1/clouds/cloud1.example.org", {"notes": "x"}, If_Match=word)
    assert (answer.status, word in answer.text) == (400, True)
