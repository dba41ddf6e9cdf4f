"""Clients that stop, drip, lie about lengths or send rubbish: none of them may delay another."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import cherrypy
import pytest

from cloudmasterd.web import transport
from tests.fakes import wait_for

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(world: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.port), timeout=90)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while True:
        some = sock.recv(65536)
        if not some:
            return data
        data += some


def exchange(world: Any, sent: bytes) -> bytes:
    with closing(connect(world)) as sock:
        sock.sendall(sent)
        return read_all(sock)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Another deadline for a whole request: cheroot looks for overdue ones twice a second."""
    before, server = transport.REQUEST_S, cherrypy.server.httpserver
    transport.REQUEST_S = server.timeout = seconds
    try:
        yield
    finally:
        transport.REQUEST_S = server.timeout = before


@pytest.fixture
def short_deadline() -> Iterator[float]:
    """One that is soon over, and long enough for a busy machine to take what is sent at once."""
    with deadline(1.5):
        yield 1.5


@pytest.fixture
def long_deadline() -> Iterator[None]:
    """One that whoever is held up by a stuck client is seen to wait for, however busy the machine is."""
    with deadline(80):
        yield


def test_workers_give_way_to_what_may_change_something_until_it_is_answered(world: Any) -> None:
    server, seen = cherrypy.server.httpserver, []

    @contextmanager
    def asking() -> Iterator[None]:
        seen.append("asks")
        try:
            yield
        finally:
            seen.append("has its answer")

    before, server.asking = server.asking, asking
    try:
        assert world.get("/healthz").status == 200
        assert world.ask("OPTIONS", "/api/v1/machines").status == 204
        assert seen == []
        # the client has its answer a moment before the worker is done with it
        assert world.ask("DELETE", "/nowhere").status == 404
        wait_for(lambda: seen == ["asks", "has its answer"], "the end of the first")
        assert b" 400 " in exchange(world, b"POST /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n")
        wait_for(lambda: seen == ["asks", "has its answer"] * 2, "the end of the second")
    finally:
        server.asking = before


UNFINISHED = {
    "nothing": b"",
    "half a request line": b"GET /hea",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ",
    "no body": b"POST /api/v1/clouds/c/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
    "half a body": b"POST /api/v1/clouds/c/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab",
}


@pytest.mark.parametrize("beginning", UNFINISHED.values(), ids=UNFINISHED)
def test_sixty_clients_that_stop_delay_nobody(world: Any, long_deadline: None, beginning: bytes) -> None:
    stuck = [connect(world) for _ in range(60)]
    try:
        for sock in stuck:
            sock.sendall(beginning)
        started = time.monotonic()
        assert world.get("/healthz").status == 200
        assert time.monotonic() - started < 60, "a stuck client has 80 s"
    finally:
        for sock in stuck:
            sock.close()


def test_sixty_clients_that_drip_delay_nobody(world: Any, long_deadline: None) -> None:
    stuck = [connect(world) for _ in range(60)]
    stop = threading.Event()

    def drip() -> None:
        head = iter(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 10000)
        while not stop.is_set():
            byte = bytes([next(head)])
            for sock in stuck:
                sock.sendall(byte)
            stop.wait(0.02)

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        for _ in range(20):
            started = time.monotonic()
            assert world.get("/healthz").status == 200
            assert time.monotonic() - started < 60, "a stuck client has 80 s"
    finally:
        stop.set()
        dripping.join(60)
        for sock in stuck:
            sock.close()


@pytest.mark.parametrize("pause", [0.05, 30])
def test_a_request_that_takes_too_long_is_told_so_and_closed(
    world: Any, short_deadline: float, pause: float
) -> None:
    started = time.monotonic()
    with closing(connect(world)) as sock:
        sock.settimeout(pause)
        answer, more = b"", b"G" if pause < 1 else b"GET / HTTP/1.1\r\n"
        while time.monotonic() - started < 60:
            # a server that has closed is found out by sending, and what it said before is still there
            with suppress(OSError):
                sock.sendall(more)
            more = more[:1] if pause < 1 else b""
            try:
                some = sock.recv(65536)
            except socket.timeout:
                continue
            except OSError:
                break
            answer += some
            if not some:
                break
    assert short_deadline * 0.8 < time.monotonic() - started < 60
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_without_a_word(world: Any, short_deadline: float) -> None:
    assert exchange(world, b"") == b""


def test_a_body_that_a_worker_has_to_wait_for_has_a_deadline(world: Any, short_deadline: float) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = exchange(world, head + b"abc")
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert world.get("/healthz").status == 200


REFUSED = {
    "rubbish": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    "two words": (b"GET /\r\n\r\n", 400),
    "line feeds only": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "another protocol": (b"GET / SPDY/3\r\n\r\n", 400),
    "a newer version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505),
    "a fragment": (b"GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400),
    "a long line": (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a long head": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 8000 + b"\r\n", 413),
    "an endless head": (b"GET / HTTP/1.1\r\nX: " + b"y" * 400000, 413),
    "a huge body": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n" + b"x" * 1048577, 413),
    "a length in words": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400),
    "a length below zero": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a length with a sign": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "an unknown coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", 501),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused_as_a_problem(world: Any, sent: bytes, status: int) -> None:
    answer = exchange(world, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert b"CherryPy" not in answer and b"Cheroot" not in answer
    assert world.get("/healthz").status == 200


def test_a_request_without_a_host_is_refused_as_a_problem(world: Any) -> None:
    answer = exchange(world, b"GET /api/v1/clouds HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].startswith("HTTP/1.1 requires a 'Host'")


def test_chunks_that_nobody_reads_are_not_the_next_request(world: Any) -> None:
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(
        world,
        b"POST /api/v1/clouds/c/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner),
    )
    assert answer.count(b"HTTP/1.1 ") == 1 and b"smuggled" not in answer


def test_a_body_is_dropped_and_the_connection_goes_on(small: Any) -> None:
    path = b"/api/v1/clouds/cloud1.example.org/refresh"
    post = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde" % path
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = exchange(small, post + GET + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_a_refusal_is_the_last_word_though_nobody_read_the_body(small: Any) -> None:
    path = b"/api/v1/machines/build1/start"
    post = b"POST %s HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 5\r\n" % path
    answer = exchange(small, post + b"Connection: close\r\n\r\nabcde")
    assert answer.startswith(b"HTTP/1.1 403 ") and answer.count(b"HTTP/1.1 ") == 1


def test_a_request_may_come_in_pieces(world: Any) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with closing(connect(world)) as sock:
        for byte in request:
            sock.sendall(bytes([byte]))
        assert read_all(sock).startswith(b"HTTP/1.1 200 OK")


def test_a_connection_serves_many_requests(world: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=90)
    connection.connect()
    place = connection.sock.getsockname()
    for _ in range(50):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}\n')
        assert answer.getheader("Server") == "cloudmasterd"
        assert connection.sock.getsockname() == place
    connection.close()


def test_a_client_that_leaves_in_the_middle_harms_nobody(world: Any) -> None:
    for _ in range(20):
        sock = connect(world)
        sock.sendall(b"GET /heal")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.close()
    assert world.get("/healthz").status == 200


def test_an_absolute_target_is_understood(world: Any) -> None:
    answer = exchange(world, b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
