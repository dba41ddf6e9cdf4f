"""Install a cloud instance anew: prepared over Func, followed through its reboot until it serves again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union
from urllib.parse import quote

from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import (
    CloudError,
    CloudRefused,
    CloudUnreachable,
    Conflict,
    FabricError,
    NotFound,
    Unsupported,
)
from cloudmasterd.model import Author, CloudInstance, MachineInstance, Step, Task, TaskState
from cloudmasterd.rebuild_spec import RebuildSpec
from cloudmasterd.recipes import progress
from cloudmasterd.recipes.tools import Tools, summary
from cloudmasterd.tasks.recipe import Done, Lane, Later, Recipe, StepContext, StepKind

KIND = "cloud.rebuild"
REPORT = "genome_report"
LOOK_EVERY_S = 2.0
ASK_S = 10.0  # what a cloud instance may take to say which boot it is in
TOKEN_MARGIN_S = 3600  # a token outlives the time an installation may take by so much
OWN_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id(file: Path = OWN_BOOT_ID) -> str:
    """Which boot the machine is in that the cloud master runs on; empty where its kernel does not say."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def path_of(cloud: str) -> str:
    """The path of a cloud instance."""
    return f"/api/v1/clouds/{quote(cloud, safe='')}"


def steps(cloud: str, profile: str) -> tuple[Step, ...]:
    """The steps for NewTask."""
    return (
        Step("maintenance", f"Put {cloud} into maintenance"),
        Step("check", f"Look what lives on {cloud}"),
        Step("token", f"Make a one-time token for {cloud} to enrol with"),
        Step("prepare", f"Prepare {cloud} to be installed from {profile}"),
        Step("reboot", f"Reboot {cloud} into its installer"),
        *progress.phase_steps(cloud),
        Step("enrolled", f"See {cloud} enrolled and answering again"),
        Step("ready", f"Let {cloud} take machine instances again"),
    )


def arguments_of(spec: RebuildSpec, profile: str, server: str, lost: Mapping[str, str]) -> dict[str, Any]:
    """What the task is told, as JSON; `lost` has the names of the machine instances by uuid."""
    return {"profile": profile, "server": server, "lose": dict(lost), "reason": spec.reason}


def secret_of(spec: RebuildSpec, token: str) -> str:
    """What is for the steps alone: metadata may hold a secret, and so does the address of reports."""
    return json.dumps({**json.loads(progress.secret_of(token)), "metadata": dict(spec.metadata)})


def recipe(tools: Tools) -> Recipe:
    """How cloud.rebuild is done. What comes before the reboot is undone; from there it only goes forward."""
    return Recipe(
        {
            "maintenance": StepKind(partial(_begin, tools), partial(_end, tools), light=True),
            "check": StepKind(partial(_check, tools), light=True),
            "token": StepKind(partial(_make_token, tools), partial(_delete_token, tools)),
            "prepare": StepKind(partial(_prepare, tools), partial(_cancel, tools)),
            "reboot": StepKind(partial(_reboot, tools), final=True),
            **progress.phase_kinds(tools, over=partial(_over, tools), final=True),
            "enrolled": StepKind(partial(_wait_until_back, tools), final=True),
            "ready": StepKind(partial(_put_back, tools), final=True),
        },
        lane=Lane.LONG,
        summary=summary,
    )


# Before the reboot


def _reason(ctx: StepContext) -> str:
    """What the maintenance says that this task began; by it the task knows its own."""
    why = f": {ctx.arguments['reason']}" if ctx.arguments.get("reason") else ""
    return f"task {ctx.task.id} installs it anew{why}"[:200]


def _begin(tools: Tools, ctx: StepContext) -> Done:
    cloud = tools.store.get_cloud(ctx.cloud)
    if cloud.maintenance_since is not None and cloud.maintenance_reason != _reason(ctx):
        return Done({"ours": False}, "it was in maintenance before, and will be afterwards")
    tools.store.change_cloud(ctx.cloud, maintenance=True, maintenance_reason=_reason(ctx), by=_author(ctx))
    return Done({"ours": True})


def _end(tools: Tools, ctx: StepContext) -> str:
    if not _is_as_before(tools, ctx):
        raise Conflict(
            f"{ctx.cloud} stays in maintenance, because nobody knows what is on it now; when it is in order,"
            " end the maintenance on its page"
        )
    return _end_maintenance(tools, ctx)


def _end_maintenance(tools: Tools, ctx: StepContext) -> str:
    """End what this task began, and nobody took over since; what became of it."""
    cloud = tools.store.get_cloud(ctx.cloud)
    if cloud.maintenance_since is None:
        return "it was not in maintenance any more"
    if cloud.maintenance_reason != _reason(ctx):
        return "it stays in maintenance, as somebody else wants it"
    tools.store.change_cloud(ctx.cloud, maintenance=False, by=_author(ctx))
    return "its maintenance has ended"


def _check(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    busy = [task.id for task in _other_tasks(tools, ctx)]
    if busy:
        return Later(LOOK_EVERY_S, f"waits for the end of task {', '.join(map(str, sorted(busy)))}")
    tools.see(ctx)
    _refuse_own(tools, ctx)
    _refuse_strangers(tools, ctx)
    count = len(ctx.arguments["lose"])
    return Done({}, f"{count} machine instances will be lost" if count else "nothing lives there")


def _other_tasks(tools: Tools, ctx: StepContext) -> list[Task]:
    """Those under way there, besides this one."""
    unfinished = tools.store.tasks.list(states=[TaskState.WAITING, TaskState.RUNNING], cloud=ctx.cloud)
    return [task for task in unfinished if task.id != ctx.task.id]


def _refuse_own(tools: Tools, ctx: StepContext) -> None:
    """Raise Conflict where the cloud master itself runs there: its boot tells, whatever it is called."""
    try:
        boot_id = _boot_id(tools, ctx)
    except Unsupported:
        return  # it cannot be prepared then, and preparing says why
    if tools.boot_id and boot_id == tools.boot_id:
        raise Conflict(
            f"this cloud master runs on {ctx.cloud} itself, and would be erased with it: run"
            " genome-replace-self there by hand if that is what you want"
        )


def _refuse_strangers(tools: Tools, ctx: StepContext) -> None:
    """Raise Conflict when a machine instance lives there that nobody has said may be lost."""
    living = tools.store.list_machines(clouds=[ctx.cloud])
    strangers = [machine for machine in living if machine.uuid not in ctx.arguments["lose"]]
    if strangers:
        raise Conflict(
            f"{', '.join(m.name for m in strangers)} came to {ctx.cloud} since this was asked for, and nobody"
            " has said that it may be lost: ask again, and name it in `lose`",
            lost_fields(strangers),
        )


def _refuse_newcomers(tools: Tools, ctx: StepContext) -> None:
    """The same of one that is being made: whoever ended the maintenance meanwhile let it come."""
    coming = [task for task in _other_tasks(tools, ctx) if task.machine not in {None, *ctx.arguments["lose"]}]
    if coming:
        named = ", ".join(f"{task.machine_name or task.machine} (task {task.id})" for task in coming[:8])
        raise Conflict(
            f"{named} is coming to {ctx.cloud}, and nobody has said that it may be lost: wait until it is"
            " there, and ask again"
        )


def lost_fields(machines: list[MachineInstance]) -> list[tuple[str, str]]:
    """(name, what it is) of machine instances that would be lost."""
    return [(m.name or m.uuid, f"{m.state.value}, {m.memory_mb} MB, uuid {m.uuid}") for m in machines]


def _enrolment(tools: Tools) -> Enrolment:
    if tools.enrolment is None:
        raise Conflict("this cloud master knows no certmaster that could make a token: set certmaster_socket")
    return tools.enrolment


def _secret(tools: Tools, ctx: StepContext) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tools.store.tasks.get_secret(ctx.task.id) or "{}")
    return found


def _make_token(tools: Tools, ctx: StepContext) -> Done:
    secret = _secret(tools, ctx)
    if "enrolment" not in secret:
        enrolment = _enrolment(tools)
        # A kill before the next line is written loses the token; nobody has it then, and it ends by itself.
        made = enrolment.new_token(ctx.cloud, int(tools.installing.timeout_s) + TOKEN_MARGIN_S, replace=True)
        secret["enrolment"] = {"id": made.id, "metadata": enrolment.metadata(made)}
        tools.store.tasks.keep_secret(ctx.task.id, json.dumps(secret))
    return Done({"token": secret["enrolment"]["id"]})


def _delete_token(tools: Tools, ctx: StepContext) -> str:
    if not _is_as_before(tools, ctx):
        return "left as it is, in case the cloud instance still comes to use it; it ends by itself"
    made = _secret(tools, ctx).get("enrolment")
    if made is None:
        return "none was kept"
    try:
        _enrolment(tools).delete_token(str(made["id"]))
    except NotFound:
        return "it is gone already"
    return "taken back"


def _prepare(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    secret = _secret(tools, ctx)
    order = {
        "server": ctx.arguments["server"],
        "profile": ctx.arguments["profile"],
        "force": bool(ctx.arguments["lose"]),
        "metadata": {
            **secret["metadata"],
            **secret["enrolment"]["metadata"],
            REPORT: progress.report_url(tools, ctx),
        },
    }
    try:
        answer = _ask(tools, ctx, "prepare", ctx.operation, json.dumps(order, sort_keys=True))
    except Unsupported as exc:
        raise Unsupported(f"{ctx.cloud} cannot be installed anew from here: {exc}") from exc
    if answer.get("state") != "done":
        return Later(LOOK_EVERY_S, "fetches the installer")
    return Done(
        {"operation": ctx.operation, "boot_id": str(answer["boot_id"])}, str(answer.get("detail", ""))
    )


def _cancel(tools: Tools, ctx: StepContext) -> str:
    if not _is_as_before(tools, ctx):
        return "left as it is: it has rebooted, or cannot be asked"
    prepared = ctx.step.result.get("unsettled") or ctx.step.result.get("operation")
    answer = _ask(tools, ctx, "cancel", str(prepared))
    return "its boot entry is as before" if answer.get("cancelled") else "nothing was prepared"


def _is_as_before(tools: Tools, ctx: StepContext) -> bool:
    """Whether the cloud instance still is in the boot it was prepared in, so that all can be taken back."""
    if _step(ctx, "reboot").started_at is None:
        return True
    try:
        return bool(_boot_id(tools, ctx) == ctx.result_of("prepare").get("boot_id"))
    except FabricError:
        return False


# The reboot, and after it


def _reboot(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    boot_id = ctx.result_of("prepare")["boot_id"]
    try:
        if _boot_id(tools, ctx) != boot_id:
            return Done({}, "it has rebooted")
        tools.fleet.refresh_cloud(ctx.cloud)
        _refuse_newcomers(tools, ctx)
        _refuse_strangers(tools, ctx)
        _ask(tools, ctx, "reboot", ctx.operation, boot_id)
    except Unsupported:
        return Done({}, "it answers, with another func than before")
    except (CloudUnreachable, CloudRefused) as exc:
        # Only of one that is away: a report that somebody else sent must not stand for the reboot.
        if tools.store.installs.get(ctx.task.id).heard_at is not None:
            return Done({}, "it reports from its installer")
        # The order may have arrived and its answer not: then it is on its way, or back as another already.
        _refuse_if_overdue(tools, ctx, ctx.step.started_at or ctx.now)
        return Later(LOOK_EVERY_S, f"no answer to the order to reboot, so it may be on its way: {exc}")
    return Done()


def _over(tools: Tools, ctx: StepContext) -> Optional[str]:
    why = _is_back(tools, ctx)
    return None if why is None else f"not reported; {why}"


def _is_back(tools: Tools, ctx: StepContext) -> Optional[str]:
    """How it is known that it has been installed and answers; None while it is not.

    Raises Conflict when it came back as what it was. It is asked only where there is a sign that it is there.
    """
    used = _has_used_token(tools, ctx)
    if not used and not _was_seen_since(tools.store.get_cloud(ctx.cloud), _step(ctx, "reboot").ended_at):
        return None
    try:
        answer = _ask(tools, ctx, "status", timeout_s=ASK_S)
    except Unsupported:
        return "it answers, with another func than before"
    except FabricError:
        return None
    if answer.get("boot_id") == ctx.result_of("prepare").get("boot_id"):
        return None
    if not used and answer.get("prepared"):
        raise Conflict(
            f"{ctx.cloud} rebooted into the system it had, and not into its installer: look at its boot entry"
            " and its boot loader; `genome-replace-self --cancel` there puts the old entry back"
        )
    return "it has enrolled anew and answers" if used else "it answers"


def _was_seen_since(cloud: CloudInstance, since: Optional[datetime]) -> bool:
    seen = cloud.observed_at
    return cloud.unreachable_since is None and seen is not None and since is not None and seen > since


def _has_used_token(tools: Tools, ctx: StepContext) -> bool:
    wanted = ctx.result_of("token").get("token")
    try:
        known = _enrolment(tools).list_tokens()
    except CloudError:
        return False  # it is asked again in a moment, and there are other signs
    return any(token.id == wanted and token.state == "used" for token in known)


def _wait_until_back(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    why = _is_back(tools, ctx)
    if why is not None:
        return Done({}, why)
    begun_at = _step(ctx, "reboot").ended_at or ctx.now
    _refuse_if_overdue(tools, ctx, begun_at)
    install = tools.store.installs.get(ctx.task.id)
    said = progress.waiting_text(install, begun_at, tools.installing, ctx.now)
    enrolled = "has enrolled, does not answer yet" if _has_used_token(tools, ctx) else "has not enrolled yet"
    return Later(LOOK_EVERY_S, f"{enrolled}{f'; {said}' if said else ''}")


def _refuse_if_overdue(tools: Tools, ctx: StepContext, since: datetime) -> None:
    if ctx.now - since < timedelta(seconds=tools.installing.timeout_s):
        return
    install = tools.store.installs.get(ctx.task.id)
    said = f"; {progress.last_word(install, ctx.now)} was its last word" if install.said else ""
    raise FabricError(
        f"{ctx.cloud} has not come back within {tools.installing.timeout_s / 60:.0f} min{said}: look at its"
        f" console, whether funcd runs there, and whether it waits for a certificate (certmaster-ca --list)"
    )


def _put_back(tools: Tools, ctx: StepContext) -> Done:
    tools.see(ctx)
    living = {machine.uuid for machine in tools.store.list_machines(clouds=[ctx.cloud])}
    lost = sorted(name for uuid, name in ctx.arguments["lose"].items() if uuid not in living)
    tools.store.change_cloud(ctx.cloud, profile=ctx.arguments["profile"])
    ours = ctx.result_of("maintenance").get("ours")
    said = _end_maintenance(tools, ctx) if ours else "it stays in maintenance, as before"
    tell = {"cloud": path_of(ctx.cloud), "profile": ctx.arguments["profile"], "lost": lost}
    return Done({"tell": tell}, said)


def _author(ctx: StepContext) -> Author:
    return Author(ctx.task.asked_by, ctx.task.id)


def _step(ctx: StepContext, name: str) -> Step:
    return next(step for step in ctx.task.steps if step.name == name)


def _boot_id(tools: Tools, ctx: StepContext) -> Any:
    return _ask(tools, ctx, "status", timeout_s=ASK_S).get("boot_id")


def _ask(
    tools: Tools, ctx: StepContext, method: str, *args: str, timeout_s: float = 0.0
) -> Mapping[str, Any]:
    return tools.operations.ask_genome(ctx.cloud, method, *args, timeout_s=timeout_s)
