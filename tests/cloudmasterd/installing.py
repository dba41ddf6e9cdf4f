"""A cloud instance in memory that installs from profiles, and a hand that takes one task forward."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from cloudmasterd.installs import InstallRules, Installs
from cloudmasterd.model import MachineState, ObservedMachine, Task
from cloudmasterd.recipes import progress
from cloudmasterd.spec import Source
from cloudmasterd.tasks.drive import Driver, Memory, Patience
from func.minion.install.order import order
from tests.cloudmasterd.works import ASKER, Works, spec
from tests.fakes import FakeClock, FakeCobbler, WorkingMinion, profile, refuse

NAME, PROFILE = "jboss1.example.org", "GenomeCloud-RHEL5U2-x86_64"
TOKEN = "s3cretS3cretS3cretS3cretS3cretS3cretS3crets"
METADATA = {"certmaster": "cloud.example.org", "genome_token": TOKEN}
RULES = InstallRules("http://cloud.example.org/", silent_s=300, timeout_s=600)


class InstallingMinion(WorkingMinion):
    """Has `machine.install` as docs/wire.md tells of it; koan takes until it has been asked three times."""

    def __init__(self, memory_mb: int = 8192, file: Optional[Path] = None) -> None:
        super().__init__(memory_mb, file)
        self.koan: Optional[bool] = True  # None: a func of before that says nothing of it
        self.koan_error = ""
        self.orders: dict[str, Mapping[str, Any]] = {}
        self.told: dict[str, int] = {}
        self.cancelled: set[str] = set()

    def call(self, method: str, args: Sequence[Any]) -> Any:
        if method == "machine.install":
            return json.dumps(self._install(args[0], json.loads(args[1])))
        if method == "machine.cancel_install":
            return json.dumps({"cancelled": self._cancel(args[0])})
        return super().call(method, args)

    def _install(self, operation: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        order(given)  # the real one refuses what koan must not get
        if operation in self.cancelled:
            raise refuse("HostError", "the installation was cancelled")
        if self.orders.setdefault(operation, given) != given:
            raise refuse("OperationMismatch", f"operation {operation} was another one")
        self.told[operation] = self.told.get(operation, 0) + 1
        if self.told[operation] < 3:
            return {"state": "running", "detail": "koan is at work", "uuid": given["uuid"]}
        if self.koan_error:
            raise refuse("HostError", self.koan_error)
        if given["uuid"] not in self.machines:
            self.put(
                ObservedMachine(
                    uuid=given["uuid"], name=given["name"], state=MachineState.RUNNING,
                    memory_mb=given["memory_mb"], max_memory_mb=given["memory_mb"], vcpus=given["vcpus"],
                    autostart=given["autostart"], managed=True,
                )
            )  # fmt: skip
            self.details[given["uuid"]] = {
                "disks": given["disks"], "networks": given["networks"], "managed": True,
            }  # fmt: skip
        return {"state": "done", "detail": "koan exited 0", "uuid": given["uuid"]}

    def _cancel(self, operation: str) -> bool:
        self.cancelled.add(operation)
        given = self.orders.get(operation, {"uuid": ""})
        self.details.pop(given["uuid"], None)
        return self.machines.pop(given["uuid"], None) is not None

    def _resources(self) -> dict[str, Any]:
        more = {} if self.koan is None else {"koan": self.koan}
        return {**super()._resources(), **more}

    @property
    def order(self) -> Mapping[str, Any]:
        """What it was asked to install last."""
        return list(self.orders.values())[-1]

    def turn(self, state: MachineState) -> None:
        """The machine instance that is being installed comes into this state by itself."""
        there = self.machines[self.order["uuid"]]
        self.put(replace(there, state=state))


class Site:
    """A cloud master with a cobbler server and cloud instances that have koan; no thread runs its tasks."""

    def __init__(self, folder: Path, clouds: int = 1) -> None:
        self.clock = FakeClock()
        self.cobbler = FakeCobbler()
        self.cobbler.put(profile(PROFILE), profile("GenomeCloud-F8-i386", arch="i386"))
        self.works = Works(
            folder, clouds, clock=self.clock, running=False, minion=InstallingMinion, cobbler=self.cobbler,
            installing=RULES,
        )  # fmt: skip
        self.store = self.works.store
        self.installs = Installs(self.store, self.clock)
        self.memory = Memory()

    @property
    def minion(self) -> InstallingMinion:
        found = self.works.minion
        assert isinstance(found, InstallingMinion)
        return found

    def create(self, name: str = PROFILE, metadata: Mapping[str, Any] = METADATA, **more: Any) -> Task:
        source = Source("profile", profile=name, metadata=metadata)
        return self.works.machines.create(spec(NAME, source=source, **more), ASKER)

    def drive(self, task: Task, until: Callable[[Task], bool] = lambda task: False) -> Task:
        """Take it forward, time passing as it waits, until it has ended or is as wanted."""
        driver = Driver(self.store, self.works.recipes, self.clock, Patience())
        for _ in range(20_000):
            pause = driver.advance(task.id, self.memory, lambda: False)
            now = self.store.tasks.get(task.id)
            if pause is None or until(now):
                return now
            self.clock.advance(pause)
        raise AssertionError(f"task {task.id} does not end: {self.store.tasks.get(task.id).steps}")

    def until(self, task: Task, step: str) -> Task:
        """Take it forward until it waits in this step."""
        return self.drive(task, lambda now: self.step(now) == step)

    def step(self, task: Task) -> str:
        """The step it is at."""
        return next((step.name for step in task.steps if step.state.value == "running"), "")

    def say(self, phase: str, text: str = "") -> None:
        """The installing machine reports, at the address on its kernel command line."""
        url = self.minion.order["kernel_options"]["genome_report"]
        assert url.startswith("http://cloud.example.org/install/")
        self.installs.report(url.rpartition("/")[2], phase, text)

    def finish(self, task: Task) -> Task:
        """Let the installation take its course: every phase, then off."""
        for phase in ("kickstart", "packages", "post", "done"):
            self.until(task, f"{progress.NAME}:{phase}")
            self.say(phase)
        self.until(task, "off")
        self.minion.turn(MachineState.OFF)
        return self.drive(task)

    def is_empty(self) -> bool:
        """Whether nothing of a machine instance is left, on the cloud instance or in the store."""
        return (
            not self.minion.machines
            and list(self.minion.volumes) == ["default/rescue.iso"]
            and self.store.list_machines() == []
        )

    def close(self) -> None:
        self.works.close()
