"""What goes wrong at a bad moment: nothing is deleted that must stay, nothing stands in the way later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import pytest

from cloudmasterd.errors import Conflict, Invalid, StaleVersion
from cloudmasterd.model import MachineState, NewTask, Step, StepState, TaskState
from cloudmasterd.spec import Change, Source
from tests.cloudmasterd.works import ASKER, Works, spec
from tests.fakes import machine

JBOSS = "jboss1.example.org"
KEYED = replace(ASKER, key="k1", request_hash="h1")


def see_at(works: Works, verb: str) -> None:
    """Refresh the store between the start and the end of a verb, as the poller may at any time."""
    act = works.minion._act

    def acting(operation: str, asked: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if asked == verb:
            works.fleet.refresh(list(works.minions))
        return act(operation, asked, arguments)

    works.minion._act = acting  # type: ignore[method-assign,assignment]


def test_the_name_of_a_create_that_failed_can_be_taken_at_once(works: Works) -> None:
    see_at(works, "start")
    works.minion.failing["start"] = ("HostError", "no")
    assert works.ended(works.machines.create(spec(JBOSS), ASKER)).state is TaskState.FAILED
    assert works.store.list_machines() == []
    works.minion.failing.clear()
    assert works.made(JBOSS).state is MachineState.RUNNING


def test_a_rename_that_was_taken_back_is_not_shown(works: Works) -> None:
    works.made(JBOSS, start=False)
    see_at(works, "set_shape")
    works.minion.failing["rename"] = ("HostError", "no")
    task = works.machines.change(JBOSS, Change(vcpus=2, name="m2"), ASKER)
    assert works.ended(task).state is TaskState.FAILED  # type: ignore[arg-type]
    assert works.store.get_machine(JBOSS).vcpus == 1


def move(works: Works, uuid: str) -> None:
    """As virsh migrate does, between two hosts that share their storage."""
    here, there = works.minions["cloud1"], works.minions["cloud2"]
    there.put(here.machines[uuid])
    there.details[uuid] = here.details.pop(uuid)
    here.machines.pop(uuid)


def test_a_machine_that_moved_during_its_deletion_keeps_its_disks(make: Callable[..., Works]) -> None:
    works = make(clouds=2)
    made = works.made(JBOSS, start=False, cloud="cloud1")
    works.minion.hook = lambda point: (
        move(works, made.uuid) if point == "begun" and made.uuid in works.minion.machines else None
    )
    task = works.ended(works.machines.delete(JBOSS, ASKER))
    assert task.state is TaskState.FAILED and "on cloud2" in str(task.error)
    assert len(works.minion.volumes) == 2  # the ISO image and its disk
    assert works.store.get_machine(JBOSS).cloud == "cloud2"


def test_what_moved_before_its_deletion_began_is_not_said_to_be_deleted(make: Callable[..., Works]) -> None:
    works = make(clouds=2, running=False)
    works.runner.start()
    made = works.made(JBOSS, start=False, cloud="cloud1")
    move(works, made.uuid)
    task = works.ended(works.machines.delete(JBOSS, ASKER))
    assert task.state is TaskState.FAILED and "delete it again" in str(task.error)
    assert works.ended(works.machines.delete(JBOSS, ASKER)).state is TaskState.DONE


def test_one_that_somebody_else_undefined_is_deleted_all_the_same(works: Works) -> None:
    made = works.made(JBOSS, start=False)
    works.minion.machines.pop(made.uuid)
    assert works.ended(works.machines.delete(JBOSS, ASKER)).state is TaskState.DONE
    assert works.store.list_machines() == []


def test_a_key_gives_its_task_even_when_what_it_was_made_from_is_gone(works: Works) -> None:
    made = works.ended(works.machines.create(spec(JBOSS), KEYED))
    gone = spec(JBOSS, source=Source("image", image="gone"))
    assert works.machines.create(gone, KEYED).id == made.id
    with pytest.raises(Conflict, match="stands for another request"):
        works.machines.create(gone, replace(KEYED, request_hash="h2"))


def test_a_poweroff_sent_again_or_refused_ends_no_shutdown(works: Works) -> None:
    made = works.made(JBOSS)
    works.ended(works.machines.act(JBOSS, "poweroff", KEYED))
    works.ended(works.machines.act(JBOSS, "start", ASKER))
    works.minion.deaf.add(made.uuid)
    shutdown = works.machines.act(JBOSS, "shutdown", ASKER)
    works.machines.act(JBOSS, "poweroff", KEYED)
    with pytest.raises(StaleVersion):
        works.machines.act(JBOSS, "poweroff", ASKER, revision=made.revision)
    assert not works.store.tasks.get(shutdown.id).cancel_asked


def test_what_an_answer_that_is_none_may_have_made_is_undone(works: Works) -> None:
    call = works.minion.call
    garbled: list[str] = []

    def answer(method: str, args: Any) -> Any:
        found = call(method, args)
        if method == "machine.perform" and args[1] == "create_disk" and not garbled:
            garbled.append(found)
            return "<html>502</html>"
        return found

    works.minion.call = answer  # type: ignore[method-assign]
    task = works.ended(works.machines.create(spec(JBOSS), ASKER))
    assert task.state is TaskState.FAILED and "in place of a JSON object" in str(task.error)
    assert list(works.minion.volumes) == ["default/rescue.iso"]


def test_a_step_of_another_version_fails_its_task_and_not_the_start(make: Callable[..., Works]) -> None:
    works = make(running=False)
    new = NewTask(
        kind="machine.create", target="/x", cloud="cloud1", machine="u", machine_name="m", arguments={},
        steps=(Step("polish", "Polish it"),), asked_by="ada", request_id="r",
    )  # fmt: skip
    task = works.store.tasks.submit(lambda room: new)
    works.runner.start()
    ended = works.ended(task)
    assert ended.state is TaskState.FAILED and "no step 'polish'" in str(ended.error)
    assert works.steps(task) == {"polish": StepState.FAILED}


def test_more_vcpus_than_its_cloud_instance_has_are_refused_at_once(works: Works) -> None:
    cpus = works.store.get_cloud("cloud1").cpus
    assert cpus is not None
    works.made(JBOSS, start=False)
    with pytest.raises(Invalid, match="CPUs") as caught:
        works.machines.change(JBOSS, Change(vcpus=cpus + 1), ASKER)
    assert caught.value.fields == (("vcpus", f"at most {cpus}, the CPUs of cloud1"),)
    task = works.machines.change(JBOSS, Change(vcpus=cpus), ASKER)
    assert works.ended(task).state is TaskState.DONE  # type: ignore[arg-type]


def test_of_a_change_of_memory_and_vcpus_nothing_stays_when_the_second_fails(works: Works) -> None:
    works.made(JBOSS, start=False)
    act = works.minion._act

    def acting(operation: str, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if verb == "set_shape" and arguments.get("vcpus") == 2:
            memory = {key: value for key, value in arguments.items() if key != "vcpus"}
            if "memory_mb" in memory:
                act(operation, verb, memory)
            works.minion.failing["set_shape"] = ("HostError", "no more vCPUs")
            try:
                return act(operation, verb, arguments)
            finally:
                works.minion.failing.clear()
        return act(operation, verb, arguments)

    works.minion._act = acting  # type: ignore[method-assign]
    task = works.ended(works.machines.change(JBOSS, Change(memory_mb=1024, vcpus=2), ASKER))  # type: ignore[arg-type]
    assert task.state is TaskState.FAILED
    now = works.minion.named(JBOSS)
    assert now is not None and (now.memory_mb, now.vcpus) == (512, 1)


def test_to_undo_a_change_of_memory_leaves_a_machine_the_most_it_may_have(works: Works) -> None:
    works.minion.put(replace(machine("m1", state=MachineState.OFF, memory_mb=256), max_memory_mb=4096))
    works.fleet.refresh(["cloud1"])
    works.minion.failing["set_autostart"] = ("HostError", "no")
    task = works.ended(works.machines.change("m1", Change(memory_mb=1024, autostart=True), ASKER))  # type: ignore[arg-type]
    assert task.state is TaskState.FAILED
    now = works.minion.named("m1")
    assert now is not None and (now.memory_mb, now.max_memory_mb) == (256, 4096)
