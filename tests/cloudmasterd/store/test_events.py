"""What others do to machine and cloud instances becomes events, once each, in an order to follow."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cloudmasterd.model import Event, TaskState
from cloudmasterd.store import Store, events
from tests.cloudmasterd.store.answers import (
    NOON,
    OFF,
    ONE,
    PAUSED,
    THREE,
    TWO,
    after,
    create,
    delta,
    full,
    look,
    machine,
    new_task,
    submit,
    uuid_of,
)  # fmt: skip

M1 = "m1.example.org"


def news(store: Store, behind: int = 0) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in store.events.list(after=behind)]


def test_the_first_inventory_of_a_cloud_instance_is_no_news(store: Store):
    store.sync_clouds({ONE: None})
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(2), machine(3))}, NOON)
    assert (news(store), store.events.latest) == ([], 0)
    store.reconcile({ONE: full(machine(1)), TWO: delta()}, after(15))
    assert news(store) == []


def test_what_appears_changes_and_vanishes_is_told_with_all_that_was_and_is(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    changed = replace(machine(1, PAUSED, name="new", memory_mb=2048), vcpus=4, autostart=True)
    store.reconcile({ONE: delta(machine(3, OFF), changed, gone=[2])}, after(15))
    assert store.events.list() == [
        Event(1, after(15), "machine.appeared", f"m3.example.org is on {ONE} (off)", ONE, uuid_of(3),
              "m3.example.org"),
        Event(2, after(15), "machine.changed", f"{M1} on {ONE}: name {M1} -> new, state running -> paused,"
              " memory_mb 1024 -> 2048, max_memory_mb 1024 -> 2048, vcpus 2 -> 4, autostart off -> on", ONE,
              uuid_of(1), "new"),
        Event(3, after(15), "machine.vanished", f"m2.example.org is not on {ONE} any more", ONE, uuid_of(2),
              "m2.example.org"),
    ]  # fmt: skip
    assert store.events.latest == 3


def test_a_change_between_active_and_not_is_told_once(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    store.reconcile({ONE: delta(machine(1, OFF))}, NOON)
    store.reconcile({ONE: full(machine(1, OFF))}, NOON)
    assert news(store) == [("machine.changed", f"{M1} on {ONE}: state running -> off")]


MOVED = ("machine.moved", f"{M1} is on {TWO}, it was on {ONE}")


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        ([{ONE: delta(gone=[1]), TWO: delta(machine(1))}], [MOVED]),
        ([{TWO: delta(machine(1)), ONE: delta(gone=[1])}], [MOVED]),
        (
            [{ONE: delta(gone=[1])}, {TWO: delta(machine(1))}],
            [("machine.vanished", f"{M1} is not on {ONE} any more"), MOVED],
        ),
        (
            [{TWO: delta(machine(1))}, {ONE: delta(gone=[1])}],
            [MOVED, ("machine.doubled", f"{M1} is on 2 cloud instances: {ONE} (running), {TWO} (running)")],
        ),
        (
            [{ONE: delta(machine(1, OFF)), TWO: delta(machine(1, PAUSED))}],
            [
                (MOVED[0], f"{MOVED[1]}; state running -> paused"),
                ("machine.doubled", f"{M1} is on 2 cloud instances: {ONE} (off), {TWO} (paused)"),
            ],
        ),
        (
            [{ONE: delta(gone=[1])}, {ONE: delta(machine(1))}],
            [
                ("machine.vanished", f"{M1} is not on {ONE} any more"),
                ("machine.appeared", f"{M1} is on {ONE} again (running)"),
            ],
        ),
    ],
    ids=[
        "at once",
        "at once, the other way",
        "source first",
        "destination first",
        "left behind",
        "came back",
    ],
)
def test_a_move_is_told_whichever_cloud_instance_is_asked_first(store: Store, batches, told):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    for batch in batches:
        store.reconcile(batch, after(15))
    assert news(store) == told


def test_a_machine_on_a_cloud_instance_that_is_new_here_is_doubled_but_did_not_move(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    store.reconcile({TWO: full(machine(1), machine(2))}, NOON)
    assert news(store) == [
        ("machine.doubled", f"{M1} is on 2 cloud instances: {ONE} (running), {TWO} (running)")
    ]
    store.reconcile({THREE: full(), TWO: full(machine(1), machine(2)), ONE: delta(machine(1))}, NOON)
    assert len(news(store)) == 1, "it is told once"


def test_a_machine_that_two_new_cloud_instances_report_at_once_is_doubled(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(1, OFF), machine(2))}, NOON)
    assert news(store) == [("machine.doubled", f"{M1} is on 2 cloud instances: {ONE} (running), {TWO} (off)")]


def test_what_happens_to_a_hidden_sighting_is_no_news(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(1, OFF))}, NOON)
    behind = store.events.latest
    store.reconcile({TWO: delta(machine(1, OFF, name="hidden"))}, NOON)
    store.reconcile({TWO: delta(gone=[1])}, NOON)
    assert news(store, behind) == []


def test_a_cloud_instance_that_is_lost_and_comes_back_is_told_once_each(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(2))}, NOON)
    for second in (1, 2):
        store.mark_unreachable({ONE: "refused", THREE: "never seen"}, after(second))
    store.mark_unreachable({ONE: "no answer"}, after(3))
    store.reconcile({ONE: delta(), THREE: full(machine(3))}, after(4))
    assert sorted(news(store)) == [
        ("cloud.reachable", f"{ONE} answers again"),
        ("cloud.reachable", f"{THREE} answers"),
        ("cloud.unreachable", f"{ONE} does not answer: refused"),
        ("cloud.unreachable", f"{THREE} does not answer: never seen"),
    ]
    assert {event.cloud for event in store.events.list()} == {ONE, THREE}


def test_a_machine_that_another_cloud_instance_steps_in_for_has_moved(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    store.reconcile({TWO: delta(machine(1))}, NOON)
    behind = store.events.latest
    store.mark_unreachable({TWO: "refused"}, NOON)
    assert news(store, behind)[1:] == [("machine.moved", f"{M1} is on {ONE}, it was on {TWO}")]


def test_the_task_at_work_on_a_machine_stands_on_its_events(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    done = submit(store, new_task(1))
    made = submit(store, create(3))
    store.reconcile({ONE: delta(machine(1, OFF), machine(2, OFF), machine(3))}, after(10))
    assert {event.machine_name: event.task for event in store.events.list()} == {
        M1: done.id, "m2.example.org": None, "m3.example.org": made.id
    }  # fmt: skip
    behind = store.events.latest
    store.tasks.end(done.id, TaskState.DONE, None, {}, after(12))
    store.reconcile({ONE: delta(machine(1))}, after(20))
    store.reconcile({ONE: delta(machine(1, OFF))}, after(30))
    assert [event.task for event in store.events.list(after=behind)] == [done.id, None], (
        "it ended after the last look, so it may have been it; later it cannot have been"
    )


def test_an_event_of_somebody_else_is_kept_as_it_was_told(store: Store):
    count = store.change_count
    event = store.events.add("image.added", "golden is there now", NOON, ONE, uuid_of(1), M1, 7)
    assert event == Event(1, NOON, "image.added", "golden is there now", ONE, uuid_of(1), M1, 7)
    assert store.events.list() == [event]
    assert store.change_count == count + 1
    store.events.add("x", "a\0b" + "y" * 9999, NOON)
    assert store.events.list(after=1)[0].text == ("a\ufffdb" + "y" * 9999)[: events.LONGEST_TEXT]


def test_events_are_listed_forwards_and_backwards_in_pages_and_by_filter(store: Store):
    for number in range(1, 7):
        cloud = TWO if number % 2 else ONE
        store.events.add("k", "t", NOON, cloud, uuid_of(number % 3), f"m{number % 3}")

    def ids(found: list[Event]) -> list[int]:
        return [event.id for event in found]

    assert ids(store.events.list()) == [1, 2, 3, 4, 5, 6]
    assert ids(store.events.list(after=2, limit=2)) == [3, 4]
    assert ids(store.events.list(machine=uuid_of(1))) == ids(store.events.list(machine="m1")) == [1, 4]
    assert ids(store.events.list(cloud=ONE, machine="m1")) == [4]
    assert store.events.list(after=6) == store.events.list(limit=0) == store.events.list(after=1 << 70) == []
    assert ids(store.events.newest(2)) == [6, 5]
    assert ids(store.events.newest(2, before=5)) == [4, 3]
    assert ids(store.events.newest(9, cloud=TWO, before=1 << 70)) == [5, 3, 1]
    assert store.events.newest(9, machine="nobody") == store.events.newest(0) == []


def test_whoever_waits_for_events_is_told_when_there_is_one(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    assert not store.events.wait(0, 0.01)
    ready = threading.Barrier(4)

    def wait() -> bool:
        ready.wait()
        return store.events.wait(0, 60.0)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(wait) for _ in range(3)]
        ready.wait()
        store.reconcile({ONE: delta(machine(1, OFF))}, NOON)
        assert [each.result() for each in waiting] == [True] * 3
    assert store.events.wait(0, 0.0)


def test_events_that_came_to_nothing_are_not_announced(store: Store, path: Path):
    store.reconcile({ONE: full(machine(1))}, NOON)
    look(path, "CREATE TRIGGER no BEFORE UPDATE ON meta BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(Exception, match="no"):
        store.reconcile({ONE: delta(machine(1, OFF))}, NOON)
    assert (store.events.latest, store.events.list()) == (0, [])


def test_only_the_latest_events_are_kept(store: Store, monkeypatch):
    monkeypatch.setattr(events, "KEPT_EVENTS", 50)
    monkeypatch.setattr(events, "PRUNED_EVERY", 20)
    store.reconcile({ONE: full()}, NOON)
    for _ in range(10):
        store.reconcile({ONE: full(*map(machine, range(7)))}, NOON)
        store.reconcile({ONE: full()}, NOON)
        assert len(store.events.list(limit=1000)) <= 50 + 20 + 7
    found = store.events.list(limit=1000)
    assert 50 <= len(found) <= 70
    assert found[-1].id == store.events.latest == 140
    assert [event.id for event in found] == list(range(found[0].id, 141))


def test_events_outlive_a_restart(path: Path, store: Store):
    store.events.add("k", "t", NOON)
    before = store.events.list()
    store.close()
    with closing(Store(path)) as again:
        assert (again.events.list(), again.events.latest) == (before, 1)
        assert again.events.add("k", "t", NOON).id == 2
