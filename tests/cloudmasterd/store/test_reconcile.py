"""Whatever cloud instances answer in whatever order, the list is what their last answers say."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudmasterd.model import ACTIVE_STATES, Inventory, MachineState, MemoryPolicy, ObservedMachine
from cloudmasterd.store import Store
from cloudmasterd.store.choose import Sighting
from cloudmasterd.store.reconcile import Difference, difference, settle
from tests.blank import blank
from tests.cloudmasterd.store.answers import FIGURES, NOON, OFF, PAUSED, delta, full, look, machine, uuid_of

CLOUDS = ("a", "b", "c")
STATES = (MachineState.RUNNING, PAUSED, OFF)


def row(cloud: str, number: int, state: str = "running", shown: int = 1, key: int = 1) -> Sighting:
    return Sighting(key, cloud, uuid_of(number), f"m{number}.example.org", state, 1024, 1024, 2, 0, 1, shown)


def test_nothing_new_is_no_difference():
    assert difference("a", {uuid_of(1): row("a", 1)}, full(machine(1)), 9) == Difference()
    assert difference("a", {uuid_of(1): row("a", 1)}, delta(), 9) == Difference()


def test_a_difference_names_what_came_changed_and_went():
    present = {uuid_of(n): row("a", n, key=n) for n in (1, 2, 3)}
    found = difference("a", present, full(machine(1), machine(2, OFF), machine(4)), 9)
    assert [s.uuid for s in found.appeared] == [uuid_of(4)]
    assert [(s.id, s.state) for s in found.changed] == [(2, "off")]
    assert [s.id for s in found.gone] == [3]
    assert found.contested == {uuid_of(2), uuid_of(3), uuid_of(4)}


def test_a_change_that_leaves_the_machine_active_contests_nothing():
    found = difference("a", {uuid_of(1): row("a", 1)}, delta(machine(1, PAUSED)), 9)
    assert [s.state for s in found.changed] == ["paused"]
    assert found.contested == frozenset()


def test_a_machine_that_nobody_reports_any_more_has_vanished():
    gone = difference("a", {uuid_of(1): row("a", 1)}, full(), 9)
    plan = settle([gone], {uuid_of(1): [row("a", 1)]}, (), {"a"})
    assert (plan.delete, plan.vanished, plan.clouds) == ([1], [uuid_of(1)], {"a"})
    assert plan.hide == plan.show == plan.touched == plan.insert == []


def test_the_other_sighting_steps_in_and_both_cloud_instances_are_counted_anew():
    rows = [row("a", 1, key=1), row("b", 1, "off", 0, key=2)]
    gone = difference("a", {uuid_of(1): rows[0]}, full(), 9)
    plan = settle([gone], {uuid_of(1): rows}, (), {"a", "b"})
    assert (plan.delete, plan.show, plan.touched, plan.clouds) == ([1], [2], [uuid_of(1)], {"a", "b"})


def test_nothing_is_written_for_a_contest_that_ends_as_it_stood():
    rows = [row("a", 1, key=1), row("b", 1, "off", 0, key=2)]
    plan = settle([], {uuid_of(1): rows}, [uuid_of(1)], {"b"})
    assert not any((plan.hide, plan.delete, plan.touched, plan.update, plan.insert, plan.show, plan.vanished))


machines = st.builds(
    lambda number, state, memory: machine(number, state, memory_mb=memory),
    st.integers(0, 5),
    st.sampled_from(STATES),
    st.integers(1, 3),
)
inventories = st.lists(machines, max_size=4, unique_by=lambda m: m.uuid)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("full"), st.dictionaries(st.sampled_from(CLOUDS), inventories, min_size=1)),
        st.tuples(
            st.just("delta"),
            st.dictionaries(
                st.sampled_from(CLOUDS),
                st.tuples(inventories, st.sets(st.integers(0, 5), max_size=2)),
                min_size=1,
            ),
        ),
        st.tuples(st.just("move"), st.tuples(st.integers(0, 5), st.permutations(CLOUDS), st.booleans())),
        st.tuples(st.just("lost"), st.sets(st.sampled_from(CLOUDS), min_size=1)),
    ),
    max_size=12,
)


class Model:
    """The list by plain means: what each cloud instance last said, and when each machine appeared there."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, ObservedMachine]] = {}
        self.since: dict[tuple[str, str], int] = {}
        self.up: set[str] = set()
        self.turn = 0

    def answer(self, batch: dict[str, Inventory]) -> None:
        self.turn += 1
        for cloud, inventory in batch.items():
            old = self.said.get(cloud, {})
            new = {} if inventory.full else dict(old)
            for uuid in inventory.gone:
                new.pop(uuid, None)
            new.update((found.uuid, found) for found in inventory.machines)
            for uuid in new.keys() - old.keys():
                self.since[cloud, uuid] = self.turn
            self.said[cloud] = new
            self.up.add(cloud)

    def shown(self) -> dict[str, tuple[str, ObservedMachine]]:
        best: dict[str, tuple[tuple, str, ObservedMachine]] = {}
        for cloud, has in self.said.items():
            for uuid, found in has.items():
                rank = (found.state in ACTIVE_STATES, cloud in self.up, self.since[cloud, uuid], cloud)
                if uuid not in best or rank > best[uuid][0]:
                    best[uuid] = (rank, cloud, found)
        return {uuid: (cloud, found) for uuid, (_, cloud, found) in best.items()}


def play(store: Store, model: Model, kind: str, what) -> None:
    batches: list[dict[str, Inventory]] = []
    if kind == "full":
        batches = [{cloud: full(*found) for cloud, found in what.items()}]
    elif kind == "delta":
        batches = [{cloud: delta(*found, gone=gone) for cloud, (found, gone) in what.items()}]
    elif kind == "move":
        number, (source, target, _), source_first = what
        batches = [{source: delta(gone=[number])}, {target: delta(machine(number))}]
        batches = batches if source_first else batches[::-1]
    else:
        store.mark_unreachable(dict.fromkeys(what, "refused"), NOON)
        for cloud in what:
            model.said.setdefault(cloud, {})
        model.up -= what
    for batch in batches:
        store.reconcile(batch, NOON)
        model.answer(batch)


def facts(store: Store) -> dict:
    return {
        m.uuid: (
            m.cloud,
            ObservedMachine(m.uuid, m.name, m.state, m.memory_mb, m.max_memory_mb, m.vcpus, m.autostart),
        )
        for m in store.list_machines()
    }


def check(store: Store, model: Model) -> None:
    shown = model.shown()
    assert facts(store) == shown
    for cloud in store.list_clouds():
        has = model.said[cloud.name].values()
        active = [found for found in has if found.state in ACTIVE_STATES]
        mine = [found for where, found in shown.values() if where == cloud.name]
        assert cloud.machines == len(mine)
        assert cloud.running == sum(found.state is MachineState.RUNNING for found in mine)
        if cloud.memory_mb is not None:
            committed = sum(found.max_memory_mb for found in active)
            assert cloud.free_memory_mb == MemoryPolicy().free_mb(FIGURES.memory_mb, committed, len(active))


@settings(max_examples=settings.default.max_examples * 3 // 5)
@given(steps)
def test_any_sequence_of_answers_ends_in_the_list_their_last_words_make(sequence):
    with tempfile.TemporaryDirectory() as folder:
        store, model = Store(blank(Path(folder) / "db")), Model()
        for kind, what in sequence:
            count, before = store.change_count, (facts(store), [c.revision for c in store.list_clouds()])
            play(store, model, kind, what)
            check(store, model)
            after = (facts(store), [c.revision for c in store.list_clouds()])
            assert (store.change_count > count) or after == before, "a change that was not counted"
        # said once more in full, nothing is left to change
        count = store.change_count
        again = {cloud: full(*model.said[cloud].values()) for cloud in model.up}
        store.reconcile({c: full(*has.machines, cloud=None) for c, has in again.items()}, NOON)
        assert store.change_count == count
        assert look(Path(folder) / "db", "SELECT count(*) FROM machine") == [(len(model.shown()),)]
        store.close()
        reopened = Store(Path(folder) / "db")
        assert facts(reopened) == model.shown()
        reopened.close()
