"""Say why a task failed, or is about to, out of what its steps have come to."""

from __future__ import annotations

from typing import Optional

from cloudmasterd.model import Step, StepState, Task


def failure(task: Task) -> Optional[str]:
    """Why it failed and what it leaves behind; None when nothing failed. To be asked when all is undone."""
    error = _first_error(task)
    left = "; ".join(str(step.result["left"]) for step in task.steps if "left" in step.result)
    return f"{error or 'cancelled'}. This could not be undone: {left}" if left else error


def has_failed(task: Task) -> bool:
    """Whether one of its steps failed by itself, not by being cancelled."""
    return _first_error(task) is not None


def error_of(task: Task) -> Optional[str]:
    """Why it failed; while what it made is being undone, why it will have failed, and what that waits for."""
    if task.error is not None or task.ended_at is not None:
        return task.error
    error = _first_error(task)
    undoing = undoing_step(task)
    if undoing is None:
        return error
    waits = f": {undoing.detail}" if undoing.detail else ""
    return f"{error or 'cancelled'}. What it made is being undone ({undoing.title}){waits}"


def undoing_step(task: Task) -> Optional[Step]:
    """The step that is being undone, if any."""
    return next((step for step in task.steps if step.state is StepState.UNDOING), None)


def _first_error(task: Task) -> Optional[str]:
    return next((str(step.result["error"]) for step in task.steps if "error" in step.result), None)
