"""A machine instance that two cloud instances report is shown once, and its own facts go with it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cloudmasterd.model import CloudState, Inventory
from cloudmasterd.store import Store, writing
from cloudmasterd.store.choose import Sighting, choose
from tests.cloudmasterd.store.answers import (
    NOON,
    OFF,
    ONE,
    PAUSED,
    RUNNING,
    THREE,
    TWO,
    after,
    delta,
    full,
    look,
    machine,
    uuid_of,
    where,
)  # fmt: skip


def sighting(cloud: str, state: str = "running", appeared: int = 1) -> Sighting:
    return Sighting(1, cloud, uuid_of(1), "m", state, 1, 1, 1, 0, appeared, 0)


@pytest.mark.parametrize(
    ("winner", "loser", "up", "why"),
    [
        (sighting("a"), sighting("b", "off", 9), {"b"}, "active beats inactive, whoever answers"),
        (sighting("a", "paused"), sighting("b", "crashed", 9), {"a", "b"}, "paused is active"),
        (sighting("a", "shutting-down"), sighting("b", "off", 9), {"a", "b"}, "shutting down is active"),
        (sighting("a"), sighting("b", appeared=9), {"a"}, "who answers beats who does not"),
        (sighting("a", "off"), sighting("b", "off", 9), {"a"}, "among the inactive too"),
        (sighting("a", appeared=2), sighting("b"), {"a", "b"}, "the latest to appear"),
        (sighting("b"), sighting("a"), {"a", "b"}, "a draw does not hang on the order"),
    ],
)
def test_one_sighting_is_chosen_whatever_the_order(winner: Sighting, loser: Sighting, up: set, why: str):
    assert choose([winner, loser], up) is winner, why
    assert choose([loser, winner], up) is winner, why


STEPS = {
    "destination has it": (TWO, full(machine(1), machine(2))),
    "source lost it": (ONE, full(machine(3))),
}


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)), ids=" then ".join)
def test_a_moved_machine_shows_once_whichever_cloud_instance_is_asked_first(
    store: Store, order: tuple[str, ...]
):
    store.reconcile({ONE: full(machine(1), machine(3)), TWO: full(machine(2))}, NOON)
    for step in order:
        cloud, answer = STEPS[step]
        store.reconcile({cloud: answer}, NOON)
        where(store)
    assert where(store) == {"m1.example.org": TWO, "m2.example.org": TWO, "m3.example.org": ONE}
    assert [(c.name, c.machines, c.running) for c in store.list_clouds()] == [(ONE, 1, 1), (TWO, 2, 2)]


@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)], ids=str)
def test_a_move_within_one_batch_shows_once(store: Store, order: tuple[str, str]):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    answers = {ONE: delta(gone=[1]), TWO: delta(machine(1))}
    store.reconcile({name: answers[name] for name in order}, NOON)
    assert where(store) == {"m1.example.org": TWO}
    assert store.names_to_uuids(ONE) == {}


def test_two_cloud_instances_that_report_it_in_their_first_answers_show_it_once(store: Store):
    store.reconcile(
        {ONE: full(machine(1)), TWO: full(machine(1, OFF)), THREE: full(machine(1, PAUSED))}, NOON
    )
    assert where(store) == {"m1.example.org": THREE}
    assert [c.machines for c in store.list_clouds()] == [0, 0, 1]


def test_memory_is_counted_on_both_while_both_hold_it(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    store.reconcile({TWO: delta(machine(1, PAUSED))}, NOON)
    one, two = store.list_clouds()
    assert one.free_memory_mb == two.free_memory_mb == 65536 - 3276 - 1024 - 128
    assert (one.machines, two.machines) == (0, 1)


def test_a_definition_left_behind_stays_hidden_until_it_is_the_only_one(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    store.reconcile({TWO: delta(machine(1))}, NOON)
    store.reconcile({ONE: delta(machine(1, OFF))}, NOON)
    assert where(store) == {"m1.example.org": TWO}
    revision = store.get_machine(uuid_of(1)).revision
    store.reconcile({ONE: delta(machine(1, OFF, name="renamed while hidden"))}, NOON)
    assert store.get_machine(uuid_of(1)).revision == revision, "what nobody sees is no change of what is seen"
    store.reconcile({TWO: delta(gone=[1])}, NOON)
    assert where(store) == {"renamed while hidden": ONE}
    assert store.get_machine(uuid_of(1)).revision > revision


def test_a_hidden_machine_that_starts_while_the_shown_one_stops_is_shown(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(1, OFF))}, NOON)
    assert where(store) == {"m1.example.org": ONE}
    store.reconcile({ONE: delta(machine(1, OFF)), TWO: delta(machine(1, RUNNING))}, NOON)
    assert where(store) == {"m1.example.org": TWO}
    store.reconcile({TWO: delta(machine(1, OFF))}, NOON)
    store.reconcile({ONE: delta(machine(1, RUNNING))}, NOON)
    assert where(store) == {"m1.example.org": ONE}


def test_a_cloud_instance_that_dies_gives_up_what_another_one_reports(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    store.reconcile({TWO: full(machine(1))}, NOON)
    store.mark_unreachable({TWO: "refused"}, NOON)
    assert where(store) == {"m1.example.org": ONE, "m2.example.org": ONE}
    assert [(c.state, c.machines) for c in store.list_clouds()] == [
        (CloudState.UP, 2),
        (CloudState.UNREACHABLE, 0),
    ]
    store.mark_unreachable({ONE: "refused"}, NOON)
    assert where(store) == {"m1.example.org": TWO, "m2.example.org": ONE}
    store.reconcile({ONE: delta()}, NOON)
    assert where(store) == {"m1.example.org": ONE, "m2.example.org": ONE}
    store.reconcile({TWO: delta()}, NOON)
    assert where(store) == {"m1.example.org": TWO, "m2.example.org": ONE}


def write_about(path: Path, number: int) -> None:
    tags = '{"team": "web"}'
    sql = "UPDATE machine SET managed = 1, profile = 'p', image = 'i', tags = ?, notes = 'n' WHERE uuid = ?"
    look(path, sql, tags, uuid_of(number))


def facts(store: Store, number: int) -> tuple:
    found = store.get_machine(uuid_of(number))
    return found.managed, found.profile, found.image, dict(found.tags), found.notes


OWN = (True, "p", "i", {"team": "web"}, "n")


@pytest.mark.parametrize("steps", [(TWO, ONE), (ONE, TWO)], ids=str)
def test_what_is_written_about_a_machine_goes_with_it(store: Store, path: Path, steps: tuple[str, str]):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    write_about(path, 1)
    revision = store.get_machine(uuid_of(1)).revision
    answers: dict[str, Inventory] = {ONE: full(), TWO: full(machine(1))}
    for cloud in steps:  # asked in the order ONE, TWO it is nowhere for a moment
        store.reconcile({cloud: answers[cloud]}, NOON)
    assert facts(store, 1) == OWN
    assert store.get_machine(uuid_of(1)).revision > revision


def test_a_vanished_machine_leaves_the_list_and_comes_back_with_what_was_written_about_it(
    store: Store, path: Path
):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    write_about(path, 1)
    store.reconcile({ONE: full()}, NOON)
    assert store.list_machines() == []
    assert look(path, "SELECT uuid FROM machine") == [(uuid_of(1),)], "a row that says nothing is not kept"
    store.reconcile({TWO: full(machine(1), machine(2))}, after(86400))
    assert facts(store, 1) == OWN
    assert look(path, "SELECT count(*) FROM machine WHERE vanished_at IS NOT NULL") == [(0,)]


def test_rows_of_vanished_machines_are_kept_up_to_a_bound_the_latest_first(store: Store, path: Path):
    most = writing.KEPT_VANISHED
    store.reconcile({ONE: full(*map(machine, range(most + 3)))}, NOON)
    look(path, "UPDATE machine SET notes = 'n'")
    for second, number in enumerate((5, 6, 7)):
        store.reconcile({ONE: delta(gone=[number])}, after(second))
    store.reconcile({ONE: full()}, after(60))
    kept = {uuid for (uuid,) in look(path, "SELECT uuid FROM machine")}
    assert len(kept) == most
    assert not kept & {uuid_of(5), uuid_of(6), uuid_of(7)}
