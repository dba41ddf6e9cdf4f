"""What the store remembers of cloud instances and machine instances, on a real file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from cloudmasterd.errors import NotFound, StoreError
from cloudmasterd.model import (
    CloudInstance,
    CloudState,
    MachineInstance,
    MachineState,
    MemoryPolicy,
    ObservedCloud,
)
from cloudmasterd.store import Store
from tests.cloudmasterd.store.answers import (
    FIGURES,
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


def test_a_cloud_instance_with_a_certificate_is_new_until_it_answers(store: Store):
    expires = after(3600)
    store.sync_clouds({ONE: expires, TWO: None})
    assert store.list_clouds() == [
        CloudInstance(ONE, CloudState.NEW, certificate_expires_at=expires, revision=store.change_count),
        CloudInstance(TWO, CloudState.NEW, revision=store.change_count),
    ]
    assert store.list_cursors() == {ONE: None, TWO: None}


def test_an_answer_fills_in_every_figure(store: Store):
    store.sync_clouds({ONE: None})
    store.reconcile({ONE: full(machine(1, memory_mb=2048), machine(2, OFF), machine(3, PAUSED))}, NOON)
    assert store.get_cloud(ONE) == CloudInstance(
        name=ONE,
        state=CloudState.UP,
        arch="x86_64",
        cpus=16,
        memory_mb=65536,
        reserved_memory_mb=3276,
        free_memory_mb=65536 - 3276 - (2048 + 128) - (1024 + 128),
        live_free_memory_mb=40123,
        machines=3,
        running=1,
        observed_at=NOON,
        revision=store.change_count,
    )
    assert store.get_machine("m1.example.org") == MachineInstance(
        name="m1.example.org",
        uuid=uuid_of(1),
        cloud=ONE,
        state=RUNNING,
        memory_mb=2048,
        max_memory_mb=2048,
        vcpus=2,
        observed_at=NOON,
        revision=store.change_count,
    )
    assert store.list_cursors() == {ONE: "1"}


def test_free_memory_follows_the_policy_the_store_was_given(path: Path):
    for policy, free in ((MemoryPolicy(0, 0, 0), 64512), (MemoryPolicy(10000, 0, 1000), 53512)):
        store = Store(path, policy)
        store.reconcile({ONE: full(machine(1))}, NOON)
        assert store.get_cloud(ONE).free_memory_mb == free
        store.close()


def test_another_policy_is_a_change_of_every_cloud_instance_with_figures(path: Path):
    store = Store(path)
    store.reconcile({ONE: full()}, NOON)
    count, revision = store.change_count, store.get_cloud(ONE).revision
    store.close()
    for policy, changed in ((MemoryPolicy(), False), (MemoryPolicy(overhead_mb=64), True)):
        store = Store(path, policy)
        assert (store.change_count > count) is changed
        assert (store.get_cloud(ONE).revision > revision) is changed
        store.close()


def test_a_delta_changes_only_what_it_names(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2), machine(3))}, NOON)
    untouched = store.get_machine(uuid_of(3))
    store.reconcile({ONE: delta(machine(1, OFF), machine(4), gone=[2], cursor="2")}, after(15))
    assert [(m.name, m.state) for m in store.list_machines()] == [
        ("m1.example.org", OFF),
        ("m3.example.org", RUNNING),
        ("m4.example.org", RUNNING),
    ]
    assert store.get_machine(uuid_of(3)) == replace(untouched, observed_at=after(15))
    assert store.get_cloud(ONE).machines == 3
    assert store.list_cursors() == {ONE: "2"}


def test_a_full_inventory_drops_what_it_does_not_list(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2)), TWO: full(machine(3))}, NOON)
    store.reconcile({ONE: full(machine(2))}, after(15))
    assert where(store) == {"m2.example.org": ONE, "m3.example.org": TWO}
    with pytest.raises(NotFound):
        store.get_machine(uuid_of(1))
    store.reconcile({ONE: full()}, after(30))
    assert (store.get_cloud(ONE).machines, store.get_cloud(ONE).running) == (0, 0)
    assert store.get_cloud(ONE).free_memory_mb == 65536 - 3276


def test_a_delta_about_unknown_machines_does_no_harm_and_a_full_inventory_heals_it(store: Store):
    store.reconcile({ONE: delta(machine(1), gone=[7, 7, 8], cursor="5")}, NOON)
    store.reconcile({ONE: delta(machine(2), machine(2, OFF), gone=[2])}, NOON)
    assert where(store) == {"m1.example.org": ONE, "m2.example.org": ONE}
    cloud = store.get_cloud(ONE)
    assert (cloud.state, cloud.memory_mb, cloud.free_memory_mb) == (CloudState.UP, None, None)
    store.reconcile({ONE: full(machine(2))}, NOON)
    assert where(store) == {"m2.example.org": ONE}
    assert store.get_cloud(ONE).free_memory_mb == 65536 - 3276 - 1024 - 128


def test_a_renamed_machine_keeps_its_uuid_and_two_may_swap_names(store: Store):
    store.reconcile({ONE: full(machine(1, name="a"), machine(2, name="b"))}, NOON)
    store.reconcile({ONE: delta(machine(1, name="b"), machine(2, name="a"))}, NOON)
    assert [(m.name, m.uuid) for m in store.list_machines()] == [("a", uuid_of(2)), ("b", uuid_of(1))]


def test_an_unchanged_answer_renews_the_age_and_nothing_else(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(2))}, NOON)
    count, writes = store.change_count, store.write_count
    before = store.list_clouds(), store.list_machines()
    store.reconcile({ONE: delta(), TWO: delta()}, after(15))
    assert (store.change_count, store.write_count) == (count, writes + 1)
    assert store.list_clouds() == [replace(cloud, observed_at=after(15)) for cloud in before[0]]
    assert store.list_machines() == [replace(machine, observed_at=after(15)) for machine in before[1]]


def test_an_unchanged_answer_reads_no_machine(store: Store):
    store.reconcile({ONE: full(machine(1)), TWO: full(machine(2))}, NOON)
    statements: list[str] = []
    store._writer.connection.raw.set_trace_callback(statements.append)
    store.reconcile({ONE: delta(), TWO: delta()}, after(15))
    store._writer.connection.raw.set_trace_callback(None)
    assert not [text for text in statements if "sighting" in text or "machine " in text]
    assert len([text for text in statements if text.lstrip().startswith("UPDATE")]) == 1


def test_the_same_full_inventory_again_changes_no_fact(store: Store):
    answer = {ONE: full(machine(1), machine(2, OFF))}
    store.reconcile(answer, NOON)
    count, machines = store.change_count, store.list_machines()
    store.reconcile(answer, NOON)
    assert store.change_count == count
    assert store.list_machines() == machines


def test_a_new_cursor_alone_is_kept_but_is_no_fact(store: Store):
    store.reconcile({ONE: full(cursor="1")}, NOON)
    count = store.change_count
    store.reconcile({ONE: delta(cursor="2")}, NOON)
    assert (store.change_count, store.list_cursors()) == (count, {ONE: "2"})
    store.reconcile({ONE: delta(cursor=None)}, NOON)
    assert store.list_cursors() == {ONE: None}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"}, {"state": PAUSED}, {"memory_mb": 1}, {"max_memory_mb": 1}, {"vcpus": 9},
        {"autostart": True},
    ],
    ids=str,
)  # fmt: skip
def test_each_fact_of_a_machine_counts_as_a_change_of_it_alone(store: Store, change: dict):
    store.reconcile({ONE: full(machine(1), machine(2))}, NOON)
    first, second = store.list_machines()
    store.reconcile({ONE: delta(replace(machine(1), **change))}, NOON)
    now = store.get_machine(uuid_of(1))
    assert now == replace(first, **change, revision=now.revision)
    assert now.revision > first.revision
    assert store.get_machine(uuid_of(2)) == second


@pytest.mark.parametrize(
    "figures",
    [
        replace(FIGURES, arch="aarch64"), replace(FIGURES, cpus=2), replace(FIGURES, memory_mb=9999),
        replace(FIGURES, live_free_memory_mb=None),
    ],
    ids=str,
)  # fmt: skip
def test_each_figure_of_a_cloud_instance_counts_as_a_change(store: Store, figures: ObservedCloud):
    store.reconcile({ONE: full(machine(1)), TWO: full()}, NOON)
    one, two = store.list_clouds()
    store.reconcile({ONE: delta(cloud=figures)}, NOON)
    now = store.get_cloud(ONE)
    assert now.revision > one.revision
    assert now.live_free_memory_mb == figures.live_free_memory_mb
    assert (now.arch, now.cpus, now.memory_mb) == (figures.arch, figures.cpus, figures.memory_mb)
    assert store.get_cloud(TWO) == two


def test_a_machine_that_starts_changes_its_cloud_instance_too(store: Store):
    store.reconcile({ONE: full(machine(1, OFF))}, NOON)
    before, off = store.get_cloud(ONE), store.get_machine(uuid_of(1))
    store.reconcile({ONE: delta(machine(1))}, NOON)
    now = store.get_cloud(ONE)
    assert store.get_machine(uuid_of(1)).revision > off.revision
    assert now.free_memory_mb == before.free_memory_mb - 1024 - 128
    assert (now.running, now.revision > before.revision) == (1, True)


def test_a_cloud_instance_that_stops_answering_keeps_its_last_figures(store: Store):
    store.reconcile({ONE: full(machine(1))}, NOON)
    up, machines = store.get_cloud(ONE), store.list_machines()
    store.mark_unreachable({ONE: "no answer within 5 s"}, after(15))
    down = store.get_cloud(ONE)
    assert down == replace(
        up,
        state=CloudState.UNREACHABLE,
        error="no answer within 5 s",
        unreachable_since=after(15),
        revision=down.revision,
    )
    assert down.revision > up.revision
    assert store.list_machines() == machines
    store.reconcile({ONE: delta()}, after(60))
    assert store.get_cloud(ONE) == replace(up, observed_at=after(60), revision=store.change_count)


def test_failing_again_in_the_same_way_writes_nothing(store: Store):
    store.reconcile({ONE: full()}, NOON)
    store.mark_unreachable({ONE: "refused"}, after(15))
    count, writes, down = store.change_count, store.write_count, store.get_cloud(ONE)
    store.mark_unreachable({ONE: "refused"}, after(30))
    assert (store.change_count, store.write_count, store.get_cloud(ONE)) == (count, writes, down)
    store.mark_unreachable({ONE: "timed out"}, after(45))
    assert store.change_count > count
    assert store.get_cloud(ONE) == replace(down, error="timed out", revision=store.change_count)


def test_a_new_cloud_instance_that_never_answered_is_unreachable_without_figures(store: Store):
    store.sync_clouds({ONE: None})
    store.mark_unreachable({ONE: "refused", TWO: "refused too"}, NOON)
    for name, error in ((ONE, "refused"), (TWO, "refused too")):
        assert store.get_cloud(name) == CloudInstance(
            name, CloudState.UNREACHABLE, error=error, unreachable_since=NOON, revision=store.change_count
        )


def test_maintenance_is_shown_over_reachability_and_outlives_it(store: Store, path: Path):
    store.reconcile({ONE: full(), TWO: full()}, NOON)
    look(path, "UPDATE cloud SET maintenance = 1 WHERE name = ?", ONE)
    assert store.get_cloud(ONE).state is CloudState.MAINTENANCE
    store.mark_unreachable({ONE: "refused"}, NOON)
    assert (store.get_cloud(ONE).state, store.get_cloud(ONE).error) == (CloudState.MAINTENANCE, "refused")
    store.reconcile({ONE: delta()}, NOON)
    assert store.get_cloud(ONE).state is CloudState.MAINTENANCE
    look(path, "UPDATE cloud SET maintenance = 0")
    assert store.get_cloud(ONE).state is CloudState.UP


def test_certificates_bring_cloud_instances_and_never_take_them_away(store: Store):
    store.sync_clouds({ONE: after(1), TWO: None})
    count = store.change_count
    store.sync_clouds({ONE: after(1), TWO: None})
    assert store.change_count == count
    store.sync_clouds({ONE: after(2), THREE: after(3)})
    assert [(c.name, c.certificate_expires_at) for c in store.list_clouds()] == [
        (ONE, after(2)),
        (TWO, None),
        (THREE, after(3)),
    ]
    assert store.get_cloud(TWO).revision == count < store.get_cloud(ONE).revision


def test_nothing_to_do_writes_nothing(store: Store):
    writes = store.write_count
    store.sync_clouds({})
    store.reconcile({}, NOON)
    store.mark_unreachable({}, NOON)
    assert store.write_count == writes


def test_everything_is_there_again_after_a_restart(path: Path):
    store = Store(path)
    store.sync_clouds({ONE: after(9)})
    store.reconcile({ONE: full(machine(1), cursor="a"), TWO: full(machine(2), cursor=None)}, NOON)
    store.mark_unreachable({TWO: "refused"}, after(5))
    before = store.change_count, store.list_clouds(), store.list_machines(), store.list_cursors()
    store.close()
    store = Store(path)
    assert (store.change_count, store.list_clouds(), store.list_machines(), store.list_cursors()) == before
    assert store.write_count == 0
    store.close()


def test_times_are_kept_in_utc_and_must_have_a_zone(store: Store):
    store.reconcile({ONE: full()}, NOON.astimezone(timezone(timedelta(hours=2))))
    observed = store.get_cloud(ONE).observed_at
    assert observed == NOON
    assert observed.utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="without a zone"):
        store.reconcile({ONE: full(machine(1))}, NOON.replace(tzinfo=None))
    assert store.list_machines() == []


@pytest.mark.parametrize(
    "name", ["jb'); DROP TABLE cloud; --", "☃ snow man", "a\nb", "%", "\U0001f427", "\\", "''"]
)
def test_any_name_is_taken_and_found_again(store: Store, name: str):
    store.reconcile({ONE: full(machine(1, name=name), machine(2))}, NOON)
    assert store.get_machine(name).uuid == uuid_of(1)
    assert name in [found.name for found in store.list_machines()]
    assert store.names_to_uuids(ONE)[name] == uuid_of(1)


@pytest.mark.parametrize(("name", "kept"), [("a\0b", "a\ufffdb"), ("a\ud800b", "a\ufffdb")], ids=ascii)
def test_a_name_no_database_can_hold_costs_nobody_else_anything(store: Store, name: str, kept: str):
    store.reconcile({ONE: full(machine(1, name=name)), TWO: full(machine(2))}, NOON)
    assert where(store) == {kept: ONE, "m2.example.org": TWO}
    assert store.get_machine(name).name == kept
    assert list(store.list_machines(after=(name, "\0"))) == [store.get_machine("m2.example.org")]


def test_a_number_no_database_can_hold_is_a_clear_error_and_changes_nothing(store: Store):
    with pytest.raises(StoreError, match="too large"):
        store.reconcile({ONE: full(machine(1, memory_mb=1 << 70)), TWO: full(machine(2))}, NOON)
    assert (store.list_clouds(), store.list_machines()) == ([], [])
    store.reconcile({TWO: full(machine(2))}, NOON)
    assert where(store) == {"m2.example.org": TWO}


def test_names_to_uuids_knows_the_machines_of_one_cloud_instance_shown_or_not(store: Store):
    store.reconcile({ONE: full(machine(1), machine(2, OFF))}, NOON)
    store.reconcile({TWO: full(machine(2))}, NOON)
    assert store.names_to_uuids(ONE) == {"m1.example.org": uuid_of(1), "m2.example.org": uuid_of(2)}
    assert store.names_to_uuids("nobody") == {}


def test_a_closed_store_says_so(path: Path):
    store = Store(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="shutting down"):
        store.list_clouds()
    with pytest.raises(StoreError, match="closed"):
        store.reconcile({ONE: full()}, NOON)


def test_unknown_and_crashed_machines_hold_no_memory(store: Store):
    states = [MachineState.UNKNOWN, MachineState.CRASHED, MachineState.SHUTTING_DOWN]
    store.reconcile({ONE: full(*(machine(n, state) for n, state in enumerate(states)))}, NOON)
    assert store.get_cloud(ONE).free_memory_mb == 65536 - 3276 - 1024 - 128
