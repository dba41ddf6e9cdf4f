"""Where TLS records begin and end: historic peers lose what is put together wrongly, or wait for it."""

from __future__ import annotations

import contextlib
import gzip
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from certmaster.config import load_certmaster_config
from func import wire
from func.config import load_overlord_config
from func.minion.server import Limits
from func.overlord.fanout import Fanout
from tests.func.minion.helpers import Authority, Running, post, read_all
from tests.func.overlord import farm as overlords

RECORD = 8 * 1024
"""What a historic peer can take in one, unless the connection ends after it."""

MINION = "cloud1.example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "own", "master.example.org-CA-KEY")


@pytest.fixture(scope="module")
def minion(authority: Authority) -> Iterator[Running]:
    """Answers `test.echo` with as many characters as it is told."""
    running = Running(authority.issue(MINION), lambda peer, method, args: "x" * args[0], Limits())
    yield running
    running.end()


def records(sock: ssl.SSLSocket, length: int) -> list[bytes]:
    """What comes, cut as it was sent: one read gives no more than one record."""
    found: list[bytes] = []
    while sum(map(len, found)) < length:
        found.append(sock.recv(RECORD * 4))
        assert found[-1], "it ended early"
    return found


def ask(sock: ssl.SSLSocket, length: int, accept: Optional[str] = None) -> None:
    extra = f"Accept-Encoding: {accept}\r\n" if accept else ""
    sock.sendall(post(wire.encode_call("test.echo", [length]), extra=extra))


@pytest.mark.parametrize("length", [10, 2_000, 60_000])
def test_an_overlord_sends_the_head_in_a_record_of_its_own(length: int, tmp_path: Path) -> None:
    farm = overlords.Farm(overlords.Authority("ours-CA-KEY", tmp_path / "ca"))
    seen: list[bytes] = []

    def manners(sock: ssl.SSLSocket, name: str) -> None:
        while b"</methodCall>" not in b"".join(seen):
            seen.append(sock.recv(RECORD * 4))
        sock.sendall(overlords.reply(wire.encode_result(1)))

    farm.manners[MINION] = manners
    try:
        root = overlords.write_root(tmp_path / "root", farm, [MINION])
        fanout = Fanout(load_overlord_config(root), load_certmaster_config(root))
        with contextlib.closing(fanout):
            assert fanout.call(MINION, "copyfile.append", "/etc/motd", "x" * length) == 1
    finally:
        farm.stop()
    head = (
        f"POST /RPC2 HTTP/1.1\r\nHost: {MINION}:{farm.port}\r\nAccept-Encoding: gzip\r\n"
        f"Content-Type: text/xml\r\nContent-Length: {len(b''.join(seen[1:]))}\r\n\r\n"
    )
    assert seen[0] == head.encode()
    assert b"".join(seen[1:]) == wire.encode_call("copyfile.append", ["/etc/motd", "x" * length])


def test_a_minion_sends_the_head_in_a_record_of_its_own(minion: Running, authority: Authority) -> None:
    body = wire.encode_result("x" * 1000)
    with minion.connect(authority.own) as sock:
        ask(sock, 1000)
        head, rest = records(sock, len(body) + 1)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and head.endswith(b"\r\n\r\n")
        assert rest == body


@pytest.mark.parametrize("length", [1_000, 60_000])
def test_a_reply_above_1400_bytes_is_compressed_for_whoever_takes_that(
    length: int, minion: Running, authority: Authority
) -> None:
    with minion.connect(authority.own) as sock:
        ask(sock, length, "gzip")
        head = sock.recv(RECORD)
        body = sock.recv(RECORD)
        assert (b"Content-Encoding: gzip" in head) == (length > 1400)
        plain = gzip.decompress(body) if length > 1400 else body
        assert wire.decode_response(plain) == "x" * length
        ask(sock, 1)
        assert sock.recv(RECORD).startswith(b"HTTP/1.1 200 OK"), "and the connection is kept"


def test_a_large_reply_that_cannot_be_compressed_ends_the_connection_without_saying_so(
    minion: Running, authority: Authority
) -> None:
    with minion.connect(authority.own) as sock:
        ask(sock, RECORD)
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" not in head.lower()
    assert wire.decode_response(body) == "x" * RECORD


def test_a_reply_that_fits_a_record_keeps_the_connection(minion: Running, authority: Authority) -> None:
    with minion.connect(authority.own) as sock:
        for _ in range(2):
            ask(sock, 7_000)
            head = sock.recv(RECORD)
            assert b"connection: close" not in head.lower()
            (body,) = records(sock, 7_000)
            assert wire.decode_response(body) == "x" * 7_000
