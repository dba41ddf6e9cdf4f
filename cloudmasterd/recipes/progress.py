"""Follow an installation by what the installing machine reports, as steps that other recipes take in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Callable, Optional, Union

from cloudmasterd.errors import FabricError
from cloudmasterd.installs import IN_ORDER, InstallRules, is_at
from cloudmasterd.model import Install, Phase, Step
from cloudmasterd.recipes.tools import Tools
from cloudmasterd.tasks.recipe import Done, Later, StepContext, StepKind
from cloudmasterd.words import moment

NAME = "report"
LOOK_EVERY_S = 2.0
TOKEN = "report_token"  # noqa: S105  the key it is kept under, not the token

TITLES: Mapping[Phase, str] = {
    Phase.BOOTED: "See {subject} boot its installer",
    Phase.KICKSTART: "See {subject} read its kickstart",
    Phase.PACKAGES: "See {subject} install packages",
    Phase.POST: "See {subject} set itself up",
    Phase.DONE: "See the installation of {subject} end",
}

Over = Callable[[StepContext], Optional[str]]
"""Told every few seconds: why the installation is over although the machine did not say so; None when it is
not. May raise CloudError, which fails the task, or CloudUnreachable to be asked again."""


def never(ctx: StepContext) -> Optional[str]:
    """Over only when the machine says so."""
    return None


def secret_of(token: str) -> str:
    """What a task with these steps is given as `secret`; the token itself goes in as `report_token` too."""
    return json.dumps({TOKEN: token})


def report_url(tools: Tools, ctx: StepContext) -> str:
    """The address the machine of this task reports to, for its kernel command line; shown to nobody else."""
    return tools.installing.report_url(json.loads(tools.store.tasks.get_secret(ctx.task.id) or "{}")[TOKEN])


def phase_steps(subject: str) -> tuple[Step, ...]:
    """A step for each phase, for NewTask; `subject` is what the machine is called."""
    return tuple(Step(f"{NAME}:{phase.value}", TITLES[phase].format(subject=subject)) for phase in IN_ORDER)


def phase_kinds(tools: Tools, *, over: Over = never, final: bool = False) -> Mapping[str, StepKind]:
    """How these steps are done: each waits until the machine reports its phase, a later one, or `over`."""
    return {NAME: StepKind(partial(_wait_for, tools, over), final=final, light=True)}


def _wait_for(tools: Tools, over: Over, ctx: StepContext) -> Union[Done, Later]:
    install = tools.store.installs.get(ctx.task.id)
    phase = Phase(ctx.key)
    if install.failure is not None:
        raise FabricError(failed_text(install))
    if is_at(install, phase):
        return Done({}, last_word(install, ctx.now) if install.said is phase else "")
    why = over(ctx)
    if why is not None:
        return Done({}, why)
    begun_at = _begun_at(ctx)
    if ctx.now - begun_at >= timedelta(seconds=tools.installing.timeout_s):
        raise FabricError(timeout_text(install, tools.installing, ctx.now))
    return Later(LOOK_EVERY_S, waiting_text(install, begun_at, tools.installing, ctx.now))


def _begun_at(ctx: StepContext) -> datetime:
    """When the first of these steps began: from then on the machine could have spoken."""
    begun = (step.started_at for step in ctx.task.steps if step.name.startswith(f"{NAME}:"))
    return next((at for at in begun if at is not None), ctx.now)


def waiting_text(install: Install, begun_at: datetime, rules: InstallRules, now: datetime) -> str:
    """What a step that waits says: the last word, or since when there is none."""
    since = install.heard_at or begun_at
    silent = now - since >= timedelta(seconds=rules.silent_s)
    if install.heard_at is None:
        return f"silent since {moment(begun_at, now)}: it has not reported anything yet" if silent else ""
    if silent:
        return f"silent since its last word, {last_word(install, now)}"
    return f"last word {last_word(install, now)}"


def timeout_text(install: Install, rules: InstallRules, now: datetime) -> str:
    """Why the task gives the installation up, and where to look."""
    heard = "it never reported anything" if install.said is None else f"last word {last_word(install, now)}"
    return (
        f"the installation has not ended within {rules.timeout_s / 60:.0f} min ({heard}): look at its"
        f" console, and whether it can reach {rules.public_url}"
    )


def failed_text(install: Install) -> str:
    """What the machine says of its failure."""
    reached = "" if install.reached is None else f" after {install.reached.value}"
    why = install.failure or "it does not say why"
    return f"the installing machine reports that it failed{reached}: {why}"


def last_word(install: Install, now: datetime) -> str:
    """The phase it spoke of last, when, and what it said."""
    assert install.said is not None and install.heard_at is not None
    said = f": {install.text}" if install.text else ""
    return f"{install.said.value} at {moment(install.heard_at, now)}{said}"
