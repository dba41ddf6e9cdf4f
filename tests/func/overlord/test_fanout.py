"""Many minions at once over real TLS, the good and the bad among them."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.errors import (
    BadReply,
    CallError,
    ConfigError,
    MinionTimeout,
    MinionUnreachable,
    PeerRefused,
    RemoteFault,
    WireError,
    XMLRPCFault,
)
from func.overlord.fanout import Fanout, Result
from func.overlord.http import Limits
from func.overlord.resolve import Resolver
from tests.func.overlord.conftest import MakeFanout
from tests.func.overlord.farm import Authority, Farm, read_request, reply, says

ONE = "cloud1.example.org"


def ask_all(fanout: Fanout, *minions: str, timeout_s: float = 60.0) -> dict[str, Result]:
    calls = dict.fromkeys(minions, ("test.ping", ()))
    results = [result for group in fanout.ask(calls, timeout_s) for result in group]
    assert sorted(r.minion for r in results) == sorted(minions), "each minion once"
    return {result.minion: result for result in results}


def error_of(fanout: Fanout, minion: str = ONE, **options: Any) -> CallError:
    error = ask_all(fanout, minion, **options)[minion].error
    assert error is not None
    return error


def test_a_call_gives_the_value(farm: Farm, overlord: MakeFanout) -> None:
    assert overlord(ONE).call(ONE, "test.add", 1, "two", None) == [ONE, "test.add", [1, "two", None]]


def test_head_and_body_go_in_records_of_their_own(farm: Farm, overlord: MakeFanout) -> None:
    records: list[bytes] = []

    def manners(sock: ssl.SSLSocket, name: str) -> None:
        records.extend(sock.recv(65536) for _ in range(2))
        sock.sendall(reply(wire.encode_result(1)))

    farm.manners[ONE] = manners
    assert overlord(ONE).call(ONE, "test.ping") == 1
    body = wire.encode_call("test.ping")
    assert records == [
        (
            f"POST /RPC2 HTTP/1.1\r\nHost: {ONE}:{farm.port}\r\nAccept-Encoding: gzip\r\n"
            f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode(),
        body,
    ]


def test_one_call_takes_the_id_of_a_request_as_many_do(farm: Farm, overlord: MakeFanout) -> None:
    fanout = overlord("cloud1.example.org")
    fanout.call("cloud1.example.org", "test.ping", request_id="deploy-17")
    assert b"\r\nX-Request-Id: deploy-17\r\n" in farm.raw_requests[-1]
    with pytest.raises(ConfigError, match="letters, digits and dashes"):
        fanout.call("cloud1.example.org", "test.ping", request_id="a b")


def test_connections_are_kept_between_calls(farm: Farm, overlord: MakeFanout) -> None:
    names = [f"cloud{n}.example.org" for n in range(5)]
    fanout = overlord(*names)
    for _ in range(4):
        assert all(result.error is None for result in ask_all(fanout, *names).values())
    assert farm.accepted == 5
    assert len(farm.calls) == 20


def test_a_connection_closed_between_calls_is_noticed(farm: Farm, overlord: MakeFanout) -> None:
    fanout = overlord(ONE)
    fanout.call(ONE, "test.ping")
    farm.hang_up()
    deadline = time.monotonic() + 60
    while farm.connections() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fanout.call(ONE, "test.ping")
    assert farm.accepted == 2


@pytest.mark.parametrize("extra", [b"Connection: close\r\n", b"Keep-Alive: timeout=2\r\n"])
def test_a_minion_that_closes_soon_is_connected_anew(farm: Farm, overlord: MakeFanout, extra: bytes) -> None:
    farm.head_extra = extra
    fanout = overlord(ONE)
    fanout.call(ONE, "test.ping")
    fanout.call(ONE, "test.ping")
    assert farm.accepted == 2


def test_a_connection_idle_for_too_long_is_not_used_again(farm: Farm, overlord: MakeFanout) -> None:
    now = [time.monotonic()]
    farm.head_extra = b""  # a historic minion announces nothing
    fanout = overlord(ONE, monotonic=lambda: now[0])
    for idle_s, accepted in ((0, 1), (14, 1), (16, 2), (1, 2)):
        now[0] += idle_s
        fanout.call(ONE, "test.ping")
        assert farm.accepted == accepted


HANGING_S = 9.0  # less than what connecting may take


@pytest.mark.slow
def test_bad_minions_cost_the_good_ones_nothing(
    farm: Farm, overlord: MakeFanout, stranger: Authority
) -> None:
    good = [f"good{n}.example.org" for n in range(20)]
    addresses = {f"{kind}.example.org": f"127.0.0.{n}" for n, kind in enumerate(
        ("refusing", "silent", "garbled", "resetting", "closing"), 11)}  # fmt: skip
    farm.listen("127.0.0.12", lambda sock: farm.stopping.wait() and None)
    farm.listen("127.0.0.13", lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 4))
    farm.listen("127.0.0.14", reset)
    farm.listen("127.0.0.15", lambda sock: None)
    farm.manners["hanging.example.org"] = lambda sock, name: farm.stopping.wait() and None
    farm.manners["dripping.example.org"] = drip(farm)
    farm.manners["babbling.example.org"] = says(b"\0\1\2 what is this?\r\n\r\n")
    farm.manners["huge.example.org"] = says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    farm.manners["short.example.org"] = says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n<?xml")
    farm.manners["html.example.org"] = says(reply(b"<html>hello</html>"))
    farm.manners["lost.example.org"] = says(reply(b"gone", status=b"404 Not Found"))
    farm.cert_files["foreign.example.org"] = stranger.cert_file("foreign.example.org")
    farm.cert_files["renamed.example.org"] = farm.authority.cert_file("another.example.org")
    farm.cert_files["expired.example.org"] = farm.authority.expired_cert_file("expired.example.org")
    expected: dict[str, tuple[type[CallError], str]] = {
        "refusing": (MinionUnreachable, "[Errno 111] Connection refused"),
        "silent": (MinionTimeout, "timed out while in the TLS handshake with 127.0.0.12"),
        "garbled": (MinionUnreachable, "it does not speak TLS"),
        "resetting": (MinionUnreachable, "[Errno 104] Connection reset"),
        "closing": (MinionUnreachable, ""),
        "hanging": (MinionTimeout, "timed out while waiting for its answer"),
        "dripping": (MinionTimeout, "timed out while waiting for its answer"),
        "babbling": (BadReply, "no HTTP/1 reply"),
        "huge": (BadReply, "larger than 64 MiB"),
        "short": (MinionUnreachable, "in the middle of its answer"),
        "html": (BadReply, "cannot be read: the document is a <html>"),
        "lost": (BadReply, "HTTP 404 Not Found"),
        "foreign": (PeerRefused, "another certmaster than ours"),
        "renamed": (PeerRefused, "its certificate is for another name"),
        "expired": (PeerRefused, "its certificate has expired"),
    }
    bad = [f"{kind}.example.org" for kind in expected]
    fanout = overlord(*good, *bad, addresses=addresses)
    farm.prepare(*good)
    began, answered, results = time.monotonic(), [], {}
    for group in fanout.ask(dict.fromkeys(bad + good, ("test.ping", ())), HANGING_S):
        for result in group:
            results[result.minion] = result
            if result.error is None:
                answered.append(result.minion)
                assert not hung(results), "nobody waited for the hanging ones"
    assert sorted(answered) == sorted(good)
    assert time.monotonic() - began < HANGING_S + 15, "three hang, and nobody waited for one after the other"
    for kind, (error, text) in expected.items():
        found = results[f"{kind}.example.org"].error
        assert isinstance(found, error) and text in str(found), (kind, found)


def hung(results: dict[str, Any]) -> bool:
    """Whether one that hangs has used up its time."""
    return any(isinstance(result.error, MinionTimeout) for result in results.values())


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.recv(10)


def drip(farm: Farm) -> Any:
    def manners(sock: ssl.SSLSocket, name: str) -> None:
        read_request(sock)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            sock.sendall(bytes([byte]))
            if farm.stopping.wait(0.05):
                return

    return manners


@pytest.mark.slow
def test_three_hundred_minions_with_thirty_hanging(farm: Farm, overlord: MakeFanout) -> None:
    names = [f"cloud{n}.example.org" for n in range(300)]
    for name in names[::10]:
        farm.manners[name] = lambda sock, name: farm.stopping.wait() and None
    good = [name for name in names if name not in farm.manners]
    farm.prepare(*names)
    fanout = overlord(*names)
    ask_all(fanout, *good, timeout_s=60)
    began = time.monotonic()
    good_after = 0.0
    hanging = set()
    for group in fanout.ask(dict.fromkeys(names, ("test.ping", ())), 15.0):
        for result in group:
            if result.error is None:
                good_after = time.monotonic() - began
            else:
                assert isinstance(result.error, MinionTimeout)
                hanging.add(result.minion)
    assert hanging == set(names[::10])
    assert good_after < 14.0, "nobody waited for the hanging ones"
    assert time.monotonic() - began < 60
    assert farm.accepted == 300


def test_a_connection_that_timed_out_is_not_used_again(farm: Farm, overlord: MakeFanout) -> None:
    release = threading.Event()

    def late(sock: ssl.SSLSocket, name: str) -> None:
        read_request(sock)
        release.wait(60)
        sock.sendall(reply(wire.encode_result("too late")))

    farm.manners[ONE] = late
    fanout = overlord(ONE)
    assert isinstance(error_of(fanout, timeout_s=0.3), MinionTimeout)
    del farm.manners[ONE]
    release.set()
    assert fanout.call(ONE, "test.ping") == [ONE, "test.ping", []]


def test_a_call_that_was_sent_is_never_sent_again(farm: Farm, overlord: MakeFanout) -> None:
    seen = []

    def carry_out_and_die(sock: ssl.SSLSocket, name: str) -> None:
        seen.append(read_request(sock))

    farm.manners[ONE] = carry_out_and_die
    assert "without an answer" in str(error_of(overlord(ONE)))
    assert len(seen) == 1


def test_a_dead_first_address_leads_to_the_second(farm: Farm, overlord: MakeFanout, tmp_path: Path) -> None:
    resolver = Resolver(tmp_path / "none", lambda name: ["127.0.0.99", "127.0.0.1"])
    assert overlord(ONE, resolver=resolver).call(ONE, "test.ping")


def test_a_silent_first_address_leaves_time_for_the_second(
    farm: Farm, overlord: MakeFanout, tmp_path: Path
) -> None:
    farm.listen("127.0.0.98", lambda sock: farm.stopping.wait() and None)
    resolver = Resolver(tmp_path / "none", lambda name: ["127.0.0.98", "127.0.0.1"])
    fanout = overlord(ONE, resolver=resolver, connect_timeout_s=3.0)
    assert fanout.call(ONE, "test.ping", timeout_s=60)


def test_a_look_up_that_hangs_holds_nobody_else(farm: Farm, overlord: MakeFanout, tmp_path: Path) -> None:
    release = threading.Event()

    def look_up(name: str) -> list[str]:
        if name.startswith("slow"):
            release.wait(60)
        if name.startswith("gone"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["127.0.0.1"]

    fanout = overlord(resolver=Resolver(tmp_path / "none", look_up))
    farm.prepare(ONE)
    results = ask_all(fanout, "slow.example.org", "gone.example.org", ONE, timeout_s=3.0)
    release.set()
    assert results[ONE].error is None
    assert "timed out while looking up its address" in str(results["slow.example.org"].error)
    assert "[Errno -2] Name or service not known" in str(results["gone.example.org"].error)


def test_the_connecting_has_a_shorter_deadline_than_the_call(farm: Farm, overlord: MakeFanout) -> None:
    farm.listen("127.0.0.12", lambda sock: farm.stopping.wait() and None)
    fanout = overlord(ONE, addresses={ONE: "127.0.0.12"}, connect_timeout_s=0.2)
    began = time.monotonic()
    assert isinstance(error_of(fanout, timeout_s=120), MinionTimeout)
    assert time.monotonic() - began < 60


def test_a_minion_refuses_an_overlord_of_another_certmaster(
    farm: Farm, overlord: MakeFanout, stranger: Authority, tmp_path: Path
) -> None:
    fanout = overlord(ONE)
    conf = tmp_path / "etc/func/overlord.conf"
    files = {"cert_file": stranger.ca_file, "key_file": stranger.key_file, "ca_file": farm.authority.ca_file}
    for key, path in files.items():
        copy = tmp_path / key
        copy.write_bytes(path.read_bytes())
        conf.write_text(conf.read_text() + f"{key} = /{key}\n")
    error = error_of(overlord_again(fanout, tmp_path, conf))
    assert isinstance(error, PeerRefused)
    assert "it does not trust our certificate" in str(error)


def overlord_again(fanout: Fanout, root: Path, conf: Path) -> Fanout:
    from certmaster.config import load_certmaster_config
    from func.config import load_overlord_config

    return Fanout(load_overlord_config(root, conf), load_certmaster_config(root))


def test_errors_of_the_method_and_of_the_wire_are_told_apart(farm: Farm, overlord: MakeFanout) -> None:
    farm.answer = lambda name, method, args: wire.remote_error("codes.ModuleNotFoundException", "no", "trace")
    fanout = overlord(ONE, "denied.example.org")
    denied = wire.encode_fault(1, "<class 'func.minion.codes.AccessToMethodDenied'>:")
    farm.manners["denied.example.org"] = says(reply(denied))
    with pytest.raises(RemoteFault) as fault:
        fanout.call(ONE, "nothing.there")
    assert (fault.value.short_kind, fault.value.traceback) == ("ModuleNotFoundException", "trace")
    with pytest.raises(XMLRPCFault, match="AccessToMethodDenied"):
        fanout.call("denied.example.org", "test.ping")


def test_gzip_is_read_and_a_bomb_is_not(farm: Farm, overlord: MakeFanout) -> None:
    body = wire.encode_result("x" * 500_000)
    farm.manners[ONE] = says(reply(gzip.compress(body), b"Content-Encoding: gzip\r\n"))
    assert overlord(ONE).call(ONE, "test.echo") == "x" * 500_000
    small = overlord(ONE, limits=Limits(max_body=100_000))
    assert "larger than" in str(error_of(small))


def test_large_values_pass_both_ways(farm: Farm, overlord: MakeFanout) -> None:
    text = "ä&<>" * 300_000
    assert overlord(ONE).call(ONE, "test.echo", text) == [ONE, "test.echo", [text]]


def test_an_answer_before_the_call_was_read_is_still_seen(farm: Farm, overlord: MakeFanout) -> None:
    def refuse(sock: ssl.SSLSocket, name: str) -> None:
        sock.recv(100)
        sock.sendall(reply(b"", status=b"413 Content Too Large"))

    farm.manners[ONE] = refuse
    fanout = overlord(ONE)
    with pytest.raises(BadReply, match="HTTP 413"):
        fanout.call(ONE, "test.echo", "x" * 30_000_000)


def test_what_cannot_be_sent_is_said_before_anything_is_sent(farm: Farm, overlord: MakeFanout) -> None:
    with pytest.raises(WireError, match="does not fit into 32 bits"):
        overlord(ONE).ask({ONE: ("test.add", (2**40,))})
    assert farm.accepted == 0


def test_several_threads_ask_at_once(farm: Farm, overlord: MakeFanout) -> None:
    names = [f"cloud{n}.example.org" for n in range(10)]
    fanout = overlord(*names)
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(10):
            calls = dict.fromkeys(names, ("test.echo", (f"{number}-{turn}",)))
            for group in fanout.ask(calls, 60):
                wrong.extend(r for r in group if r.value != [r.minion, "test.echo", [f"{number}-{turn}"]])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == []
    assert len(farm.calls) == 400
    assert farm.accepted <= 40


def test_the_time_the_caller_takes_does_not_count(farm: Farm, overlord: MakeFanout) -> None:
    ready = threading.Event()

    def later(sock: ssl.SSLSocket, name: str) -> None:
        read_request(sock)
        ready.wait(60)
        sock.sendall(reply(wire.encode_result("late")))

    farm.manners["late.example.org"] = later
    ahead = [0.0]
    fanout = overlord(ONE, "late.example.org", monotonic=lambda: time.monotonic() + ahead[0])
    groups = fanout.ask(dict.fromkeys((ONE, "late.example.org"), ("test.ping", ())), 60)
    (first,) = next(groups)
    assert first.minion == ONE
    ahead[0] += 70  # what the caller does with it takes longer than the deadline
    answering = threading.Timer(0.3, ready.set)  # when it would have been given up already
    answering.start()
    (second,) = next(groups)
    answering.join()
    assert second.value == "late"


def test_leaving_early_drops_what_is_under_way(farm: Farm, overlord: MakeFanout) -> None:
    farm.manners["late.example.org"] = lambda sock, name: farm.stopping.wait() and None
    fanout = overlord(ONE, "late.example.org")
    groups = fanout.ask(dict.fromkeys((ONE, "late.example.org"), ("test.ping", ())), 120)
    next(groups)
    began = time.monotonic()
    groups.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 60


def test_renewed_certificates_are_taken_up(farm: Farm, overlord: MakeFanout, tmp_path: Path) -> None:
    fanout = overlord(ONE)
    fanout.call(ONE, "test.ping")
    fresh = tmp_path / "etc/pki/certmaster/ca/certmaster.crt"
    fresh.write_bytes(farm.authority.cert + b"\n")
    fanout.call(ONE, "test.ping")
    assert farm.accepted == 2
    fresh.write_bytes(b"half a certifi")
    fanout.call(ONE, "test.ping")
    assert farm.accepted == 2, "while the files do not fit the old ones serve"


def test_without_credentials_the_error_names_the_files(
    farm: Farm, overlord: MakeFanout, tmp_path: Path
) -> None:
    fanout = overlord(ONE)
    (tmp_path / "etc/pki/certmaster/ca/certmaster.crt").unlink()
    with pytest.raises(ConfigError, match=r"certmaster\.crt: No such file.*overlord\.conf"):
        fanout.call(ONE, "test.ping")


def test_minions_are_those_with_a_certificate(farm: Farm, overlord: MakeFanout, tmp_path: Path) -> None:
    fanout = overlord("b.example.org", "a.example.org")
    peers = tmp_path / "var/lib/certmaster/peers"
    peers.mkdir()
    (peers / "peer.example.org.cert").write_bytes(farm.authority.issue("peer.example.org"))
    assert fanout.minions() == ["a.example.org", "b.example.org", "peer.example.org"]
    expiry = fanout.certificate_expires_at("peer.example.org")
    assert expiry is not None and expiry.tzinfo is not None
    assert fanout.certificate_expires_at("nobody.example.org") is None


def test_whoever_gives_up_in_the_middle_of_a_handshake_harms_no_other_connection(
    overlord: MakeFanout, farm: Farm
) -> None:
    names = [f"m{number}.example.org" for number in range(8)]
    farm.prepare(*names)
    calls = dict.fromkeys(names, ("test.ping", ()))
    for limit_s in (milliseconds / 1000 for milliseconds in range(1, 40)):
        with contextlib.closing(overlord(*names)) as fanout:
            results = [result for group in fanout.ask(calls, timeout_s=limit_s) for result in group]
        assert sorted(result.minion for result in results) == names
        for result in results:
            assert result.error is None or isinstance(result.error, MinionTimeout), result
    with contextlib.closing(overlord(*names)) as fanout:
        for _ in range(3):
            groups = fanout.ask(calls)
            next(groups)
            groups.close()
        assert all(result.error is None for group in fanout.ask(calls) for result in group)


def test_an_overlord_that_was_closed_still_shakes_hands(overlord: MakeFanout, farm: Farm) -> None:
    farm.prepare("m1.example.org")
    fanout = overlord("m1.example.org")
    fanout.close()
    assert fanout.call("m1.example.org", "test.ping") == ["m1.example.org", "test.ping", []]
