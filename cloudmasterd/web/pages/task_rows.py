"""Tasks and their steps in words, as the pages show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Optional

from cloudmasterd.model import ENDED_STATES, Step, StepState, Task, TaskState
from cloudmasterd.tasks.outcome import undoing_step
from cloudmasterd.web import figures, paths

TITLES = {
    "machine.create": "Create",
    "machine.start": "Start",
    "machine.shutdown": "Shut down",
    "machine.poweroff": "Power off",
    "machine.reboot": "Reboot",
    "machine.reset": "Reset",
    "machine.pause": "Pause",
    "machine.resume": "Resume",
    "machine.change": "Change",
    "machine.rename": "Rename",
    "machine.delete": "Delete",
    "machine.adopt": "Adopt",
    "cloud.rebuild": "Install anew:",
}

SIGNS = {
    StepState.WAITING: ("wait", "○"),
    StepState.RUNNING: ("run", "●"),
    StepState.DONE: ("done", "✓"),
    StepState.FAILED: ("failed", "✗"),
    StepState.UNDOING: ("run", "↺"),
    StepState.UNDONE: ("undone", "↺"),
    StepState.SKIPPED: ("skipped", "·"),
}

ADVICE = {
    "machine.create": "What it had made was taken away again, unless the steps below say otherwise. Put "
    "right what is named here, then create it anew.",
    "cloud.rebuild": "Its steps below say whether all is as before. If it has rebooted it stays in "
    "maintenance: look at its console. Once it answers, end the maintenance, or install it anew once more.",
    "machine.delete": "Its steps below say how far it came. Asking for it again goes on from there.",
}
OTHER_ADVICE = "Put right what is named here, look at what the machine instance does now, and ask again."


@dataclass(frozen=True)
class TaskRow:
    """A task with its title and its page; `now` is what it does at this moment."""

    task: Task
    title: str
    href: str
    now: str


@dataclass(frozen=True)
class StepRow:
    """A step with its mark, and how long it took or since when it runs."""

    number: int
    step: Step
    kind: str
    sign: str
    took: str
    running_since: Optional[datetime]
    progress: Optional[int]


def title_of(task: Task) -> str:
    """`Create jboss1.example.org`."""
    about = task.machine_name or task.machine or task.cloud or task.target
    return f"{TITLES.get(task.kind, task.kind)} {about}"


def row_of(task: Task) -> TaskRow:
    """A task as a row of a table."""
    return TaskRow(task, title_of(task), paths.task_path(task.id), _now(task))


def rows_of_tasks(tasks: Iterable[Task]) -> list[TaskRow]:
    """Tasks as rows, in the order given."""
    return [row_of(task) for task in tasks]


def _now(task: Task) -> str:
    if task.state is TaskState.FAILED:
        return task.error or ""
    if task.state is TaskState.WAITING and task.position is not None:
        return "next in the queue" if task.position == 1 else f"number {task.position} in the queue"
    if task.state is TaskState.RUNNING:
        undoing = undoing_step(task)
        if undoing is not None:
            return f"being undone: {undoing.title}"
        for step in task.steps:
            if step.state is StepState.RUNNING:
                return step.title
    return ""


def steps_of(task: Task) -> list[StepRow]:
    """The steps of a task."""
    return [_step(number, step, task) for number, step in enumerate(task.steps)]


def _step(number: int, step: Step, task: Task) -> StepRow:
    kind, sign = SIGNS[step.state]
    under_way = kind == "run" and task.state not in ENDED_STATES
    return StepRow(
        number=number,
        step=step,
        kind=kind,
        sign=sign,
        took=span(step.started_at, step.ended_at),
        running_since=step.started_at if under_way else None,
        progress=None if step.progress is None or kind != "run" else min(100, max(0, step.progress)),
    )


def span(start: Optional[datetime], end: Optional[datetime]) -> str:
    """How long something took: 0.1 s, 12 s, 3 min; empty where it is not known."""
    if start is None or end is None:
        return ""
    seconds = max(0.0, (end - start).total_seconds())
    return f"{seconds:.1f} s" if seconds < 10 else figures.age(seconds)


def advice_on(task: Task) -> str:
    """What a person can do about a task that failed."""
    return ADVICE.get(task.kind, OTHER_ADVICE) if task.state is TaskState.FAILED else ""
