"""A whole cloud master without web and Func: real store, real runner, cloud instances in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from cloudmasterd.clock import Clock, SystemClock
from cloudmasterd.fleet import Fleet
from cloudmasterd.installs import InstallRules
from cloudmasterd.machines import Asker, Machines, Rules
from cloudmasterd.model import MachineInstance, StepState, Task
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.profiles import Profiles
from cloudmasterd.recipes import Tools, build_recipes
from cloudmasterd.spec import DiskSpec, MachineSpec
from cloudmasterd.store import Store
from cloudmasterd.tasks import TaskRunner
from tests.blank import blank
from tests.fakes import FakeCobbler, FakeFabric, WorkingMinion

ASKER = Asker("ada", "request-1")
WAIT_S = 60.0


def spec(name: str, **changes: Any) -> MachineSpec:
    values: dict[str, Any] = {"memory_mb": 512, "vcpus": 1, "disks": (DiskSpec(4),), **changes}
    return MachineSpec(name=name, **values)


class Works:
    """Cloud instances cloud1, cloud2 ... of `clouds`, refreshed once, and everything that acts on them."""

    def __init__(
        self,
        folder: Path,
        clouds: int = 1,
        *,
        memory_mb: int = 8192,
        clock: Optional[Clock] = None,
        running: bool = True,
        shutdown_timeout_s: float = 30.0,
        minion: type[WorkingMinion] = WorkingMinion,
        cobbler: Optional[FakeCobbler] = None,
        installing: InstallRules = InstallRules(),  # noqa: B008  frozen
        **runner: Any,
    ) -> None:
        self.clock = clock or SystemClock()
        self.minions = {f"cloud{n}": minion(memory_mb) for n in range(1, clouds + 1)}
        self.fabric = FakeFabric(**self.minions)
        self.store = Store(blank(folder / "db"))
        self.fleet = Fleet(self.store, self.fabric, self.clock)
        operations = Operations(self.fabric)
        self.resources = ResourceCache(operations, self.clock)
        tools = Tools(
            self.store, self.fleet, operations, self.resources, shutdown_timeout_s, installing=installing
        )
        self.recipes = build_recipes(tools)
        self._runner_settings = {"backoff_s": (0.01,), **runner}
        self.runner = self.new_runner()
        profiles = None if cobbler is None else Profiles(self.store, cobbler, self.clock)
        self.machines = Machines(
            self.store, self.runner, self.resources, self.clock, Rules(), profiles=profiles
        )
        self.fleet.discover()
        self.fleet.refresh(list(self.minions))
        if running:
            self.runner.start()

    @property
    def minion(self) -> WorkingMinion:
        return self.minions["cloud1"]

    def new_runner(self) -> TaskRunner:
        return TaskRunner(self.store, self.recipes, self.clock, **self._runner_settings)

    def close(self) -> None:
        self.fabric.close()
        self.runner.stop(5)
        self.store.close()

    def ended(self, task: Task, seconds: float = WAIT_S) -> Task:
        found = self.machines.wait(task.id, seconds)
        assert found.ended_at is not None, f"task {task.id} has not ended: {found.steps}"
        return found

    def made(self, name: str, **changes: Any) -> MachineInstance:
        task = self.ended(self.machines.create(spec(name, **changes), ASKER))
        assert task.error is None, task.error
        return self.store.get_machine(name)

    def steps(self, task: Task) -> dict[str, StepState]:
        return {step.name: step.state for step in self.store.tasks.get(task.id).steps}
