"""Memory is taken once, from the moment a task takes it: by its reservation or by the machine itself."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudmasterd.errors import Conflict, NoRoom, StoreError
from cloudmasterd.model import (
    ACTIVE_STATES,
    MachineState,
    MemoryPolicy,
    NewTask,
    ObservedCloud,
    ObservedMachine,
    Task,
    TaskState,
)
from cloudmasterd.store import Store
from cloudmasterd.store.room import Room
from tests.blank import blank
from tests.cloudmasterd.store.answers import (
    FIGURES,
    NOON,
    OFF,
    ONE,
    PAUSED,
    THREE,
    TWO,
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

OVERHEAD_MB = MemoryPolicy().overhead_mb


def free(store: Store, cloud: str = ONE) -> int:
    """The figure, the same wherever it is asked for."""
    listed = {each.name: each.free_memory_mb for each in store.list_clouds()}
    seen: list[object] = []

    def decide(room: Room) -> NewTask:
        seen.append({each.name: each.free_memory_mb for each in room.clouds})
        raise NoRoom("only looking")

    with pytest.raises(NoRoom):
        store.tasks.submit(decide)
    assert seen == [listed]
    assert store.get_cloud(cloud).free_memory_mb == listed[cloud]
    figure = listed[cloud]
    assert figure is not None
    return figure


def end(store: Store, task: Task, state: TaskState = TaskState.DONE) -> None:
    store.tasks.end(task.id, state, None, {}, NOON)


def test_a_reservation_counts_as_an_active_machine_does(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    submit(store, create(2, 2048))
    assert free(store) == free_mb(1024, 2048)
    assert free(store, TWO) == free_mb()


def test_once_the_machine_is_active_it_counts_itself_and_the_reservation_does_not(store: Store):
    store.reconcile({ONE: full()}, NOON)
    task = submit(store, create(1, 2048))
    store.reconcile({ONE: delta(machine(1, OFF, memory_mb=2048))}, NOON)
    assert free(store) == free_mb(2048), "defined and off: the reservation holds its memory"
    store.reconcile({ONE: delta(machine(1, memory_mb=1536))}, NOON)
    assert free(store) == free_mb(1536), "what it has is what counts"
    end(store, task)
    assert free(store) == free_mb(1536)


def test_a_machine_that_stops_while_its_task_is_unfinished_is_reserved_for_again(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    task = submit(store, new_task(1, ONE, 1024))
    assert free(store) == free_mb(1024), "it is active already"
    store.reconcile({ONE: delta(machine(1, OFF))}, NOON)
    assert free(store) == free_mb(1024)
    store.reconcile({ONE: delta(gone=[1])}, NOON)
    assert free(store) == free_mb(1024)
    end(store, task, TaskState.FAILED)
    assert free(store) == free_mb()


def test_it_counts_on_its_own_cloud_instance_whatever_happens_on_others(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    submit(store, new_task(1, TWO, 1024, kind="machine.move"))
    assert (free(store, ONE), free(store, TWO)) == (free_mb(1024), free_mb(1024))
    store.reconcile({TWO: delta(machine(1, PAUSED))}, NOON)
    assert (free(store, ONE), free(store, TWO)) == (free_mb(1024), free_mb(1024))
    store.reconcile({ONE: delta(gone=[1])}, NOON)
    assert (free(store, ONE), free(store, TWO)) == (free_mb(), free_mb(1024))


@pytest.mark.parametrize("state", [TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED])
def test_the_end_of_a_task_gives_back_what_it_held(store: Store, path: Path, state: TaskState):
    store.reconcile({ONE: full()}, NOON)
    end(store, submit(store, create(1)), state)
    assert free(store) == free_mb()
    assert look(path, "SELECT count(*) FROM reservation") == [(0,)]


def test_a_reservation_is_a_change_of_its_cloud_instance_alone(store: Store):
    store.reconcile({ONE: full(), TWO: full()}, NOON)
    two = store.get_cloud(TWO)
    task = submit(store, create(1))
    assert store.get_cloud(ONE).revision == task.revision
    end(store, task)
    assert store.get_cloud(ONE).revision == store.change_count
    assert store.get_cloud(TWO) == two
    revision = store.get_cloud(ONE).revision
    end(store, submit(store, new_task(1)))
    assert store.get_cloud(ONE).revision == revision, "without a reservation nothing of it changes"


def test_a_reservation_made_before_the_first_answer_counts_in_it(store: Store):
    store.sync_clouds({ONE: None})
    submit(store, create(1))
    assert store.get_cloud(ONE).free_memory_mb is None
    store.reconcile({ONE: full()}, NOON)
    assert free(store) == free_mb(1024)


def test_a_reservation_on_a_cloud_instance_nobody_knows_is_refused(store: Store):
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        submit(store, create(1, cloud="nowhere"))
    assert store.tasks.list() == []


def test_reservations_outlive_a_restart_and_another_policy(path: Path, store: Store):
    store.reconcile({ONE: full()}, NOON)
    submit(store, create(1))
    store.close()
    with closing(Store(path, MemoryPolicy(0, 0, 1000))) as again:
        assert free(again) == FIGURES.memory_mb - 2024


def test_a_room_counts_what_is_on_its_way(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    for number in (1, 2, 3):
        submit(store, create(number))
    seen: list[int] = []

    def decide(room: Room) -> NewTask:
        seen.extend((room.pending(ONE), room.pending(TWO)))
        return new_task(4)

    store.tasks.submit(decide)
    assert seen == [2, 0]


SMALL = ObservedCloud("x86_64", 8, 8192, None)
SIZE_MB = 512
EACH_HOLDS = (8192 - MemoryPolicy().reserved_mb(8192)) // (SIZE_MB + OVERHEAD_MB)


def place(store: Store, number: int) -> Task:
    def decide(room: Room) -> NewTask:
        best = max(room.clouds, key=lambda cloud: (cloud.free_memory_mb or 0, cloud.name))
        if (best.free_memory_mb or 0) < SIZE_MB + OVERHEAD_MB:
            raise NoRoom(f"{best.name} has {best.free_memory_mb} MB free")
        return create(number, SIZE_MB, best.name)

    return store.tasks.submit(decide)


def test_fifty_at_once_get_exactly_what_there_is(store: Store):
    """While refreshes go on, machines appear and some of the tasks end, the figure never is below zero."""
    clouds = (ONE, TWO, THREE)
    store.reconcile({name: full(cloud=SMALL) for name in clouds}, NOON)
    start, done = threading.Barrier(52), threading.Event()
    made: dict[int, Task] = {}

    def ask(worker: int) -> int:
        start.wait()
        refused = 0
        for number in range(worker, 200, 50):
            try:
                made[number] = place(store, number)
            except NoRoom:
                refused += 1
        return refused

    def watch() -> int:
        start.wait()
        lowest = 8192
        while not done.is_set():
            lowest = min(lowest, *(cloud.free_memory_mb or 0 for cloud in store.list_clouds()))
        return lowest

    def see() -> None:
        start.wait()
        while not done.wait(0.001):  # or this one alone would keep the line busy
            for number, task in sorted(made.items()):
                assert task.cloud is not None
                store.reconcile({task.cloud: delta(machine(number, memory_mb=SIZE_MB))}, NOON)

    with ThreadPoolExecutor(52) as pool:
        watcher, seer = pool.submit(watch), pool.submit(see)
        refused = sum(pool.map(ask, range(50)))
        done.set()
        assert watcher.result() >= 0
        seer.result()
    assert len(made) == 3 * EACH_HOLDS
    assert refused == 200 - 3 * EACH_HOLDS
    left = 8192 - MemoryPolicy().reserved_mb(8192) - EACH_HOLDS * (SIZE_MB + OVERHEAD_MB)
    assert [cloud.free_memory_mb for cloud in store.list_clouds()] == [left] * 3
    assert len(store.tasks.list(limit=1000)) == len(made)


def test_fifty_with_one_version_of_a_machine_get_one_task(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    version = store.get_machine(uuid_of(1)).revision
    start = threading.Barrier(50)

    def ask(number: int) -> bool:
        def decide(room: Room) -> NewTask:
            if room.get_machine(uuid_of(1)).revision != version:
                raise Conflict("it has changed")
            assert room.busy(uuid_of(1)) is None, "whoever comes too late sees another version first"
            return new_task(1)

        start.wait()
        try:
            return bool(store.tasks.submit(decide))
        except Conflict:
            return False

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(ask, range(50))) == 1


states = st.sampled_from((MachineState.RUNNING, PAUSED, OFF, MachineState.CRASHED))
machines = st.builds(
    lambda n, state, mb: machine(n, state, memory_mb=mb), st.integers(0, 4), states, st.integers(1, 9)
)
inventories = st.lists(machines, max_size=4, unique_by=lambda m: m.uuid)
clouds = st.sampled_from((ONE, TWO))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("full"), st.dictionaries(clouds, inventories, min_size=1)),
        st.tuples(
            st.just("delta"),
            st.dictionaries(
                clouds, st.tuples(inventories, st.sets(st.integers(0, 4), max_size=2)), min_size=1
            ),
        ),
        st.tuples(st.just("submit"), st.tuples(clouds, st.integers(0, 4), st.integers(1, 9))),
        st.tuples(st.just("end"), st.integers(0, 4)),
        st.tuples(st.just("lost"), clouds),
        st.tuples(st.just("reserve"), st.tuples(clouds, st.integers(-1, 5000))),
    ),
    max_size=15,
)


class Model:
    """What every cloud instance last said, what is held on it, and what is kept for itself."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, ObservedMachine]] = {ONE: {}, TWO: {}}
        self.held: dict[int, tuple[int, str, int]] = {}  # machine -> task, cloud instance, MB
        self.reserve: dict[str, int] = {}

    def pending(self, cloud: str) -> int:
        active = {uuid for uuid, m in self.said[cloud].items() if m.state in ACTIVE_STATES}
        return sum(
            where == cloud and uuid_of(number) not in active for number, (_, where, _) in self.held.items()
        )

    def free_mb(self, cloud: str) -> int:
        active = {uuid: m.max_memory_mb for uuid, m in self.said[cloud].items() if m.state in ACTIVE_STATES}
        held = {uuid_of(n): mb for n, (_, where, mb) in self.held.items() if where == cloud}
        sizes = {**held, **active}.values()
        kept = self.reserve.get(cloud, MemoryPolicy().reserved_mb(FIGURES.memory_mb))
        return FIGURES.memory_mb - kept - sum(sizes) - OVERHEAD_MB * len(sizes)


def play(store: Store, model: Model, kind: str, what) -> None:
    if kind == "full":
        store.reconcile({cloud: full(*found) for cloud, found in what.items()}, NOON)
        model.said.update({cloud: {m.uuid: m for m in found} for cloud, found in what.items()})
    elif kind == "delta":
        store.reconcile({cloud: delta(*found, gone=gone) for cloud, (found, gone) in what.items()}, NOON)
        for cloud, (found, gone) in what.items():
            for number in gone:
                model.said[cloud].pop(uuid_of(number), None)
            model.said[cloud].update({m.uuid: m for m in found})
    elif kind == "submit":
        cloud, number, memory_mb = what
        if number in model.held:
            with pytest.raises(Conflict):
                submit(store, create(number, memory_mb, cloud))
        else:
            model.held[number] = (submit(store, create(number, memory_mb, cloud)).id, cloud, memory_mb)
    elif kind == "end" and what in model.held:
        store.tasks.end(model.held.pop(what)[0], TaskState.FAILED, None, {}, NOON)
    elif kind == "lost":
        store.mark_unreachable({what: "refused"}, NOON)
    elif kind == "reserve":
        cloud, reserve_mb = what
        store.change_cloud(cloud, reserve_mb=reserve_mb)
        model.reserve.pop(cloud, None)
        if reserve_mb >= 0:
            model.reserve[cloud] = reserve_mb


@settings(max_examples=settings.default.max_examples * 4 // 5)
@given(steps)
def test_whatever_happens_memory_is_counted_once(sequence):
    with tempfile.TemporaryDirectory() as folder, closing(Store(blank(Path(folder) / "db"))) as store:
        model = Model()
        store.reconcile({ONE: full(), TWO: full()}, NOON)
        for kind, what in sequence:
            count, before = store.change_count, store.list_clouds()
            play(store, model, kind, what)
            listed = store.list_clouds()
            assert {c.name: c.free_memory_mb for c in listed} == {c: model.free_mb(c) for c in (ONE, TWO)}
            for cloud in (ONE, TWO):
                assert store.tasks.look(partial(Room.pending, cloud=cloud)) == model.pending(cloud)
            assert store.change_count > count or listed == before, "a change that was not counted"
