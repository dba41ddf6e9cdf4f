"""Requests that wait for something to happen: few at once, none for long, and none when the server stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Event

from cloudmasterd.model import ENDED_STATES, Task
from cloudmasterd.web.site import EventReads, UseCases

MAX_WAIT_S = 60
MAX_TASK_WAITS = 24
MAX_EVENT_WAITS = 12
SLICE_S = 1.0  # how long a stopping server may have to wait for one that waits


class Waits:
    """The places for requests that wait; each one holds a worker thread meanwhile."""

    def __init__(self, for_tasks: int = MAX_TASK_WAITS, for_events: int = MAX_EVENT_WAITS) -> None:
        self._for_tasks = BoundedSemaphore(for_tasks)
        self._for_events = BoundedSemaphore(for_events)
        self._stopping = Event()

    def stop(self) -> None:
        """Let all go that wait, and nobody wait any more."""
        self._stopping.set()

    def for_task(self, machines: UseCases, task: Task, seconds: int) -> tuple[Task, bool]:
        """The task as it is once it has ended or the time is over, and whether there was a place to wait."""
        with _place(self._for_tasks) as free:
            if not free:
                return task, False
            for _ in range(seconds):
                if task.state in ENDED_STATES or self._stopping.is_set():
                    break
                task = machines.wait(task.id, SLICE_S)
            return task, True

    @contextmanager
    def for_events(self) -> Iterator[bool]:
        """A place to wait for events, held for the length of the block; False when none is free."""
        with _place(self._for_events) as free:
            yield free

    def next_event(self, events: EventReads, after: int, seconds: float) -> bool:
        """Wait until there is an event behind `after`; False when time ran out or the server stops."""
        left = seconds
        while left > 0 and not self._stopping.is_set():
            if events.wait(after, min(left, SLICE_S)):
                return True
            left -= SLICE_S
        return False


@contextmanager
def _place(places: BoundedSemaphore) -> Iterator[bool]:
    free = places.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            places.release()
