"""Install a machine instance from a profile: koan on its cloud instance, then what the machine reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Callable, Optional, Union

from cloudmasterd.errors import Conflict, FabricError, NotFound
from cloudmasterd.model import ACTIVE_STATES, MachineInstance, MachineState, Phase, Step
from cloudmasterd.recipes import progress
from cloudmasterd.recipes.tools import Tools
from cloudmasterd.spec import MachineSpec
from cloudmasterd.tasks.recipe import Done, Later, StepContext, StepKind

KOAN_DEADLINE_S = 900
KOAN_EVERY_S = 2.0
OFF_EVERY_S = 5.0
REPORT = "genome_report"

Disks = Callable[[StepContext], list[dict[str, Any]]]
"""The disks of the task's machine instance, as {"pool", "volume", "format"}."""


def steps(spec: MachineSpec, cloud: str) -> tuple[Step, ...]:
    """The steps between the disks and the first start, for NewTask."""
    return (
        Step("install", f"Have koan on {cloud} set up {spec.name} from {spec.source.profile}"),
        *progress.phase_steps(spec.name),
        Step("off", f"See {spec.name} switched off by its installer"),
    )


def kinds(tools: Tools, disks: Disks) -> Mapping[str, StepKind]:
    """How these steps are done and undone."""
    return {
        "install": StepKind(partial(_install, tools, disks), partial(_take_away, tools)),
        **progress.phase_kinds(tools, over=partial(_over, tools)),
        "off": StepKind(partial(_off, tools), light=True),
    }


def secret_of(spec: MachineSpec, token: str) -> str:
    """What is for the steps alone: metadata may hold a token, and so does the address of reports."""
    return json.dumps({**json.loads(progress.secret_of(token)), "metadata": dict(spec.source.metadata)})


def _install(tools: Tools, disks: Disks, ctx: StepContext) -> Union[Done, Later]:
    answer = tools.operations.install(ctx.cloud, ctx.operation, _arguments(tools, disks, ctx))
    if answer.get("state") != "done":
        return Later(KOAN_EVERY_S, str(answer.get("detail", "")))
    tools.see(ctx)
    return Done({"operation": ctx.operation}, str(answer.get("detail", "")))


def _arguments(tools: Tools, disks: Disks, ctx: StepContext) -> dict[str, Any]:
    wanted = ctx.arguments
    metadata = json.loads(tools.store.tasks.get_secret(ctx.task.id) or "{}").get("metadata", {})
    return {
        "uuid": ctx.machine,
        "name": wanted["name"],
        "server": wanted["source"]["server"],
        "profile": wanted["source"]["profile"],
        "memory_mb": wanted["memory_mb"],
        "vcpus": wanted["vcpus"],
        "disks": disks(ctx),
        "networks": wanted["networks"],
        "firmware": wanted["firmware"],
        "arch": ctx.result_of("check")["arch"],
        "kernel_options": {**metadata, REPORT: progress.report_url(tools, ctx)},
        "autostart": wanted["autostart"],
        "graphics": True,
        "metadata": {"task": ctx.task.id, "managed": True},
        "deadline_s": KOAN_DEADLINE_S,
    }


def _take_away(tools: Tools, ctx: StepContext) -> str:
    # this undoing has an operation of its own; the install goes by that of the step when it went forward
    installed = ctx.step.result.get("unsettled") or ctx.step.result.get("operation")
    tools.operations.cancel_install(ctx.cloud, str(installed))
    tools.perform(ctx, "undefine")
    tools.look(ctx)  # what was seen of it would stand against its name when it is tried again
    return "installation ended, definition removed"


def _over(tools: Tools, ctx: StepContext) -> Optional[str]:
    """Why this phase is over although the machine did not say so: an arbitrary profile reports nothing."""
    try:
        machine = tools.store.get_machine(ctx.machine)
    except NotFound:
        machine = _seen(tools, ctx)
    if machine.state in ACTIVE_STATES:
        return "koan started it" if ctx.key == Phase.BOOTED.value else None
    return _ended(_seen(tools, ctx))  # the store may be a little behind


def _ended(machine: MachineInstance) -> Optional[str]:
    if machine.state is MachineState.CRASHED:
        raise FabricError(f"{machine.name} crashed while it was being installed: look at its console log")
    return "not reported; it is off" if machine.state is MachineState.OFF else None


def _off(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    machine = _seen(tools, ctx)
    if _ended(machine) is not None:
        return Done()
    begun_at = next((s.started_at for s in ctx.task.steps if s.name == "install"), None) or ctx.now
    timeout_s = tools.installing.timeout_s
    if ctx.now - begun_at >= timedelta(seconds=timeout_s):
        raise Conflict(
            f"{machine.name} is still {machine.state.value} {timeout_s / 60:.0f} min after its installation"
            " began: its kickstart has to end with reboot or poweroff"
        )
    return Later(OFF_EVERY_S, f"{machine.name} is {machine.state.value}")


def _seen(tools: Tools, ctx: StepContext) -> MachineInstance:
    try:
        return tools.seen(ctx)
    except NotFound as exc:
        raise Conflict(
            f"{ctx.cloud} has no {ctx.task.machine_name} any more: somebody deleted it while it was installed"
        ) from exc
