"""The daemon's port: what a minion gets, and what everything else gets."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from certmaster import ca
from certmaster.authority import Authority
from certmaster.errors import ListenError
from certmaster.server import DEFAULT_LIMITS, CertmasterServer

Make = Callable[..., Authority]
Serve = Callable[..., int]
NAME = "cloud1.example.org"
NOTHING = [False, "", ""]


def ask(port: int, *args: object) -> list[object]:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy:
        return proxy.wait_for_cert(*args)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def send(port: int, data: bytes) -> bytes:
    """Everything the server answers to these bytes."""
    with connect(port) as sock:
        sock.sendall(data)
        return everything(sock)


def everything(sock: socket.socket) -> bytes:
    parts = []
    while True:
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def head(length: object = 0, line: str = "POST /RPC2 HTTP/1.1") -> bytes:
    return f"{line}\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def still_works(port: int) -> bool:
    return ask(port, "garbage") == NOTHING


def test_a_minion_waits_until_signed_and_gets_both_certificates(
    serve: Serve, authority: Make, keys: list[bytes]
) -> None:
    port = serve(authority())
    csr = ca.make_request(keys[0], NAME).decode()
    assert ask(port, csr) == NOTHING
    assert ask(port, csr, True) == NOTHING
    path = authority().sign(NAME)
    assert ask(port, csr) == [True, path.read_text(), authority().certificate().decode()]


def test_fifty_minions_at_once_get_fifty_serial_numbers(
    serve: Serve, authority: Make, keys: list[bytes], tmp_path
) -> None:
    port = serve(authority(autosign=True))

    def enrol(n: int) -> str:
        signed, cert, _ = ask(port, ca.make_request(keys[0], f"cloud{n}").decode())
        assert signed
        return str(cert)

    with ThreadPoolExecutor(50) as pool:
        certs = list(pool.map(enrol, range(50)))
    assert len({ca.serial_number(cert.encode()) for cert in certs}) == 50


@pytest.mark.parametrize("csr", ["", "garbage", 7, ["x"], xmlrpc.client.Binary(b"x"), {"a": 1}, "\u00fc"])
def test_a_bad_request_gets_nothing_and_a_line_in_the_log(
    serve: Serve, authority: Make, caplog: pytest.LogCaptureFixture, csr: object
) -> None:
    assert ask(serve(authority(autosign=True)), csr) == NOTHING
    assert "request from 127.0.0.1 refused" in caplog.text


def test_another_key_for_a_signed_name_gets_nothing_and_the_log_says_why_once(
    serve: Serve, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    port = serve(authority(autosign=True))
    assert ask(port, ca.make_request(keys[0], NAME).decode())[0] is True
    for _ in range(3):
        assert ask(port, ca.make_request(keys[1], NAME).decode()) == NOTHING
    said = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 1
    assert f"{NAME} is signed for another key" in said[0].getMessage()


def test_a_disk_that_fails_costs_the_answer_and_not_the_server(
    serve: Serve, authority: Make, keys: list[bytes], settings, caplog: pytest.LogCaptureFixture
) -> None:
    port = serve(authority(autosign=True))
    settings.certroot.parent.mkdir(parents=True)
    settings.certroot.touch()
    assert ask(port, ca.make_request(keys[0], NAME).decode()) == NOTHING
    assert str(settings.certroot) in caplog.text


def test_other_methods_and_other_numbers_of_arguments_fault(serve: Serve, authority: Make) -> None:
    port = serve(authority())
    with pytest.raises(xmlrpc.client.Fault, match='method "system.listMethods" is not supported'):
        xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/").system.listMethods()
    for args in ((), ("a", True, 3)):
        with pytest.raises(xmlrpc.client.Fault, match="takes a certificate request"):
            ask(port, *args)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head(line="GET / HTTP/1.1"), b"501"),
        (head(line="DELETE /RPC2 HTTP/1.1"), b"501"),
        (head(line="POST /secret HTTP/1.1"), b"404"),
        (head(line="POST /../RPC2 HTTP/1.1"), b"404"),
        (head(line="hello"), b"400"),
        (head(line="POST /RPC2 SPDY/3"), b"400"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"POST /RPC2 HTTP/1.1\r\n\r\n", b"411"),
        (b"POST /RPC2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (head("-1"), b"400"),
        (head("\u00b2"), b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (head(64 * 1024 + 1), b"413"),
        (head("9" * 5000), b"413"),
        (b"POST /RPC2 HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"x" * 20_000, b"431"),
        (head(7) + b"garbage", b"400"),
        (head(0), b"400"),
        (head(31) + b'<!DOCTYPE a [<!ENTITY b "c">]><d/>'[:31], b"400"),
    ],
)
def test_what_is_no_call_is_refused_and_the_port_goes_on(
    serve: Serve, authority: Make, request_bytes: bytes, status: bytes
) -> None:
    port = serve(authority(), replace(DEFAULT_LIMITS, linger_s=0.1))
    answer = send(port, request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Traceback" not in answer
    assert b"File " not in answer
    assert still_works(port)


def test_the_answer_to_an_oversized_body_arrives_while_the_body_is_still_coming(
    serve: Serve, authority: Make
) -> None:
    port = serve(authority(), replace(DEFAULT_LIMITS, linger_s=60))
    body = b"x" * 2_000_000
    assert send(port, head(len(body)) + body).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("beginning", [b"", b"POST /RPC2 HT", head(100), head(100) + b"<?xml"])
def test_a_request_that_never_ends_is_closed_at_its_deadline(
    serve: Serve, authority: Make, beginning: bytes
) -> None:
    port = serve(authority(), replace(DEFAULT_LIMITS, request_s=0.3))
    begin = time.monotonic()
    assert send(port, beginning) == b""
    assert 0.2 < time.monotonic() - begin < DEFAULT_LIMITS.request_s
    assert still_works(port)


def test_a_dribbling_client_gets_no_more_time_than_a_silent_one(serve: Serve, authority: Make) -> None:
    port = serve(authority(), replace(DEFAULT_LIMITS, request_s=0.5))
    begin = time.monotonic()
    with connect(port) as sock, pytest.raises(OSError):
        for byte in head(60_000) + b" " * 60_000:
            sock.sendall(bytes((byte,)))
            time.sleep(0.02)  # the pace of the dribble, not a wait
    assert time.monotonic() - begin < 60, "it dribbles for 20 minutes"


def test_a_client_that_goes_away_early_harms_nothing(serve: Serve, authority: Make) -> None:
    port = serve(authority())
    for data in (b"", b"POST", head(100) + b"<?xml"):
        connect(port).close()
        with connect(port) as sock:
            sock.sendall(data)
    assert still_works(port)


def test_many_unfinished_requests_do_not_keep_a_minion_waiting(
    serve: Serve, authority: Make, keys: list[bytes]
) -> None:
    port = serve(authority(autosign=True), replace(DEFAULT_LIMITS, connections=20, request_s=120))
    stuck = [connect(port) for _ in range(60)]
    try:
        for sock in stuck:
            try:
                sock.sendall(b"POST /RPC2 HTTP/1.1\r\n")
            except OSError:
                pass  # dropped already
        begin = time.monotonic()
        assert ask(port, ca.make_request(keys[0], NAME).decode())[0] is True
        assert time.monotonic() - begin < 50, "nobody waited for the deadline of the others"
        assert everything(stuck[0]) == b""
    finally:
        for sock in stuck:
            sock.close()


def test_a_port_in_use_is_told_with_the_remedy(serve: Serve, authority: Make) -> None:
    port = serve(authority())

    async def second() -> None:
        await CertmasterServer(authority(), "127.0.0.1", port).run(asyncio.Event(), lambda *_: None)

    with pytest.raises(ListenError, match=f"127.0.0.1 port {port}: Address already in use.*listen_port"):
        asyncio.run(second())


def test_an_address_of_another_machine_is_told_with_the_remedy(authority: Make) -> None:
    async def run() -> None:
        await CertmasterServer(authority(), "192.0.2.1", 0).run(asyncio.Event(), lambda *_: None)

    with pytest.raises(ListenError, match=r"192\.0\.2\.1 port 0: .*set listen_addr"):
        asyncio.run(run())
