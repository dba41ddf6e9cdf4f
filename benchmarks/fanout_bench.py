"""What it costs an overlord to call 50 minions at once, and what of 500 is heard when 50 of them hang.

The 50 are funcd, a process each, on this machine: their work is in the wall time, not in the CPU time,
which is the overlord's own. `test.ping`, cold (fresh TLS) and warm (connections kept), beside plain
`xmlrpc.client` with ten threads and a fresh connection for each call, in the same process, taking turns. The
500 are in four processes, to keep memory in bounds; half of those that hang answer no handshake, the others
no call.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from benchmarks.minions import HANGS, address_of
from benchmarks.report import Figure, at_most, progress, show, times_less
from benchmarks.simulated import make_certificates, name_of
from certmaster.config import load_certmaster_config
from demo.cloud import free_ports
from func.config import load_overlord_config
from func.overlord.fanout import Fanout

MINIONS = 50
CROWD = 500
CROWD_PROCESSES = 4
THREADS = 10
REPEATS = 9
WARM_A_REPEAT = 5
CROWD_WAIT_S = 5.0  # for those that hang


@contextlib.contextmanager
def serving(kind: str, root: Path, port: int, minions: int, processes: int) -> Iterator[None]:
    """Minions 1 to `minions`, of a kind `benchmarks.minions` knows."""
    share = -(-minions // processes)
    started = []
    try:
        for first in range(1, minions + 1, share):
            last = min(first + share - 1, minions)
            argv = [kind, str(root), str(port), str(first), str(last)]
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.minions", *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            started.append(process)
        for process in started:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("a process of minions did not start; see above")
        for number in range(1, minions + 1):
            _await(address_of(number), port)
        yield
    finally:
        for process in started:
            process.communicate()


def _await(address: str, port: int) -> None:
    ends_at = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.05)


@dataclass
class Costs:
    """Milliseconds of some rounds: on the wall, and of this process's CPU for each minion."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def measure(self, act: Callable[[], int], minions: int) -> None:
        """One round; `act` answers how many minions did."""
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        answered = act()
        self.cpu_ms.append((time.process_time() - cpu) * 1000 / minions)
        self.wall_ms.append((time.perf_counter() - wall) * 1000)
        if answered != minions:
            raise RuntimeError(f"only {answered} of {minions} minions answered")

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.wall_ms)

    @property
    def cpu(self) -> float:
        """The median."""
        return statistics.median(self.cpu_ms)


class Ours:
    """Rounds of func.overlord."""

    def __init__(self, root: Path, minions: int) -> None:
        self._root = root
        self._calls = {name_of(n): ("test.ping", ()) for n in range(1, minions + 1)}
        self.cold, self.warm = Costs(), Costs()

    def measure(self) -> None:
        """A round with nothing but the files at hand, and some on the connections it leaves."""
        with contextlib.closing(open_fanout(self._root)) as fanout:
            self.cold.measure(lambda: self._ping(fanout), len(self._calls))
            for _ in range(WARM_A_REPEAT):
                self.warm.measure(lambda: self._ping(fanout), len(self._calls))

    def _ping(self, fanout: Fanout) -> int:
        return sum(result.value == 1 for group in fanout.ask(self._calls) for result in group)


class Plain:
    """The same as a script would do it: a ServerProxy for each call, ten at a time."""

    def __init__(self, root: Path, port: int, minions: int) -> None:
        directory = root / "etc/pki/certmaster/ca"
        self._context = ssl.create_default_context(cafile=str(directory / "certmaster.crt"))
        self._context.check_hostname = False
        self._context.load_cert_chain(directory / "certmaster.crt", directory / "certmaster.key")
        self._urls = [f"https://{address_of(n)}:{port}/RPC2" for n in range(1, minions + 1)]
        self.costs = Costs()

    def measure(self) -> None:
        """A round."""
        self.costs.measure(self._round, len(self._urls))

    def _round(self) -> int:
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(answer == 1 for answer in pool.map(self._ping, self._urls))

    def _ping(self, url: str) -> object:
        with xmlrpc.client.ServerProxy(url, context=self._context) as minion:
            return minion.test.ping()


def open_fanout(root: Path) -> Fanout:
    """An overlord with the certmaster's own certificate."""
    return Fanout(load_overlord_config(root), load_certmaster_config(root))


def write_overlord(root: Path, port: int, minions: int) -> None:
    """Where the minions are."""
    folder = root / "etc/func"
    folder.mkdir(parents=True)
    (folder / "overlord.conf").write_text(f"[main]\nlisten_port = {port}\n", encoding="utf-8")
    hosts = "".join(f"{address_of(n)} {name_of(n)}\n" for n in range(1, minions + 1))
    (folder / "hosts").write_text(hosts, encoding="utf-8")


@dataclass(frozen=True)
class Heard:
    """When the last of those that do not hang was heard, in seconds, and when the call ended."""

    last_s: float
    ended_s: float


def ask_crowd(fanout: Fanout, minions: int) -> Heard:
    """One round in which some hang; raises RuntimeError where others than those do."""
    calls = {name_of(n): ("test.ping", ()) for n in range(1, minions + 1)}
    began, last_s, heard = time.perf_counter(), 0.0, 0
    for group in fanout.ask(calls, timeout_s=CROWD_WAIT_S):
        answered = sum(result.value == 1 for result in group)
        if answered:
            last_s, heard = time.perf_counter() - began, heard + answered
    if heard != minions - minions // HANGS:
        raise RuntimeError(f"{heard} of {minions} minions answered where {minions // HANGS} hang")
    return Heard(last_s, time.perf_counter() - began)


def measure(root: Path, minions: int, crowd: int, repeats: int) -> list[Figure]:
    """All figures."""
    port = free_ports().func
    progress(f"making {max(minions, crowd)} certificates")
    make_certificates(root, range(1, max(minions, crowd) + 1))
    write_overlord(root, port, max(minions, crowd))
    progress(f"starting {minions} times funcd")
    ours, plain = Ours(root, minions), Plain(root, port, minions)
    with serving("real", root, port, minions, 1):
        for repeat in range(repeats):
            progress(f"measuring, {repeat + 1} of {repeats}")
            ours.measure()
            plain.measure()
    progress(f"starting {crowd} minions of which {crowd // HANGS} hang, in {CROWD_PROCESSES} processes")
    crowd_serving = serving("crowd", root, port, crowd, CROWD_PROCESSES)
    with crowd_serving, contextlib.closing(open_fanout(root)) as fanout:
        cold, warm = ask_crowd(fanout, crowd), ask_crowd(fanout, crowd)
    return _figures(ours, plain.costs, minions) + _crowd(cold, warm, crowd)


def _figures(ours: Ours, plain: Costs, minions: int) -> list[Figure]:
    script = f"xmlrpc.client, {THREADS} threads, a fresh connection for each call"
    cold, warm = ours.cold, ours.warm
    return [
        at_most(f"warm: all {minions}", warm.wall, "ms", 60),
        at_most("warm: overlord for each", warm.cpu, "ms CPU", 0.7),
        times_less(f"cold: all {minions}", cold.wall, "ms", script, plain.wall, 1),
        times_less("cold: overlord for each", cold.cpu, "ms CPU", script, plain.cpu, 1),
        times_less(f"warm: all {minions} (2)", warm.wall, "ms", script, plain.wall),
        times_less("warm: overlord for each (2)", warm.cpu, "ms CPU", script, plain.cpu),
    ]


def _crowd(cold: Heard, warm: Heard, crowd: int) -> list[Figure]:
    answer = crowd - crowd // HANGS
    return [
        at_most(f"{answer} of {crowd} answered, cold", cold.last_s, "s", 2),
        at_most(f"{answer} of {crowd} answered, warm", warm.last_s, "s", 2),
        Figure(f"all {crowd} judged, cold", cold.ended_s, "s"),
    ]


def main(argv: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="benchmarks/fanout", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--minions", type=int, default=MINIONS)
    parser.add_argument("--crowd", type=int, default=CROWD, help="minions of which every tenth hangs")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="fanout-") as directory:
        figures = measure(Path(directory), options.minions, options.crowd, options.repeats)
    show("test.ping to minions on this machine; medians", figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
