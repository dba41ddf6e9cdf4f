"""How long it takes to accept a new machine instance, with nothing to do and with much to do.

A cloud of real processes on libvirt's test driver. A submission is `POST /api/v1/machines` until its answer:
validated, placed, its memory held, its task on the disk. Idle, each task has ended before the next is
submitted; then one client goes on while tasks are under way; then fifty clients submit two hundred at once.

Cloud instances are machines of their own. Here their minions run beside the cloud master, so they get only
what it leaves; with --equal they get as much, and what is measured is how five programs share the processor.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, at_most, progress, show
from demo.cloud import Cloud, free_ports
from demo.people import Admin

CLIENTS, TOGETHER, ALONE = 50, 200, 40
MEMORY_MB = 128  # all of them fit
PAUSE_S = 0.025  # so that those that were submitted together are still being made
SLOWER = 1.5
LAST = 19  # the niceness that gives way to everybody


@dataclass(frozen=True)
class Submitted:
    """An accepted submission: how long the answer took, and its task."""

    seconds: float
    task: int


class Client:
    """A kept connection of the admin's; submits machine instances named by their number."""

    def __init__(self, admin: Admin) -> None:
        self._connection = http.client.HTTPConnection(admin.address, admin.port, timeout=120)
        self._known = admin.headers()

    def submit(self, number: int) -> Submitted:
        """Have one made; raises RuntimeError when it is not accepted."""
        name = f"bench{number}.example.org"
        body = json.dumps({"name": name, "memory_mb": MEMORY_MB, "disks": [{"size_gb": 1}]})
        begin = time.perf_counter()
        status, answer = self._ask("POST", "/machines", body)
        if status != 202:
            raise RuntimeError(f"{name} was answered {status}: {answer}")
        return Submitted(time.perf_counter() - begin, int(answer["id"]))

    def get(self, path: str) -> Any:
        """What is there."""
        return self._ask("GET", path, None)[1]

    def wait_until_idle(self) -> None:
        """Return when no task is under way."""
        while self.under_way(1):
            time.sleep(0.1)

    def under_way(self, most: int = 1000) -> int:
        """How many tasks have not ended."""
        return len(self.get(f"/tasks?state=waiting,running&limit={most}&fields=id")["items"])

    def _ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        headers = self._known if body is None else {**self._known, "Content-Type": "application/json"}
        self._connection.request(method, f"/api/v1{path}", body=body, headers=headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


def submit_idle(client: Client, numbers: range) -> list[Submitted]:
    """One after the other, each when the one before is made."""
    found = []
    for number in numbers:
        found.append(client.submit(number))
        client.wait_until_idle()
        time.sleep(0.05)
    return found


def submit_steadily(client: Client, numbers: range) -> list[Submitted]:
    """One after the other, whatever is under way."""
    found = []
    for number in numbers:
        found.append(client.submit(number))
        time.sleep(PAUSE_S)
    return found


def submit_together(admin: Admin, numbers: range, clients: int) -> tuple[list[Submitted], float]:
    """By clients that begin at once; and the seconds until all had their answers."""
    local = threading.local()
    together = threading.Barrier(clients + 1)

    def open_client(number: int) -> None:
        local.client = Client(admin)
        together.wait()

    with ThreadPoolExecutor(clients) as pool:
        opening = [pool.submit(open_client, number) for number in range(clients)]
        together.wait()
        begin = time.perf_counter()
        found = list(pool.map(lambda number: local.client.submit(number), numbers))
        passed = time.perf_counter() - begin
    for each in opening:
        each.result()
    return found, passed


def first_steps(client: Client, tasks: Sequence[Submitted]) -> list[float]:
    """Seconds from each submission to its first step."""
    found = []
    for submitted in tasks:
        task = client.get(f"/tasks/{submitted.task}")
        if task["state"] != "done":
            raise RuntimeError(f"task {submitted.task} is {task['state']}: {task['error']}")
        found.append(_seconds(task["steps"][0]["started_at"]) - _seconds(task["created_at"]))
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def give_way(cloud: Cloud) -> None:
    """Let the minions run when nobody else wants to."""
    for node in cloud.nodes:
        group = cloud.processes[node.name].pid
        os.setpriority(os.PRIO_PGRP, group, LAST)
        try:  # where the kernel first shares out by session, niceness counts within one only
            Path(f"/proc/{group}/autogroup").write_text(str(LAST), encoding="ascii")
        except OSError:
            pass


def measure(root: Path, clients: int, together: int, equal: bool) -> list[Figure]:
    """All figures."""
    cloud = Cloud(root, ports=free_ports())
    try:
        progress("starting a cloud of three")
        cloud.start()
        if not equal:
            give_way(cloud)
        client = Client(cloud.admin)
        client.submit(0)
        client.wait_until_idle()
        progress(f"submitting {ALONE}, one after the other")
        idle = submit_idle(client, range(1, 1 + ALONE))
        progress(f"{clients} clients submit {together} at once")
        crowd, passed = submit_together(cloud.admin, range(1000, 1000 + together), clients)
        progress(f"submitting {ALONE} while these are made")
        busy = submit_steadily(client, range(2000, 2000 + ALONE))
        least = client.under_way() - ALONE  # beside those that were just submitted
        client.wait_until_idle()
        waits = first_steps(client, crowd)
    finally:
        cloud.stop()
    progress(f"of the {together}, at least {least} were under way all the time")
    return _figures(idle, busy, crowd, passed, waits, clients)


def _figures(
    idle: Sequence[Submitted],
    busy: Sequence[Submitted],
    crowd: Sequence[Submitted],
    passed: float,
    waits: Sequence[float],
    clients: int,
) -> list[Figure]:
    alone_ms = _median_ms(idle)
    each_ms = passed * 1000 / len(crowd)
    return [
        Figure("submission, idle", alone_ms, "ms"),
        _beside_idle("submission while tasks are under way", _median_ms(busy), alone_ms),
        _beside_idle(f"{clients} clients at once, time for each submission", each_ms, alone_ms),
        Figure(f"{clients} clients at once, a client waits, median", _median_ms(crowd), "ms"),
        Figure(
            f"{clients} clients at once, a client waits, p99", _p99([s.seconds for s in crowd]) * 1000, "ms"
        ),
        at_most(f"{len(crowd)} at once, submission to first step, p99", _p99(waits), "s", 2),
    ]


def _median_ms(found: Sequence[Submitted]) -> float:
    return statistics.median(each.seconds for each in found) * 1000


def _beside_idle(name: str, value: float, idle: float) -> Figure:
    aim, met = f"at most {SLOWER:g} times as long", value <= SLOWER * idle
    return Figure(name, value, "ms", "a submission when idle", idle, idle / value, aim, met)


def main(argv: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="benchmarks/create", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--together", type=int, default=TOGETHER, help="machine instances made at once")
    parser.add_argument("--equal", action="store_true", help="minions get as much of the processor")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="create-") as directory:
        figures = measure(Path(directory), options.clients, options.together, options.equal)
    show("Making machine instances on three cloud instances", figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
