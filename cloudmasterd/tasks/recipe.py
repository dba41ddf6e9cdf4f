"""What a kind of task is made of: its steps, what undoes each, and from where on there is no way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Callable, Optional, Union

from cloudmasterd.errors import Unsupported
from cloudmasterd.model import Step, StepState, Task


class Lane(str, Enum):
    """Which workers a task is for: those of short actions are never taken by long ones."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True)
class Done:
    """A step has done what it is for. `result` is a JSON object for later steps, `detail` for people."""

    result: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True)
class Later:
    """A step waits for something and wants to be called again; meanwhile it occupies nobody."""

    after_s: float
    detail: str = ""
    progress: Optional[int] = None  # percent


@dataclass(frozen=True)
class StepContext:
    """What a step is told. It may be called again with the same operation, also by another process."""

    task: Task
    step: Step
    operation: str  # written before this call; what is sent to a cloud instance carries it
    now: datetime

    @property
    def cloud(self) -> str:
        """The cloud instance the task is about."""
        return self.task.cloud or ""

    @property
    def machine(self) -> str:
        """The uuid of the machine instance the task is about."""
        return self.task.machine or ""

    @property
    def key(self) -> str:
        """What tells steps of one kind apart: the name behind the colon, e.g. "0" of disk:0."""
        return self.step.name.partition(":")[2]

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the task."""
        return self.task.arguments

    def result_of(self, name: str) -> Mapping[str, Any]:
        """The result of the step of that name; empty where there is none."""
        return next((step.result for step in self.task.steps if step.name == name), {})

    def operation_of(self, part: object) -> str:
        """An operation id for a part of this step, the same one each time."""
        return f"{self.operation}-{part}"


@dataclass(frozen=True)
class StepKind:
    """How a step is done and undone; both may be called again, and both raise CloudError.

    `do` that raises CloudUnreachable is called again for a while; any other CloudError fails the task, and
    says that this step made nothing. `undo` answers what it did, in words. Once a `final` step has begun the
    task only goes forward: it cannot be cancelled, and waits for its cloud instance as long as it takes.
    A `light` step burdens the cloud instance so little that it needs no place there.
    """

    do: Callable[[StepContext], Union[Done, Later]]
    undo: Optional[Callable[[StepContext], str]] = None
    final: bool = False
    light: bool = False


def _fail_unknown(ctx: StepContext) -> Done:
    raise Unsupported(f"this cloudmasterd knows no step {ctx.step.name!r} of {ctx.task.kind}")


UNKNOWN = StepKind(_fail_unknown)


def no_summary(task: Task) -> Mapping[str, Any]:
    """The result of a task that has none."""
    return {}


@dataclass(frozen=True)
class Recipe:
    """A kind of task. Steps are found by their name up to the colon; `summary` makes the task's result."""

    steps: Mapping[str, StepKind]
    lane: Lane = Lane.SHORT
    summary: Callable[[Task], Mapping[str, Any]] = no_summary

    def kind_of(self, step: Step) -> StepKind:
        """How this step is done. One that another version of cloudmasterd wrote and this lacks fails."""
        try:
            return self.steps[step.name.partition(":")[0]]
        except KeyError:
            return UNKNOWN

    def is_light(self, task: Task) -> bool:
        """Whether what comes next needs no place on the cloud instance."""
        following = next((s for s in task.steps if s.state is not StepState.DONE), None)
        return (
            following is not None
            and following.state in (StepState.WAITING, StepState.RUNNING)
            and self.kind_of(following).light
        )

    def can_turn_back(self, task: Task) -> bool:
        """Whether no final step has begun."""
        return not any(self.kind_of(s).final for s in task.steps if s.state is not StepState.WAITING)
