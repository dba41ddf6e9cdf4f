"""The one way into the database: one writer at a time, all or nothing, changes numbered.

What has to be on the disk before it counts goes there together: while the disk is busy with one commit others
queue up, and they share the next. Ten tasks at once wait for the disk twice, not ten times.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Optional, TypeVar

from cloudmasterd.store.connection import OneConnection, translated

Answer = TypeVar("Answer")

MOST_TOGETHER = 64  # so that nobody waits for an endless line behind him
PATIENCE_S = 0.1  # then whoever waits for a commit that another was to do does it himself


class Unit:
    """What is written together. `change` is the number it gets; who changes a fact says so in `changed`."""

    def __init__(self, connection: OneConnection, change: int) -> None:
        self.connection = connection
        self.raw: sqlite3.Connection = connection.raw
        self.change = change
        self.changed = False
        self.latest_event: Optional[int] = None  # set where events are written
        self.when_committed: list[Callable[[], None]] = []  # called by whoever wrote it, after all


def _nobody(unit: Unit) -> None:
    """Sees every unit that changes a fact, and writes nothing along."""


class _Batch:
    """The units of one transaction. `changes` is the number of the latest change in it."""

    def __init__(self, durable: bool, changes: int) -> None:
        self.durable = durable
        self.changes = changes
        self.size = 0
        self.writes = 0
        self.latest_event: Optional[int] = None
        self.ended = threading.Event()
        self.error: Optional[sqlite3.Error] = None


class Writer:
    """Lends the connection that writes to one thread at a time, and counts what is done."""

    def __init__(
        self, connection: OneConnection, path: Path, witness: Callable[[Unit], None] = _nobody
    ) -> None:
        self.connection = connection
        self._witness = witness
        self.changes = change_count(connection.raw)
        self.writes = 0
        self.latest_event = 0
        self._path = path
        self._lock = threading.Lock()  # for the connection and what follows
        self._owner: Optional[int] = None
        self._open: Optional[_Batch] = None  # a transaction that somebody in the line will join and end
        self._full = True  # a connection is opened that way
        self._line = 0
        self._line_lock = threading.Lock()
        self._news = threading.Condition()

    def run(
        self,
        work: Callable[[Unit], Answer],
        *,
        doing: str = "write",
        durable: bool = False,
        always: bool = False,
        observed: bool = False,
    ) -> Answer:
        """Do `work` in a transaction and return what it returns; nothing is written when it raises.

        `durable` waits until it is on the disk, for what nobody could be asked again after a power cut.
        `always` counts the write even when `work` changed no fact. `observed` says that what changes is what
        others tell of themselves: it is not what somebody asked for, so the witness does not see it.
        """
        if self._owner == threading.get_ident():
            raise RuntimeError(
                "a write inside a write: what is called in a transaction must not call the store"
            )
        with translated(self._path, doing):
            with self._turn():
                batch = self._open or self._begin(durable)
                try:
                    answer, unit = self._join(batch, work, always, observed)
                finally:
                    if not self._goes_on(batch):
                        self._end(batch)
            self._await(batch)
        for note in unit.when_committed:
            note()
        return answer

    def skip(self, numbers: int) -> None:
        """Let no change to come have one of the next `numbers`."""
        self.changes += numbers

    def wait_for_event(self, after: int, timeout_s: float) -> bool:
        """Wait until there is an event behind `after`; False when time ran out."""
        with self._news:
            return self._news.wait_for(lambda: self.latest_event > after, timeout=timeout_s)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Keep every writer out for the length of the block; what was begun is done."""
        with self._lock:
            if self._open is not None:
                self._end(self._open)
            yield

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._line_lock:
            self._line += 1
        try:
            self._lock.acquire()
        finally:
            with self._line_lock:
                self._line -= 1
        try:
            yield
        finally:
            self._lock.release()

    def _begin(self, durable: bool) -> _Batch:
        raw = self.connection.raw
        if durable != self._full:
            raw.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            self._full = durable
        raw.execute("BEGIN IMMEDIATE")
        self._open = _Batch(durable, self.changes)
        return self._open

    def _join(
        self, batch: _Batch, work: Callable[[Unit], Answer], always: bool, observed: bool
    ) -> tuple[Answer, Unit]:
        unit = Unit(self.connection, batch.changes + 1)
        alone = not batch.size  # then the transaction itself is what it can be rolled back to
        if not alone:
            unit.raw.execute("SAVEPOINT unit")
        self._owner = threading.get_ident()
        done = False
        try:
            answer = work(unit)
            if unit.changed and not observed:
                self._witness(unit)
            done = True
        finally:
            self._owner = None
            if unit.raw.in_transaction:  # SQLite ends it by itself when the disk is full
                if not done:
                    unit.raw.execute("ROLLBACK" if alone else "ROLLBACK TO unit")
                if not alone:
                    unit.raw.execute("RELEASE unit")
        batch.size += 1
        batch.changes += unit.changed
        batch.writes += unit.changed or always
        if unit.latest_event is not None:
            batch.latest_event = unit.latest_event
        return answer, unit

    def _goes_on(self, batch: _Batch) -> bool:
        alive = self.connection.raw.in_transaction
        return alive and batch.durable and bool(self._line) and batch.size < MOST_TOGETHER

    def _end(self, batch: _Batch) -> None:
        raw = self.connection.raw
        self._open = None
        try:
            if not batch.size:
                return  # the first of it failed and was rolled back, and nobody joined
            if not raw.in_transaction:
                raise sqlite3.OperationalError(
                    "what was to be written with it failed, and all of it was undone"
                )
            if batch.changes > self.changes:
                _set_change_count(raw, batch.changes)
            raw.execute("COMMIT")
            self.changes = batch.changes
            self.writes += batch.writes
            if batch.latest_event is not None:
                self._tell(batch.latest_event)
        except sqlite3.Error as exc:
            batch.error = exc
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            batch.ended.set()

    def _await(self, batch: _Batch) -> None:
        while not batch.ended.wait(PATIENCE_S):
            with self._lock:
                if self._open is batch:
                    self._end(batch)
        if batch.error is not None:
            # each of those who shared it gets an exception of his own
            raise type(batch.error)(*batch.error.args) from batch.error

    def _tell(self, latest_event: int) -> None:
        with self._news:
            self.latest_event = latest_event
            self._news.notify_all()


def change_count(raw: sqlite3.Connection) -> int:
    """The number of the latest change."""
    return int(raw.execute("SELECT value FROM meta WHERE key = 'change_count'").fetchone()[0])


def _set_change_count(raw: sqlite3.Connection, change: int) -> None:
    raw.execute("UPDATE meta SET value = ? WHERE key = 'change_count'", (str(change),))
