"""Start, stop and pause a machine instance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Union

from cloudmasterd.errors import Conflict
from cloudmasterd.model import MachineState, Step
from cloudmasterd.recipes.tools import Tools, summary
from cloudmasterd.tasks.recipe import Done, Later, Recipe, StepContext, StepKind

WATCH_S = (0.5, 1.0, 2.0)

_R, _P, _O, _S, _C = (
    MachineState.RUNNING,
    MachineState.PAUSED,
    MachineState.OFF,
    MachineState.SHUTTING_DOWN,
    MachineState.CRASHED,
)

# In which states an action makes sense, and what it is called in a title.
VERBS: Mapping[str, tuple[frozenset[MachineState], str]] = {
    "start": (frozenset({_O, _C}), "Start"),
    "shutdown": (frozenset({_R, _S}), "Shut down"),
    "poweroff": (frozenset({_R, _P, _S, _C}), "Power off"),
    "reboot": (frozenset({_R}), "Reboot"),
    "reset": (frozenset({_R, _P, _S}), "Reset"),
    "pause": (frozenset({_R}), "Pause"),
    "resume": (frozenset({_P}), "Resume"),
}

_ADVICE = {
    ("start", _R): "there is nothing to start",
    ("start", _P): "resume it instead",
    ("start", _S): "wait until it is off",
    ("shutdown", _P): "a paused machine instance hears nothing: resume it first, or power it off",
    ("shutdown", _O): "there is nothing to shut down",
    ("poweroff", _O): "there is nothing to power off",
    ("reboot", _O): "start it instead",
    ("reboot", _P): "a paused machine instance hears nothing: resume it first, or reset it",
    ("reset", _O): "start it instead",
    ("pause", _P): "there is nothing to pause",
    ("pause", _O): "there is nothing to pause",
    ("resume", _R): "there is nothing to resume",
    ("resume", _O): "start it instead",
}


def refusal(name: str, state: MachineState, verb: str) -> str:
    """Why an action makes no sense in this state; empty when it does, or when the state is not known."""
    allowed, _ = VERBS[verb]
    if state in allowed or state is MachineState.UNKNOWN:
        return ""
    advice = _ADVICE.get((verb, state), f"{verb} is for one that is {' or '.join(sorted(allowed))}")
    return f"{name} is {state.value}: {advice}"


def steps(verb: str, name: str, cloud: str) -> tuple[Step, ...]:
    """The steps of the action, for NewTask."""
    _, word = VERBS[verb]
    if verb == "shutdown":
        return (
            Step("ask", f"Ask {name} on {cloud} to shut down (ACPI)"),
            Step("watch", f"Wait until {name} is off"),
        )
    return (Step("act", f"{word} {name} on {cloud}"),)


def recipe(tools: Tools, verb: str) -> Recipe:
    """The recipe of every action but shutdown."""
    return Recipe({"act": StepKind(partial(_act, tools, verb))}, summary=summary)


def shutdown_recipe(tools: Tools) -> Recipe:
    """Ask by ACPI, then watch. Nothing is undone: who was asked to shut down cannot be asked not to."""
    return Recipe(
        {"ask": StepKind(partial(_ask, tools)), "watch": StepKind(partial(_watch, tools))}, summary=summary
    )


def _act(tools: Tools, verb: str, ctx: StepContext) -> Done:
    answer = tools.perform(ctx, verb)
    tools.see(ctx)  # when that fails both are done again: the operation answers as before
    tell = {"state": str(answer.get("state", ""))}
    detail = "" if answer.get("changed", True) else f"it was {answer.get('state')} already"
    if answer.get("uncertain"):
        tell["uncertain"] = "true"
        detail = f"{ctx.cloud} was interrupted just then: whether it was done is not certain, look at it"
    return Done({"tell": tell}, detail)


def _ask(tools: Tools, ctx: StepContext) -> Done:
    answer = tools.perform(ctx, "shutdown")
    return Done({"state": str(answer.get("state", ""))})


def _watch(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    machine = tools.seen(ctx)
    if machine.state is MachineState.OFF:
        return Done({"tell": {"state": "off"}})
    waited_s = (ctx.now - (ctx.step.started_at or ctx.now)).total_seconds()
    if waited_s >= tools.shutdown_timeout_s:
        raise Conflict(
            f"{tools.shutdown_timeout_s:.0f} s after it was asked to shut down {machine.name} is still"
            f" {machine.state.value}: a guest that does not listen to ACPI never does. Shut it down from"
            f" inside, ask again, or power it off with POST /api/v1/machines/{machine.name}/poweroff"
        )
    pause = next((pause for pause in WATCH_S if waited_s < 10 * pause), WATCH_S[-1])
    percent = 10 * int(10 * waited_s / tools.shutdown_timeout_s)  # by tens: each other number is a write
    return Later(min(pause, tools.shutdown_timeout_s), f"{machine.name} is {machine.state.value}", percent)
