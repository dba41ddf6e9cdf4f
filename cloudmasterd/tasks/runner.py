"""The threads that take tasks forward, and what the rest of the master asks of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import StoreError
from cloudmasterd.model import Task, TaskState
from cloudmasterd.store import Store
from cloudmasterd.tasks.drive import BACKOFF_S, Driver, Memory, Patience
from cloudmasterd.tasks.queue import Queue
from cloudmasterd.tasks.recipe import Lane, Recipe
from cloudmasterd.turns import Turns

log = logging.getLogger(__name__)

STORE_RETRY_S = 5.0
STOP_S = 3.0


class TaskRunner:
    """Runs the tasks of the store. Safe to use from several threads.

    Long tasks (installs) and short ones (start, shutdown ...) have workers and places of their own:
    `workers` and `short_workers` threads, and in each lane at most `per_cloud` tasks at a time on a cloud
    instance. A task that waits, for a machine to shut down or for a cloud instance to answer, occupies no
    thread.
    """

    def __init__(
        self,
        store: Store,
        recipes: Mapping[str, Recipe],
        clock: Clock,
        *,
        workers: int = 16,
        short_workers: int = 8,
        per_cloud: int = 4,
        patience_s: float = 600.0,
        backoff_s: Sequence[float] = BACKOFF_S,
        turns: Optional[Turns] = None,
    ) -> None:
        self._tasks = store.tasks
        self._recipes = recipes
        self._clock = clock
        self._driver = Driver(store, recipes, clock, Patience(patience_s, backoff_s=backoff_s), turns)
        self._workers = {Lane.LONG: workers, Lane.SHORT: short_workers}
        self._queue = Queue(per_cloud)
        self._memories: dict[int, Memory] = {}
        self._lock = threading.Lock()  # for the queue and the memories
        self._idle = {lane: threading.Condition(self._lock) for lane in Lane}
        self._ended = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take up every task that has not ended, where it stood; raises StoreError."""
        self._stopping.clear()
        self.wake()
        with self._lock:
            if len(self._queue):
                log.info("%d tasks go on", len(self._queue))
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"{lane.value}-{number}", daemon=True)
            for lane, count in self._workers.items()
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Begin no more steps and wait a little for those under way.

        What a cloud instance takes longer for is left to itself: the next start asks what became of it.
        """
        self._stopping.set()
        with self._lock:
            for idle in self._idle.values():
                idle.notify_all()
        until = self._clock.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, min(timeout_s, until - self._clock.monotonic())))
        self._threads = [thread for thread in self._threads if thread.is_alive()]

    def problems(self) -> list[str]:
        """Why tasks do not get on as they should; empty when all is well."""
        dead = sum(not thread.is_alive() for thread in self._threads)
        if not self._threads or dead:
            return ["the task runner does not run: see the log of cloudmasterd, and start it again"]
        return []

    def wake(self, task: Optional[Task] = None) -> None:
        """There is this new task; without one, look into the store for new ones."""
        tasks = self._tasks.pending() if task is None else [task]
        with self._lock:
            # Those that have begun come first: they hold what others wait for.
            for each in sorted(tasks, key=lambda t: (t.state is TaskState.WAITING, t.id)):
                recipe = self._recipes.get(each.kind)
                lane = recipe.lane if recipe else Lane.SHORT
                light = recipe is not None and recipe.is_light(each)
                self._queue.add(each.id, lane, each.cloud, each.machine, light=light)
            self._call_one()

    def may_cancel(self, task: Task) -> bool:
        """Whether it has not gone beyond what could be undone."""
        recipe = self._recipes.get(task.kind)
        return recipe is None or recipe.can_turn_back(task)

    def cancel(self, task: Task) -> None:
        """See to a cancellation that is in the store: at once where the task has not begun."""
        with self._lock:
            claimed = task.state is TaskState.WAITING and self._queue.claim(task.id)
            if not claimed:
                self._queue.hurry(task.id)
                self._call_one()
        if claimed:
            self._run(task.id)

    def position(self, task_id: int) -> Optional[int]:
        """How far a task is from a place on its cloud instance, 1 is next; None when it needs none."""
        with self._lock:
            return self._queue.position(task_id)

    def wait(self, task_id: int, seconds: float) -> Task:
        """The task, as soon as it has ended or the time is over; raises NotFound."""
        with self._lock:
            self._ended.wait_for(lambda: task_id not in self._queue, timeout=max(0.0, seconds))
        return self._tasks.get(task_id)

    def _work(self, lane: Lane) -> None:
        while True:
            with self._lock:
                task_id = self._take(lane)
            if task_id is None:
                return
            self._run(task_id)

    def _take(self, lane: Lane) -> Optional[int]:
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            task_id = self._queue.take(lane, now)
            if task_id is not None:
                self._idle[lane].notify()  # who sleeps looks what else there is, and until when to sleep
                return task_id
            due = self._queue.next_due(lane, now)
            self._idle[lane].wait(None if due is None else max(0.001, due - now))
        return None

    def _run(self, task_id: int) -> None:
        with self._lock:
            memory = self._memories.setdefault(task_id, Memory())
            light = self._queue.is_light(task_id)
        pause = self._drive(task_id, memory, light)
        with self._lock:
            if pause is None:
                self._memories.pop(task_id, None)
                self._queue.remove(task_id)
                self._ended.notify_all()
            else:
                light = pause > 0 and (light or memory.light)
                self._queue.park(task_id, self._clock.monotonic() + pause, light=light)
            self._call_one()

    def _call_one(self) -> None:
        """Wake one sleeping worker of each lane; who finds a task wakes the next."""
        for idle in self._idle.values():
            idle.notify()

    def _drive(self, task_id: int, memory: Memory, light: bool) -> Optional[float]:
        try:
            return self._driver.advance(task_id, memory, self._stopping.is_set, light=light)
        except StoreError as exc:
            if not self._stopping.is_set():
                log.error("task %d goes on in %.0f s: %s", task_id, STORE_RETRY_S, exc)
            return STORE_RETRY_S
        except Exception as exc:
            log.exception("task %d met an error that nobody expected", task_id)
            memory.bugs += 1
            memory.bug = f"cloudmasterd itself failed: {type(exc).__name__}: {exc}; its log says more"
            # More than a few times in a row: not even ending the task works.
            return 0.0 if memory.bugs <= 2 * len(BACKOFF_S) else STORE_RETRY_S
