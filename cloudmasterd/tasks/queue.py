"""Which task is next: one at a time for a machine instance, a few for a cloud instance, short ones apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Optional

from cloudmasterd.tasks.recipe import Lane


@dataclass
class _Entry:
    lane: Lane
    cloud: Optional[str]
    machine: Optional[str]
    due: float
    acting: bool = False
    light: bool = False  # what it does next needs no place
    holds: bool = False  # one of the places its cloud instance has in its lane
    hurried: bool = False  # while it acted: it has to look once more before it waits


class Queue:
    """The tasks that have not ended, in the order they came. Not thread-safe; times are monotonic seconds.

    A task of the long lane holds its place on its cloud instance until it has ended, or comes to a step that
    is light: machines that install packages for half an hour must not keep others from being made. One of the
    short lane gives it back while it waits for something: forty machines that take their time to shut down
    must not keep the forty-first from starting. What is light comes before everything else and needs no
    place, but not more than `per_cloud` at a time of it either, so that a cloud instance that hangs cannot
    take all workers.
    """

    def __init__(self, per_cloud: int) -> None:
        self._per_cloud = per_cloud
        self._entries: dict[int, _Entry] = {}
        self._of_machine: dict[str, list[int]] = {}
        self._held: Counter[tuple[Lane, Optional[str]]] = Counter()
        self._light: Counter[tuple[Lane, Optional[str]]] = Counter()

    def __contains__(self, task: int) -> bool:
        return task in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self, task: int, lane: Lane, cloud: Optional[str], machine: Optional[str], *, light: bool = False
    ) -> None:
        """A task that has not ended; nothing happens when it is known."""
        if task not in self._entries:
            self._entries[task] = _Entry(lane, cloud, machine, due=0.0, light=light)
            if machine is not None:
                self._of_machine.setdefault(machine, []).append(task)
                self._of_machine[machine].sort()

    def take(self, lane: Lane, now: float) -> Optional[int]:
        """The first that may act now, from now on as acting; None where there is none."""
        found = None
        for task, entry in self._entries.items():
            if entry.lane is lane and entry.due <= now and self._may_act(task, entry):
                found = found or (task, entry)
                if entry.light:
                    found = task, entry
                    break
        if found is None:
            return None
        task, entry = found
        entry.acting = True
        if entry.light:
            self._light[lane, entry.cloud] += 1
        elif not entry.holds:
            entry.holds = True
            self._held[lane, entry.cloud] += 1
        return task

    def is_light(self, task: int) -> bool:
        """Whether it was taken without a place."""
        return self._entries[task].light

    def position(self, task: int) -> Optional[int]:
        """How far it is from a place on its cloud instance, 1 is next; None when it has one or has ended."""
        entry = self._entries.get(task)
        if entry is None or entry.holds or entry.acting:
            return None
        line = [t for t, e in self._entries.items() if e.lane is entry.lane and e.cloud == entry.cloud]
        return 1 + sum(not self._entries[t].holds for t in line[: line.index(task)])

    def claim(self, task: int) -> bool:
        """Take this very one, whoever is before it, unless it acts already; to end it, not to run it."""
        entry = self._entries.get(task)
        if entry is None or entry.acting:
            return False
        entry.acting, entry.light = True, False
        return True

    def park(self, task: int, due: float, *, light: bool = False) -> None:
        """It acts no longer and wants to go on at `due`, without a place when what comes next is light."""
        entry = self._entries[task]
        self._put_down(entry)
        entry.acting, entry.due, entry.light = False, 0.0 if entry.hurried else due, light
        entry.hurried = False
        if light or entry.lane is Lane.SHORT:
            self._let_go(entry)

    def hurry(self, task: int) -> None:
        """It may go on at once, if it is waiting for its time, or is about to."""
        entry = self._entries.get(task)
        if entry is not None:
            entry.due, entry.hurried = 0.0, entry.acting

    def remove(self, task: int) -> None:
        """It has ended."""
        entry = self._entries.pop(task)
        self._put_down(entry)
        self._let_go(entry)
        if entry.machine is not None:
            rest = self._of_machine[entry.machine]
            rest.remove(task)
            if not rest:
                del self._of_machine[entry.machine]

    def next_due(self, lane: Lane, now: float) -> Optional[float]:
        """When the next of those that wait for their time may go on; None where there is none."""
        times = [e.due for e in self._entries.values() if e.lane is lane and not e.acting and e.due > now]
        return min(times, default=None)

    def _may_act(self, task: int, entry: _Entry) -> bool:
        if entry.acting or (entry.machine is not None and self._of_machine[entry.machine][0] != task):
            return False
        if entry.light:
            return self._light[entry.lane, entry.cloud] < self._per_cloud
        return entry.holds or self._held[entry.lane, entry.cloud] < self._per_cloud

    def _put_down(self, entry: _Entry) -> None:
        if entry.acting and entry.light:
            self._light[entry.lane, entry.cloud] -= 1

    def _let_go(self, entry: _Entry) -> None:
        if entry.holds:
            entry.holds = False
            self._held[entry.lane, entry.cloud] -= 1
