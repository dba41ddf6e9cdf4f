"""What the steps of every recipe work with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import quote

from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import CloudUnreachable, FabricError
from cloudmasterd.fleet import Fleet
from cloudmasterd.image_push import ImagePush
from cloudmasterd.installs import InstallRules
from cloudmasterd.model import MachineInstance, MachineState, Task
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.store import Store
from cloudmasterd.tasks.recipe import StepContext

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tools:
    """The parts of the cloud master that steps need; all of them thread-safe."""

    store: Store
    fleet: Fleet
    operations: Operations
    resources: ResourceCache
    shutdown_timeout_s: float = 120.0
    image_push: Optional[ImagePush] = None  # None: no images here
    installing: InstallRules = InstallRules()  # noqa: RUF009  frozen
    enrolment: Optional[Enrolment] = None  # None: no certmaster on this machine can be asked
    boot_id: str = ""  # which boot the cloud master's own machine is in; empty: not known

    def perform(self, ctx: StepContext, verb: str, **arguments: Any) -> Mapping[str, Any]:
        """Have the cloud instance do `verb` to the machine instance, under the operation of this step."""
        return self.operations.perform(ctx.cloud, ctx.operation, verb, {"uuid": ctx.machine, **arguments})

    def see(self, ctx: StepContext) -> None:
        """Bring the store up to date with the cloud instance.

        Raises CloudUnreachable whatever went wrong: what was done is done, and seeing it can be tried again.
        """
        try:
            self.fleet.refresh_cloud(ctx.cloud)
        except CloudUnreachable:
            raise
        except FabricError as exc:
            raise CloudUnreachable(f"{ctx.cloud} did what was asked, but cannot be read: {exc}") from exc

    def look(self, ctx: StepContext) -> None:
        """The same where nothing hangs on it: a cloud instance that does not answer is seen again later."""
        try:
            self.fleet.refresh_cloud(ctx.cloud)
        except FabricError as exc:
            log.debug("task %d: %s could not be read: %s", ctx.task.id, ctx.cloud, exc)

    def seen(self, ctx: StepContext) -> MachineInstance:
        """The machine instance as its cloud instance shows it now; NotFound, or as for `see`."""
        self.see(ctx)
        return self.store.get_machine(ctx.machine)


def path_of(name: str) -> str:
    """The path of a machine instance of that name or uuid."""
    return f"/api/v1/machines/{quote(name, safe='')}"


def summary(task: Task) -> Mapping[str, Any]:
    """The result of a task: what its steps have to say under `tell`."""
    told: dict[str, Any] = {}
    for step in task.steps:
        told.update(step.result.get("tell", {}))
    return told


def state_of(answer: Mapping[str, Any]) -> MachineState:
    """The state a cloud instance answered; one that we do not know is UNKNOWN."""
    try:
        return MachineState(answer.get("state", ""))
    except ValueError:
        return MachineState.UNKNOWN
