"""The inventory's cursor protocol."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from func.minion.inventory import CloudFacts, InventoryLog, MachineFacts, Snapshot

CLOUD = CloudFacts(arch="x86_64", cpus=16, memory_mb=65536, live_free_memory_mb=40000)


def machine(number: int, **changes: Any) -> MachineFacts:
    facts = MachineFacts(f"uuid-{number}", f"m{number}", "running", 512, 1024, 1, False)
    return replace(facts, **changes)


class Host:
    """Takes the snapshots."""

    def __init__(self, instance: str = "abc", **options: Any) -> None:
        self.log = InventoryLog(instance, **options)
        self.taken = 0

    def show(self, *machines: MachineFacts, cloud: CloudFacts = CLOUD) -> None:
        self.taken += 1
        self.log.record(Snapshot(self.taken, cloud, machines))

    def ask(self, cursor: str = "") -> dict[str, Any]:
        return dict(json.loads(self.log.answer(cursor)))


def test_the_first_answer_has_everything_in_the_form_of_the_contract() -> None:
    host = Host()
    host.show(machine(2), machine(1))
    answer = host.ask()
    assert answer["format"] == 1
    assert answer["full"] is True
    assert answer["gone"] == []
    assert answer["cloud"] == {
        "arch": "x86_64", "cpus": 16, "memory_mb": 65536, "live_free_memory_mb": 40000
    }  # fmt: skip
    assert answer["machines"] == [
        {"uuid": f"uuid-{n}", "name": f"m{n}", "state": "running", "memory_mb": 512, "max_memory_mb": 1024,
         "vcpus": 1, "autostart": False, "managed": False} for n in (1, 2)
    ]  # fmt: skip


def test_an_unchanged_host_answers_next_to_nothing() -> None:
    host = Host()
    host.show(*[machine(n) for n in range(25)])
    cursor = host.ask()["cursor"]
    host.show(*[machine(n) for n in range(25)])
    text = host.log.answer(cursor)
    assert len(text) < 120
    assert json.loads(text) == {
        "format": 1, "full": False, "cursor": cursor, "cloud": None, "machines": [], "gone": []
    }  # fmt: skip


def test_only_what_changed_is_told() -> None:
    host = Host()
    host.show(machine(1), machine(2), machine(3))
    cursor = host.ask()["cursor"]
    host.show(machine(1, state="off"), machine(3), machine(4))
    answer = host.ask(cursor)
    assert answer["full"] is False
    assert [told["name"] for told in answer["machines"]] == ["m1", "m4"]
    assert answer["gone"] == ["uuid-2"]
    assert answer["cloud"] is None
    assert host.ask(answer["cursor"])["machines"] == []


def test_a_machine_that_comes_back_is_gone_no_longer() -> None:
    host = Host()
    host.show(machine(1))
    cursor = host.ask()["cursor"]
    host.show()
    host.show(machine(1))
    answer = host.ask(cursor)
    assert (answer["gone"], len(answer["machines"])) == ([], 1)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "garbage",
        "abc.",
        "abc.99",
        "abc.-1",
        "def.1",
        "abc.1.1",
        "abc.1\n",
        "abc.¹",
        "x" * 10_000,
        "a.1" * 9,
    ],
)
def test_a_cursor_that_is_not_known_gets_everything(cursor: str) -> None:
    host = Host()
    host.show(machine(1))
    answer = host.ask(cursor)
    assert answer["full"] is True
    assert len(answer["machines"]) == 1
    assert answer["cloud"] is not None


def test_a_cursor_older_than_the_kept_tombstones_gets_everything() -> None:
    host = Host(max_tombstones=2)
    host.show(*[machine(n) for n in range(5)])
    oldest = host.ask()["cursor"]
    cursors = []
    for left in (4, 3, 2):
        host.show(*[machine(n) for n in range(left)])
        cursors.append(host.ask()["cursor"])
    assert host.ask(oldest)["full"] is True
    assert host.ask(cursors[0])["gone"] == ["uuid-2", "uuid-3"]


@pytest.mark.parametrize(
    ("total", "moved", "told"),
    [(65536, 655, False), (65536, -655, False), (65536, 656, True), (2048, 63, False), (2048, 64, True)],
)
def test_free_memory_that_hardly_moved_is_no_change(total: int, moved: int, told: bool) -> None:
    cloud = replace(CLOUD, memory_mb=total, live_free_memory_mb=1000)
    host = Host()
    host.show(cloud=cloud)
    cursor = host.ask()["cursor"]
    host.show(cloud=replace(cloud, live_free_memory_mb=1000 + moved))
    answer = host.ask(cursor)["cloud"]
    assert (answer is not None) is told
    if told:
        assert answer["live_free_memory_mb"] == 1000 + moved


def test_free_memory_that_creeps_is_told_once_it_has_crept_far_enough() -> None:
    host = Host()
    host.show()
    cursor = host.ask()["cursor"]
    for step in range(1, 5):
        host.show(cloud=replace(CLOUD, live_free_memory_mb=40000 - 200 * step))
    assert host.ask(cursor)["cloud"]["live_free_memory_mb"] == 39200


def test_free_memory_that_becomes_unknown_is_told() -> None:
    host = Host()
    host.show()
    cursor = host.ask()["cursor"]
    host.show(cloud=replace(CLOUD, live_free_memory_mb=None))
    assert host.ask(cursor)["cloud"]["live_free_memory_mb"] is None


def test_a_snapshot_that_was_overtaken_is_dropped() -> None:
    host = Host()
    late = Snapshot(1, CLOUD, (machine(1, state="off"),))
    host.taken = 1
    host.show(machine(1))
    host.log.record(late)
    assert host.ask()["machines"][0]["state"] == "running"


States = st.sampled_from(["running", "off", "paused"])
Machines = st.dictionaries(st.integers(0, 5), st.tuples(States, st.integers(0, 2)), max_size=6)


@given(st.lists(Machines, min_size=1, max_size=12), st.integers(0, 3), st.data())
def test_deltas_from_any_cursor_lead_to_the_same_as_everything(
    history: list[dict[int, tuple[str, int]]], tombstones: int, data: st.DataObject
) -> None:
    host = Host(max_tombstones=tombstones)
    known: list[tuple[str, dict[str, Any]]] = [("", {})]
    for present in history:
        host.show(*[machine(n, state=s, memory_mb=512 * m) for n, (s, m) in present.items()])
        cursor, view = data.draw(st.sampled_from(known))
        answer = host.ask(cursor)
        after = {} if answer["full"] else dict(view)
        after.update({told["uuid"]: told for told in answer["machines"]})
        for uuid in answer["gone"]:
            after.pop(uuid, None)  # it may have come and gone since the cursor
        assert after == {told["uuid"]: told for told in host.ask()["machines"]}
        known.append((answer["cursor"], after))
