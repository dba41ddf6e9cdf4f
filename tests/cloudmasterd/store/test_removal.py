"""A cloud instance goes out of the database: with what it reported, what was reserved, and no more."""

from __future__ import annotations

import pytest

from cloudmasterd.errors import NotFound
from cloudmasterd.model import TaskState
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import (
    NOON,
    ONE,
    TWO,
    after,
    create,
    free_mb,
    full,
    machine,
    new_task,
    submit,
    uuid_of,
    where,
)


def test_it_goes_with_what_it_reported_and_the_others_stay(store: Store) -> None:
    store.reconcile({ONE: full(machine(1), machine(2)), TWO: full(machine(3))}, NOON)
    before = store.change_count
    assert store.remove_cloud(ONE, "ann") == []
    assert [cloud.name for cloud in store.list_clouds()] == [TWO]
    assert where(store) == {"m3.example.org": TWO}
    assert store.change_count == before + 1
    events = store.events.newest(3)
    assert [(event.kind, event.cloud) for event in events] == [
        ("cloud.removed", ONE), ("machine.vanished", ONE), ("machine.vanished", ONE),
    ]  # fmt: skip
    assert events[0].text == f"ann removed {ONE}: its certificate is revoked"


def test_one_that_is_not_there_is_not_removed(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no cloud instance 'cloud1"):
        store.remove_cloud(ONE, "ann")


def test_a_machine_instance_that_lives_elsewhere_too_is_shown_there(store: Store) -> None:
    store.reconcile({ONE: full(machine(1))}, NOON)
    store.mark_unreachable({ONE: "dead"}, after(1))
    store.reconcile({TWO: full()}, after(2))
    store.reconcile({TWO: full(machine(1))}, after(3))
    store.remove_cloud(ONE, "ann")
    assert where(store) == {"m1.example.org": TWO}


def test_what_people_wrote_about_its_machine_instances_is_found_again_when_they_are(store: Store) -> None:
    store.reconcile({ONE: full(machine(1))}, NOON)
    store.change_machine(uuid_of(1), tags={"team": "web"})
    store.remove_cloud(ONE, "ann")
    store.reconcile({TWO: full(machine(1))}, after(5))
    found = store.get_machine(uuid_of(1))
    assert (found.cloud, found.tags) == (TWO, {"team": "web"})


def test_its_tasks_are_asked_to_end_and_what_they_reserved_is_nobodys(store: Store) -> None:
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    there, begun = submit(store, create(7)), submit(store, new_task(1))
    store.tasks.begin(begun.id, NOON, operation="o")
    elsewhere = submit(store, create(8, cloud=TWO))
    assert store.remove_cloud(ONE, "ann") == [there.id, begun.id]
    assert [store.tasks.get(task.id).cancel_asked for task in (there, begun, elsewhere)] == [
        True,
        True,
        False,
    ]
    assert store.get_cloud(TWO).free_memory_mb == free_mb(1024)
    for task in (there, begun):
        ended = store.tasks.end(task.id, TaskState.CANCELLED, None, {}, after(9))
        assert ended.state is TaskState.CANCELLED


def test_one_that_comes_back_begins_anew(store: Store) -> None:
    store.reconcile({ONE: full(machine(1))}, NOON)
    store.change_cloud(ONE, notes="of before", maintenance=True)
    store.remove_cloud(ONE, "ann")
    store.sync_clouds({ONE: None})
    cloud = store.get_cloud(ONE)
    assert (cloud.state.value, cloud.notes, cloud.maintenance_since, cloud.machines) == ("new", "", None, 0)
    store.reconcile({ONE: full(machine(1))}, after(60))
    assert where(store) == {"m1.example.org": ONE}
