"""What people say of cloud and machine instances: it stays, whatever cloud instances report."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cloudmasterd.errors import Invalid, NotFound, StaleVersion
from cloudmasterd.model import (
    RESERVE_BY_POLICY,
    Author,
    CloudState,
    MachineInstance,
    MachineState,
    TaskState,
)
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import (
    FIGURES,
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
    submit,
    uuid_of,
)  # fmt: skip
from tests.fakes import FakeClock


@pytest.fixture(autouse=True)
def clouds(store: Store) -> None:
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)


def test_maintenance_has_a_reason_and_a_beginning(store: Store, clock: FakeClock):
    before = store.get_cloud(ONE)
    clock.advance(5)
    since = clock.now()
    cloud = store.change_cloud(ONE, maintenance=True, maintenance_reason="new disk")
    assert cloud == store.get_cloud(ONE) == replace(
        before, state=CloudState.MAINTENANCE, maintenance_reason="new disk", maintenance_since=since,
        revision=store.change_count,
    )  # fmt: skip
    clock.advance(5)
    again = store.change_cloud(ONE, maintenance=True, maintenance_reason="new disks")
    assert (again.maintenance_reason, again.maintenance_since) == ("new disks", since)
    assert store.change_cloud(ONE, maintenance=True).maintenance_reason == "new disks"
    assert store.change_cloud(ONE, maintenance=False) == replace(before, revision=store.change_count)


def test_a_reason_without_maintenance_is_invalid(store: Store):
    for wish in ({"maintenance_reason": "x"}, {"maintenance_reason": "x", "maintenance": False}):
        with pytest.raises(Invalid, match=f"{ONE} is not in maintenance") as caught:
            store.change_cloud(ONE, **wish)
        assert [field for field, _ in caught.value.fields] == ["maintenance_reason"]
    assert store.change_cloud(ONE, maintenance_reason="").maintenance_reason == ""
    store.change_cloud(ONE, maintenance=True)
    assert store.change_cloud(ONE, maintenance_reason="at last").maintenance_reason == "at last"


def test_a_reserve_of_its_own_goes_into_every_figure(store: Store):
    for reserve_mb in (0, 10_000):
        cloud = store.change_cloud(ONE, reserve_mb=reserve_mb)
        assert (cloud.reserve_override_mb, cloud.reserved_memory_mb) == (reserve_mb, reserve_mb)
        assert cloud.free_memory_mb == FIGURES.memory_mb - reserve_mb - 1024 - 128
    assert store.get_cloud(TWO).free_memory_mb == free_mb()
    submit(store, create(2, 2048))
    assert store.get_cloud(ONE).free_memory_mb == FIGURES.memory_mb - 10_000 - 1024 - 2048 - 2 * 128
    by_policy = store.change_cloud(ONE, reserve_mb=RESERVE_BY_POLICY)
    assert (by_policy.reserve_override_mb, by_policy.reserved_memory_mb) == (None, 3276)
    assert by_policy.free_memory_mb == free_mb(1024, 2048)


def test_tags_and_notes_are_replaced_and_what_is_not_given_stays(store: Store):
    store.change_cloud(ONE, tags={"rack": "a", "b": "é"}, notes="one\ntwo")
    cloud = store.change_cloud(ONE, tags={"rack": "b"})
    assert (cloud.tags, cloud.notes) == ({"rack": "b"}, "one\ntwo")
    cloud = store.change_cloud(ONE, tags={}, notes="")
    assert (cloud.tags, cloud.notes) == ({}, "")


def test_a_change_that_changes_nothing_is_none(store: Store):
    cloud = store.change_cloud(ONE, maintenance=True, reserve_mb=5, tags={"a": "1", "b": "2"}, notes="n")
    about = store.change_machine(uuid_of(1), tags={"a": "1", "b": "2"}, managed=True, groups=["web"])
    count, writes = store.change_count, store.write_count
    assert store.change_cloud(ONE, maintenance=True, reserve_mb=5, tags={"b": "2", "a": "1"}) == cloud
    assert store.change_machine(uuid_of(1), tags={"b": "2", "a": "1"}, managed=True, groups=("web",)) == about
    assert store.change_cloud(ONE) == cloud
    assert (store.change_count, store.write_count) == (count, writes)


def test_what_is_said_outlives_refreshes_and_a_restart(store: Store, path: Path):
    store.change_cloud(ONE, maintenance=True, maintenance_reason="disk", reserve_mb=5000, notes="n")
    store.mark_unreachable({ONE: "refused"}, after(1))
    store.reconcile({ONE: full(machine(1), cloud=replace(FIGURES, cpus=32))}, after(2))
    now = store.get_cloud(ONE)
    assert (now.cpus, now.state, now.reserve_override_mb) == (32, CloudState.MAINTENANCE, 5000)
    assert (now.maintenance_reason, now.notes) == ("disk", "n")
    store.close()
    with closing(Store(path)) as again:
        assert again.get_cloud(ONE) == now


def test_what_is_said_of_a_machine_is_shown_and_goes_with_it(store: Store):
    before = store.get_machine(uuid_of(1))
    changed = store.change_machine(
        uuid_of(1).upper(),
        tags={"team": "web"},
        notes="n",
        managed=True,
        image="golden",
        groups=["a", "b", "a"],
    )
    assert changed == store.get_machine(uuid_of(1)) == replace(
        before, tags={"team": "web"}, notes="n", managed=True, image="golden", groups=("a", "b"),
        revision=store.change_count,
    )  # fmt: skip
    store.reconcile({ONE: delta(gone=[1])}, NOON)
    store.reconcile({TWO: delta(machine(1))}, NOON)
    moved = store.get_machine(uuid_of(1))
    assert moved == replace(changed, cloud=TWO, revision=moved.revision)
    assert store.change_machine(uuid_of(1), managed=False, tags={}).managed is False


def test_a_machine_that_bears_our_mark_is_ours_and_stays_so_without_it(store: Store):
    assert not store.get_machine(uuid_of(1)).managed
    store.reconcile({ONE: delta(replace(machine(1), managed=True))}, NOON)
    ours = store.get_machine(uuid_of(1))
    assert (ours.managed, ours.revision) == (True, store.change_count)
    count = store.change_count
    for again in (replace(machine(1), managed=True), machine(1)):
        store.reconcile({ONE: delta(again)}, NOON)
        assert (store.get_machine(uuid_of(1)), store.change_count) == (ours, count)
    store.reconcile({ONE: delta(machine(2))}, NOON)
    store.change_machine(uuid_of(2), managed=True)
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    assert [each.managed for each in store.list_machines()] == [True, True]


def test_who_changed_what_is_an_event(store: Store):
    before = store.events.latest
    ada, ben = Author("ada"), Author("ben", task=7)
    store.change_cloud(ONE, maintenance=True, maintenance_reason="new disk", reserve_mb=5000, by=ada)
    store.change_cloud(ONE, maintenance=False, reserve_mb=RESERVE_BY_POLICY, notes="long", by=ada)
    store.change_machine(uuid_of(1), tags={"team": "web", "x": "1"}, by=ada)
    store.change_machine(uuid_of(1), tags={"team": "t" * 100}, notes="n", managed=True, by=ben)
    told = store.events.list(after=before)
    assert [event.text.partition(" changed ")[2].split("; ") for event in told] == [
        [
            f"{ONE}: maintenance off -> on",
            "the reason none -> new disk",
            "the reserve by the configuration -> 5000 MB",
        ],
        [
            f"{ONE}: maintenance on -> off",
            "the reason new disk -> none",
            "the reserve 5000 MB -> by the configuration",
            "its notes",
        ],
        ["m1.example.org: tag team none -> web", "tag x none -> 1"],
        [
            "m1.example.org: managed here off -> on",
            f"tag team web -> {'t' * 80}...",
            "tag x 1 -> none",
            "its notes",
        ],
    ]
    assert [event.text.split()[0] for event in told] == ["ada", "ada", "ada", "ben"]
    assert [event.kind for event in told] == ["cloud.changed"] * 2 + ["machine.changed"] * 2
    assert [(event.cloud, event.machine, event.task) for event in told[1:]] == [
        (ONE, None, None), (ONE, uuid_of(1), None), (ONE, uuid_of(1), 7),
    ]  # fmt: skip


def test_what_changes_nothing_or_is_nobodys_is_no_event(store: Store):
    before = store.events.latest
    store.change_cloud(ONE, notes="", by=Author("ada"))
    store.change_machine(uuid_of(1), notes="", by=Author("ada"))
    store.change_machine(uuid_of(1), notes="by the cloud master itself")
    with pytest.raises(StaleVersion):
        store.change_cloud(ONE, notes="late", revision=0, by=Author("ada"))
    assert store.events.latest == before


def test_a_machine_on_its_way_is_written_about_before_anybody_reports_it(store: Store, path: Path):
    task = submit(store, create(2, 2048))
    written = store.change_machine(uuid_of(2), managed=True, tags={"team": "web"})
    assert written == MachineInstance(
        "m2.example.org", uuid_of(2), ONE, MachineState.CREATING, 2048, 2048, 0, managed=True,
        tags={"team": "web"}, revision=store.change_count,
    )  # fmt: skip
    assert [m.name for m in store.list_machines()] == ["m1.example.org"], "nobody has seen it"
    assert store.change_machine(uuid_of(2), notes="n", revision=written.revision).notes == "n"
    store.reconcile({ONE: delta(machine(2, memory_mb=2048))}, NOON)
    store.tasks.end(task.id, TaskState.DONE, None, {}, NOON)
    seen = store.get_machine(uuid_of(2))
    assert (seen.managed, seen.tags, seen.notes) == (True, {"team": "web"}, "n")
    assert look(path, "SELECT count(*) FROM machine WHERE vanished_at IS NOT NULL") == [(0,)]


def test_what_was_written_about_a_machine_that_never_came_is_bound_to_go(store: Store, path: Path):
    task = submit(store, create(2))
    store.change_machine(uuid_of(2), notes="n")
    store.tasks.end(task.id, TaskState.FAILED, "no", {}, after(9))
    assert look(path, "SELECT uuid FROM machine WHERE vanished_at IS NOT NULL") == [(uuid_of(2),)]


def test_nobody_else_can_be_changed(store: Store):
    with pytest.raises(NotFound, match="did you mean 'cloud1.example.org'"):
        store.change_cloud("cluod1.example.org", notes="n")
    for uuid in (uuid_of(9), "m1.example.org", "\0"):
        with pytest.raises(NotFound, match="no machine instance has the uuid"):
            store.change_machine(uuid, notes="n")


def test_a_stale_version_is_refused_and_changes_nothing(store: Store):
    cloud, about = store.get_cloud(ONE), store.get_machine(uuid_of(1))
    assert store.change_cloud(ONE, notes="n", revision=cloud.revision).notes == "n"
    assert store.change_machine(uuid_of(1), notes="n", revision=about.revision).notes == "n"
    count = store.change_count
    with pytest.raises(StaleVersion, match=f"{ONE} has changed since you read it: read it again"):
        store.change_cloud(ONE, notes="other", revision=cloud.revision)
    with pytest.raises(StaleVersion, match="m1.example.org has changed since"):
        store.change_machine(uuid_of(1), notes="other", revision=about.revision)
    assert (store.get_cloud(ONE).notes, store.change_count) == ("n", count)


@pytest.mark.parametrize("what", ["cloud", "machine"])
def test_of_fifty_with_one_version_one_succeeds(store: Store, what: str):
    revision = (store.get_cloud(ONE) if what == "cloud" else store.get_machine(uuid_of(1))).revision
    start = threading.Barrier(50)

    def ask(number: int) -> bool:
        start.wait()
        try:
            if what == "cloud":
                store.change_cloud(ONE, notes="the same", revision=revision)
            else:
                store.change_machine(uuid_of(1), notes=f"by {number}", revision=revision)
        except StaleVersion:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(ask, range(50))) == 1


def test_text_no_database_can_hold_is_kept_as_it_can_be(store: Store):
    cloud = store.change_cloud(ONE, notes="a\0b", tags={"\ud800": "\0"})
    assert (cloud.notes, cloud.tags) == ("a\ufffdb", {"\ufffd": "\ufffd"})
    assert store.change_machine(uuid_of(1), notes="\ud800", groups=["\0"]).groups == ("\ufffd",)
