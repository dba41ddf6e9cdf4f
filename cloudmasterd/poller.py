"""When to refresh which cloud instance, and the threads that do it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Optional

from cherrypy.process.plugins import SimplePlugin

from cloudmasterd.clock import Clock
from cloudmasterd.errors import CloudError
from cloudmasterd.fleet import Fleet, Outcome

log = logging.getLogger(__name__)

JITTER = 0.1  # of each delay, up and down
FIRST_SPREAD_S = 0.02  # between two cloud instances that become known together
BREAKER_FAILURES = 3  # in a row, until a cloud instance is asked less often
HEALTHY_WORKERS = 8
SUSPECT_WORKERS = 2
STOP_S = 1.0


@dataclass
class _Entry:
    due: float
    failures: int = 0
    running: bool = False


class Schedule:
    """Which cloud instance is due when. Pure: times are monotonic seconds and arguments; not thread-safe.

    `jitter(spread)` gives a number between -spread and +spread.
    """

    def __init__(self, interval_s: float, breaker_max_s: float, jitter: Callable[[float], float]) -> None:
        self._interval_s = interval_s
        self._breaker_max_s = max(breaker_max_s, interval_s)
        self._jitter = jitter
        self._entries: dict[str, _Entry] = {}

    def know(self, names: Collection[str], now: float) -> None:
        """These are the cloud instances now: new ones are due at once, others not in the list are forgotten.

        Many new ones at once are spread a little, within one interval.
        """
        for name in self._entries.keys() - set(names):
            del self._entries[name]
        new = [name for name in names if name not in self._entries]
        step = min(FIRST_SPREAD_S, self._interval_s / max(1, len(new)))
        for number, name in enumerate(new):
            self._entries[name] = _Entry(due=now + number * step)

    def take_due(self, now: float, *, suspects: bool) -> list[str]:
        """Those that are due and not being refreshed, from now on as being refreshed.

        Suspects failed the last time: they are asked apart from the others, for they may well hang.
        """
        due = [
            name
            for name, entry in self._entries.items()
            if entry.due <= now and not entry.running and bool(entry.failures) is suspects
        ]
        for name in due:
            self._entries[name].running = True
        return due

    def succeeded(self, name: str, now: float) -> bool:
        """An answer came: closes the breaker. True when the one before was a failure."""
        entry = self._entries.get(name)
        if entry is None:
            return False
        recovered = entry.failures > 0
        self._plan(entry, 0, now)
        return recovered

    def failed(self, name: str, now: float, *, asked_for: bool = False) -> bool:
        """No answer came. One that somebody `asked_for` begins the count anew. True when it was the first."""
        entry = self._entries.get(name)
        if entry is None:
            return False
        first = entry.failures == 0
        self._plan(entry, 1 if asked_for else entry.failures + 1, now)
        return first

    def give_back(self, names: Collection[str], now: float) -> None:
        """Those of the names that were taken and had neither: to be asked again after the interval."""
        for name in names:
            entry = self._entries.get(name)
            if entry is not None and entry.running:
                self._plan(entry, entry.failures, now)

    def due_at(self, name: str) -> float:
        """When this one is due; KeyError where it is not known."""
        return self._entries[name].due

    def _plan(self, entry: _Entry, failures: int, now: float) -> None:
        delay = self._interval_s
        if failures >= BREAKER_FAILURES:
            # The exponent is bounded: a cloud instance can be dead for years.
            delay = min(self._interval_s * 2 ** min(failures - BREAKER_FAILURES + 1, 30), self._breaker_max_s)
        entry.due = now + delay + self._jitter(delay * JITTER)
        entry.failures = failures
        entry.running = False


@dataclass(frozen=True)
class Chore:
    """Something else to be done again and again, that does not take long: `work` begins it."""

    what: str
    work: Callable[[], None]
    every_s: float


class _Lane:
    """A few threads that refresh batches of cloud instances. They are daemons: a hung call holds no exit."""

    def __init__(self, name: str, workers: int, work: Callable[[list[str]], None]) -> None:
        self._work = work
        self._batches: queue.SimpleQueue[Optional[list[str]]] = queue.SimpleQueue()
        self._room = threading.Semaphore(workers)
        self.threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def offer(self, take: Callable[[], list[str]]) -> None:
        """Let a free worker do what `take` gives; where none is free, nothing is taken."""
        if not self._room.acquire(blocking=False):
            return
        batch = take()
        if batch:
            self._batches.put(batch)
        else:
            self._room.release()

    def end(self) -> None:
        for _ in self.threads:
            self._batches.put(None)

    def _run(self) -> None:
        while True:
            batch = self._batches.get()
            if batch is None:
                return
            self._work(batch)
            self._room.release()


class Poller(SimplePlugin):
    """Discovers and refreshes cloud instances for as long as the engine runs."""

    def __init__(
        self,
        bus: Any,
        fleet: Fleet,
        clock: Clock,
        *,
        interval_s: float,
        breaker_max_s: float,
        tick_s: Optional[float] = None,
        chores: Sequence[Chore] = (),
    ) -> None:
        super().__init__(bus)
        self._fleet = fleet
        self._clock = clock
        self._interval_s = interval_s
        self._tick_s = min(1.0, interval_s / 10) if tick_s is None else tick_s
        self._breaker_max_s = breaker_max_s
        self._schedule = self._new_schedule()
        self._lock = threading.Lock()
        self._unseen: Optional[set[str]] = None  # of the first round; None before it began
        self._discover_due = clock.monotonic()
        self._turned_at = clock.monotonic()
        self._chores = tuple(chores)
        self._chores_due = [clock.monotonic()] * len(self._chores)
        self._trouble: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._lanes: list[_Lane] = []
        fleet.listen(self._note)

    def start(self) -> None:
        """Begin the first round; the engine calls this."""
        self._stopping = threading.Event()
        with self._lock:
            self._schedule = self._new_schedule()
            self._unseen = None
        self._discover_due = self._turned_at = self._clock.monotonic()
        self._lanes = [
            _Lane("poll", HEALTHY_WORKERS, self._refresh),
            _Lane("poll-suspects", SUSPECT_WORKERS, self._refresh),
        ]
        for lane in self._lanes:
            lane.start()
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="poller", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the threads; the engine calls this. A call that hangs is left to its own end."""
        self._stopping.set()
        threads = [thread for lane in self._lanes for thread in lane.threads]
        for lane in self._lanes:
            lane.end()
        if self._thread is not None:
            threads.append(self._thread)
        until = self._clock.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, min(STOP_S, until - self._clock.monotonic())))
        self._thread = None

    def silent_s(self) -> float:
        """For how long the loop that says when to refresh whom has not come round."""
        return self._clock.monotonic() - self._turned_at

    def problems(self) -> list[str]:
        """Why the store may not tell how things are; empty when all is well."""
        found = []
        if self._thread is None or not self._thread.is_alive():
            found.append("the poller does not run: see the log of cloudmasterd, and start it again")
        with self._lock:
            if self._unseen is None:
                found.append("the cloud instances have not been looked for yet")
            elif self._unseen:
                found.append(f"the first round is not finished: {len(self._unseen)} cloud instances to go")
            found.extend(self._trouble.values())
        return found

    def _new_schedule(self) -> Schedule:
        return Schedule(self._interval_s, self._breaker_max_s, self._clock.jitter)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._turned_at = self._clock.monotonic()
            if self._turned_at >= self._discover_due:
                self._guarded("discovering cloud instances", self._discover)
                self._discover_due = self._clock.monotonic() + self._interval_s
            self._do_chores()
            for lane, suspects in zip(self._lanes, (False, True)):
                lane.offer(partial(self._take_due, suspects))
            stopping.wait(self._tick_s)

    def _discover(self) -> None:
        names = self._fleet.discover()
        with self._lock:
            self._schedule.know(names, self._clock.monotonic())
            self._unseen = set(names) if self._unseen is None else self._unseen & set(names)

    def _do_chores(self) -> None:
        for number, chore in enumerate(self._chores):
            if self._clock.monotonic() >= self._chores_due[number]:
                self._guarded(chore.what, chore.work)
                self._chores_due[number] = self._clock.monotonic() + chore.every_s

    def _take_due(self, suspects: bool) -> list[str]:
        with self._lock:
            return self._schedule.take_due(self._clock.monotonic(), suspects=suspects)

    def _refresh(self, names: list[str]) -> None:
        if not self._stopping.is_set():
            self._guarded("refreshing cloud instances", lambda: self._fleet.refresh(names))
        with self._lock:
            self._schedule.give_back(names, self._clock.monotonic())

    def _note(self, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._unseen is not None:
                self._unseen.discard(outcome.cloud)
            if outcome.error is None:
                turned = self._schedule.succeeded(outcome.cloud, now)
            else:
                turned = self._schedule.failed(outcome.cloud, now, asked_for=outcome.asked_for)
        if turned and outcome.error is None:
            log.info("%s answers again", outcome.cloud)
        elif turned:
            log.warning("%s", outcome.error)  # its text names the cloud instance

    def _guarded(self, what: str, work: Callable[[], None]) -> None:
        """Do the work, whatever comes: a dead poller would leave old figures standing, and tell nobody."""
        try:
            work()
        except CloudError as exc:
            text = f"{what} failed: {exc}"
            # Once, not every few seconds; while stopping, the store may be closed under our hands.
            if self._trouble.get(what) != text and not self._stopping.is_set():
                log.error("%s", text)
        except Exception:
            text = f"{what} failed unexpectedly: see the log of cloudmasterd"
            log.exception("%s", text)
        else:
            text = ""
        with self._lock:
            if text and not self._stopping.is_set():
                self._trouble[what] = text
            else:
                self._trouble.pop(what, None)
