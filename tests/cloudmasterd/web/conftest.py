"""A real CherryPy server on a free port, over a real store, for the tests of the web."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

import cherrypy
import pytest

from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import CloudError
from cloudmasterd.model import CloudInstance, Inventory, MachineState, ObservedCloud, ObservedMachine

with warnings.catch_warnings():
    # SQLObject's formencode imports the standard library's cgi, which Python 3.11 and 3.12 call deprecated
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from cloudmasterd.access import Access
    from cloudmasterd.images import Images
    from cloudmasterd.installs import Installs
    from cloudmasterd.machines import Machines
    from cloudmasterd.people import People
    from cloudmasterd.profiles import Profiles
    from cloudmasterd.rebuilds import Rebuilds
    from cloudmasterd.removals import Removals
    from cloudmasterd.store import Store
    from cloudmasterd.tasks import TaskRunner
from cloudmasterd.clock import SystemClock
from cloudmasterd.fabric import Answer as FabricAnswer
from cloudmasterd.fabric import Call
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.passwords import Cost, Passwords
from cloudmasterd.placing import Rules
from cloudmasterd.tasks.recipe import Done, Later, Recipe, StepContext, StepKind
from cloudmasterd.web import transport
from cloudmasterd.web.server import application, mount
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import Waits
from tests.admins import AdminsOnly
from tests.blank import blank
from tests.fakes import FakeCobbler

QUICK = Cost(ln=4, r=8, p=1)  # of a password, which is to cost much everywhere else
START = datetime(2026, 11, 22, 8, 0, 0, tzinfo=timezone.utc)


class StillClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.time = START
        self.ids = 0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    def jitter(self, spread: float) -> float:
        return 0.0

    def new_id(self) -> str:
        self.ids += 1
        return f"id{self.ids:08d}"

    def new_uuid(self) -> str:
        self.ids += 1
        return str(uuid.UUID(int=self.ids))

    def new_token(self) -> str:
        self.ids += 1
        return f"{self.ids:043d}"

    def new_mac(self, taken: Collection[str] = ()) -> str:
        return f"52:54:00:00:{len(taken) // 256:02x}:{len(taken) % 256:02x}"


@dataclass
class StandInFleet:
    """Answers a refresh as told: what to raise by name, else what is in the store."""

    store: Store
    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hold: Optional[threading.Event] = None

    def remove(self, name: str, by: str) -> list[int]:
        return self.store.remove_cloud(name, by)

    def refresh_cloud(self, name: str) -> CloudInstance:
        self.asked.append(name)
        if self.hold is not None:
            assert self.hold.wait(60)
        self.store.get_cloud(name)
        error = self.errors.get(name)
        if error is not None:
            if isinstance(error, CloudError):
                self.store.mark_unreachable({name: str(error)}, START)
            raise error
        return self.store.get_cloud(name)


class StandInFabric:
    """Cloud instances that say what they have, and do nothing."""

    RESOURCES = json.dumps(
        {
            "arch": "x86_64", "firmwares": ["bios", "uefi"], "networks": ["default"], "bridges": [],
            "pools": [{"name": "default", "capacity_gb": 900, "free_gb": 800, "default": True}],
            "isos": ["default/boot.iso"], "virt_type": "test", "machine_types": ["q35"], "koan": True,
        }
    )  # fmt: skip

    def list_clouds(self) -> list[str]:
        return []

    def certificate_expires_at(self, cloud: str) -> Optional[datetime]:
        return None

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        assert method == "machine.resources", method
        return self.RESOURCES

    def ask_all(
        self, calls: Mapping[str, Call], timeout_s: Optional[float] = None
    ) -> Iterator[Sequence[FabricAnswer]]:
        yield [FabricAnswer(cloud, self.RESOURCES) for cloud in calls]


class Gate:
    """Where the steps of all tasks stand until it is opened; then each is done, or fails as told."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.error: Optional[CloudError] = None

    def step(self, context: StepContext) -> Any:
        if not self.open.is_set():
            return Later(0.01, "waits for the test")
        if self.error is not None:
            raise self.error
        return Done({}, "done by the test")


class AnyStep(dict[str, StepKind]):
    """A recipe's steps, whatever they are called."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._kind = StepKind(gate.step, lambda context: "undone by the test")

    def __missing__(self, name: str) -> StepKind:
        return self._kind


class AnyKind(dict[str, Recipe]):
    """Recipes of all kinds of tasks, with steps that stand at the gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._recipe = Recipe(AnyStep(gate))

    def __missing__(self, kind: str) -> Recipe:
        return self._recipe

    def get(self, kind: str, default: Any = None) -> Recipe:
        return self._recipe


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


@dataclass
class World:
    """One cloud master under test."""

    port: int
    store: Store
    fleet: StandInFleet
    clock: StillClock
    problems: list[str]
    gate: Gate
    waits: Waits
    cobbler: FakeCobbler
    profiles: Profiles
    site: Site

    def ask(
        self, method: str, target: str, headers: Optional[dict[str, str]] = None, body: Optional[bytes] = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Answer:
        return self.ask("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})

    def send(self, method: str, target: str, value: Any = None, **headers: str) -> Answer:
        """A request with a JSON body (none for None); `If_Match` stands for If-Match."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if value is None:
            return self.ask(method, target, named)
        named.setdefault("Content-Type", "application/json")
        return self.ask(method, target, named, json.dumps(value).encode())

    def fill(self, clouds: dict[str, list[ObservedMachine]], at: Optional[datetime] = None) -> None:
        self.store.reconcile({name: inventory(machines) for name, machines in clouds.items()}, at or START)


def machine(name: str, state: str = "running", memory_mb: int = 512, uid: str = "") -> ObservedMachine:
    uid = uid or str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    return ObservedMachine(uid, name, MachineState(state), memory_mb, memory_mb, 1, False)


def inventory(machines: list[ObservedMachine], memory_mb: int = 65536) -> Inventory:
    return Inventory(True, "c", ObservedCloud("x86_64", 16, memory_mb, 40000), tuple(machines))


@contextmanager
def served(site: Site) -> Iterator[int]:
    transport.LINGER_S = 60.0  # a client of a busy machine takes longer to hear that it is refused
    mount(site, "127.0.0.1", 0)
    server = cherrypy.server.httpserver
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join(60)


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    store = Store(tmp_path_factory.mktemp("web") / "first.sqlite")
    site = Site(store, StandInFleet(store), StillClock(), "first", 15, list, door=AdminsOnly())
    with served(site) as number:
        yield number
    store.close()


@pytest.fixture
def world(port: int, tmp_path: Path) -> Iterator[World]:
    store, clock, problems, gate = Store(blank(tmp_path / "db.sqlite")), StillClock(), [], Gate()
    fleet, waits, fabric = StandInFleet(store), Waits(2, 2), StandInFabric()
    runner = TaskRunner(store, AnyKind(gate), SystemClock(), workers=2, short_workers=2)
    resources = ResourceCache(Operations(fabric), clock)
    images = Images(store, tmp_path / "images", clock)
    cobbler = FakeCobbler()
    profiles = Profiles(store, cobbler, clock, wait_s=60)
    machines = Machines(store, runner, resources, clock, Rules(), images, profiles)
    rebuilds = Rebuilds(store, runner, profiles, clock)
    enrolment = Enrolment(tmp_path / "admin.sock", "cloud.example.org", timeout_s=60)
    removals = Removals(store, fleet, enrolment, runner)
    installs = Installs(store, clock)
    passwords = Passwords(clock, QUICK)
    site = Site(
        store, fleet, clock, "cloud.example.org", 15, lambda: problems, machines,
        images=images, installs=installs, profiles=profiles, rebuilds=rebuilds,
        enrolment=enrolment, removals=removals, door=AdminsOnly(),
        people=People(store, clock, passwords), access=Access(store, clock, passwords),
    )  # fmt: skip
    cherrypy.tree.mount(application(site, waits), "")
    runner.start()
    yield World(port, store, fleet, clock, problems, gate, waits, cobbler, profiles, site)
    waits.stop()
    runner.stop()
    store.close()


@pytest.fixture
def small(world: World) -> World:
    """Three cloud instances: one up with machine instances, one unreachable, one that never answered."""
    world.store.sync_clouds({f"cloud{i}.example.org": START + timedelta(days=300) for i in (1, 2, 3)})
    world.fill({"cloud1.example.org": [machine("jboss1.example.org"), machine("build1", "off", 2048)]})
    world.fill({"cloud2.example.org": [machine("web1")]}, START - timedelta(minutes=7))
    world.store.mark_unreachable({"cloud2.example.org": "connection refused"}, START - timedelta(minutes=6))
    return world


@pytest.fixture
def make_machine() -> Any:
    return machine
