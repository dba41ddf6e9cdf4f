"""What it costs to know who asks: the door of the web, beside the same without one, in one process.

One thread answers requests over a store with 200 cloud instances and 5,000 machine instances, without HTTP:
`Front.answer` and nothing around it. A list that is kept is the cheapest there is, so it shows the door
best. What the database said of a token or session is taken for granted for a second; "asked anew" is the
request in every second that looks again. Counted is the thread's own time on a processor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.api_server import Nobody, fill
from benchmarks.report import Figure, at_most, progress, show
from cloudmasterd.access import Access
from cloudmasterd.clock import SystemClock
from cloudmasterd.passwords import Cost, Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.store import Store
from cloudmasterd.web.door import Entrance
from cloudmasterd.web.front import Front, Incoming
from cloudmasterd.web.proxy import NO_PROXY, proxy_at
from cloudmasterd.web.site import Door, Site
from cloudmasterd.web.waiting import Waits

PATH = "/api/v1/machines?limit=100"
PASSWORD = "four words to measure"
SECRET = "5ecret" * 8
TURNS = 7
REQUESTS = 20_000
QUICK = Cost(ln=4, r=8, p=1)  # signing in is not measured here
LIMIT_US = 100.0  # where a request over HTTP takes some 300

Headers = Mapping[str, str]


class Leaping(SystemClock):
    """A clock by which what was remembered is always too old."""

    leaps = 0.0

    def monotonic(self) -> float:
        """Two seconds more each time."""
        self.leaps += 2.0
        return self.leaps


class Open:
    """Lets everybody in without a look."""

    def identify(self, headers: Headers, address: str) -> Identity:
        """A viewer, whoever it is."""
        return Identity("benchmark", Role.VIEWER, Means.TOKEN, "0123456789ab")


def measure(directory: Path, requests: int) -> list[Figure]:
    """The cost of a request behind each door; the median of the turns, which go round."""
    progress("filling the store with 200 cloud instances and 5,000 machine instances")
    store, clock = Store(directory / "cloudmasterd.db"), SystemClock()
    try:
        fill(store)
        passwords = Passwords(clock, QUICK)
        people, access = People(store, clock, passwords), Access(store, clock, passwords)
        people.create_user("benchmark", Role.VIEWER, PASSWORD)
        _, token = people.create_token("benchmark", "benchmark", Role.VIEWER)
        secret, _ = access.log_in("benchmark", PASSWORD, "127.0.0.1")
        near, behind = Entrance(access, NO_PROXY, "k"), proxy_at(["127.0.0.1"], SECRET)
        bearer = {"Authorization": f"Bearer {token}"}
        forgets = Access(store, Leaping(), passwords)
        ways: dict[str, tuple[Door, Headers]] = {
            "no door": (Open(), {}),
            "a token": (near, bearer),
            "a session": (near, {"Cookie": f"cloudmasterd_session={secret}"}),
            "a token, through a web server in front": (
                Entrance(access, behind, "k"),
                {**bearer, "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"},
            ),
            "a token, asked anew": (Entrance(forgets, NO_PROXY, "k"), bearer),
        }
        site = Site(store, Nobody(), clock, "benchmark", 15, list)
        return _compare(site, ways, requests)
    finally:
        store.close()


def _compare(site: Site, ways: Mapping[str, tuple[Door, Headers]], requests: int) -> list[Figure]:
    costs: dict[str, list[float]] = {name: [] for name in ways}
    fronts = {name: Front(replace(site, door=door), Waits()) for name, (door, _) in ways.items()}
    for turn in range(TURNS):
        progress(f"measuring, {turn + 1} of {TURNS}")
        for name, (_, headers) in ways.items():
            costs[name].append(_cost_us(fronts[name], headers, requests))
    least = {name: statistics.median(values) for name, values in costs.items()}
    bare = least.pop("no door")
    return [
        at_most(f"{name}: beyond {bare:.0f} us without a door", cost - bare, "us", LIMIT_US)
        for name, cost in least.items()
    ]


def _cost_us(front: Front, headers: Headers, requests: int) -> float:
    incoming = Incoming("GET", PATH, "*/*", headers=headers, client="127.0.0.1")
    if front.answer(incoming).status != 200:
        raise RuntimeError("the door stays shut")
    begun = time.thread_time()
    for _ in range(requests):
        front.answer(incoming)
    return (time.thread_time() - begun) / requests * 1e6


def main(argv: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="benchmarks/door", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="door-") as directory:
        figures = measure(Path(directory), options.requests)
    show("What it costs to know who asks", figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
