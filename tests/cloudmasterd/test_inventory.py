"""Reading inventories: what is taken, what is refused and in which words."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.errors import RemoteFault
from cloudmasterd.inventory import fallback_uuid, from_classic, parse_inventory, uuid_from_xml
from cloudmasterd.model import Inventory, MachineState, ObservedCloud, ObservedMachine

UUID = "6a1b9c1e-0f5d-4f7e-9f33-0e2c7a9d4b11"
MACHINE = {
    "uuid": UUID, "name": "jboss1.example.org", "state": "running", "memory_mb": 512, "max_memory_mb": 1024,
    "vcpus": 2, "autostart": True,
}  # fmt: skip
CLOUD = {"arch": "x86_64", "cpus": 16, "memory_mb": 65536, "live_free_memory_mb": 40123}
FULL = {"format": 1, "full": True, "cursor": "k1", "cloud": CLOUD, "machines": [MACHINE], "gone": []}


def text(base: dict[str, Any] = FULL, **changes: Any) -> str:
    return json.dumps({**base, **changes})


def with_machine(**changes: Any) -> str:
    return text(machines=[{**MACHINE, **changes}])


def complaint(answer: Any) -> str:
    with pytest.raises(RemoteFault) as caught:
        parse_inventory(answer)
    assert caught.value.kind == "BadInventory"
    return caught.value.text


def test_a_full_inventory_is_read() -> None:
    assert parse_inventory(text()) == Inventory(
        full=True,
        cursor="k1",
        cloud=ObservedCloud("x86_64", 16, 65536, 40123),
        machines=(ObservedMachine(UUID, "jboss1.example.org", MachineState.RUNNING, 512, 1024, 2, True),),
    )


def test_changes_are_read() -> None:
    found = parse_inventory(text(full=False, cloud=None, machines=[], gone=[UUID]))
    assert found == Inventory(full=False, cursor="k1", cloud=None, machines=(), gone=(UUID,))


def test_a_live_figure_may_be_absent() -> None:
    found = parse_inventory(text(cloud={**CLOUD, "live_free_memory_mb": None}))
    assert found.cloud is not None and found.cloud.live_free_memory_mb is None


@pytest.mark.parametrize(
    ("said", "managed"), [({}, False), ({"managed": False}, False), ({"managed": True}, True)]
)
def test_a_machine_bears_our_mark_when_its_cloud_instance_says_so(
    said: dict[str, bool], managed: bool
) -> None:
    assert parse_inventory(with_machine(**said)).machines[0].managed is managed


def test_keys_of_a_later_release_are_ignored() -> None:
    answer = text(machines=[{**MACHINE, "colour": "red"}], cloud={**CLOUD, "x": 1}, more=[])
    assert parse_inventory(answer) == parse_inventory(text())


def test_a_uuid_in_capitals_is_the_same_uuid() -> None:
    assert parse_inventory(with_machine(uuid=UUID.upper())).machines[0].uuid == UUID


@pytest.mark.parametrize("state", ["running", "paused", "off", "shutting-down", "crashed", "unknown"])
def test_every_state_of_the_wire_is_known(state: str) -> None:
    assert parse_inventory(with_machine(state=state)).machines[0].state.value == state


BROKEN = [
    (None, "the answer is nothing, not JSON text"),
    (b"{}", "the answer is of type bytes"),
    ("{", "the answer is not JSON"),
    ("[" * 100_000, "the answer is not JSON"),
    ('{"format": ' + "9" * 5000 + "}", "the answer"),
    ("[]", "the answer is of type list, not an object"),
    (text(format=2), "format is 2, and this cloud master reads 1"),
    (text(format=True), "format is True"),
    (text(full=1), "full is 1, not true or false"),
    (text(cloud=None), "cloud is missing from a full answer"),
    (text(cloud=[]), "cloud is of type list"),
    (text(cloud={**CLOUD, "cpus": "16"}), "cloud.cpus is '16', not a whole number"),
    (text(cloud={**CLOUD, "memory_mb": -1}), "cloud.memory_mb is -1"),
    (text(cloud={**CLOUD, "live_free_memory_mb": 1e9}), "cloud.live_free_memory_mb is 1000000000.0"),
    (text(cursor=None), "cursor is nothing"),
    (text(cursor="x" * 5000), "cursor is 'xxx"),
    (text(machines=None), "machines is nothing, not a list"),
    (text(machines=["x"]), "machines[0] is of type str, not an object"),
    (text(machines=[MACHINE, MACHINE]), "machines has one uuid twice"),
    (text(machines=[{"uuid": UUID}]), "machines[0] has no name"),
    (text(full=False, gone=[7]), "gone has the uuid 7"),
    (with_machine(uuid="x"), "machines has the uuid 'x'"),
    (with_machine(uuid={}), "machines has the uuid of type dict"),
    (with_machine(name=""), "machines[0].name is ''"),
    (with_machine(name="a\nb"), "machines[0].name is 'a\\nb'"),
    (with_machine(name="\ud800"), "machines[0].name is '\\ud800'"),
    (with_machine(state="creating"), "machines[0].state is 'creating', not one of running, paused, off"),
    (with_machine(state=[]), "machines[0].state is of type list"),
    (with_machine(memory_mb=1 << 70), "machines[0].memory_mb is 1180591620717411303424"),
    (with_machine(max_memory_mb=None), "machines[0].max_memory_mb is nothing"),
    (with_machine(vcpus=True), "machines[0].vcpus is True"),
    (with_machine(autostart=1), "machines[0].autostart is 1, not true or false"),
    (with_machine(managed=None), "machines[0].managed is nothing, not true or false"),
]


@pytest.mark.parametrize(("answer", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_broken_answer_is_refused_and_the_place_named(answer: Any, words: str) -> None:
    assert words in complaint(answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(MACHINE)), JSON)
def test_whatever_stands_in_a_machine_it_is_read_or_refused(key: str, value: Any) -> None:
    try:
        found = parse_inventory(with_machine(**{key: value})).machines[0]
    except RemoteFault as exc:
        assert exc.text.isprintable()
    else:
        assert getattr(found, key) == value


@given(st.sampled_from(sorted(FULL)), JSON)
def test_whatever_stands_in_an_answer_it_is_read_or_refused(key: str, value: Any) -> None:
    try:
        parse_inventory(text(**{key: value}))
    except RemoteFault as exc:
        assert exc.text.isprintable()


INFO = {
    "b": {"state": "paused", "maxMem": "1048576", "memory": "524288", "nrVirtCpu": 2, "autostart": 1},
    "a b": {"state": "shutdown", "maxMem": "262144", "memory": "262144", "nrVirtCpu": 1, "autostart": 0},
}  # fmt: skip
NODE = {"cpumodel": "x86_64", "phymemory": "4096", "cpus": "8", "cpumhz": "2000"}
UUIDS = {"b": UUID, "a b": str(uuid.UUID(int=1))}


def test_classic_answers_are_read_in_mb() -> None:
    found = from_classic(INFO, 3000, NODE, ["b paused", "a b shutdown"], UUIDS)
    assert found.full and found.cursor is None
    assert found.cloud == ObservedCloud("x86_64", 8, 4096, 3000)
    assert found.machines == (
        ObservedMachine(UUIDS["a b"], "a b", MachineState.OFF, 256, 256, 1, False),
        ObservedMachine(UUID, "b", MachineState.PAUSED, 512, 1024, 2, True),
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [("running", "running"), ("paused", "paused"), ("shutdown", "off"), ("crashed", "crashed"),
     ("unknown", "unknown"), ("", "unknown"), ([], "unknown"), (7, "unknown")],
)  # fmt: skip
def test_classic_states_have_our_names(word: Any, state: str) -> None:
    found = from_classic({"b": {**INFO["b"], "state": word}}, 1, NODE, [], UUIDS)
    assert found.machines[0].state.value == state


def test_a_state_missing_from_info_is_taken_from_virt_state() -> None:
    info = {name: {k: v for k, v in facts.items() if k != "state"} for name, facts in INFO.items()}
    found = from_classic(info, 1, NODE, ["b running", "a b crashed", 3], UUIDS)
    assert [m.state for m in found.machines] == [MachineState.CRASHED, MachineState.RUNNING]


@pytest.mark.parametrize("freemem", [-5, 0])
def test_negative_free_memory_of_a_classic_minion_is_none_left(freemem: int) -> None:
    found = from_classic({}, freemem, NODE, [], {})
    assert found.cloud is not None and found.cloud.live_free_memory_mb == 0


@pytest.mark.parametrize(
    ("info", "node", "words"),
    [
        ([], NODE, "virt.info and virt.nodeinfo are not both structs"),
        ({"b": None}, NODE, "virt.info 'b' is nothing, not a struct"),
        ({"b": {**INFO["b"], "memory": "lots"}}, NODE, "virt.info 'b' memory is 'lots'"),
        ({"b": {**INFO["b"], "maxMem": "9" * 15}}, NODE, "virt.info 'b' maxMem is 999999999999999"),
        ({}, {**NODE, "phymemory": None}, "virt.nodeinfo phymemory is nothing"),
        ({}, {**NODE, "cpumodel": 3}, "virt.nodeinfo cpumodel is 3"),
    ],
)
def test_broken_classic_answers_are_refused(info: Any, node: Any, words: str) -> None:
    with pytest.raises(RemoteFault, match="BadInventory") as caught:
        from_classic(info, 1, node, [], UUIDS)
    assert words in caught.value.text


def test_the_fallback_uuid_depends_on_cloud_and_name_alone() -> None:
    assert fallback_uuid("cloud1", "a") == fallback_uuid("cloud1", "a")
    assert (
        len({fallback_uuid("cloud1", "a"), fallback_uuid("cloud2", "a"), fallback_uuid("cloud1", "b")}) == 3
    )


def test_the_uuid_is_found_in_a_domains_xml() -> None:
    xml = f"<domain><metadata><uuid>no</uuid></metadata><uuid>\n {UUID.upper()} </uuid></domain>"
    assert uuid_from_xml(xml) == UUID


@pytest.mark.parametrize(
    "xml",
    [
        "<domain/>",
        "<domain><uuid>x</uuid></domain>",
        f"<other><uuid>{UUID}</uuid></other>",
        "not xml",
        "",
        None,
        7,
        "<domain>\ud800</domain>",
        f"<!DOCTYPE d [<!ENTITY u '{UUID}'>]><domain><uuid>&u;</uuid></domain>",
    ],
)
def test_other_text_gives_no_uuid(xml: Any) -> None:
    assert uuid_from_xml(xml) is None
