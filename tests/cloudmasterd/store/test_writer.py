"""Writers that come at once share the way to the disk, and none of them pays for another's failure."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cloudmasterd.errors import Conflict, StoreError
from cloudmasterd.model import NewTask, Task
from cloudmasterd.store import Store, writer
from cloudmasterd.store.room import Room
from tests.cloudmasterd.store.answers import NOON, ONE, TWO, create, full, look, submit, where
from tests.fakes import wait_for


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the line off because the machine stood still for a tenth of a second."""
    monkeypatch.setattr(writer, "PATIENCE_S", 60.0)


@pytest.fixture(autouse=True)
def clouds(store: Store) -> None:
    store.reconcile({ONE: full(), TWO: full()}, NOON)


class Line:
    """Holds the first of several submissions in its decision until the others stand in line behind it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.pool = ThreadPoolExecutor(20)
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.first: Future[Task] = self.pool.submit(store.tasks.submit, self._decide)
        assert self.inside.wait(60)

    def _decide(self, room: Room) -> NewTask:
        self.inside.set()
        assert self.go_on.wait(60)
        return create(0)

    def add(self, function, *args) -> Future:
        behind = self.store._writer._line
        future = self.pool.submit(function, *args)
        wait_for(lambda: self.store._writer._line == behind + 1, "standing in line")
        return future

    def release(self) -> list[str]:
        """Let them go; the commits there were."""
        statements: list[str] = []
        self.store._writer.connection.raw.set_trace_callback(statements.append)
        self.go_on.set()
        self.pool.shutdown()
        self.store._writer.connection.raw.set_trace_callback(None)
        return [text for text in statements if text.startswith("COMMIT")]


def test_those_who_stand_in_line_go_to_the_disk_together(store: Store):
    line, before = Line(store), store.change_count
    others = [line.add(submit, store, create(number)) for number in range(1, 10)]
    assert len(line.release()) == 1
    assert sorted(other.result().id for other in others) == list(range(2, 11))
    revisions = {line.first.result().revision, *(other.result().revision for other in others)}
    assert revisions == set(range(before + 1, before + 11)), "each is a change of its own"
    assert store.change_count == before + 10
    assert {task.revision for task in store.tasks.list()} == revisions


def test_one_who_fails_takes_nobody_along(store: Store):
    line = Line(store)

    def fail(room: Room) -> NewTask:
        raise Conflict("not now")

    before = line.add(submit, store, create(1))
    failing = line.add(store.tasks.submit, fail)
    doubled = line.add(submit, store, create(0))
    unknown = line.add(submit, store, create(5, cloud="nowhere"))
    behind = line.add(submit, store, create(2))
    line.release()
    with pytest.raises(Conflict, match="not now"):
        failing.result()
    with pytest.raises(Conflict, match="is at work on m0"):
        doubled.result()
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        unknown.result()
    made = {line.first.result().id, before.result().id, behind.result().id}
    assert {task.id for task in store.tasks.list()} == made


def test_what_is_in_the_line_before_is_seen_by_who_comes_behind(store: Store):
    line = Line(store)
    seen: list[object] = []

    def decide(room: Room) -> NewTask:
        seen.append((room.clouds[0].free_memory_mb, room.busy(create(0).machine or "")))
        raise Conflict("only looking")

    free = store.get_cloud(ONE).free_memory_mb or 0
    line.add(store.tasks.submit, decide)
    assert store.get_cloud(ONE).free_memory_mb == free, "nothing is promised yet"
    line.release()
    assert seen == [(free - 1024 - 128, line.first.result().id)]


def test_a_refresh_in_the_line_is_in_the_store_when_it_returns(store: Store):
    line = Line(store)

    def refresh() -> str:
        store.reconcile({ONE: full(cursor="new")}, NOON)
        return store.list_cursors()[ONE] or ""

    refreshed = line.add(refresh)
    behind = line.add(submit, store, create(1))
    line.release()
    assert refreshed.result() == "new"
    assert behind.result().id in (1, 2)


def test_a_commit_that_fails_fails_for_all_who_share_it(store: Store, path: Path):
    look(path, "CREATE TRIGGER no BEFORE UPDATE ON meta BEGIN SELECT raise(ABORT, 'no room'); END")
    line, before = Line(store), (store.change_count, store.write_count)
    others = [line.add(submit, store, create(number)) for number in range(1, 4)]
    line.release()
    for future in (line.first, *others):
        with pytest.raises(StoreError, match="no room"):
            future.result()
    assert (store.tasks.list(), (store.change_count, store.write_count)) == ([], before)
    look(path, "DROP TRIGGER no")
    assert submit(store, create(1)).position == 1


def test_a_transaction_that_sqlite_gives_up_is_not_taken_for_done(store: Store):
    line = Line(store)
    inside, go_on = threading.Event(), threading.Event()

    def give_up(room: Room) -> NewTask:
        inside.set()
        assert go_on.wait(60)
        room._connection.raw.execute("ROLLBACK")  # what SQLite does by itself when the disk is full
        raise sqlite3.OperationalError("database or disk is full")

    failing = line.add(store.tasks.submit, give_up)
    line.go_on.set()
    assert inside.wait(60)
    behind = line.add(submit, store, create(2))  # who comes now comes behind it: the line has no order
    go_on.set()
    line.release()
    with pytest.raises(StoreError, match="disk is full; make room"):
        failing.result()
    with pytest.raises(StoreError, match="all of it was undone"):
        line.first.result()
    assert [task.id for task in store.tasks.list()] == [behind.result().id], "a transaction of its own"


def test_the_line_is_cut_where_it_is_long(store: Store, monkeypatch):
    monkeypatch.setattr(writer, "MOST_TOGETHER", 4)
    line = Line(store)
    for number in range(1, 10):
        line.add(submit, store, create(number))
    assert len(line.release()) == 3
    assert len(store.tasks.list()) == 10


def test_whoever_was_to_end_a_transaction_and_never_came_is_stood_in_for(store: Store, monkeypatch):
    monkeypatch.setattr(writer, "PATIENCE_S", 0.1)
    store._writer._line += 1  # somebody in line who was interrupted
    try:
        assert submit(store, create(1)).id == 1
    finally:
        store._writer._line -= 1
    assert len(store.tasks.list()) == 1


def test_what_was_begun_is_done_before_the_store_closes(store: Store, path: Path):
    store._writer._line += 1  # so that the transaction stays open
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(submit, store, create(1))
        wait_for(lambda: store._writer._open is not None and not store._writer._lock.locked())
        store.close()
        assert task.result(60).id == 1
    with closing(Store(path)) as again:
        assert [task.id for task in again.tasks.pending()] == [1]
        assert where(again) == {}
