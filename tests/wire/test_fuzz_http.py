"""Whatever arrives in place of a request, a minion and a certmaster answer it in order and go on."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from certmaster import ca
from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from func.minion import http
from tests.certmaster.support import NOW, running
from tests.wire.fuzz import REQUEST_PIECES, REQUESTS, edited

READ_BY_A_MINION = {
    "good", "good-http-1.0", "expect-continue", "expect-unknown", "field-nul", "length-too-short",
    "length-twice-the-same", "pipelined", "request-id-long", "request-id-with-line", "smuggled", "upgrade",
}  # fmt: skip
"""Of the corpus: those whose first request is one."""

ANSWER = re.compile(rb"HTTP/1\.1 (200|400|404|411|413|431|501) [A-Za-z ]+\r\n")


def read(data: bytes) -> list[str]:
    """What a minion makes of these bytes and the end of the connection: a word for each request."""
    near, far = socket.socketpair()
    with near, far:
        sender = threading.Thread(target=_send, args=(near, data))
        sender.start()
        inbound = http.Inbound(far, head_bytes=16 * 1024, body_bytes=64 * 1024)
        found = []
        try:
            while True:
                inbound.wait(60)
                request = inbound.read(60)
                assert len(request.body) <= 64 * 1024
                assert re.fullmatch(r"[A-Za-z0-9-]{0,64}", request.request_id)
                found.append("read")
        except http.Refused as refused:
            assert refused.status in (400, 404, 411, 413, 415, 431, 501)
            head, body = http.refusal(refused)
            assert head.endswith(b"\r\n\r\n") and head.count(b"\r\n\r\n") == 1 and body
            found.append(f"refused {refused.status}")
        except http.Hangup:
            pass
        far.close()
        sender.join(60)
    return found


def _send(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # refused in the middle of it


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_of_the_corpus_is_read_or_refused(name: str) -> None:
    found = read(REQUESTS[name])
    assert (found[:1] == ["read"]) == (name in READ_BY_A_MINION), found


def test_a_second_request_begins_where_the_first_one_ends() -> None:
    assert read(REQUESTS["pipelined"]) == ["read", "read"]
    assert read(REQUESTS["smuggled"]) == ["read", "read"], "by the length, and by nothing in the body"


@pytest.mark.parametrize(
    "data",
    [
        b"POST /RPC2 HTTP/1.1\r\n" + b"X-A: b\r\n" * 100_000,
        b"POST /RPC2 HTTP/1.1\r\nX-A: " + b"a" * 1_000_000,
        b"POST /" + b"a" * 1_000_000,
    ],
    ids=["many fields", "a long field", "a long line"],
)
def test_a_flood_of_headers_is_refused_at_the_limit(data: bytes) -> None:
    assert read(data) == ["refused 431"]


@settings(max_examples=settings.default.max_examples * 4, deadline=None)
@given(edited(list(REQUESTS.values()), REQUEST_PIECES))
def test_edits_of_the_corpus_are_read_or_refused(data: bytes) -> None:
    read(data)


@pytest.fixture(scope="module")
def certmaster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], bytes]]:
    """Sends bytes to a certmaster that runs, and gives what it answers."""
    config = load_certmaster_config(tmp_path_factory.mktemp("certmaster"))
    config.cadir.mkdir(parents=True)
    key = ca.new_key()
    (Path(config.cadir) / "certmaster.key").write_bytes(key)
    (Path(config.cadir) / "certmaster.crt").write_bytes(ca.make_ca("own-CA-KEY", key, 1, NOW))
    with running(Authority(config, "master.example.org", lambda: NOW)) as port:

        def ask(data: bytes) -> bytes:
            answer = b""
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                try:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                    while piece := sock.recv(65536):
                        answer += piece
                except ConnectionError:
                    pass  # it had answered enough
            return answer

        yield ask


@pytest.mark.parametrize("name", REQUESTS)
def test_a_certmaster_answers_each_request_of_the_corpus_or_hangs_up(
    name: str, certmaster: Callable[[bytes], bytes]
) -> None:
    answer = certmaster(REQUESTS[name])
    assert answer == b"" or ANSWER.match(answer), answer[:100]
    assert certmaster(REQUESTS["good"]).startswith(b"HTTP/1.1 200 OK\r\n"), "and goes on"


@settings(
    max_examples=settings.default.max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=edited(list(REQUESTS.values()), REQUEST_PIECES))
def test_a_certmaster_answers_edits_of_the_corpus_or_hangs_up(
    data: bytes, certmaster: Callable[[bytes], bytes]
) -> None:
    answer = certmaster(data)
    assert answer == b"" or ANSWER.match(answer), answer[:100]
