"""Replies in every legal form and many that are not."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from func.errors import BadReply
from func.overlord.http import MAX_HEAD, OWN_IDLE_S, Limits, ReplyReader

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n"
TO_THE_END = OK + b"\r\nhello"
GZIPPED = gzip.compress(b"hello", mtime=0)
ZIPPED = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(GZIPPED), GZIPPED)
AFTER_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + LENGTH


def read(data: bytes, cuts: list[int] | None = None, limits: Limits | None = None) -> ReplyReader:
    """Feed the data cut at these places, and the end of the connection if that is still needed."""
    reader = ReplyReader(limits or Limits())
    places = [0, *sorted({cut % len(data) for cut in cuts or []} - {0}), len(data)]
    for begin, end in zip(places, places[1:]):
        if reader.feed(data[begin:end]):
            assert end == len(data), "whole only at the end"
            return reader
    reader.end()
    return reader


@given(
    st.sampled_from([LENGTH, CHUNKED, TO_THE_END, ZIPPED, AFTER_CONTINUE]),
    st.lists(st.integers(0, 1000), max_size=6),
)
def test_a_reply_may_come_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    assert read(data, cuts).body() == b"hello"


@given(st.binary(max_size=100))
def test_garbage_is_a_bad_reply_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(BadReply):
        read(b"x" + garbage).body()
    try:
        read(OK + garbage).body()
    except BadReply:
        pass


@pytest.mark.parametrize(
    ("head", "keep_s"),
    [
        (b"HTTP/1.1 200 OK\r\n", OWN_IDLE_S),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60, max=100\r\n", 58.0),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\n", 0.0),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: what\r\n", OWN_IDLE_S),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", 0.0),
        (b"HTTP/1.0 200 OK\r\n", 0.0),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", OWN_IDLE_S),
        (b"HTTP/1.1 500 Sorry\r\n", 0.0),
    ],
)
def test_the_head_says_how_long_to_keep_the_connection(head: bytes, keep_s: float) -> None:
    assert read(head + b"Content-Length: 0\r\n\r\n").keep_s == keep_s
    assert read(OK + b"\r\nto the end").keep_s == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no HTTP/1 reply"),
        (b"HTTP/1.1 OK\r\n\r\n", "no HTTP/1 reply"),
        (b"HTTP/2 200\r\n\r\n", "no HTTP/1 reply"),
        (OK + b"X: " + b"x" * MAX_HEAD, "head of its answer is longer"),
        (OK + b"Content-Length: -1\r\n\r\n", "is no number"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different lengths"),
        (OK + b"Content-Length: 1\r\n\r\nab", "more than the 1 bytes"),
        (OK + b"Content-Length: 2000000\r\n\r\n", "larger than 1 MiB"),
        (OK + b"\r\n" + b"x" * 2_000_000, "larger than 1 MiB"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", "larger than 1 MiB"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nmany\r\n", "which is no number"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "which is no number"),
        (OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", "coded as br"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "no gzip, as it claims"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 15\r\n\r\n" + GZIPPED[:15], "ends early"),
        (LENGTH[:-1], "in the middle of its answer"),
        (CHUNKED[:-1], "in the middle of its answer"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HTTP 403 Forbidden"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, text: str) -> None:
    with pytest.raises(BadReply, match=text):
        read(data, limits=Limits(max_body=1 << 20)).body()


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    data = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    with pytest.raises(BadReply, match="larger than 1 MiB"):
        read(data, limits=Limits(max_body=1 << 20)).body()


def test_a_thousand_interim_replies_are_passed_over() -> None:
    assert read(b"HTTP/1.1 102 Wait\r\n\r\n" * 2000 + LENGTH).body() == b"hello"
