"""Change what a machine instance is made of, and make it ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cloudmasterd.model import Author, Step
from cloudmasterd.recipes.tools import Tools, summary
from cloudmasterd.spec import Change
from cloudmasterd.tasks.recipe import Done, Recipe, StepContext, StepKind

NAMES = {"memory_mb": "memory", "vcpus": "vCPUs"}
WHEN = {"now": "now", "next-start": "at its next start"}


def arguments_of(change: Change) -> dict[str, Any]:
    """What the task is told, as JSON: only what is to change."""
    values = {
        "memory_mb": change.memory_mb,
        "vcpus": change.vcpus,
        "autostart": change.autostart,
        "tags": None if change.tags is None else dict(change.tags),
        "notes": change.notes,
        "name": change.name,
    }
    return {key: value for key, value in values.items() if value is not None}


def steps(change: Change, name: str, cloud: str) -> tuple[Step, ...]:
    """The steps for NewTask: those there is something to do in."""
    found = [Step("check", f"Look what {name} is made of")]
    shape = [key for key in NAMES if getattr(change, key) is not None]
    # A step each, because one that fails is taken to have done nothing, and the one before is undone.
    found.extend(Step(f"shape:{key}", f"Change the {NAMES[key]} of {name} on {cloud}") for key in shape)
    if change.autostart is not None:
        found.append(Step("autostart", f"Turn autostart of {name} {'on' if change.autostart else 'off'}"))
    if change.name is not None:
        found.append(Step("rename", f"Rename {name} to {change.name}"))
    return (*found, Step("see", f"See the change in what {cloud} reports"))


def recipe(tools: Tools) -> Recipe:
    """How machine.change is done; each step is undone with what the machine instance was before."""
    return Recipe(
        {
            "check": StepKind(partial(_check, tools)),
            "shape": StepKind(partial(_shape, tools), partial(_shape_back, tools)),
            "autostart": StepKind(partial(_autostart, tools), partial(_autostart_back, tools)),
            "rename": StepKind(partial(_rename, tools), partial(_rename_back, tools)),
            "see": StepKind(partial(_see, tools), final=True),
        },
        summary=summary,
    )


def adopt_steps(name: str, cloud: str) -> tuple[Step, ...]:
    """The steps of machine.adopt for NewTask."""
    return (Step("adopt", f"Mark {name} on {cloud} as managed by this cloud master"),)


def adopt_recipe(tools: Tools) -> Recipe:
    """How machine.adopt is done; saying it twice does no harm, so nothing is undone."""
    return Recipe({"adopt": StepKind(partial(_adopt, tools))}, summary=summary)


def _check(tools: Tools, ctx: StepContext) -> Done:
    before = tools.perform(ctx, "describe")
    return Done({key: before.get(key) for key in ("name", "memory_mb", "vcpus", "autostart", "next")})


def _wanted_shape(ctx: StepContext, values: Mapping[str, Any]) -> dict[str, Any]:
    # tasks of earlier versions have one step, without a key, for both
    return {key: values[key] for key in NAMES if key in ctx.arguments and ctx.key in ("", key)}


def _shape(tools: Tools, ctx: StepContext) -> Done:
    wanted = _wanted_shape(ctx, ctx.arguments)
    answer = tools.perform(ctx, "set_shape", **wanted)
    tell = {key: answer.get(key) for key in wanted}
    said = [f"{NAMES[key]} {WHEN.get(str(when), 'as it was')}" for key, when in tell.items()]
    return Done({"tell": tell}, ", ".join(said))


def _shape_back(tools: Tools, ctx: StepContext) -> str:
    found = ctx.result_of("check")
    before = _wanted_shape(ctx, found)
    # What it has now may be less than it may have, or other than from its next start on. A func of before
    # does not tell these apart, and does not take them.
    later = {"next": found["next"]} if found.get("next") else {}
    tools.perform(ctx, "set_shape", **before, **later)
    tools.look(ctx)
    return "as before: " + ", ".join(f"{key} {value}" for key, value in before.items())


def _autostart(tools: Tools, ctx: StepContext) -> Done:
    tools.perform(ctx, "set_autostart", on=ctx.arguments["autostart"])
    return Done({"tell": {"autostart": "now"}})


def _autostart_back(tools: Tools, ctx: StepContext) -> str:
    before = bool(ctx.result_of("check").get("autostart"))
    tools.perform(ctx, "set_autostart", on=before)
    tools.look(ctx)
    return f"autostart is {'on' if before else 'off'} again"


def _rename(tools: Tools, ctx: StepContext) -> Done:
    tools.perform(ctx, "rename", name=ctx.arguments["name"])
    return Done({"tell": {"name": "now"}})


def _rename_back(tools: Tools, ctx: StepContext) -> str:
    before = str(ctx.result_of("check").get("name"))
    tools.perform(ctx, "rename", name=before)
    tools.look(ctx)
    return f"its name is {before} again"


def _see(tools: Tools, ctx: StepContext) -> Done:
    machine = tools.seen(ctx)
    told = {key: ctx.arguments[key] for key in ("tags", "notes") if key in ctx.arguments}
    if told:
        machine = tools.store.change_machine(ctx.machine, **told, by=_author(ctx))
    return Done({"tell": dict.fromkeys(told, "now")}, f"{machine.name} is {machine.state.value}")


def _author(ctx: StepContext) -> Author:
    return Author(ctx.task.asked_by, ctx.task.id)


def _adopt(tools: Tools, ctx: StepContext) -> Done:
    tools.perform(ctx, "adopt")
    tools.seen(ctx)
    tools.store.change_machine(ctx.machine, managed=True, by=_author(ctx))
    return Done({"tell": {"managed": "now"}})
