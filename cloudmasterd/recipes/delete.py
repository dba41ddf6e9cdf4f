"""Take a machine instance away, with those of its disks that nobody else uses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cloudmasterd.errors import (
    CloudError,
    CloudRefused,
    CloudUnreachable,
    Conflict,
    Invalid,
    NotFound,
    RemoteFault,
)
from cloudmasterd.model import ACTIVE_STATES, CloudState, Step
from cloudmasterd.recipes.tools import Tools, state_of, summary
from cloudmasterd.tasks.recipe import Done, Lane, Recipe, StepContext, StepKind


def steps(name: str, cloud: str, *, force: bool, keep_disks: bool) -> tuple[Step, ...]:
    """The steps for NewTask."""
    found = [Step("check", f"Look which disks {name} has")]
    if force:
        found.append(Step("poweroff", f"Power {name} off"))
    found.append(Step("undefine", f"Remove {name} from {cloud}"))
    if not keep_disks:
        found.append(Step("disks", "Delete its disks"))
    return (*found, Step("see", f"See that {cloud} reports it no more"))


def recipe(tools: Tools) -> Recipe:
    """How machine.delete is done. Nothing brings a definition back, so from there on it only goes forward."""
    return Recipe(
        {
            "check": StepKind(partial(_check, tools)),
            "poweroff": StepKind(partial(_power_off, tools)),
            "undefine": StepKind(partial(_undefine, tools), final=True),
            "disks": StepKind(partial(_delete_disks, tools), final=True),
            "see": StepKind(partial(_see, tools), final=True),
        },
        lane=Lane.LONG,
        summary=summary,
    )


def _check(tools: Tools, ctx: StepContext) -> Done:
    try:
        found = tools.perform(ctx, "describe")
    except NotFound:
        return Done({"disks": []}, f"{ctx.cloud} does not have it any more")
    state = state_of(found)
    if state in ACTIVE_STATES and not ctx.arguments.get("force"):
        raise Conflict(
            f"{found.get('name')} is {state.value}: shut it down first, or delete it with force, which pulls"
            " its plug"
        )
    disks = [dict(disk) for disk in found.get("disks", ())]
    if ctx.arguments.get("keep_disks"):
        kept = [{"disk": _label(disk), "why": "it was asked to be kept"} for disk in disks]
        return Done({"disks": disks, "tell": {"disks_deleted": [], "disks_kept": kept}})
    return Done({"disks": disks})


def _power_off(tools: Tools, ctx: StepContext) -> Done:
    try:
        answer = tools.perform(ctx, "poweroff")
    except NotFound:
        return Done({}, "it is gone")
    return Done({}, "" if answer.get("changed") else "it was off")


def _undefine(tools: Tools, ctx: StepContext) -> Done:
    answer = tools.perform(ctx, "undefine")
    if answer.get("made", True):
        return Done()
    _refuse_if_moved(tools, ctx)
    return Done({}, "it was gone already")


def _refuse_if_moved(tools: Tools, ctx: StepContext) -> None:
    """Raise Conflict where it is on another cloud instance now: on shared storage with these very disks."""
    tools.fleet.refresh([c.name for c in tools.store.list_clouds(states=[CloudState.UP])])
    try:
        now = tools.store.get_machine(ctx.machine)
    except NotFound:
        return
    if now.cloud != ctx.cloud:
        raise Conflict(
            f"{now.name} is not on {ctx.cloud} any more but on {now.cloud}: nothing of it was deleted; delete"
            " it again to have it deleted there"
        )


def _delete_disks(tools: Tools, ctx: StepContext) -> Done:
    deleted: list[str] = []
    kept: list[dict[str, str]] = []
    failed: list[str] = []
    for number, disk in enumerate(ctx.result_of("check").get("disks", ())):
        why = _why_kept(disk)
        if not why:
            try:
                why = _delete_disk(tools, ctx, number, disk)
            except (CloudUnreachable, CloudRefused):
                raise  # all are asked again, under the same operations
            except CloudError as exc:
                failed.append(f"{_label(disk)}: {exc}")
                continue
        if why:
            kept.append({"disk": _label(disk), "why": why})
        else:
            deleted.append(_label(disk))
    if failed:
        tools.look(ctx)
        raise RemoteFault(
            "DisksLeft",
            f"the machine instance is gone from {ctx.cloud}, but not all of its disks are; delete there:"
            f" {'; '.join(failed)}",
        )
    said = [f"{len(deleted)} deleted", *(f"kept {k['disk']}: {k['why']}" for k in kept)]
    return Done({"tell": {"disks_deleted": deleted, "disks_kept": kept}}, "; ".join(said))


def _why_kept(disk: Mapping[str, Any]) -> str:
    if disk.get("read_only"):
        return "it is only read, as a CD is: others may begin with it as well"
    others = disk.get("shared_with") or ()
    if others:
        return f"{', '.join(others)} uses it too"
    if not disk.get("pool") or not disk.get("volume"):
        return "it is in no storage pool, so nothing is known of who else uses it"
    return ""


def _delete_disk(tools: Tools, ctx: StepContext, number: int, disk: Mapping[str, Any]) -> str:
    """Delete it, or say why it is kept."""
    arguments = {"uuid": ctx.machine, "pool": disk["pool"], "volume": disk["volume"]}
    try:
        tools.operations.perform(ctx.cloud, ctx.operation_of(number), "delete_disk", arguments)
    except Conflict as exc:
        return str(exc)
    except (NotFound, Invalid):
        return ""  # the pool is gone, and with it the volume
    return ""


def _label(disk: Mapping[str, Any]) -> str:
    if disk.get("pool") and disk.get("volume"):
        return f"{disk['pool']}/{disk['volume']}"
    return str(disk.get("path") or disk.get("target"))


def _see(tools: Tools, ctx: StepContext) -> Done:
    tools.see(ctx)
    return Done()
