"""A task from its submission to its end, and what it may not do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cloudmasterd.errors import Conflict, NoRoom, NotFound
from cloudmasterd.model import ENDED_STATES, MemoryPolicy, NewTask, Step, StepState, Task, TaskState
from cloudmasterd.store import Store, task_end, tasks
from cloudmasterd.store.connection import OneConnection
from cloudmasterd.store.room import Room
from tests.cloudmasterd.store.answers import (
    NOON,
    ONE,
    TWO,
    after,
    create,
    delta,
    free_mb,
    full,
    look,
    machine,
    new_task,
    submit,
    uuid_of,
)  # fmt: skip
from tests.fakes import FakeClock

DONE, FAILED, CANCELLED = TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED


@pytest.fixture(autouse=True)
def clouds(store: Store) -> None:
    store.reconcile({ONE: full(), TWO: full()}, NOON)


def end(store: Store, task: Task, state: TaskState = DONE, at=NOON) -> Task:
    return store.tasks.end(task.id, state, None, {}, at)


def test_a_task_waits_with_everything_it_was_submitted_with(store: Store, clock: FakeClock):
    clock.advance(60)
    new = create(1, arguments={"name": "m1", "tags": {"a": "ü"}}, target="/api/v1/machines/m1")
    steps = (Step("define", "Define it", result={"disk": 1}), Step("start", "Start it", detail="later"))
    task = submit(store, replace(new, steps=steps))
    assert task == Task(
        id=1, kind="machine.create", state=TaskState.WAITING, target="/api/v1/machines/m1", cloud=ONE,
        machine=uuid_of(1), machine_name="m1.example.org", arguments={"name": "m1", "tags": {"a": "ü"}},
        steps=steps, asked_by="ann", request_id="r-1", created_at=clock.now(), position=1,
        revision=store.change_count,
    )  # fmt: skip
    assert store.tasks.get(1) == task
    assert store.tasks.list() == store.tasks.pending() == [task]


def test_a_task_goes_its_way(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, after(1))
    assert store.tasks.get(task.id) == replace(
        task, state=TaskState.RUNNING, started_at=after(1), position=None, revision=store.change_count
    )
    store.tasks.begin_step(task.id, 0, "op-1", after(2))
    assert store.tasks.get(task.id).steps[0] == Step(
        "check", "Look at it", StepState.RUNNING, "op-1", started_at=after(2)
    )
    store.tasks.progress(task.id, 0, 40, "copying")
    store.tasks.progress(task.id, 0, 140, None)
    assert store.tasks.get(task.id).steps[0].progress == 100
    store.tasks.end_step(task.id, 0, StepState.DONE, None, {"disk": "a.qcow2"}, after(3))
    first, second = store.tasks.get(task.id).steps
    assert first == Step(
        "check", "Look at it", StepState.DONE, "op-1", "copying", {"disk": "a.qcow2"}, 100, after(2), after(3)
    )
    assert second == Step("act", "Do it")
    store.tasks.note(task.id, "nearly there", after(4))
    ended = store.tasks.end(task.id, DONE, None, {"uuid": "u"}, after(5))
    assert (ended.state, ended.ended_at, dict(ended.result), ended.error) == (
        DONE,
        after(5),
        {"uuid": "u"},
        None,
    )
    assert ended.log == ((after(4), "nearly there"),)
    assert store.tasks.pending() == []
    assert store.tasks.list() == [replace(ended, log=())]


def test_every_write_of_a_task_is_a_change_with_a_number(store: Store):
    task = submit(store, new_task(1))
    writes = [
        lambda: store.tasks.begin(task.id, NOON),
        lambda: store.tasks.begin_step(task.id, 0, "op-1", NOON),
        lambda: store.tasks.progress(task.id, 0, 1, "x"),
        lambda: store.tasks.note(task.id, "x", NOON),
        lambda: store.tasks.end_step(task.id, 0, StepState.DONE, "", {}, NOON),
        lambda: store.tasks.ask_cancel(task.id),
        lambda: end(store, task),
    ]
    for write in writes:
        before = store.change_count, store.write_count
        write()
        assert (store.change_count, store.write_count) == (before[0] + 1, before[1] + 1)
        assert store.tasks.get(task.id).revision == store.change_count


def test_a_step_that_is_begun_again_keeps_the_time_of_its_first_beginning(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, NOON)
    store.tasks.begin_step(task.id, 1, "op-1", after(1))
    store.tasks.begin_step(task.id, 1, "op-1", after(9))
    assert store.tasks.get(task.id).steps[1].started_at == after(1)


def test_a_step_ends_and_the_next_begins_in_one_write(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, after(1), operation="op-1")
    first, second = store.tasks.get(task.id).steps
    assert (first.state, first.operation, first.started_at) == (StepState.RUNNING, "op-1", after(1))
    before = store.write_count
    store.tasks.end_step(task.id, 0, StepState.DONE, "", {"disk": 1}, after(2), then="op-2")
    assert store.write_count == before + 1
    first, second = store.tasks.get(task.id).steps
    assert (first.state, first.ended_at, second.state) == (StepState.DONE, after(2), StepState.RUNNING)
    assert (second.operation, second.started_at) == ("op-2", after(2))
    assert store.tasks.get(task.id, log=False) == replace(store.tasks.get(task.id), log=())


def test_no_step_begins_by_itself_when_somebody_wants_the_task_to_end(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, NOON, operation="op-1")
    store.tasks.ask_cancel(task.id)
    store.tasks.end_step(task.id, 0, StepState.DONE, "", {}, NOON, then="op-2")
    first, second = store.tasks.get(task.id).steps
    assert (first.state, second) == (StepState.DONE, Step("act", "Do it"))
    waiting = submit(store, new_task(2))
    store.tasks.ask_cancel(waiting.id)
    store.tasks.begin(waiting.id, NOON, operation="op-3")
    assert [step.state for step in store.tasks.get(waiting.id).steps] == [StepState.WAITING] * 2


def test_a_step_is_undone(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, NOON)
    store.tasks.begin_step(task.id, 0, "op-1", NOON)
    store.tasks.end_step(task.id, 0, StepState.DONE, "made", {"volume": "v"}, after(1))
    store.tasks.begin_step(task.id, 0, "op-2", after(2), state=StepState.UNDOING)
    undoing = store.tasks.get(task.id).steps[0]
    assert (undoing.state, undoing.operation, undoing.ended_at) == (StepState.UNDOING, "op-2", None)
    assert undoing.result == {"volume": "v"}
    store.tasks.end_step(task.id, 0, StepState.UNDONE, "taken away", None, after(3))
    undone = store.tasks.get(task.id).steps[0]
    assert (undone.state, undone.detail, undone.result) == (StepState.UNDONE, "taken away", {"volume": "v"})
    store.tasks.end_step(task.id, 1, StepState.UNDOING, "being undone", {}, after(4))
    assert store.tasks.get(task.id).steps[1].ended_at is None


def test_the_position_is_the_place_among_those_that_wait(store: Store):
    submitted = [submit(store, new_task(number)) for number in range(4)]
    assert [task.position for task in submitted] == [1, 2, 3, 4]
    store.tasks.begin(submitted[0].id, NOON)
    end(store, submitted[2], CANCELLED)
    assert [(task.id, task.position) for task in store.tasks.list()] == [(4, 2), (3, None), (2, 1), (1, None)]
    assert [(task.id, task.position) for task in store.tasks.pending()] == [(1, None), (2, 1), (4, 2)]
    assert store.tasks.list(before=4, states=[TaskState.WAITING])[0].position == 1


def test_tasks_are_listed_newest_first_in_pages_and_by_filter(store: Store):
    for number in range(6):
        submit(store, new_task(number, TWO if number % 2 else ONE))
    end(store, store.tasks.get(3), FAILED)

    def ids(**filters) -> list[int]:
        return [task.id for task in store.tasks.list(**filters)]

    assert ids() == [6, 5, 4, 3, 2, 1]
    assert ids(limit=2) == [6, 5]
    assert ids(limit=2, before=5) == [4, 3]
    assert ids(limit=0) == ids(before=1) == ids(cloud="nobody") == []
    assert ids(cloud=TWO) == [6, 4, 2]
    assert ids(machine=uuid_of(3)) == ids(machine="m3.example.org") == [4]
    assert ids(states=[FAILED]) == ids(states=["failed"]) == [3]
    assert ids(states=ENDED_STATES, cloud=TWO) == []
    assert ids(states=iter(TaskState), before=1 << 70) == [6, 5, 4, 3, 2, 1]


def test_what_a_task_does_is_refused_when_it_is_not_the_time_for_it(store: Store):
    task = submit(store, new_task(1))
    with pytest.raises(Conflict, match="task 1 is waiting"):
        store.tasks.begin_step(task.id, 0, "op", NOON)
    store.tasks.begin(task.id, NOON)
    with pytest.raises(Conflict, match="task 1 is running"):
        store.tasks.begin(task.id, NOON)
    end(store, task)
    before = store.tasks.get(task.id), store.change_count
    for late in (
        lambda: store.tasks.begin(task.id, NOON),
        lambda: store.tasks.begin_step(task.id, 0, "op", NOON),
        lambda: store.tasks.end_step(task.id, 0, StepState.DONE, "", {}, NOON),
        lambda: store.tasks.ask_cancel(task.id),
        lambda: end(store, task, FAILED),
    ):
        with pytest.raises(Conflict, match=r"task 1 has ended already \(done\)"):
            late()
    store.tasks.progress(task.id, 0, 50, "a word too late")
    assert (store.tasks.get(task.id), store.change_count) == before


def test_what_is_not_there_is_told_so(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, NOON)
    for missing in (99, -1, 0, 1 << 63, 1 << 70):
        for ask in (
            store.tasks.get,
            lambda number: store.tasks.get(number, log=False),
            store.tasks.ask_cancel,
            lambda number: store.tasks.begin(number, NOON),
            lambda number: store.tasks.note(number, "x", NOON),
            lambda number: store.tasks.end(number, DONE, None, {}, NOON),
        ):
            with pytest.raises(NotFound, match=f"there is no task {missing}; GET /api/v1/tasks lists"):
                ask(missing)
        store.tasks.progress(missing, 0, 1, "nobody listens")
    with pytest.raises(NotFound, match="task 1 has no step 2"):
        store.tasks.begin_step(task.id, 2, "op", NOON)
    with pytest.raises(NotFound, match="task 1 has no step -1"):
        store.tasks.end_step(task.id, -1, StepState.DONE, "", {}, NOON)


def test_a_slip_of_the_programmer_is_no_state(store: Store):
    task = submit(store, new_task(1))
    store.tasks.begin(task.id, NOON)
    with pytest.raises(ValueError, match="done, failed or cancelled"):
        end(store, task, TaskState.RUNNING)
    with pytest.raises(ValueError, match="running or undoing"):
        store.tasks.begin_step(task.id, 0, "op", NOON, state=StepState.DONE)
    with pytest.raises(ValueError, match="on which, and how much"):
        submit(store, new_task(2, None, 512))
    with pytest.raises(ValueError, match="without a zone"):
        end(store, task, at=NOON.replace(tzinfo=None))
    assert [t.state for t in store.tasks.list()] == [TaskState.RUNNING]


def test_a_wish_to_cancel_is_noted_until_somebody_looks(store: Store):
    task = submit(store, new_task(1))
    assert store.tasks.ask_cancel(task.id).cancel_asked
    assert store.tasks.get(task.id).state is TaskState.WAITING
    assert end(store, task, CANCELLED).cancel_asked


def test_a_decision_that_raises_writes_nothing(store: Store, path: Path):
    before = store.change_count, store.write_count, look(path, "SELECT count(*) FROM task")

    def decide(room: Room) -> NewTask:
        raise NoRoom("no cloud instance has 512 MB free")

    with pytest.raises(NoRoom, match="512 MB"):
        store.tasks.submit(decide, key="k")
    with pytest.raises(ZeroDivisionError):
        store.tasks.submit(lambda room: 1 / 0)
    assert (store.change_count, store.write_count, look(path, "SELECT count(*) FROM task")) == before
    assert submit(store, new_task(1), key="k").id == 1, "the key was not used up"


def test_one_unfinished_task_works_on_a_machine(store: Store):
    first = submit(store, new_task(1))
    with pytest.raises(Conflict) as caught:
        submit(store, new_task(1))
    assert str(caught.value) == (
        "task 1 is at work on m1.example.org: wait until it has ended, or cancel it with POST"
        " /api/v1/tasks/1/cancel"
    )
    submit(store, new_task(2))
    submit(store, new_task(None))
    submit(store, new_task(None))
    end(store, first, FAILED)
    assert submit(store, new_task(1)).id == 5


def test_a_decision_sees_who_is_busy_and_which_names_are_taken(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    submit(store, create(3))
    submit(store, new_task(2, kind="machine.change", arguments={"name": "new.example.org"}))
    submit(store, new_task(4, kind="image.fetch", arguments={"name": 7}))
    end(store, submit(store, create(9)), FAILED)
    seen: list[object] = []

    def decide(room: Room) -> NewTask:
        seen.extend((room.busy(uuid_of(1)), room.busy(uuid_of(3))))
        names = ("m3", "m2", "new", "m4", "m9", "7")
        seen.append([room.task_naming(f"{name}.example.org") for name in names])
        seen.append([room.has_name(f"m{number}.example.org") for number in (2, 3)])
        seen.append(room.get_machine(uuid_of(1)).name)
        with pytest.raises(NotFound):
            room.get_machine("m3.example.org")
        return new_task(1)

    store.tasks.submit(decide)
    assert seen == [
        None, 1,
        [1, 2, 2, 3, None, None],
        [store.get_machine("m2.example.org"), None],
        "m1.example.org",
    ]  # fmt: skip


def work_of(path: Path, question: Callable[[Room], object]) -> int:
    """How many instructions SQLite runs to answer it: no clock says it as well."""
    connection, ran = OneConnection(path, read_only=True), [0]

    def count() -> int:
        ran[0] += 1
        return 0

    connection.raw.set_progress_handler(count, 1)
    room = Room(connection, MemoryPolicy())
    try:
        question(room)
    finally:
        room.close()
        connection.close()
    return ran[0]


@pytest.mark.parametrize(
    "question",
    [
        lambda room: (room.task_naming("m3.example.org"), room.task_naming("other.example.org")),
        lambda room: room.pending(ONE),
        lambda room: (room.busy(uuid_of(3)), room.busy(uuid_of(999))),
        lambda room: room.names_of_up(),
    ],
    ids=["names", "pending", "busy", "up"],
)
def test_what_a_decision_looks_up_costs_the_same_with_many_tasks(
    path: Path, store: Store, question: Callable[[Room], object]
):
    for number in range(1, 6):
        submit(store, create(number))
    few = work_of(path, question)
    for number in range(6, 60):
        submit(store, create(number))
    for number in range(60, 80):
        end(store, submit(store, create(number)), FAILED)
    assert work_of(path, question) == few


def test_a_place_in_line_is_told_alone_as_among_all(store: Store):
    for number in (1, 2, 3, 4):
        submit(store, create(number))
    store.tasks.begin(2, NOON)
    assert [(task.id, task.position) for task in store.tasks.pending()] == [(1, 1), (2, None), (3, 2), (4, 3)]
    assert [store.tasks.get(number).position for number in (1, 2, 3, 4)] == [1, None, 2, 3]


def test_a_group_is_taken_from_the_submission_on_and_stays_with_the_machine(store: Store):
    def groups() -> list[dict[str, str]]:
        found: list[dict[str, str]] = []

        def decide(room: Room) -> NewTask:
            found.extend(dict(room.group_members(cloud)) for cloud in (ONE, TWO))
            assert room.placed_groups(ONE) == set(found[0])
            raise NoRoom("only looking")

        with pytest.raises(NoRoom):
            store.tasks.submit(decide)
        return found

    task = submit(store, create(1, groups=("web", "db")))
    failed = submit(store, create(2, groups=("mail",)))
    taken = dict.fromkeys(("web", "db"), "m1.example.org")
    assert groups() == [{**taken, "mail": "m2.example.org"}, {}]
    store.reconcile({ONE: delta(machine(1))}, NOON)
    end(store, task)
    end(store, failed, FAILED)
    assert groups() == [taken, {}]
    assert store.get_machine(uuid_of(1)).groups == ("web", "db")
    store.reconcile({ONE: delta(gone=[1]), TWO: delta(machine(1))}, NOON)
    assert groups() == [{}, taken]


def test_a_room_is_good_only_while_its_decision_is_made(store: Store):
    rooms: list[Room] = []

    def decide(room: Room) -> NewTask:
        rooms.append(room)
        with pytest.raises(RuntimeError, match="must not call the store"):
            submit(store, new_task(2))
        with pytest.raises(RuntimeError, match="must not call the store"):
            store.reconcile({ONE: delta()}, NOON)
        assert store.list_clouds() == list(room.clouds), "reading is no harm"
        return new_task(1)

    store.tasks.submit(decide)
    with pytest.raises(RuntimeError, match="only inside the decision"):
        rooms[0].busy(uuid_of(1))
    assert len(store.tasks.list()) == 1


def test_who_only_looks_sees_one_state_of_everything_and_waits_for_nobody(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    rooms: list[Room] = []

    def question(room: Room) -> tuple[object, ...]:
        before = room.busy(uuid_of(2)), room.pending(ONE), room.has_name("m1.example.org") is not None
        submit(store, create(2))
        store.reconcile({ONE: full()}, NOON)
        rooms.append(room)
        assert before == (
            room.busy(uuid_of(2)), room.pending(ONE), room.has_name("m1.example.org") is not None
        )  # fmt: skip
        return (*before, room.clouds[0].free_memory_mb, room.get_machine(uuid_of(1)).name)

    seen = store.tasks.look(question)
    assert seen == (None, 0, True, free_mb(1024), "m1.example.org")
    assert store.tasks.look(lambda room: (room.busy(uuid_of(2)), room.pending(ONE))) == (1, 1)
    with pytest.raises(RuntimeError, match="only inside the decision"):
        rooms[0].pending(ONE)
    with pytest.raises(NoRoom):
        store.tasks.look(refuse)
    assert len(store._readers._idle) == 1, "what was borrowed came back"


def refuse(room: Room) -> None:
    raise NoRoom("no room to look at")


def test_the_same_key_gives_the_same_task_for_the_same_request(store: Store):
    first = submit(store, new_task(1), "k", "hash")
    writes = store.write_count
    assert submit(store, new_task(2), "k", "hash") == first
    assert store.write_count == writes
    ended = end(store, first, FAILED)
    assert submit(store, new_task(1), "k", "hash") == ended
    with pytest.raises(Conflict, match="'k' stands for another request already, which made task 1"):
        submit(store, new_task(1), "k", "other")
    assert submit(store, new_task(1), "K", "other").id == 2


def test_the_same_key_fifty_times_at_once_makes_one_task(store: Store):
    start = threading.Barrier(50)
    decisions: list[int] = []

    def ask(number: int) -> Task:
        start.wait()

        def decide(room: Room) -> NewTask:
            decisions.append(number)
            return create(number)

        return store.tasks.submit(decide, key="one", request_hash="h")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert len(decisions) == len(store.tasks.list()) == 1
    assert answers == [store.tasks.get(1)] * 50


def test_the_log_of_a_task_is_bounded(store: Store):
    task, other = submit(store, new_task(1)), submit(store, new_task(2))
    store.tasks.note(other.id, "of another task", NOON)
    for number in range(tasks.KEPT_LOG_LINES + 3):
        store.tasks.note(task.id, f"line {number}", after(number))
    log = store.tasks.get(task.id).log
    assert [text for _, text in log] == [f"line {number}" for number in range(3, tasks.KEPT_LOG_LINES + 3)]
    store.tasks.note(task.id, "x" * 9999 + "\0", NOON)
    assert store.tasks.get(task.id).log[-1][1] == "x" * tasks.LONGEST_LINE
    assert len(store.tasks.get(other.id).log) == 1


def test_text_no_database_can_hold_is_kept_as_it_can_be(store: Store):
    task = submit(store, new_task(1, asked_by="a\0b"))
    store.tasks.begin(task.id, NOON)
    store.tasks.begin_step(task.id, 0, "op", NOON)
    store.tasks.progress(task.id, 0, None, "half \ud800")
    store.tasks.end_step(task.id, 0, StepState.FAILED, "a\0b", {"text": "\0\ud800"}, NOON)
    ended = store.tasks.end(task.id, FAILED, "\ud800", {}, NOON)
    assert (ended.asked_by, ended.error, ended.steps[0].detail) == ("a\ufffdb", "\ufffd", "a\ufffdb")


def test_old_tasks_are_forgotten_as_others_end(path: Path, store: Store, clock: FakeClock):
    store.close()
    store = Store(path, clock=clock, keep_tasks_days=7)
    old = submit(store, new_task(1))
    store.tasks.note(old.id, "a line", NOON)
    waiting = submit(store, new_task(2))
    end(store, old, at=NOON)
    week = timedelta(days=7)
    end(store, submit(store, new_task(3)), at=NOON + week)
    assert [task.id for task in store.tasks.list()] == [3, 2, 1]
    end(store, submit(store, new_task(4)), at=NOON + week + timedelta(seconds=1))
    assert [task.id for task in store.tasks.list()] == [4, 3, waiting.id]
    for table in ("step", "task_log", "reservation"):
        assert look(path, f"SELECT count(*) FROM {table} WHERE task = 1") == [(0,)]
    assert submit(store, new_task(5)).id == 5, "no number is used twice"
    store.close()


def test_of_too_many_tasks_the_earliest_are_forgotten_but_no_young_key(
    path: Path, store: Store, clock: FakeClock, monkeypatch
):
    monkeypatch.setattr(task_end, "KEPT_TASKS", 5)
    store.close()
    store = Store(path, clock=clock, keep_tasks_days=7)
    for number in range(9):
        clock.advance(1)
        end(store, submit(store, new_task(number), "key" if number == 1 else None), at=clock.now())
    assert [task.id for task in store.tasks.list()] == [9, 8, 7, 6, 5, 2]
    assert submit(store, new_task(1), "key").id == 2
    clock.advance(86400)
    end(store, submit(store, new_task(10), "key2"), at=clock.now())
    assert [task.id for task in store.tasks.list()] == [10, 9, 8, 7, 6], "a day later its key is old too"
    store.close()


def test_a_key_is_remembered_for_a_day_even_where_tasks_are_not(path: Path, store: Store, clock: FakeClock):
    store.close()
    store = Store(path, clock=clock, keep_tasks_days=0)
    for hours, ids in ((0, [1]), (23, [2, 1]), (2, [3, 2])):
        clock.advance(hours * 3600)
        end(store, submit(store, new_task(hours), f"key {hours}"), at=clock.now())
        assert [task.id for task in store.tasks.list()] == ids
    store.close()


def test_tasks_outlive_a_restart(path: Path, store: Store, clock: FakeClock):
    task = submit(store, create(1), "k", "h")
    store.tasks.begin(task.id, NOON)
    store.tasks.begin_step(task.id, 0, "op-1", NOON)
    before = store.tasks.get(task.id), store.list_clouds(), store.change_count
    store.close()
    store = Store(path, clock=clock)
    assert (store.tasks.get(task.id), store.list_clouds(), store.change_count) == before
    assert store.tasks.pending()[0].steps[0].operation == "op-1"
    assert submit(store, create(1), "k", "h").id == task.id
    store.close()


def test_a_task_that_is_accepted_changes_the_version_of_its_machine(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    before, other = store.get_machine(uuid_of(1)), store.get_machine(uuid_of(2))
    submit(store, new_task(1))
    assert store.get_machine(uuid_of(1)) == replace(before, revision=store.change_count)
    assert store.get_machine(uuid_of(2)) == other
