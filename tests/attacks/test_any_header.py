"""Whatever stands in a header or a path, the answer is one, whole, and never an error of ours."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks.town import Town

EXAMPLES = settings(
    max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
HEADERS = (
    "Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "X-Request-Id", "Authorization", "Cookie",
    "X-Csrf-Token", "X-Audit-Reason", "Accept", "Accept-Encoding", "Content-Type", "Origin", "Referer",
    "Sec-Fetch-Site", "Host", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Remote-User", "Range",
    "Expect", "Connection", "Upgrade", "TE", "X-Unasked",
)  # fmt: skip
# What means something to somebody who reads headers, put together in any order.
PIECES = st.sampled_from(
    [
        b"=?utf-8?q?",
        b"?=",
        b'"',
        b'W/"',
        b"*",
        b",",
        b";",
        b"=",
        b"wait=",
        b"9" * 40,
        b"q=",
        b"/",
        b"text/html",
        b"Bearer ",
        b"Basic ",
        b"cmt_",
        b"cloudmasterd_session=",
        b"__Host-",
        b"$Version=1",
        b"bytes=0-",
        b"%00",
        b"\xff",
        b"\xc3\xa9",
        b"\xe2\x80\xa8",
        b"\t",
        b" ",
        b"\\",
        b"::1",
        b"1.2.3.4",
        b"=0D=0A",
        b"100-continue",
    ]
)
VALUES = st.one_of(
    st.lists(PIECES, max_size=8).map(b"".join),
    st.binary(max_size=60),
    st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), max_size=60).map(str.encode),
)
SEGMENTS = st.one_of(
    st.text(max_size=20).map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="").encode()),
    st.binary(max_size=20).map(lambda data: quote(data, safe="").encode()),
    st.binary(max_size=20).map(lambda data: re.sub(rb"[\x00-\x20\x7f]", b"", data)),
)
TARGETS = (
    "/api/v1/machines/{}", "/api/v1/machines/{}/start", "/machines/{}", "/static/{}", "/{}",
    "/api/v1/tasks/{}",
    "/api/v1/images/{}/data?offset={}", "/api/v1/machines?cursor={}", "/events?machine={}", "/install/{}/{}",
)  # fmt: skip


def judge(town: Town, sent: bytes) -> int:
    """The status of the one answer; fails for what no request should be answered with."""
    answer = town.raw(sent, silence_s=0.2)  # of those only that say they may go on
    head, _, body = answer.partition(b"\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1 and head.startswith(b"HTTP/1.1 "), answer
    status = int(head.split(b" ", 2)[1])
    assert status < 500 or status == 501, (sent, answer)
    lines = head.split(b"\r\n")[1:]
    assert all(re.fullmatch(rb"[A-Za-z-]+: [\t\x20-\x7e]*", line) for line in lines), (sent, head)
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    length = fields.get(b"content-length")
    assert length is None or int(length) == len(body), (sent, answer)
    if fields.get(b"content-type", b"").startswith((b"application/json", b"application/problem+json")):
        json.loads(body)
    return status


@pytest.mark.parametrize("name", HEADERS)
def test_whatever_a_header_says(town: Town, name: str) -> None:
    @EXAMPLES
    @given(VALUES)
    def send(value: bytes) -> None:
        value = value.replace(b"\n", b"").replace(b"\r", b"")
        lines = {b"Host": b"x", b"Connection": b"close", b"Content-Type": b"application/json"}
        lines[b"Content-Length"] = b"2"
        if name not in ("Authorization", "Cookie", "X-Csrf-Token"):
            lines[b"Authorization"] = b"Bearer " + town.olga.token.encode()
        lines[name.encode()] = value
        head = b"".join(key + b": " + text + b"\r\n" for key, text in lines.items())
        status = judge(town, b"POST /api/v1/machines/none.example.org/start HTTP/1.1\r\n" + head + b"\r\n{}")
        if name in ("Authorization", "Cookie"):
            assert status in (400, 401, 403), value

    send()


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_a_path_says(town: Town, target: str) -> None:
    before, *between = target.encode().split(b"{}")

    @EXAMPLES
    @given(st.lists(SEGMENTS, min_size=len(between), max_size=len(between)))
    def ask(parts: list[bytes]) -> None:
        filled = before + b"".join(part + rest for part, rest in zip(parts, between))
        known = b"Host: x\r\nConnection: close\r\nAuthorization: Bearer " + town.olga.token.encode()
        judge(town, b"GET " + filled + b" HTTP/1.1\r\n" + known + b"\r\n\r\n")

    ask()


def test_whatever_a_line_says(town: Town) -> None:
    @EXAMPLES
    @given(st.lists(st.one_of(PIECES, st.sampled_from([b"\r\n", b"\n", b"\r", b"\x00", b": "])), max_size=12))
    def send(pieces: list[bytes]) -> None:
        answer = town.raw(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(pieces) + b"\r\nX: y\r\n\r\n", 3.0
        )
        for status in re.findall(rb"HTTP/1\.1 (\d+)", answer):
            assert int(status) < 500 or int(status) == 501, (pieces, answer)

    send()
