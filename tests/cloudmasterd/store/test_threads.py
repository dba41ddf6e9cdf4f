"""Readers in many threads, writers that fail or are killed: what is read is always whole."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cloudmasterd.errors import StoreError
from cloudmasterd.store import Store, connection
from tests.cloudmasterd.store.answers import (
    FIGURES,
    NOON,
    OFF,
    ONE,
    RUNNING,
    TWO,
    after,
    delta,
    full,
    look,
    machine,
    uuid_of,
    where,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[3]
ROUNDS = 60
SIZE = 20

ENDLESS_WRITER = """
import itertools, sys
from pathlib import Path
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import NOON, ONE, TWO, full, machine
store = Store(Path(sys.argv[1]))
for turn in itertools.count():
    machines = [machine(n, memory_mb=turn) for n in range(600)]
    answers = {ONE: full(*machines[:300], cursor=str(turn)), TWO: full(*machines[300:], cursor=str(turn))}
    store.reconcile(answers, NOON)
    print(turn, store.change_count, flush=True)
"""


@pytest.mark.slow
def test_readers_never_see_half_a_batch(store: Store):
    """Each batch moves all machines to the other cloud instance and gives them another size."""
    numbers = range(SIZE)
    store.reconcile({ONE: full(*(machine(n, memory_mb=1) for n in numbers)), TWO: full()}, NOON)
    done = threading.Event()

    def read() -> int:
        seen = 0
        while not done.is_set() or not seen:
            machines = store.list_machines()
            assert len(machines) == SIZE
            assert len({(m.cloud, m.memory_mb, m.observed_at, m.revision) for m in machines}) == 1
            assert sorted(cloud.machines for cloud in store.list_clouds()) == [0, SIZE]
            assert store.get_machine(uuid_of(3)).name == "m3.example.org"
            seen += 1
        return seen

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(8)]
        try:
            for turn in range(2, ROUNDS):
                here, there = (ONE, TWO) if turn % 2 else (TWO, ONE)
                moved = full(*(machine(n, memory_mb=turn) for n in numbers))
                store.reconcile({here: moved, there: full()}, after(turn))
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)


def test_connections_are_not_tied_to_threads_that_come_and_go(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    for _ in range(50):
        thread = threading.Thread(target=store.list_machines)
        thread.start()
        thread.join()
    assert len(store._readers._idle) == 1


def test_writers_in_many_threads_wait_for_each_other(store: Store):
    def write(number: int) -> None:
        name = f"cloud{number}.example.org"
        for turn in range(10):
            store.reconcile({name: full(machine(number, memory_mb=turn))}, NOON)
            store.mark_unreachable({name: "refused"}, NOON)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(where(store)) == 8
    assert store.change_count >= 8 * 20
    assert {found.memory_mb for found in store.list_machines()} == {9}


def test_closing_while_others_read_ends_in_store_errors_only(path: Path):
    store = Store(path)
    store.reconcile({ONE: full(*map(machine, range(200)))}, NOON)
    started = threading.Barrier(5)

    def read() -> None:
        started.wait()
        with pytest.raises(StoreError, match="shutting down"):
            while True:
                assert len(store.list_machines()) == 200

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        started.wait()
        store.close()
        for reader in readers:
            reader.result()
    Store(path).close()


def test_a_batch_that_fails_half_way_leaves_no_trace(store: Store, path: Path):
    def everything() -> tuple:
        counts = store.change_count, store.write_count
        return store.list_clouds(), store.list_machines(), store.list_cursors(), counts

    store.reconcile({ONE: full(machine(1), cursor="1")}, NOON)
    before = everything()
    look(
        path,
        "CREATE TRIGGER no BEFORE INSERT ON sighting WHEN NEW.name = 'bad'"
        " BEGIN SELECT raise(ABORT, 'no'); END",
    )
    batch = {ONE: delta(machine(1, OFF), machine(2), cursor="2"), TWO: full(machine(3, name="bad"))}
    with pytest.raises(StoreError, match=f"cannot write {path}: no"):
        store.reconcile(batch, after(15))
    assert everything() == before
    look(path, "DROP TRIGGER no")
    store.reconcile(batch, after(15))
    assert len(store.list_machines()) == 3


def test_a_full_disk_is_a_clear_error_and_costs_nothing_that_was_there(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    raw = store._writer.connection.raw
    raw.execute(f"PRAGMA max_page_count = {raw.execute('PRAGMA page_count').fetchone()[0] + 2}")
    with pytest.raises(StoreError, match="disk is full; make room on its file system"):
        store.reconcile({TWO: full(*map(machine, range(2, 500)))}, NOON)
    assert where(store) == {"m1.example.org": ONE}
    raw.execute("PRAGMA max_page_count = 1000000")
    store.reconcile({TWO: full(machine(2))}, NOON)
    assert where(store) == {"m1.example.org": ONE, "m2.example.org": TWO}


def test_another_program_that_holds_the_database_is_waited_for_and_then_named(store: Store, path: Path):
    assert connection.BUSY_TIMEOUT_S > 1
    store._writer.connection.raw.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked; another program holds it"):
            store.reconcile({ONE: full(machine(1))}, NOON)
        assert store.list_machines() == []
        shell.execute("COMMIT")
    store.reconcile({ONE: full(machine(1))}, NOON)
    assert where(store) == {"m1.example.org": ONE}


@pytest.mark.slow
@pytest.mark.parametrize("grace_s", [0.0, 0.004, 0.011])
def test_a_writer_that_is_killed_leaves_a_database_that_goes_on(path: Path, grace_s: float):
    command = [sys.executable, "-c", ENDLESS_WRITER, str(path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    with writer:
        for _ in range(3):
            turn, count = map(int, writer.stdout.readline().split())
        time.sleep(grace_s)  # not for luck: to be killed at different points of a transaction
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
    if rest and len(rest[-1].split()) == 2:
        turn, count = map(int, rest[-1].split())
    store = Store(path)
    machines = store.list_machines()
    assert len(machines) == 600
    assert len({found.memory_mb for found in machines}) == 1, "a batch is there whole or not at all"
    assert machines[0].memory_mb >= turn, "what was committed before the kill is there"
    assert set(store.list_cursors().values()) == {str(machines[0].memory_mb)}, "the cursor came with its data"
    assert store.change_count > count
    store.reconcile({ONE: full(machine(1, RUNNING))}, NOON)
    assert len(store.list_machines(clouds=[ONE])) == 1
    store.close()


def test_thousands_of_clouds_and_machines_fit_into_one_batch(store: Store):
    figures = replace(FIGURES, cpus=1)
    batch = {f"cloud{n}": full(machine(2 * n), machine(2 * n + 1), cloud=figures) for n in range(2000)}
    store.reconcile(batch, NOON)
    assert len(store.list_machines()) == 4000
    store.mark_unreachable(dict.fromkeys(batch, "refused"), NOON)
    store.reconcile({name: delta() for name in batch}, after(15))
    assert {cloud.observed_at for cloud in store.list_clouds()} == {after(15)}
