"""A real funcd over TLS: what one peer may take of it, what it may reach, and what is left afterwards."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.minion.server import Limits
from tests.func.minion.funcd import Funcd, configure, enrolled
from tests.func.minion.helpers import Authority, Identity, call, post, read_all, wait_for

PING = post(wire.encode_call("test.ping", []))
CALLS, FRESH, CALLERS = 10_000, 400, 4
SLACK_S = 40.0


class Minion:
    """One funcd, its address, and whoever may do everything there."""

    def __init__(self, root: Path, port: int, process: Funcd, chief: Identity) -> None:
        self.root, self.port, self.funcd, self.chief = root, port, process, chief

    def plain(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(source, 0))

    def tls(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        return self.chief.client().wrap_socket(self.plain(source))

    @contextlib.contextmanager
    def session(self) -> Iterator[http.client.HTTPSConnection]:
        found = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.chief.client(), timeout=60)
        with contextlib.closing(found):
            yield found

    def call(self, method: str, *args: Any) -> Any:
        with self.session() as session:
            return call(session, method, *args)

    def status(self, field: str) -> int:
        lines = Path(f"/proc/{self.funcd.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])

    def connections(self) -> int:
        here = f":{self.port:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(local.endswith(here) and state == "01" for _, local, _, state, *_ in lines)

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.funcd.process.pid}/fd").iterdir()))


@pytest.fixture(scope="module")
def minion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minion]:
    authority = Authority(tmp_path_factory.mktemp("ca") / "own", "master.example.org-CA-KEY")
    root = enrolled(tmp_path_factory.mktemp("minion"), authority.issue("cloud1.example.org"))
    port = int(configure(root, module_list="test,jobs,hardware")["listen_port"])
    running = Funcd(root)
    try:
        running.says("funcd is ready")
        yield Minion(root, port, running, authority.own)
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


def test_a_peer_that_shakes_no_hands_is_cut_off_at_the_deadline(minion: Minion) -> None:
    began = time.monotonic()
    with minion.plain() as silent, minion.plain() as dripping:
        dripping.sendall(b"\x16\x03\x01\x02\x00")
        assert minion.call("test.ping") == 1, "nobody else waits for it"
        assert read_all(silent) == b""
        assert read_all(dripping) == b""
    took_s = time.monotonic() - began
    assert Limits().handshake_s - 1 < took_s < Limits().handshake_s + SLACK_S


def test_a_request_larger_than_the_limit_is_told_so_before_it_is_read(minion: Minion) -> None:
    with minion.tls() as sock:
        sock.sendall(post(b"", length=Limits().body_bytes + 1))
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")
    with minion.tls() as sock:
        sock.sendall(b"POST /RPC2 HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000)
        assert read_all(sock).startswith(b"HTTP/1.1 431 ")


def test_the_largest_request_and_its_reply_go_through(minion: Minion) -> None:
    text = "x" * (Limits().body_bytes - 1000)
    assert minion.call("test.echo", text) == text


def test_one_address_gets_no_more_connections_than_its_share(minion: Minion) -> None:
    share = Limits().connections_per_peer
    with contextlib.ExitStack() as stack:
        for _ in range(share):
            stack.enter_context(minion.plain("127.0.0.9"))
        with minion.plain("127.0.0.9") as one_more:
            assert read_all(one_more) == b""
        assert minion.call("test.ping") == 1, "other addresses are served"
    text = minion.funcd.says("a connection from 127.0.0.9 was refused")
    assert f"{share} of them from there, none idle" in text


def test_one_certificate_keeps_no_more_connections_than_its_share_from_anywhere(minion: Minion) -> None:
    share = Limits().connections_per_peer
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(minion.tls(f"127.0.0.{20 + n % 4}")) for n in range(share + 1)]
        for sock in kept[-2:]:
            sock.sendall(PING)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
        # The one that was idle longest made room for the last.
        assert read_all(kept[0]) == b""


@pytest.mark.parametrize(
    "method",
    [
        "test.__class__", "test.__init__", "test.__dict__", "test.__class__.__init__", "test.ping.__call__",
        "test._options", "test.options", "test.close", "test.wire_methods", "test.read_options",
        "test.ping.ping", "jobs._jobs", "jobs.jobs.close", "system.__dict__", "system.call", "system.find",
        "__class__", "__init__", "os.system", "builtins.eval", "func.minion.cli.main", "async.test.__class__",
        "async.async.test.ping",
        "test..ping", ".ping", "test.", ".", "async.", "TEST.PING", "test.ping ", "test/ping",
        "\u0442est.ping", "virt.state", "command.run", "copyfile.open",
    ],
)  # fmt: skip
def test_nothing_is_reached_that_is_not_a_registered_method(method: str, minion: Minion) -> None:
    names = minion.call("system.list_methods")
    assert method.removeprefix("async.") not in names
    answer = minion.call(method)
    if str(answer).endswith("-minion"):  # as Func has it: a job is begun, and ends with the error
        limit = time.monotonic() + 60
        while (status := minion.call("jobs.job_status", answer))[0] == 0 and time.monotonic() < limit:
            time.sleep(0.02)
        answer = status[1]
    assert wire.is_remote_error(answer), answer
    assert answer[1].rpartition(".")[2] in ("InvalidMethodException", "ModuleNotFoundException")


def test_ten_thousand_calls_leave_descriptors_threads_and_memory_as_they_were(minion: Minion) -> None:
    def work(calls: int, fresh: int) -> None:
        with minion.session() as session:
            for number in range(calls):
                assert call(session, "test.add", number, 1) == number + 1
        for _ in range(fresh):
            assert minion.call("test.ping") == 1

    def round_of(calls: int, fresh: int) -> None:
        with ThreadPoolExecutor(CALLERS) as pool:
            share = [pool.submit(work, (calls - fresh) // CALLERS, fresh // CALLERS) for _ in range(CALLERS)]
            for one in share:
                one.result(600)

    round_of(1000, 40)
    wait_for(lambda: minion.connections() == 0, "all connections have ended")
    descriptors, threads, memory_kb = minion.descriptors(), minion.status("Threads"), minion.status("VmRSS")
    round_of(CALLS, FRESH)
    wait_for(lambda: minion.connections() == 0, "all connections have ended")
    wait_for(lambda: minion.descriptors() <= descriptors, "descriptors are as many as before")
    wait_for(lambda: minion.status("Threads") <= threads, "threads are as many as before")
    assert minion.status("VmRSS") - memory_kb < 8192
