"""A cloud instance in memory that can be installed anew, and a driver that a clock set by hand moves."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Optional

from cloudmasterd.enrolment import EnrolmentToken, KnownToken
from cloudmasterd.errors import CertmasterUnreachable, CloudUnreachable, NotFound, RemoteFault
from cloudmasterd.fleet import Fleet
from cloudmasterd.installs import InstallRules, Installs
from cloudmasterd.machines import Asker
from cloudmasterd.model import Step, Task
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.profiles import Profiles
from cloudmasterd.rebuild_spec import RebuildSpec
from cloudmasterd.rebuilds import Rebuilds
from cloudmasterd.recipes import Tools, build_recipes
from cloudmasterd.store import Store
from cloudmasterd.tasks import TaskRunner
from cloudmasterd.tasks.drive import Driver, Memory, Patience
from tests.blank import blank
from tests.fakes import START, FakeClock, FakeCobbler, FakeFabric, FakeMinion, machine, profile, refuse

CLOUD = "cloud1"
PROFILE = "GenomeCloud-F42"
OWN_BOOT = "boot-of-the-master"
ASKER = Asker("ada", "request-1")
STRIDE_S = 30.0


class KilledError(BaseException):
    """The cloud master was killed here."""


class GenomeMinion(FakeMinion):
    """A cloud instance with the module `genome`; a reboot takes it off the network until `come_back`."""

    def __init__(self, fabric: FakeFabric) -> None:
        super().__init__()
        self._fabric = fabric
        self.boot_id = "boot-1"
        self.prepared: Optional[str] = None  # the operation
        self.journal: dict[str, Any] = {}
        self.orders: list[dict[str, Any]] = []  # what was really prepared
        self.cancelled: list[str] = []
        self.reboots = 0
        self.busy = 1  # how often a preparation says that it is running
        self.refusing: Optional[tuple[str, str]] = None
        self.has_genome = True

    def call(self, method: str, args: Sequence[Any]) -> Any:
        if not method.startswith("genome."):
            return super().call(method, args)
        if not self.has_genome:
            raise RemoteFault("ModuleNotFoundException", "no module genome")
        return json.dumps(getattr(self, method.partition(".")[2])(*args))

    def prepare(self, operation: str, text: str) -> dict[str, Any]:
        if operation in self.cancelled:
            raise refuse("HostError", "it was cancelled")
        known = self.journal.setdefault(operation, {"text": text, "asked": 0})
        assert known["text"] == text, "the same operation with other arguments"
        if self.refusing is not None:
            raise refuse(*self.refusing)
        known["asked"] += 1
        if known["asked"] <= self.busy:
            return {"state": "running"}
        if self.prepared != operation:
            self.orders.append(json.loads(text))
            self.prepared = operation
        return {"state": "done", "boot_id": self.boot_id, "profile": PROFILE, "detail": "it is set"}

    def cancel(self, operation: str) -> dict[str, Any]:
        self.cancelled.append(operation)
        there, self.prepared = self.prepared == operation, None
        return {"cancelled": there}

    def reboot(self, operation: str, boot_id: str) -> dict[str, Any]:
        if boot_id != self.boot_id:
            return {"rebooting": False, "boot_id": self.boot_id}
        if self.prepared is None:
            raise refuse("WrongState", "it is not prepared")
        self.reboots += 1
        self._fabric.down[CLOUD] = CloudUnreachable(f"{CLOUD} did not answer")
        return {"rebooting": True, "boot_id": boot_id}

    def status(self) -> dict[str, Any]:
        return {"boot_id": self.boot_id, "prepared": self.prepared is not None, "profile": PROFILE}

    def come_back(self, *, anew: bool = True) -> None:
        """Boot; `anew` as what was installed, else as what it was."""
        self.boot_id = f"boot-{int(self.boot_id.partition('-')[2]) + 1}"
        self._fabric.down.pop(CLOUD, None)
        if anew:
            self.prepared, self.journal, self.machines = None, {}, {}
            self.reset()


@dataclass
class FakeCertmaster:
    """Makes tokens, and knows which were used."""

    made: list[EnrolmentToken] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    down: bool = False

    def new_token(
        self, name_glob: str, expires_s: int = 3600, replace: bool = False, mark: str = ""
    ) -> EnrolmentToken:
        self._answer()
        number = len(self.made) + 1
        secret = hashlib.sha256(str(number).encode()).hexdigest()[:43]
        expires_at = START + timedelta(seconds=expires_s)
        self.made.append(EnrolmentToken(f"{number:016x}", secret, name_glob, expires_at, replace, "c" * 64))
        return self.made[-1]

    def metadata(self, token: EnrolmentToken) -> dict[str, str]:
        return {
            "certmaster": "master", "genome_token": token.token, "genome_ca": token.ca_fingerprint,
            "genome_name": token.name,
        }  # fmt: skip

    def list_tokens(self) -> tuple[KnownToken, ...]:
        self._answer()
        return tuple(
            KnownToken(t.id, t.name, "used" if t.id in self.used else "open", START, t.expires_at, True, "")
            for t in self.made
            if t.id not in self.deleted
        )

    def delete_token(self, token_id: str) -> None:
        self._answer()
        if token_id in self.deleted:
            raise NotFound("no such token")
        self.deleted.add(token_id)

    def _answer(self) -> None:
        if self.down:
            raise CertmasterUnreachable("certmaster is not running")


class Killable:
    """A fabric under which the cloud master is killed once, before or after its n-th call."""

    def __init__(self, fabric: FakeFabric) -> None:
        self._fabric = fabric
        self.calls = 0
        self.kill_at = -1
        self.after = False

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        self.calls += 1
        mine = self.calls
        if mine == self.kill_at and not self.after:
            raise KilledError
        answer = self._fabric.call(cloud, method, *args, timeout_s=timeout_s)
        if mine == self.kill_at:
            raise KilledError
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)


class Rebuilding:
    """A cloud master with one cloud instance, on which jboss1 runs and build1 is off."""

    def __init__(self, folder: Path, *machines: str) -> None:
        self.clock = FakeClock()
        self.store = Store(blank(folder / "db"), clock=self.clock)
        fabric = FakeFabric()
        self.minion = GenomeMinion(fabric)
        self.minion.put(*(machine(name) for name in machines))
        fabric.minions[CLOUD] = self.minion
        self.fabric = Killable(fabric)
        self.down = fabric.down
        self.fleet = Fleet(self.store, self.fabric, self.clock)
        self.certmaster = FakeCertmaster()
        operations = Operations(self.fabric)
        self.rules = InstallRules("http://master/", silent_s=900, timeout_s=7200)
        tools = Tools(
            self.store, self.fleet, operations, ResourceCache(operations, self.clock),
            installing=self.rules, enrolment=self.certmaster,  # type: ignore[arg-type]
            boot_id=OWN_BOOT,
        )  # fmt: skip
        self.recipes = build_recipes(tools)
        self.installs = Installs(self.store, self.clock)
        self.cobbler = FakeCobbler()
        self.cobbler.put(profile(PROFILE), profile("Other"), profile("Arm", arch="aarch64"))
        self.profiles = Profiles(self.store, self.cobbler, self.clock)
        self.runner = TaskRunner(self.store, self.recipes, self.clock)
        self.rebuilds = Rebuilds(self.store, self.runner, self.profiles, self.clock)
        self.fleet.discover()
        self.fleet.refresh([CLOUD])
        self.clock.advance(5)
        self.new_process()

    def close(self) -> None:
        self.store.close()

    def new_process(self) -> None:
        """What the process knew beside the store is gone."""
        self.driver = Driver(self.store, self.recipes, self.clock, Patience(600))
        self.memory = Memory()

    def submit(self, *lose: str, profile: str = PROFILE, **more: Any) -> Task:
        return self.rebuilds.rebuild(CLOUD, RebuildSpec(profile, lose, **more), ASKER)

    def task(self) -> Task:
        return self.store.tasks.list(limit=1)[0]

    def step(self, name: str) -> Step:
        return next(step for step in self.task().steps if step.name == name)

    def at(self) -> str:
        """The step that is next, "" when the task has ended."""
        task = self.task()
        if task.ended_at is not None:
            return ""
        return next((s.name for s in task.steps if s.state.value in ("waiting", "running")), "back")

    def move(self) -> Optional[float]:
        """One move, and the clock on by the pause it asked for; two hours of waiting take 240 moves."""
        moves = itertools.count()
        pause = self.driver.advance(self.task().id, self.memory, lambda: next(moves) > 0)
        self.clock.advance(max(pause, STRIDE_S) if pause else 0.0)
        return pause

    def until(self, condition: Callable[[], object], moves: int = 10_000) -> None:
        for _ in range(moves):
            if condition():
                return
            self.move()
        raise AssertionError(f"it never came to that: {self.task().steps}")

    def until_at(self, step: str) -> None:
        self.until(lambda: self.at() == step)

    def until_over(self) -> Task:
        self.until(lambda: self.at() == "")
        return self.store.tasks.get(self.task().id)

    def token(self) -> str:
        """What the installing machine was told to report with."""
        return str(self.minion.orders[-1]["metadata"]["genome_report"]).rpartition("/")[2]

    def say(self, phase: str, text: str = "") -> None:
        self.installs.report(self.token(), phase, text)

    def enrol(self) -> None:
        self.certmaster.used.add(self.certmaster.made[-1].id)
