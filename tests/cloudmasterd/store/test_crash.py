"""A cloud master that is killed in the middle of tasks: what was promised is there, and all of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cloudmasterd.model import StepState, TaskState
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import NOON, ONE, TWO, create, free_mb, full, look, submit

ROOT = Path(__file__).resolve().parents[3]
WORKERS = 4

pytestmark = pytest.mark.slow

# Each line is printed only after the store said that it is done.
ENDLESS_TASKS = """
import itertools, sys, threading
from pathlib import Path
from cloudmasterd.model import StepState, TaskState
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import NOON, ONE, TWO, create, full, submit

store = Store(Path(sys.argv[1]))
store.reconcile({ONE: full(), TWO: full()}, NOON)

def work(worker):
    for turn in itertools.count():
        cloud = (ONE, TWO)[turn % 2]
        task = submit(store, create(worker, 100 + worker, cloud), f"{worker}-{turn}", "h")
        print(f"submitted {task.id}\\n", end="", flush=True)
        store.tasks.begin(task.id, NOON)
        store.tasks.begin_step(task.id, 0, f"op-{task.id}", NOON)
        print(f"begun {task.id}\\n", end="", flush=True)
        store.tasks.progress(task.id, 0, 50, "half")
        store.tasks.end_step(task.id, 0, StepState.DONE, "", {"made": task.id}, NOON)
        store.tasks.end(task.id, TaskState.DONE, None, {}, NOON)
        print(f"ended {task.id}\\n", end="", flush=True)

for worker in range(int(sys.argv[2])):
    threading.Thread(target=work, args=(worker,)).start()
"""


@pytest.mark.parametrize("grace_s", [0.0, 0.003, 0.0077, 0.0201])
def test_no_task_without_its_reservation_and_no_reservation_without_its_task(path: Path, grace_s: float):
    command = [sys.executable, "-c", ENDLESS_TASKS, str(path), str(WORKERS)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert killed.stdout is not None
    with killed:
        lines = [killed.stdout.readline() for _ in range(40)]
        time.sleep(grace_s)  # not for luck: to be killed at different points of a transaction
        killed.send_signal(signal.SIGKILL)
        lines += killed.stdout.read().splitlines(keepends=True)
    said: dict[str, set[int]] = {"submitted": set(), "begun": set(), "ended": set()}
    for line in lines:
        word, _, number = line.partition(" ")
        if line.endswith("\n"):
            said[word].add(int(number))
    with closing(Store(path)) as store:
        tasks = {task.id: task for task in store.tasks.list(limit=100_000)}
        assert said["submitted"] <= tasks.keys(), "a task that was promised is there"
        assert all(tasks[number].state is TaskState.DONE for number in said["ended"])
        assert all(tasks[number].steps[0].operation == f"op-{number}" for number in said["begun"])
        assert all(len(task.steps) == 2 for task in tasks.values())
        unfinished = {task.id for task in store.tasks.pending()}
        assert len(unfinished) <= WORKERS, "each worker was at one task"
        assert {task for (task,) in look(path, "SELECT task FROM reservation")} == unfinished
        for cloud in (ONE, TWO):
            held = look(path, "SELECT memory_mb FROM reservation WHERE cloud = ?", cloud)
            assert store.get_cloud(cloud).free_memory_mb == free_mb(*(memory_mb for (memory_mb,) in held))
        for task in store.tasks.pending():  # and it goes on
            if task.state is TaskState.WAITING:
                store.tasks.begin(task.id, NOON)
            store.tasks.end_step(task.id, 0, StepState.DONE, "", {}, NOON)
            store.tasks.end(task.id, TaskState.FAILED, "cut off", {}, NOON)
        assert [cloud.free_memory_mb for cloud in store.list_clouds()] == [free_mb()] * 2
        assert submit(store, create(1)).id > max(tasks)


def test_ids_of_events_that_were_lost_are_not_used_again(path: Path):
    with closing(Store(path)) as store:
        store.reconcile({ONE: full()}, NOON)
        for number in range(3):
            store.events.add("test", f"event {number}", NOON)
    look(path, "DELETE FROM event WHERE id > 1")  # what a power cut may do to the latest of them
    look(path, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'event'")
    path.with_name(path.name + ".lock").write_text("4711\n")
    with closing(Store(path)) as store:
        assert store.events.latest == 1
        assert store.events.add("test", "the next", NOON).id > 3
        assert [event.text for event in store.events.list(after=3)] == ["the next"]
    with closing(Store(path)) as store:
        latest = store.events.latest
        assert store.events.add("test", "after a clean stop", NOON).id == latest + 1


def test_what_cannot_be_asked_again_waits_for_the_disk_and_the_poller_does_not(store: Store):
    raw = store._writer.connection.raw
    modes: list[tuple[str, int]] = []

    def look_at(statement: str) -> None:
        if statement.startswith("COMMIT"):
            modes.append((doing, mode))
        elif statement.startswith("PRAGMA synchronous ="):
            set_mode({"FULL": 2, "NORMAL": 1}[statement.split()[-1]])

    def set_mode(now: int) -> None:
        nonlocal mode
        mode = now

    mode, doing = 1, ""
    raw.set_trace_callback(look_at)
    doing = "poll"
    store.reconcile({ONE: full(), TWO: full()}, NOON)
    doing = "promise"
    task, other = submit(store, create(1)), submit(store, create(2))
    store.tasks.begin(task.id, NOON, operation="op")
    doing = "news"
    store.tasks.begin(other.id, NOON)
    store.tasks.progress(task.id, 0, 1, "x")
    store.tasks.note(task.id, "x", NOON)
    store.tasks.end_step(task.id, 0, StepState.DONE, "", {}, NOON)
    doing = "promise"
    store.tasks.begin_step(other.id, 0, "op", NOON)
    store.tasks.end_step(other.id, 0, StepState.DONE, "", {}, NOON, then="op")
    store.tasks.ask_cancel(task.id)
    store.tasks.end(other.id, TaskState.FAILED, "no", {}, NOON)
    doing = "news"
    store.tasks.end(task.id, TaskState.DONE, None, {}, NOON)
    doing = "promise"
    store.change_cloud(ONE, notes="n")
    doing = "poll"
    store.mark_unreachable({ONE: "refused"}, NOON)
    raw.set_trace_callback(None)
    assert [did for did, _ in modes] == [
        "poll", *["promise"] * 3, *["news"] * 4, *["promise"] * 4, "news", "promise", "poll",
    ]  # fmt: skip
    assert {did: {how for what, how in modes if what == did} for did, _ in modes} == {
        "poll": {1}, "news": {1}, "promise": {2},
    }  # fmt: skip
    for number in range(2, 5):
        store.tasks.submit(lambda room: _mode_is(raw, 2) and create(10 + number))  # noqa: B023
        store.mark_unreachable({TWO: f"refused {number}"}, NOON)
        assert _mode_is(raw, 1)


def _mode_is(raw, wanted: int) -> bool:
    assert raw.execute("PRAGMA synchronous").fetchone() == (wanted,), "SQLite really heeds it, every time"
    return True
