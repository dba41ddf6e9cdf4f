"""The verbs that change what a machine is doing: each looks at the state before it acts, and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from func.minion.codes import WrongState
from func.minion.host import (
    ACTIVE,
    BLOCKED,
    CRASHED,
    NO_STATE,
    OFF,
    PAUSED,
    RUNNING,
    SHUTTING_DOWN,
    STATE_NAMES,
)  # fmt: skip
from func.minion.libvirt_connection import error_types
from func.minion.machine.arguments import Target
from func.minion.machine.context import Context, find, state_name

_UP = frozenset({NO_STATE, RUNNING, BLOCKED})


@dataclass(frozen=True)
class _Change:
    """States it acts in, states in which there is nothing to do, and what to do in any other."""

    verb: str
    act: Callable[[Any], Any]
    states: frozenset[int]
    done: frozenset[int]
    otherwise: str


_START = _Change("start", lambda domain: domain.create(), frozenset({OFF, CRASHED}), _UP, "resume it")
_SHUTDOWN = _Change(
    "shut down", lambda domain: domain.shutdown(), _UP, frozenset({OFF, SHUTTING_DOWN}), "resume it first"
)
_POWEROFF = _Change(
    "power off",
    lambda domain: domain.destroy(),
    ACTIVE | {CRASHED},
    frozenset({OFF}),
    "look at it with virsh",
)
_REBOOT = _Change(
    "reboot", lambda domain: domain.reboot(0), _UP, frozenset(), "only a running machine reboots"
)
_RESET = _Change(
    "reset", lambda domain: domain.reset(0), _UP, frozenset(), "only a running machine can be reset"
)
_PAUSE = _Change(
    "pause", lambda domain: domain.suspend(), _UP, frozenset({PAUSED}), "only a running machine can be paused"
)
_RESUME = _Change(
    "resume", lambda domain: domain.resume(), frozenset({PAUSED}), _UP, "only a paused machine can be resumed"
)


def start(context: Context, target: Target) -> Mapping[str, Any]:
    """Start a machine that is off; {"changed", "state"}."""
    return _perform(context, target, _START)


def shutdown(context: Context, target: Target) -> Mapping[str, Any]:
    """Ask a running machine to shut down; it may take its time, or not listen. {"changed", "state"}."""
    return _perform(context, target, _SHUTDOWN)


def poweroff(context: Context, target: Target) -> Mapping[str, Any]:
    """Pull a machine's power; {"changed", "state"}."""
    return _perform(context, target, _POWEROFF)


def reboot(context: Context, target: Target) -> Mapping[str, Any]:
    """Ask a running machine to start over; {"changed", "state"}, or {"uncertain"} after a crash."""
    return _once(context, target, _REBOOT)


def reset(context: Context, target: Target) -> Mapping[str, Any]:
    """Press a running machine's reset button; {"changed", "state"}, or {"uncertain"} after a crash."""
    return _once(context, target, _RESET)


def pause(context: Context, target: Target) -> Mapping[str, Any]:
    """Stop a running machine's CPUs; it keeps its memory. {"changed", "state"}."""
    return _perform(context, target, _PAUSE)


def resume(context: Context, target: Target) -> Mapping[str, Any]:
    """Let a paused machine run on; {"changed", "state"}."""
    return _perform(context, target, _RESUME)


def _once(context: Context, target: Target, change: _Change) -> Mapping[str, Any]:
    # Nothing shows afterwards whether it happened, and a second one would be felt.
    if context.attempt.again:
        return {"uncertain": True}
    return _perform(context, target, change)


def _perform(context: Context, target: Target, change: _Change) -> Mapping[str, Any]:
    domain = find(context.connection, target.uuid)
    state = domain.info()[0]
    if state in change.done:
        return {"changed": False, "state": state_name(domain)}
    if state not in change.states:
        now = STATE_NAMES.get(state, "in an unknown state")
        raise WrongState(f"cannot {change.verb} {domain.name()!r}: it is {now}; {change.otherwise}")
    try:
        change.act(domain)
    except error_types():
        if domain.info()[0] not in change.done:  # else it went there by itself in between
            raise
        return {"changed": False, "state": state_name(domain)}
    return {"changed": True, "state": state_name(domain)}
