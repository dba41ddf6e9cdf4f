"""Short ways to say what cloud instances answer and what is to be done, and to look behind a store's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

from cloudmasterd.model import (
    Inventory,
    MachineState,
    MemoryPolicy,
    NewTask,
    ObservedCloud,
    ObservedMachine,
    Step,
    Task,
)
from cloudmasterd.store import Store

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=timezone.utc)
ONE, TWO, THREE = "cloud1.example.org", "cloud2.example.org", "cloud3.example.org"
FIGURES = ObservedCloud("x86_64", 16, 65536, 40123)
RUNNING, OFF, PAUSED = MachineState.RUNNING, MachineState.OFF, MachineState.PAUSED


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def uuid_of(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def machine(
    number: int, state: MachineState = RUNNING, name: str = "", memory_mb: int = 1024
) -> ObservedMachine:
    return ObservedMachine(
        uuid_of(number), name or f"m{number}.example.org", state, memory_mb, memory_mb, 2, False
    )


def full(
    *machines: ObservedMachine, cursor: Optional[str] = "1", cloud: Optional[ObservedCloud] = FIGURES
) -> Inventory:
    return Inventory(True, cursor, cloud, machines)


def delta(
    *machines: ObservedMachine,
    gone: Iterable[int] = (),
    cursor: Optional[str] = "1",
    cloud: Optional[ObservedCloud] = None,
) -> Inventory:
    return Inventory(False, cursor, cloud, machines, tuple(uuid_of(number) for number in gone))


def new_task(
    number: Optional[int] = None,
    cloud: Optional[str] = ONE,
    reserve_mb: int = 0,
    kind: str = "machine.start",
    **changes: Any,
) -> NewTask:
    """A task of two steps for machine instance `number`."""
    name = None if number is None else f"m{number}.example.org"
    plain = NewTask(
        kind, f"/api/v1/machines/{name}", cloud, None if number is None else uuid_of(number), name, {},
        (Step("check", "Look at it"), Step("act", "Do it")), "ann", "r-1", reserve_mb,
    )  # fmt: skip
    return replace(plain, **changes)


def create(number: int, memory_mb: int = 1024, cloud: str = ONE, **changes: Any) -> NewTask:
    return new_task(number, cloud, memory_mb, "machine.create", **changes)


def submit(store: Store, new: NewTask, key: Optional[str] = None, request_hash: str = "") -> Task:
    return store.tasks.submit(lambda room: new, key=key, request_hash=request_hash)


def free_mb(*memory_mb: int, total_mb: int = FIGURES.memory_mb) -> int:
    """What is free beside active machine instances, or reservations, of these sizes."""
    return MemoryPolicy().free_mb(total_mb, sum(memory_mb), len(memory_mb))


def where(store: Store) -> dict[str, str]:
    """The cloud instance of every machine instance in the list; fails when one is there twice."""
    listed = store.list_machines()
    places = {machine.name: machine.cloud for machine in listed}
    assert len(places) == len(listed), listed
    return places


def look(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement on the file from outside."""
    with closing(sqlite3.connect(path)) as raw, raw:
        return raw.execute(sql, values).fetchall()
