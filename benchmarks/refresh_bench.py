"""What it costs the cloud master to know 200 cloud instances with 25 machine instances each.

Its CPU time for a first round and for one in which nothing changed, beside the same questions asked with
plain `xmlrpc.client` on fresh connections, in the same process, taking turns. The simulated cloud instances
run in processes of their own and are not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.real_master import measure_real_master
from benchmarks.report import Figure, at_most, progress, show, times_less
from benchmarks.simulated import MACHINES, make_certificates, make_node, name_of, write_overlord
from cloudmasterd.clock import SystemClock
from cloudmasterd.fleet import Fleet
from cloudmasterd.func_fabric import open_func
from cloudmasterd.model import CloudState
from cloudmasterd.store import Store
from demo.cloud import free_ports
from demo.layout import Ports

CLOUDS = 200
PROCESSES = 4
REPEATS = 5
UNCHANGED_ROUNDS = 10
TIMEOUT_S = 30


@contextlib.contextmanager
def simulated_clouds(root: Path, port: int, clouds: int) -> Iterator[None]:
    """Cloud instances 1 to `clouds`, in a few processes."""
    share = -(-clouds // PROCESSES)
    started = []
    try:
        for first in range(1, clouds + 1, share):
            argv = [str(root), str(port), str(first), str(min(first + share - 1, clouds))]
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.simulated", *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            started.append(process)
        for process in started:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("a process of simulated cloud instances did not start; see above")
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


class Rounds:
    """CPU milliseconds for each cloud instance, of several rounds."""

    def __init__(self, root: Path, clouds: int) -> None:
        self._root = root
        self._clouds = clouds
        self._directory = Path(tempfile.mkdtemp(dir=root))
        self._stores = 0
        self.cold: list[float] = []
        self.full: list[float] = []
        self.unchanged: list[float] = []

    def measure(self) -> None:
        """A first round on cold connections, unchanged ones, and a first round on kept connections."""
        fabric = open_func(self._root, TIMEOUT_S)
        try:
            with self._fleet(fabric) as (fleet, names):
                self.cold.append(self._cpu_ms(lambda: fleet.refresh(names)))
                for _ in range(UNCHANGED_ROUNDS):
                    self.unchanged.append(self._cpu_ms(lambda: fleet.refresh(names)))
            with self._fleet(fabric) as (fleet, names):
                self.full.append(self._cpu_ms(lambda: fleet.refresh(names)))
        finally:
            fabric.close()

    @contextlib.contextmanager
    def _fleet(self, fabric: object) -> Iterator[tuple[Fleet, list[str]]]:
        self._stores += 1
        store = Store(self._directory / f"{self._stores}.db")
        try:
            fleet = Fleet(store, fabric, SystemClock(), timeout_s=TIMEOUT_S)  # type: ignore[arg-type]
            yield fleet, fleet.discover()
            up = [cloud for cloud in store.list_clouds() if cloud.state is CloudState.UP]
            if len(up) != self._clouds or any(cloud.machines != MACHINES for cloud in up):
                raise RuntimeError(f"only {len(up)} of {self._clouds} cloud instances are in the store")
        finally:
            store.close()

    def _cpu_ms(self, act: object) -> float:
        gc.collect()
        begin = time.process_time()
        act()  # type: ignore[operator]
        return (time.process_time() - begin) * 1000 / self._clouds


class Plain:
    """The same questions as a script would put them: a ServerProxy for each call, as Func's own overlord."""

    def __init__(self, root: Path, port: int, clouds: int) -> None:
        directory = root / "etc/pki/certmaster/ca"
        certificate = str(directory / "certmaster.crt")
        self._context = ssl.create_default_context(cafile=certificate)
        self._context.check_hostname = False
        self._context.load_cert_chain(certificate, str(directory / "certmaster.key"))
        self._urls = [f"https://{make_node(n).address}:{port}/RPC2" for n in range(1, clouds + 1)]
        self.fresh: list[float] = []
        self.shared: list[float] = []

    def measure(self) -> None:
        """A round with a connection for each call, and one with a connection for each cloud instance."""
        begin = time.process_time()
        for url in self._urls:
            for method in ("info", "freemem", "nodeinfo"):
                with self._proxy(url) as minion:
                    getattr(minion.virt, method)()
        self.fresh.append((time.process_time() - begin) * 1000 / len(self._urls))
        begin = time.process_time()
        for url in self._urls:
            with self._proxy(url) as minion:
                minion.virt.info(), minion.virt.freemem(), minion.virt.nodeinfo()
        self.shared.append((time.process_time() - begin) * 1000 / len(self._urls))

    def _proxy(self, url: str) -> xmlrpc.client.ServerProxy:
        return xmlrpc.client.ServerProxy(url, context=self._context)


def measure(root: Path, clouds: int, repeats: int) -> list[Figure]:
    """All figures, with `clouds` simulated cloud instances."""
    ports = free_ports()
    numbers = range(1, clouds + 1)
    progress(f"making {clouds} certificates")
    make_certificates(root, numbers)
    write_overlord(root, numbers, ports, {"poll_interval_s": 15})
    progress(f"starting {clouds} cloud instances in {PROCESSES} processes")
    with simulated_clouds(root, ports.func, clouds):
        ours, plain = Rounds(root, clouds), Plain(root, ports.func, clouds)
        for repeat in range(repeats):
            progress(f"measuring, {repeat + 1} of {repeats}")
            ours.measure()
            plain.measure()
        return _figures(ours, plain) + _real(root, ports, clouds)


def _figures(ours: Rounds, plain: Plain) -> list[Figure]:
    fresh, shared = statistics.median(plain.fresh), statistics.median(plain.shared)
    cold, full = statistics.median(ours.cold), statistics.median(ours.full)
    unchanged = statistics.median(ours.unchanged)
    unit, script = "ms CPU", "info + freemem + nodeinfo by xmlrpc.client"
    each = f"{script}, a fresh connection for each call"
    one = f"{script}, one fresh connection for all three"
    return [
        times_less("first round, connections opened", cold, unit, each, fresh, 10),
        times_less("first round, connections kept", full, unit, each, fresh, 10),
        times_less("unchanged round", unchanged, unit, each, fresh, 30),
        times_less("first round, connections opened (2)", cold, unit, one, shared),
        times_less("first round, connections kept (2)", full, unit, one, shared),
        times_less("unchanged round (2)", unchanged, unit, one, shared),
    ]


def _real(root: Path, ports: Ports, clouds: int) -> list[Figure]:
    progress("watching cloudmasterd itself for a minute")
    real = measure_real_master(root, ports, [name_of(n) for n in range(1, clouds + 1)])
    return [
        at_most("cloudmasterd: peak memory", real.peak_memory_mb, "MB", 150),
        Figure("cloudmasterd: unchanged, as polled", real.cpu_ms_per_refresh, "ms CPU"),
        Figure("cloudmasterd: share of one CPU", real.cpu_share * 100, "%"),
    ]


def main(argv: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="benchmarks/refresh", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--clouds", type=int, default=CLOUDS, help="cloud instances, at most 250")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="refresh-") as directory:
        figures = measure(Path(directory), options.clouds, options.repeats)
    title = f"CPU for each cloud instance and round; {options.clouds} of them, {MACHINES} machines each"
    show(title, figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
