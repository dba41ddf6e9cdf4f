"""The two servers that benchmarks/api compares, each in a process of its own.

`python -m benchmarks.api_server ours DIRECTORY PORT` serves the real site over a filled store;
`python -m benchmarks.api_server bare FILE PORT` is the least a CherryPy handler can be: a file's bytes.
Both say "ready", ours with the token of a viewer behind it, and end with their standard input.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import cherrypy

from cloudmasterd.access import Access
from cloudmasterd.clock import SystemClock
from cloudmasterd.model import CloudInstance, Inventory, MachineState, ObservedCloud, ObservedMachine
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Role
from cloudmasterd.store import Store
from cloudmasterd.web.door import Entrance
from cloudmasterd.web.proxy import NO_PROXY
from cloudmasterd.web.server import mount
from cloudmasterd.web.site import Site

CLOUDS = 200
MACHINES = 25


class Nobody:
    """Refreshes nothing: only reading is measured."""

    def refresh_cloud(self, name: str) -> CloudInstance:
        """Never called here."""
        raise NotImplementedError(name)


def inventory(number: int) -> Inventory:
    """What cloud instance `number` would report."""
    machines = []
    for i in range(MACHINES):
        name = f"machine{number}-{i}.example.org"
        state = MachineState.OFF if i % 5 == 4 else MachineState.RUNNING
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        machines.append(ObservedMachine(identity, name, state, 2048, 2048, 2, i % 2 == 0))
    return Inventory(True, f"{number}.1", ObservedCloud("x86_64", 32, 131072, 60_000), tuple(machines))


def fill(store: Store) -> None:
    """Put 200 cloud instances with 5,000 machine instances into the store."""
    now = datetime.now(timezone.utc)
    names = {f"cloud{number}.example.org": number for number in range(1, CLOUDS + 1)}
    store.sync_clouds(dict.fromkeys(names, now))
    store.reconcile({name: inventory(number) for name, number in names.items()}, now)


class Bare:
    """A handler that does nothing but answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @cherrypy.expose  # type: ignore[untyped-decorator,unused-ignore]
    def machines(self, limit: str = "") -> bytes:
        """The bytes, as they are."""
        cherrypy.response.headers["Content-Type"] = "application/json"
        return self._body


def serve_ours(directory: Path, port: int) -> str:
    """Make CherryPy serve the real site behind its real door; a token that opens it."""
    store, clock = Store(directory / "cloudmasterd.db"), SystemClock()
    fill(store)
    passwords = Passwords(clock)
    people, access = People(store, clock, passwords), Access(store, clock, passwords)
    viewer = people.create_user("benchmark", Role.VIEWER)
    _, token = people.create_token(viewer.name, "benchmark", Role.VIEWER)
    door = Entrance(access, NO_PROXY, store.web_key)
    mount(Site(store, Nobody(), clock, "benchmark", 15, list, door=door), "127.0.0.1", port)
    return token


def serve_bare(file: Path, port: int) -> str:
    """Make CherryPy serve a file's bytes, with CherryPy's own defaults but for what talks or watches."""
    cherrypy.config.update(
        {
            "log.screen": False,
            "engine.autoreload.on": False,
            "checker.on": False,
            "server.socket_host": "127.0.0.1",
            "server.socket_port": port,
            "server.thread_pool": 40,
        }
    )
    cherrypy.tree.mount(Bare(file.read_bytes()), "/api/v1")
    return ""


def main(argv: Sequence[str]) -> int:
    """Serve until standard input ends."""
    kind, path, port = argv[0], Path(argv[1]), int(argv[2])
    token = (serve_ours if kind == "ours" else serve_bare)(path, port)
    cherrypy.engine.start()
    print("ready", token, flush=True)
    sys.stdin.read()
    cherrypy.engine.exit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
