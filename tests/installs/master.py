"""A cloud master before a host in the bench's network: real web, store, tasks and catalogue, but no TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from cloudmasterd.clock import SystemClock
from cloudmasterd.cobbler import Address, Cobbler
from cloudmasterd.errors import RemoteFault
from cloudmasterd.fabric import Answer, Call
from cloudmasterd.fleet import Fleet
from cloudmasterd.installs import InstallRules, Installs
from cloudmasterd.machines import Asker, Machines
from cloudmasterd.model import Task
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.profiles import Profiles
from cloudmasterd.recipes import Tools, build_recipes
from cloudmasterd.store import Store
from cloudmasterd.tasks import TaskRunner
from cloudmasterd.web.site import Site
from tests.admins import AdminsOnly
from tests.cloudmasterd.web.conftest import served
from tests.cobbler.bench import Bench
from tests.installs.host import Host, Refused

CLOUD = "cloud1.example.org"
ASKER = Asker("ada", "request-1")
REPORT_PORT = 8107


class HostFabric:
    """The one cloud instance, called one at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()

    def list_clouds(self) -> list[str]:
        return [CLOUD]

    def certificate_expires_at(self, cloud: str) -> Optional[datetime]:
        return None

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        try:
            with self._lock:
                return json.dumps(self._host.call(method, *args))
        except Refused as exc:
            raise RemoteFault(exc.kind, exc.text, reason=exc.text) from exc

    def ask_all(
        self, calls: Mapping[str, Call], timeout_s: Optional[float] = None
    ) -> Iterator[Sequence[Answer]]:
        for cloud, call in calls.items():
            try:
                yield [Answer(cloud, self.call(cloud, call.method, *call.args))]
            except RemoteFault as exc:
                yield [Answer(cloud, error=exc)]


class CobblerInside(Cobbler):
    """The bench's cobbler under the name it has inside, by the way there is from outside."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(Address(bench.server, 80), SystemClock())
        self._port = int(bench.url.rpartition(":")[2])

    def _open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)


class Relay:
    """What connects inside is passed on to a port outside, for as long as the block lasts."""

    def __init__(self, bench: Bench, listen: int, to: int) -> None:
        self._socket = bench.listen(listen)
        self._to = to
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(60)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            pair = peer, socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=_join, args=pair, daemon=True).start()


def _join(peer: socket.socket, there: socket.socket) -> None:
    with peer, there:
        back = threading.Thread(target=_pass_on, args=(there, peer), daemon=True)
        back.start()
        _pass_on(peer, there)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Master:
    """Everything but the poller and Func's TLS; machines of the host report to it over HTTP."""

    def __init__(self, folder: Path, host: Host, bench: Bench) -> None:
        self.host = host
        clock, fabric = SystemClock(), HostFabric(host)
        self.store = Store(folder / "db")
        self.fleet = Fleet(self.store, fabric, clock)
        operations = Operations(fabric)
        resources = ResourceCache(operations, clock)
        rules = InstallRules(f"http://{bench.address}:{REPORT_PORT}/", timeout_s=300)
        tools = Tools(self.store, self.fleet, operations, resources, installing=rules)
        self.runner = TaskRunner(self.store, build_recipes(tools), clock)
        self.profiles = Profiles(self.store, CobblerInside(bench), clock)
        self.machines = Machines(self.store, self.runner, resources, clock, profiles=self.profiles)
        site = Site(
            self.store, self.fleet, clock, "cloud.example.org", 15, list, self.machines,
            installs=Installs(self.store, clock), profiles=self.profiles, door=AdminsOnly(),
        )  # fmt: skip
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.store.close)
        self._stack.callback(self.runner.stop, 10)
        self.port = self._stack.enter_context(served(site))
        self._stack.enter_context(Relay(bench, REPORT_PORT, self.port))
        self.fleet.discover()
        self.fleet.refresh([CLOUD])
        self.runner.start()

    def close(self) -> None:
        self._stack.close()

    def get(self, path: str) -> Any:
        """What the REST interface answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def catalogue_age_s(self) -> float:
        """How long ago the cobbler server said what it has."""
        fetched_at = self.profiles.about().fetched_at
        assert fetched_at is not None
        return (SystemClock().now() - fetched_at).total_seconds()

    def ended(self, task: Task, within_s: float = 400) -> Task:
        found = self.machines.wait(task.id, within_s)
        assert found.ended_at is not None, found.steps
        return found
