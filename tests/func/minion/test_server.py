"""The minion's server over real TLS: what bad peers do to themselves, and not to others."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from func import tls, wire
from func.errors import ConfigError, XMLRPCFault
from func.minion.codes import AccessToMethodDenied
from func.minion.server import Limits, MinionServer
from tests.func.minion.helpers import Authority, Identity, Running, call, post, read_all, wait_for

Serve = Callable[..., Running]
PING = wire.encode_call("test.ping", [])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_peer_of_the_same_certmaster_is_served(serve: Serve, peer_identity: Identity) -> None:
    assert serve().call(peer_identity, "test.add", 1, "ü", [True, None]) == ["test.add", 1, "ü", [True, None]]


def test_the_certmasters_own_certificate_is_served(serve: Serve, authority: Authority) -> None:
    assert serve().call(authority.own, "test.ping") == ["test.ping"]


def test_a_peer_without_a_certificate_is_refused(serve: Serve, authority: Authority) -> None:
    running = serve()
    context = ssl.create_default_context(cafile=str(authority.own.ca_file))
    context.check_hostname = False
    with contextlib.suppress(ssl.SSLError, ConnectionError), running.plain() as plain:
        with context.wrap_socket(plain) as sock:
            sock.sendall(post(PING))
            assert sock.recv(100) == b""


def test_a_peer_of_another_certmaster_is_refused_though_the_name_is_the_same(
    serve: Serve, foreign: Authority, authority: Authority
) -> None:
    running = serve()
    intruder = foreign.issue("peer.example.org")
    context = intruder.client()
    context.load_verify_locations(authority.own.ca_file)
    with contextlib.suppress(ssl.SSLError, ConnectionError), running.plain() as plain:
        with context.wrap_socket(plain) as sock:
            sock.sendall(post(PING))
            assert sock.recv(100) == b""


def test_the_peer_is_the_one_of_the_connection_and_of_no_other(
    serve: Serve, peer_identity: Identity, authority: Authority
) -> None:
    def who(peer: Any, method: str, args: Any) -> str:
        return str(peer.key)

    running = serve(who)
    with running.session(peer_identity) as one, running.session(authority.own) as two:
        for _ in range(3):
            assert call(one, "x.y").startswith("peer.example.org-")
            assert call(two, "x.y").startswith("master.example.org-CA-KEY-")


def test_a_connection_is_used_again_and_says_for_how_long(serve: Serve, peer_identity: Identity) -> None:
    with serve(idle_s=77).session(peer_identity) as session:
        sockets = set()
        for number in range(20):
            session.request("POST", "/", wire.encode_call("a.b", [number]), {"Content-Type": "text/xml"})
            sockets.add(id(session.sock))
            response = session.getresponse()
            assert response.getheader("Keep-Alive") == "timeout=77"
            assert response.getheader("Connection") is None
            assert wire.decode_response(response.read()) == ["a.b", number]
        assert len(sockets) == 1


def test_two_requests_in_one_go_are_both_answered(serve: Serve, peer_identity: Identity) -> None:
    with serve().connect(peer_identity) as sock:
        sock.sendall(post(PING) + post(PING, extra="Connection: close\r\n"))
        answers = read_all(sock)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"Connection: close") == 1


def test_an_idle_connection_is_ended(serve: Serve, peer_identity: Identity) -> None:
    with serve(idle_s=0.2).connect(peer_identity) as sock:
        assert read_all(sock) == b""


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(PING, path="/elsewhere"), 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (post(PING, extra="Transfer-Encoding: chunked\r\n"), 411),
        (post(b"", length=5 * 1024 * 1024), 413),
        (post(b"", length=10**40), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"POST / HTTP/2\r\n\r\n", 400),
        (b"\x00\xff\x16\x03garbage", 400),
        (b"quit\r\n", 400),
        (post(b"x", extra="Content-Encoding: gzip\r\n"), 415),
        (b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 4000, 431),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_ended(
    serve: Serve, peer_identity: Identity, request_bytes: bytes, status: int
) -> None:
    running = serve()
    with running.connect(peer_identity) as sock:
        sock.sendall(request_bytes)
        answer = read_all(sock)
    assert status_of(answer) == status
    assert b"Connection: close" in answer
    assert len(answer.partition(b"\r\n\r\n")[2]) > 10  # it says why
    assert running.call(peer_identity, "test.ping") == ["test.ping"]


def test_an_oversized_body_is_read_no_further_than_its_head(serve: Serve, peer_identity: Identity) -> None:
    running = serve(body_bytes=100_000)
    with running.connect(peer_identity) as sock:
        sock.sendall(post(b"x" * 120_000))
        assert status_of(read_all(sock)) == 413


@pytest.mark.parametrize("begin", [b"POST / HT", post(b"", length=1000)])
def test_a_dripping_peer_is_cut_off_when_the_whole_request_took_too_long(
    serve: Serve, peer_identity: Identity, begin: bytes
) -> None:
    running = serve(request_s=0.5)
    began = time.monotonic()
    with running.connect(peer_identity) as sock:
        sock.sendall(begin)
        answer = b""
        sock.settimeout(0.05)
        while not answer and time.monotonic() - began < 25:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"x")
            with contextlib.suppress(socket.timeout):
                answer = sock.recv(100)
    assert status_of(answer) == 408
    assert time.monotonic() - began < 25, "a request may take 30 s"


def test_fifty_half_open_handshakes_do_not_delay_the_next_peer(serve: Serve, peer_identity: Identity) -> None:
    running = serve(handshake_s=120)
    with contextlib.ExitStack() as stack:
        for number in range(50):
            sock = stack.enter_context(running.plain())
            if number % 2:
                sock.sendall(b"\x16\x03\x01")
        began = time.monotonic()
        assert running.call(peer_identity, "test.ping") == ["test.ping"]
        assert time.monotonic() - began < 50, "a handshake may take 120 s"


def test_a_handshake_that_never_ends_is_ended(serve: Serve) -> None:
    running = serve(handshake_s=0.2)
    with running.plain() as sock:
        sock.sendall(b"\x16\x03\x01")
        assert read_all(sock) == b""


def test_a_handshake_that_drips_is_ended_when_it_took_too_long_as_a_whole(serve: Serve) -> None:
    running = serve(handshake_s=0.3)
    began = time.monotonic()
    with running.plain() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00")
        with contextlib.suppress(ConnectionError):
            sock.settimeout(0.05)
            while time.monotonic() - began < 50:
                sock.sendall(b"\x01")
                with contextlib.suppress(socket.timeout):
                    if not sock.recv(100):
                        break
    assert time.monotonic() - began < 9, "a handshake may take 10 s"


def test_bytes_that_are_no_tls_end_only_their_own_connection(serve: Serve, peer_identity: Identity) -> None:
    running = serve()
    with running.plain() as sock:
        sock.sendall(b"POST /RPC2 HTTP/1.1\r\n\r\n")
        read_all(sock)
    assert running.call(peer_identity, "test.ping") == ["test.ping"]


def resting(running: Running) -> int:
    """How many connections the server sees waiting for a request."""
    return sum(one.idle_since is not None for one in list(running.server._connections._all))


def test_a_full_server_ends_the_connection_that_was_idle_longest(
    serve: Serve, peer_identity: Identity
) -> None:
    running = serve(connections=3, connections_per_peer=3)
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(running.session(peer_identity)) for _ in range(4)]
        for number, session in enumerate(sessions):
            assert call(session, "a.b", number) == ["a.b", number]
            wait_for(
                lambda number=number: resting(running) == min(number + 1, 3), "the server to see it rest"
            )
        assert read_all(sessions[0].sock) == b""
        for session in sessions[1:]:
            assert call(session, "a.b") == ["a.b"]


def test_one_address_cannot_take_all_connections(serve: Serve, peer_identity: Identity) -> None:
    running = serve(connections_per_peer=2)
    with running.plain(), running.plain():  # half-open: at work, not idle
        wait_for(lambda: running.server._connections.count() == 2, "both are in")
        with running.plain() as third:
            assert read_all(third) == b""
    wait_for(lambda: running.server._connections.count() == 0, "they are gone")
    assert running.call(peer_identity, "test.ping") == ["test.ping"]


def test_one_certificate_cannot_take_all_connections_by_calling_from_many_addresses(
    serve: Serve, peer_identity: Identity, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def dispatch(peer: Any, method: str, args: Any) -> int:
        if method == "test.wait":
            begun.release()
            assert release.wait(60)
        return 1

    running = serve(dispatch, connections_per_peer=2)

    def ask(number: int) -> Any:
        session = http.client.HTTPSConnection(
            *running.address,
            context=peer_identity.client(),
            timeout=60,
            source_address=(f"127.0.0.{number}", 0),
        )
        with contextlib.closing(session):
            return call(session, "test.wait")

    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(ask, number) for number in (11, 12)]
        assert all(begun.acquire(timeout=60) for _ in busy)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(13)
        assert running.call(authority.own, "test.ping") == 1, "another certificate is not affected"
        release.set()
        assert [one.result(60) for one in busy] == [1, 1]
    told = "127.0.0.13 was refused: 2 of the same certificate are open, none idle"
    wait_for(lambda: told in caplog.text, "the refusal in the log")


def test_a_connection_of_the_same_certificate_that_is_idle_makes_room(
    serve: Serve, peer_identity: Identity
) -> None:
    running = serve(connections_per_peer=1, connections=9)
    with running.session(peer_identity) as first:
        assert call(first, "a.b") == ["a.b"]

        def is_let_in() -> bool:
            with running.session(peer_identity) as second:
                try:
                    return bool(call(second, "a.b") == ["a.b"])
                except OSError:  # the first has its answer, and the server has yet to see it at rest
                    return False

        wait_for(is_let_in, "the second is let in")
        assert read_all(first.sock) == b""


def test_a_long_reply_is_compressed_where_that_is_accepted(serve: Serve, peer_identity: Identity) -> None:
    running = serve(lambda peer, method, args: "x" * 50_000)
    with running.session(peer_identity) as session:
        session.request("POST", "/", PING, {"Accept-Encoding": "gzip"})
        response = session.getresponse()
        body = response.read()
        assert response.getheader("Content-Encoding") == "gzip"
        assert len(body) < 2000
        assert wire.decode_response(gzip.decompress(body)) == "x" * 50_000
        session.request("POST", "/", PING, {"Accept-Encoding": "gzip"})  # and the connection goes on
        assert session.getresponse().status == 200


@pytest.mark.parametrize("accept", ["", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: identity\r\n"])
def test_a_long_reply_that_cannot_be_compressed_is_followed_by_closing(
    serve: Serve, peer_identity: Identity, accept: str
) -> None:
    with serve(lambda peer, method, args: "x" * 50_000).connect(peer_identity) as sock:
        sock.sendall(post(PING, extra=accept))
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert wire.decode_response(body) == "x" * 50_000
    # A historic peer that is told beforehand closes before it has read.
    assert b"connection: close" not in head.lower()


def test_a_short_reply_comes_as_it_is(serve: Serve, peer_identity: Identity) -> None:
    with serve().session(peer_identity) as session:
        session.request("POST", "/", PING, {"Accept-Encoding": "gzip"})
        assert session.getresponse().getheader("Content-Encoding") is None


def test_what_is_no_call_is_answered_with_the_fault_of_func(serve: Serve, peer_identity: Identity) -> None:
    running = serve()
    with running.session(peer_identity) as session:
        session.request("POST", "/RPC2", b"<methodCall><methodName>", {})
        with pytest.raises(XMLRPCFault, match=r"^<class 'xml.parsers.expat.ExpatError'>:") as caught:
            wire.decode_response(session.getresponse().read())
        assert caught.value.code == 1
        assert call(session, "a.b") == ["a.b"]


def test_a_result_that_cannot_be_sent_names_the_reason(serve: Serve, peer_identity: Identity) -> None:
    running = serve(lambda peer, method, args: 2**40 if method == "test.bigint" else object())
    with pytest.raises(XMLRPCFault, match=r"^<class 'OverflowError'>:"):
        running.call(peer_identity, "test.bigint")
    with pytest.raises(XMLRPCFault, match=r"^<class 'TypeError'>:"):
        running.call(peer_identity, "x.y")


def test_a_result_larger_than_an_overlord_takes_is_not_sent(serve: Serve, peer_identity: Identity) -> None:
    running = serve(lambda peer, method, args: "x" * args[0], reply_bytes=10_000)
    with pytest.raises(
        XMLRPCFault, match=r"^<class 'OverflowError'>:the result has 10\d\d\d bytes where 10000"
    ):
        running.call(peer_identity, "test.long", 10_000)
    assert running.call(peer_identity, "test.long", 9_000) == "x" * 9_000


def test_denied_access_is_the_fault_of_func(serve: Serve, peer_identity: Identity) -> None:
    def deny(peer: Any, method: str, args: Any) -> None:
        raise AccessToMethodDenied

    with pytest.raises(XMLRPCFault) as caught:
        serve(deny).call(peer_identity, "virt.info")
    assert caught.value.text == "<class 'func.minion.codes.AccessToMethodDenied'>:"


def test_calls_run_side_by_side(serve: Serve, peer_identity: Identity) -> None:
    together = threading.Barrier(8, timeout=60)

    def meet(peer: Any, method: str, args: Any) -> int:
        return together.wait() >= 0

    running = serve(meet)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: running.call(peer_identity, "a.b"), range(8)))


def test_a_call_under_way_ends_before_the_server_does(serve: Serve, peer_identity: Identity) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(peer: Any, method: str, args: Any) -> str:
        entered.set()
        go_on.wait(60)
        return "done"

    running = serve(slow)
    with ThreadPoolExecutor(2) as pool, running.session(peer_identity) as idle:
        idle.connect()
        answer = pool.submit(running.call, peer_identity, "a.b")
        assert entered.wait(60)
        ending = pool.submit(running.server.shutdown)
        assert read_all(idle.sock) == b""  # the idle one is ended at once
        assert not ending.done()
        go_on.set()
        assert answer.result(60) == "done"
        ending.result(60)
    with pytest.raises(OSError):
        running.plain()


def test_a_port_in_use_and_a_strange_address_are_told(minion_identity: Identity, serve: Serve) -> None:
    context = tls.server_context(minion_identity.cert_file, minion_identity.key_file, minion_identity.ca_file)
    taken = serve().address[1]
    with pytest.raises(ConfigError, match=rf"127.0.0.1, port {taken}: Address already in use.*listen_port"):
        MinionServer("127.0.0.1", taken, context, lambda *_: None)
    with pytest.raises(ConfigError, match="192.0.2.1.*Cannot assign requested address"):
        MinionServer("192.0.2.1", 0, context, lambda *_: None)


def test_an_empty_address_listens_on_all(minion_identity: Identity, peer_identity: Identity) -> None:
    context = tls.server_context(minion_identity.cert_file, minion_identity.key_file, minion_identity.ca_file)
    server = MinionServer("", 0, context, lambda peer, *_: peer.address, Limits())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        sock = socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60)
        with sock, peer_identity.client().wrap_socket(sock) as tls_sock:
            tls_sock.sendall(post(PING, extra="Connection: close\r\n"))
            assert wire.decode_response(read_all(tls_sock).partition(b"\r\n\r\n")[2]) == "127.0.0.1"
    finally:
        server.shutdown()
        thread.join(60)


def test_a_server_that_accepts_finds_no_trouble_and_says_nothing_of_it(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(connections=0)  # full, so that no peer is let in
    with caplog.at_level("DEBUG"):
        assert [running.server.find_trouble(60) for _ in range(3)] == [""] * 3
    assert caplog.text == ""


def test_a_server_whose_loop_does_not_turn_is_in_trouble() -> None:
    server = MinionServer(
        "127.0.0.1", 0, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), lambda *_: None
    )  # the kernel accepts for it
    try:
        port = server.server_address[1]
        assert server.find_trouble(0.2).startswith(
            f"no connection to 127.0.0.1 port {port} was accepted within 0.2 s: "
        )
    finally:
        server.shutdown()


def test_a_server_that_listens_everywhere_finds_itself() -> None:
    server = MinionServer("", 0, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), lambda *_: None)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert server.find_trouble(60) == ""
    finally:
        server.shutdown()
        thread.join()
