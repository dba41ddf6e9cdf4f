"""What the recipes say before anything is done: steps, arguments, boot orders and refusals."""

from __future__ import annotations

import json

import pytest

from cloudmasterd.errors import Invalid
from cloudmasterd.model import MachineState
from cloudmasterd.recipes import act, change, create, delete, origin
from cloudmasterd.recipes.tools import path_of, state_of
from cloudmasterd.spec import Change, DiskSpec, Source
from tests.cloudmasterd.works import Works, spec
from tests.fakes import FakeClock


def test_a_create_has_a_step_for_each_disk_and_none_for_a_start_that_is_not_wanted() -> None:
    two = spec("m1", disks=(DiskSpec(4), DiskSpec(9, "fast")), start=False)
    steps = create.steps(two, "cloud1")
    assert [step.name for step in steps] == ["check", "disk:0", "disk:1", "define", "see"]
    assert steps[2].title == "Make disk 2 of 9 GB on cloud1"
    assert "start" in [step.name for step in create.steps(spec("m1"), "cloud1")]


def test_the_arguments_of_a_create_are_json_and_hold_no_secret() -> None:
    secret = Source("image", image="debian", cloud_init={"user_data": "password: hunter2"})
    text = json.dumps(create.arguments_of(spec("m1", source=secret), FakeClock().new_mac))
    assert "hunter2" not in text


def test_addresses_are_chosen_once_and_differ() -> None:
    macs = iter(["52:54:00:00:00:01", "52:54:00:00:00:02"])
    arguments = create.arguments_of(spec("m1", networks=("a", "b")), lambda: next(macs))
    assert [n["mac"] for n in arguments["networks"]] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]


def test_a_machine_boots_its_disk_first_whatever_it_is_installed_from(tmp_path) -> None:
    works = Works(tmp_path)
    try:
        iso = works.made("m1", source=Source("iso", volume="default/rescue.iso"))
        blank = works.made("m2")
        assert works.minion.details[iso.uuid]["boot"] == ["hd", "cdrom", "network"]
        assert works.minion.details[blank.uuid]["boot"] == ["hd", "network"]
    finally:
        works.close()


def test_an_image_is_refused_by_the_name_of_the_field() -> None:
    with pytest.raises(Invalid) as caught:
        origin.look_up(spec("m1", source=Source("image", image="debian")), None, None)
    assert caught.value.fields[0][0] == "source.kind"


def test_a_change_has_steps_for_what_changes_alone() -> None:
    names = [s.name for s in change.steps(Change(vcpus=2, name="m2", notes="n"), "m1", "cloud1")]
    assert names == ["check", "shape:vcpus", "rename", "see"]
    assert change.arguments_of(Change(vcpus=2, notes="")) == {"vcpus": 2, "notes": ""}


@pytest.mark.parametrize(
    ("force", "keep", "names"),
    [
        (False, False, ["check", "undefine", "disks", "see"]),
        (True, False, ["check", "poweroff", "undefine", "disks", "see"]),
        (False, True, ["check", "undefine", "see"]),
    ],
)
def test_a_delete_pulls_no_plug_unasked(force: bool, keep: bool, names: list[str]) -> None:
    steps = delete.steps("m1", "cloud1", force=force, keep_disks=keep)
    assert [step.name for step in steps] == names


@pytest.mark.parametrize("verb", act.VERBS)
@pytest.mark.parametrize("state", MachineState)
def test_every_action_in_every_state_is_allowed_or_refused_with_advice(
    verb: str, state: MachineState
) -> None:
    allowed, _ = act.VERBS[verb]
    text = act.refusal("m1", state, verb)
    if state in allowed or state is MachineState.UNKNOWN:
        assert text == ""
    else:
        assert text.startswith(f"m1 is {state.value}: ") and len(text) > len(f"m1 is {state.value}: ") + 5


def test_names_are_quoted_in_paths_and_strange_states_are_unknown() -> None:
    assert path_of("a/b c") == "/api/v1/machines/a%2Fb%20c"
    assert state_of({"state": "dreaming"}) is state_of({}) is MachineState.UNKNOWN
