"""Lists come in pages and by filter, and what is not there is missed in words that help."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloudmasterd.errors import Conflict, NotFound
from cloudmasterd.model import CloudState, MachineState
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import (
    NOON,
    OFF,
    ONE,
    PAUSED,
    THREE,
    TWO,
    delta,
    full,
    machine,
    uuid_of,
)  # fmt: skip

NAMES = ["a", "B", "a", "é", "z", "a", "\U0001f427", "\uffff"]


def pages(fetch, key, limit: int) -> list:
    found: list = []
    while True:
        page = fetch(key(found[-1]) if found else None, limit)
        found += page
        assert len(page) <= limit
        if len(page) < limit:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9])
def test_pages_of_machines_make_up_the_list(store: Store, limit: int):
    store.reconcile({ONE: full(*(machine(n, name=name) for n, name in enumerate(NAMES)))}, NOON)
    whole = store.list_machines()
    assert [(m.name, m.uuid) for m in whole] == sorted((name, uuid_of(n)) for n, name in enumerate(NAMES))
    fetch = lambda after, limit: store.list_machines(after=after, limit=limit)  # noqa: E731
    assert pages(fetch, lambda last: (last.name, last.uuid), limit) == whole


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_of_cloud_instances_make_up_the_list(store: Store, limit: int):
    store.sync_clouds({f"cloud{n}.example.org": None for n in range(4)})
    fetch = lambda after, limit: store.list_clouds(after=after, limit=limit)  # noqa: E731
    assert pages(fetch, lambda last: last.name, limit) == store.list_clouds()


def test_a_page_goes_on_behind_a_machine_that_is_gone(store: Store):
    store.reconcile({ONE: full(machine(1, name="a"), machine(2, name="b"), machine(3, name="c"))}, NOON)
    store.reconcile({ONE: delta(gone=[2])}, NOON)
    assert [m.name for m in store.list_machines(after=("b", uuid_of(2)))] == ["c"]
    assert store.list_machines(after=("c", uuid_of(3)), limit=5) == []


def test_a_limit_of_nothing_gives_nothing(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    assert store.list_machines(limit=0) == store.list_clouds(limit=0) == []


def test_machines_are_filtered_by_cloud_instances_and_states(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2, OFF)), TWO: full(machine(3, PAUSED), machine(4))}, NOON)

    def numbers(**filters) -> list[int]:
        return [int(found.uuid[-3:]) for found in store.list_machines(**filters)]

    assert numbers(clouds=[ONE]) == [1, 2]
    assert numbers(clouds=[ONE, TWO]) == [1, 2, 3, 4]
    assert numbers(clouds=["nobody"]) == []
    assert numbers(states=[OFF]) == [2]
    assert numbers(states=[OFF, PAUSED]) == [2, 3]
    assert numbers(states=["running"]) == [1, 4]
    assert numbers(states=iter(MachineState)) == [1, 2, 3, 4]
    assert numbers(clouds=[TWO], states=[OFF, PAUSED]) == [3]
    assert numbers(states=[OFF, PAUSED], after=("m2.example.org", uuid_of(2)), limit=1) == [3]


def test_cloud_instances_are_filtered_by_state(store: Store, path):
    store.sync_clouds({ONE: None, TWO: None, THREE: None, "cloud4": None})
    store.reconcile({TWO: full(), "cloud4": full()}, NOON)
    store.mark_unreachable({THREE: "refused"}, NOON)
    store._writer.connection.raw.execute("UPDATE cloud SET maintenance = 1 WHERE name = 'cloud4'")
    expected = {
        (CloudState.NEW,): [ONE],
        (CloudState.UP,): [TWO],
        (CloudState.UNREACHABLE,): [THREE],
        (CloudState.MAINTENANCE,): ["cloud4"],
        (CloudState.UP, CloudState.MAINTENANCE): [TWO, "cloud4"],
        tuple(CloudState): [ONE, TWO, THREE, "cloud4"],
    }
    for states, names in expected.items():
        found = store.list_clouds(states=states)
        assert [cloud.name for cloud in found] == names
        assert {cloud.state for cloud in found} <= set(states)


def test_a_state_there_is_not_is_no_filter(store: Store):
    with pytest.raises(ValueError, match="asleep"):
        store.list_machines(states=["asleep"])


def test_a_machine_is_found_by_name_and_by_uuid_in_either_case(store: Store):
    uuid = "abcdef00-0000-0000-0000-000000000000"
    store.reconcile({ONE: full(replace(machine(1, name="wild"), uuid=uuid))}, NOON)
    assert store.get_machine("wild") == store.get_machine(uuid) == store.get_machine(uuid.upper())


def test_a_uuid_wins_over_a_machine_that_is_called_like_it(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2, name=uuid_of(1)))}, NOON)
    assert store.get_machine(uuid_of(1)).name == "m1.example.org"


def test_one_name_on_two_cloud_instances_is_a_conflict_that_names_both(store: Store):
    store.reconcile({ONE: full(machine(1, name="jboss1")), TWO: full(machine(2, name="jboss1"))}, NOON)
    with pytest.raises(Conflict) as caught:
        store.get_machine("jboss1")
    assert str(caught.value) == (
        f"2 machine instances are called 'jboss1': {uuid_of(1)} on {ONE}, {uuid_of(2)} on {TWO}; ask by uuid"
    )
    assert store.get_machine(uuid_of(2)).cloud == TWO


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("cluod1.example.org", "; did you mean 'cloud1.example.org'?"),
        ("cloud2", "; did you mean 'cloud2.example.org'?"),
        ("xyzzy", ""),
        ("", ""),
        ("\0", ""),
    ],
)
def test_a_missing_cloud_instance_is_told_with_where_to_look(store: Store, asked: str, hint: str):
    store.sync_clouds({ONE: None, TWO: None})
    with pytest.raises(NotFound) as caught:
        store.get_cloud(asked)
    text = f"no cloud instance is called {asked!r}; GET /api/v1/clouds lists them{hint}"
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("m1.exmaple.org", "; did you mean 'm1.example.org'?"),
        ("m2", "; did you mean 'm2.example.org'?"),
        ("quite something else", ""),
    ],
)
def test_a_missing_machine_is_told_with_where_to_look(store: Store, asked: str, hint: str):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    with pytest.raises(NotFound) as caught:
        store.get_machine(asked)
    text = f"no machine instance is called {asked!r}; GET /api/v1/machines lists them{hint}"
    assert str(caught.value) == text


def test_a_name_as_long_as_a_book_is_not_quoted_in_full(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    for ask in (store.get_cloud, store.get_machine):
        with pytest.raises(NotFound) as caught:
            ask("x" * 100_000)
        assert len(str(caught.value)) < 400


def test_among_many_machines_a_near_name_is_still_found(store: Store):
    store.reconcile({ONE: full(*(machine(n, name=f"web{n:04d}.example.org") for n in range(2000)))}, NOON)
    with pytest.raises(NotFound, match=r"did you mean 'web1234\.example\.org'\?"):
        store.get_machine("web1234.exampel.org")
    with pytest.raises(NotFound, match=r"did you mean 'web1234\.example\.org'\?"):
        store.get_machine("web1234")


def test_the_lists_of_a_full_house_use_their_indexes(store: Store):
    statements: list[str] = []
    connection = store._readers._take()
    connection.raw.set_trace_callback(statements.append)
    store._readers._give_back(connection)
    store.list_machines(limit=100, after=("m", "u"))
    store.list_machines(limit=100, states=[OFF])
    store.list_machines(limit=100, states=[OFF, PAUSED])
    connection.raw.set_trace_callback(None)
    assert len(statements) == 3
    for statement in statements:
        plan = " ".join(row[3] for row in connection.raw.execute("EXPLAIN QUERY PLAN " + statement))
        assert "sighting_shown_by_" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
