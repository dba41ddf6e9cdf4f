"""Garbage, oversized and never-finishing requests to each port leave the service answering everybody else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import xmlrpc.client
from collections.abc import Iterator
from typing import Callable

import pytest

from demo.cloud import Cloud
from tests.integration.support import ask, run_command

SILENT_CLIENTS = 40
PATIENCE_S = 8.0  # less than any port lets a client take for a request
"""A well-behaved client waits no longer than this while others misbehave."""


def web_answers(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "/api/v1/clouds", timeout_s=PATIENCE_S).status == 200


def minion_answers(cloud: Cloud) -> None:
    done = run_command(cloud, "func", "-t", str(PATIENCE_S), "cloud1.example.org", "call", "test", "ping")
    assert "'cloud1.example.org': 1" in done.stdout, done.stdout + done.stderr


def certmaster_answers(cloud: Cloud) -> None:
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{cloud.ports.certmaster}/") as certmaster:
            assert certmaster.wait_for_cert("no request at all") == [False, "", ""]
    finally:
        socket.setdefaulttimeout(None)


PORTS: dict[str, tuple[Callable[[Cloud], tuple[str, int]], Callable[[Cloud], None]]] = {
    "web": (lambda cloud: ("127.0.0.1", cloud.ports.web), web_answers),
    "certmaster": (lambda cloud: ("127.0.0.1", cloud.ports.certmaster), certmaster_answers),
    "minion": (lambda cloud: ("127.0.0.2", cloud.ports.func), minion_answers),
}

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"
GARBAGE = {
    "zeros": bytes(100_000),
    "a broken request line": b"GET\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"A" * 300,
    "broken XML": HEAD + b"Content-Length: 9\r\n\r\n<methodCa",
    "an XML bomb": HEAD + b"Content-Length: 73\r\n\r\n"
    b"<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbbbbbbbb'>]><methodCall>&b;</methodCall>",
    "a length that is no number": HEAD + b"Content-Length: many\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "an endless header": b"GET / HTTP/1.1\r\nX: " + b"a" * 3_000_000,
    "many headers": b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n",
    "a length of a terabyte": HEAD + b"Content-Length: 1000000000000\r\n\r\n" + b"x" * 2_000_000,
}


def send(address: tuple[str, int], data: bytes) -> None:
    """Send what the other side will take; it may well hang up."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=5) as sock:
        sock.settimeout(2)
        sock.sendall(data)
        sock.recv(1000)


@pytest.mark.parametrize("what", GARBAGE)
@pytest.mark.parametrize("port", PORTS)
def test_garbage_leaves_the_service_answering(cloud: Cloud, port: str, what: str) -> None:
    where, answers = PORTS[port]
    send(where(cloud), GARBAGE[what])
    answers(cloud)


@contextlib.contextmanager
def silent_clients(address: tuple[str, int], first_bytes: bytes) -> Iterator[list[socket.socket]]:
    """Clients that begin a request and never finish it."""
    clients: list[socket.socket] = []
    try:
        for _ in range(SILENT_CLIENTS):
            clients.append(socket.create_connection(address, timeout=60))
            with contextlib.suppress(OSError):
                clients[-1].sendall(first_bytes)
        yield clients
    finally:
        for client in clients:
            client.close()


UNFINISHED = {
    "nothing at all": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "half a body": HEAD + b"Content-Length: 1000\r\n\r\n<method",
}


@pytest.mark.parametrize("what", UNFINISHED)
@pytest.mark.parametrize("port", PORTS)
def test_requests_that_never_finish_leave_the_service_answering(cloud: Cloud, port: str, what: str) -> None:
    where, answers = PORTS[port]
    with silent_clients(where(cloud), UNFINISHED[what]):
        answers(cloud)


def trusted(cloud: Cloud) -> ssl.SSLContext:
    """The overlord's own credentials: who may do everything must still not be able to hang a minion."""
    ca = cloud.root_of("certmaster") / "etc/pki/certmaster/ca"
    context = ssl.create_default_context(cafile=str(ca / "certmaster.crt"))
    context.check_hostname = False
    context.load_cert_chain(ca / "certmaster.crt", ca / "certmaster.key")
    return context


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_inside_tls_leaves_the_minion_answering(cloud: Cloud, what: str) -> None:
    context = trusted(cloud)
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.2", cloud.ports.func), timeout=5) as plain,
    ):
        with context.wrap_socket(plain) as tls:
            tls.settimeout(2)
            tls.sendall(GARBAGE[what])
            tls.recv(1000)
    minion_answers(cloud)


@pytest.mark.parametrize("what", UNFINISHED)
def test_requests_that_never_finish_inside_tls_leave_the_minion_answering(cloud: Cloud, what: str) -> None:
    context = trusted(cloud)
    with contextlib.ExitStack() as stack:
        for _ in range(SILENT_CLIENTS):
            plain = stack.enter_context(socket.create_connection(("127.0.0.2", cloud.ports.func), timeout=60))
            stack.enter_context(context.wrap_socket(plain)).sendall(UNFINISHED[what])
        minion_answers(cloud)
