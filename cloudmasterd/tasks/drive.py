"""Take one task forward, or back: every move is in the store before anything acts on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Callable, Optional

from cloudmasterd import request_ids
from cloudmasterd.clock import Clock
from cloudmasterd.errors import CloudError, CloudUnreachable, StoreError
from cloudmasterd.model import ENDED_STATES, Step, StepState, Task, TaskState
from cloudmasterd.operations import outcome_is_known, was_sent
from cloudmasterd.store import Store
from cloudmasterd.tasks.outcome import failure, has_failed
from cloudmasterd.tasks.recipe import Later, Recipe, StepContext, StepKind
from cloudmasterd.turns import Turns

log = logging.getLogger(__name__)

BACKOFF_S = (1.0, 2.0, 4.0, 5.0)
ENDLESS_S = 86_400.0  # how long a task that cannot fail cleanly waits for its cloud instance
BUGS_BORNE = 3

_BACKWARD = (StepState.FAILED, StepState.UNDOING, StepState.UNDONE, StepState.SKIPPED)


@dataclass(frozen=True)
class Patience:
    """How often and how long a cloud instance that does not answer is asked again."""

    seconds: float = 600.0
    endless_s: float = ENDLESS_S
    backoff_s: Sequence[float] = BACKOFF_S


@dataclass
class Memory:
    """What this process knows of a task beside the store; losing it costs patience, nothing else."""

    move: Optional[tuple[int, StepState]] = None  # the step, and what is done with it
    silent_since: Optional[float] = None
    silent_at: Optional[datetime] = None
    silences: int = 0
    operation: Optional[str] = None  # of the step that was begun last
    lost: bool = False  # a request or a reply of this step may have been lost
    light: bool = False  # what it waits in needs no place on the cloud instance
    bug: Optional[str] = None
    bugs: int = 0

    def turn_to(self, index: int, state: StepState, *, lost: bool) -> None:
        """Begin anew when it was another step before; `lost` says what to believe then."""
        if self.move != (index, state):
            self.move, self.lost = (index, state), lost
            self.heard()

    def heard(self) -> None:
        """The cloud instance has answered."""
        self.silent_since, self.silent_at, self.silences = None, None, 0


class Driver:
    """Moves tasks; each by one thread at a time, several tasks by several threads.

    The store is the truth: a driver that is killed between any two lines leaves a task that the next one
    takes up where it stood. Going forward, a step has its operation id before it acts. Going back, a step is
    UNDOING with the operation id of the undoing before that acts. A task goes back as soon as
    one of its steps is FAILED, SKIPPED, UNDOING or UNDONE.

    Threads take turns between steps and let go of the turn while a step acts; see Turns for why.
    """

    def __init__(
        self,
        store: Store,
        recipes: Mapping[str, Recipe],
        clock: Clock,
        patience: Patience,
        turns: Optional[Turns] = None,
    ) -> None:
        self._tasks = store.tasks
        self._recipes = recipes
        self._clock = clock
        self._patience = patience
        self._turns = turns or Turns()

    def advance(
        self, task_id: int, memory: Memory, stopping: Callable[[], bool], *, light: bool = False
    ) -> Optional[float]:
        """As far as it goes now: the seconds until it wants to go on, or None when it has ended.

        With `light` it goes only as far as that needs no place on the cloud instance, then answers 0. Raises
        StoreError when the store failed: then nothing is lost, and it can be called again.
        """
        while not stopping():
            with self._turns.working():
                task = self._tasks.get(task_id, log=False)
                recipe = self._recipes.get(task.kind)
                if light and (recipe is None or not recipe.is_light(task)):
                    return 0.0
                pause = self._move(task, recipe, memory, light)
            if pause is None or pause > 0:
                return pause
        return 0.0

    def _move(self, task: Task, recipe: Optional[Recipe], memory: Memory, light: bool) -> Optional[float]:
        if task.state in ENDED_STATES:
            return None
        if recipe is None:
            return self._end(task, TaskState.FAILED, f"this cloudmasterd knows no tasks of kind {task.kind}")
        if memory.bugs > BUGS_BORNE:
            return self._end(task, TaskState.FAILED, memory.bug)
        if task.state is TaskState.WAITING:
            if task.cancel_asked:
                return self._end(task, TaskState.CANCELLED, None)
            operation = self._begins_next(task, recipe, 0, memory, light)
            self._tasks.begin(task.id, self._clock.now(), operation=operation)
            return 0.0
        if any(step.state in _BACKWARD for step in task.steps):
            return self._go_back(task, recipe, memory)
        for index, step in enumerate(task.steps):
            if step.state in (StepState.WAITING, StepState.RUNNING):
                return self._go_forward(task, recipe, index, memory, light)
        return self._end(task, TaskState.DONE, None, recipe.summary(task))

    # Forward

    def _go_forward(self, task: Task, recipe: Recipe, index: int, memory: Memory, light: bool) -> float:
        step, kind = task.steps[index], recipe.kind_of(task.steps[index])
        if step.state is StepState.RUNNING:
            # Begun by a process that is gone: nobody knows how far it came.
            memory.turn_to(index, StepState.RUNNING, lost=True)
        if task.cancel_asked and recipe.can_turn_back(task):
            return self._turn_back(task, index, memory)
        if step.state is StepState.WAITING:
            operation = self._clock.new_id()
            self._tasks.begin_step(task.id, index, operation, self._clock.now())
            memory.turn_to(index, StepState.RUNNING, lost=False)
            memory.operation = operation
            step = replace(step, state=StepState.RUNNING, operation=operation, started_at=self._clock.now())
        if memory.bug is not None:
            return self._fail(task, index, memory.bug, unsettled=True, memory=memory)
        memory.light = kind.light
        try:
            with self._turns.away(), request_ids.working_for(task.request_id):
                outcome = kind.do(self._context(task, step, step.operation))
        except StoreError:
            raise
        except CloudUnreachable as exc:
            memory.lost = True
            pause = self._bear(task, index, memory, exc, endless=kind.final)
            return pause or self._fail(task, index, self._gave_up(memory, exc), unsettled=True, memory=memory)
        except CloudError as exc:
            unsettled = not outcome_is_known(exc) and (memory.lost or was_sent(exc))
            return self._fail(task, index, str(exc), unsettled=unsettled, memory=memory)
        memory.heard()
        if isinstance(outcome, Later):
            if (outcome.detail, outcome.progress) != (step.detail, step.progress):
                self._tasks.progress(task.id, index, outcome.progress, outcome.detail)
            return outcome.after_s
        then = self._begins_next(task, recipe, index + 1, memory, light)
        self._tasks.end_step(
            task.id, index, StepState.DONE, outcome.detail, dict(outcome.result), self._clock.now(), then=then
        )
        return 0.0

    def _begins_next(
        self, task: Task, recipe: Recipe, index: int, memory: Memory, light: bool
    ) -> Optional[str]:
        """The operation of a step that may begin in the write that ends the one before, or None."""
        if index >= len(task.steps) or task.steps[index].state is not StepState.WAITING:
            return None
        if light and not recipe.kind_of(task.steps[index]).light:
            return None  # it has to get a place first
        memory.turn_to(index, StepState.RUNNING, lost=False)
        memory.operation = self._clock.new_id()
        return memory.operation

    def _turn_back(self, task: Task, index: int, memory: Memory) -> float:
        now = self._clock.now()
        self._tasks.note(task.id, "cancelled: what was done is being undone", now)
        if task.steps[index].state is StepState.WAITING:
            self._tasks.end_step(task.id, index, StepState.SKIPPED, "cancelled", {}, now)
        else:
            # begun and not ended: it waits for something, or nobody knows how far it came
            result = {"unsettled": task.steps[index].operation}
            self._tasks.end_step(task.id, index, StepState.FAILED, "cancelled", result, now)
        return 0.0

    def _fail(self, task: Task, index: int, error: str, *, unsettled: bool, memory: Memory) -> float:
        log.info("task %d (%s %s): %s: %s", task.id, task.kind, task.target, task.steps[index].title, error)
        memory.bug = None
        result: dict[str, Any] = {"error": error}
        if unsettled:
            result["unsettled"] = task.steps[index].operation or memory.operation
        self._tasks.end_step(task.id, index, StepState.FAILED, error, result, self._clock.now())
        return 0.0

    # Back

    def _go_back(self, task: Task, recipe: Recipe, memory: Memory) -> Optional[float]:
        for index in reversed(range(len(task.steps))):
            kind = recipe.kind_of(task.steps[index])
            if kind.undo is not None and _is_to_undo(task.steps[index]):
                return self._undo(task, index, kind, kind.undo, memory)
        for index, step in enumerate(task.steps):
            if step.state is StepState.WAITING:
                self._tasks.end_step(task.id, index, StepState.SKIPPED, "", {}, self._clock.now())
        end = TaskState.FAILED if has_failed(task) else TaskState.CANCELLED
        return self._end(task, end, failure(task))

    def _undo(
        self, task: Task, index: int, kind: StepKind, undo: Callable[[StepContext], str], memory: Memory
    ) -> float:
        step = task.steps[index]
        if step.state is not StepState.UNDOING:
            operation, now = self._clock.new_id(), self._clock.now()
            self._tasks.begin_step(task.id, index, operation, now, state=StepState.UNDOING)
            return 0.0
        memory.turn_to(index, StepState.UNDOING, lost=False)
        memory.light = False
        if memory.bug is not None:
            return self._leave(task, index, memory.bug, memory)
        try:
            with self._turns.away(), request_ids.working_for(task.request_id):
                nothing = self._settle(task, step, kind)
                detail = nothing or undo(self._context(task, step, step.operation))
        except StoreError:
            raise
        except CloudUnreachable as exc:
            pause = self._bear(task, index, memory, exc, endless=True)
            return pause or self._leave(task, index, self._gave_up(memory, exc), memory)
        except CloudError as exc:
            return self._leave(task, index, str(exc), memory)
        self._tasks.end_step(task.id, index, StepState.UNDONE, detail, dict(step.result), self._clock.now())
        return 0.0

    def _settle(self, task: Task, step: Step, kind: StepKind) -> str:
        """Find out whether a step whose reply was lost made anything; what to say when it did not.

        Its operation is sent once more: the cloud instance says what became of it, or does it now. Only then
        is it certain that no straggler does it later, and that what is undone is not somebody else's.
        """
        if "unsettled" not in step.result:
            return ""
        try:
            kind.do(self._context(task, step, str(step.result["unsettled"])))
        except CloudError as exc:
            if isinstance(exc, (StoreError, CloudUnreachable)) or not outcome_is_known(exc):
                raise
            return f"nothing to undo: {exc}"
        return ""

    def _leave(self, task: Task, index: int, why: str, memory: Memory) -> float:
        step = task.steps[index]
        log.warning("task %d (%s %s): cannot undo %s: %s", task.id, task.kind, task.target, step.title, why)
        memory.bug = None
        result = {**step.result, "left": f"{step.title}: {why}"}
        self._tasks.end_step(
            task.id, index, StepState.FAILED, f"could not be undone: {why}", result, self._clock.now()
        )
        return 0.0

    # Both

    def _bear(
        self, task: Task, index: int, memory: Memory, error: CloudUnreachable, *, endless: bool
    ) -> float:
        """How long to wait before a silent cloud instance is asked again; 0.0 when patience is at its end."""
        now = self._clock.monotonic()
        if memory.silent_since is None or memory.silent_at is None:
            memory.silent_since, memory.silent_at = now, self._clock.now()
        patience = self._patience.endless_s if endless else self._patience.seconds
        if now - memory.silent_since >= patience:
            return 0.0
        backoff = self._patience.backoff_s
        pause = backoff[min(memory.silences, len(backoff) - 1)]
        memory.silences += 1
        detail = (
            f"waits for {task.cloud} since {memory.silent_at:%H:%M:%S} UTC and asks again every few seconds,"
            f" for {_span(patience)} at most: {error}"
        )
        if detail != task.steps[index].detail:
            self._tasks.progress(task.id, index, task.steps[index].progress, detail)
        return pause

    def _gave_up(self, memory: Memory, error: CloudError) -> str:
        since = memory.silent_at or self._clock.now()
        return f"given up after {_span((self._clock.now() - since).total_seconds())}: {error}"

    def _context(self, task: Task, step: Step, operation: Optional[str]) -> StepContext:
        return StepContext(task, step, operation or "", self._clock.now())

    def _end(
        self, task: Task, state: TaskState, error: Optional[str], result: Optional[Mapping[str, Any]] = None
    ) -> Optional[float]:
        self._tasks.end(task.id, state, error, dict(result or {}), self._clock.now())
        return None


def _is_to_undo(step: Step) -> bool:
    if step.state in (StepState.DONE, StepState.UNDOING):
        return True
    return step.state is StepState.FAILED and "unsettled" in step.result and "left" not in step.result


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"
