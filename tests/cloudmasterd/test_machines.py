"""The use cases over real store, runner and recipes: who gets a task, and who is told why not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from cloudmasterd.errors import (
    CloudUnreachable,
    Conflict,
    Invalid,
    MachineExists,
    NoRoom,
    NotFound,
    StaleVersion,
)
from cloudmasterd.fleet import Fleet
from cloudmasterd.model import MachineInstance, MachineState, StepState, Task, TaskState
from cloudmasterd.spec import Change, DiskSpec, Source
from cloudmasterd.store import Store
from tests.cloudmasterd.works import ASKER, Works, spec
from tests.fakes import machine, wait_for

JBOSS = "jboss1.example.org"


def failed(works: Works, task: Task) -> str:
    ended = works.ended(task)
    assert ended.state is TaskState.FAILED and ended.error is not None, ended
    return ended.error


def test_a_machine_is_made_started_seen_and_ours(works: Works) -> None:
    task = works.machines.create(
        spec(JBOSS, tags={"team": "web"}, notes="n", autostart=True, groups=("db",)), ASKER
    )
    assert (task.target, task.asked_by) == (f"/api/v1/machines/{JBOSS}", "ada")
    done = works.ended(task)
    assert done.state is TaskState.DONE
    assert done.result["machine"] == f"/api/v1/machines/{JBOSS}"
    assert (done.result["cloud"], done.result["state"], done.result["firmware"]) == (
        "cloud1", "running", "uefi"
    )  # fmt: skip
    found = works.store.get_machine(JBOSS)
    assert (found.state, found.managed, found.tags, found.notes) == (
        MachineState.RUNNING, True, {"team": "web"}, "n"
    )  # fmt: skip
    assert (found.autostart, found.groups) == (True, ("db",))
    assert works.store.get_cloud("cloud1").free_memory_mb == 8192 - 1024 - 512 - 128


def test_one_that_is_not_to_be_started_is_off_and_holds_no_memory(works: Works) -> None:
    assert works.made(JBOSS, start=False).state is MachineState.OFF
    assert works.store.get_cloud("cloud1").free_memory_mb == 8192 - 1024


def test_a_reservation_holds_the_memory_from_the_submission_on(make: Callable[..., Works]) -> None:
    works = make(running=False)
    works.machines.create(spec(JBOSS), ASKER)
    assert works.store.get_cloud("cloud1").free_memory_mb == 8192 - 1024 - 512 - 128


def test_a_name_is_given_once(make: Callable[..., Works]) -> None:
    works = make(running=False, clouds=2)
    works.machines.create(spec(JBOSS), ASKER)
    with pytest.raises(MachineExists, match="task 1 is about to give"):
        works.machines.create(spec(JBOSS), ASKER)
    works.runner.start()
    works.machines.wait(1, 60)
    with pytest.raises(MachineExists, match=f"there is a machine instance {JBOSS} on cloud. already"):
        works.machines.create(spec(JBOSS), ASKER)


def test_where_nothing_fits_every_cloud_instance_says_why(make: Callable[..., Works]) -> None:
    works = make(clouds=3)
    works.store.change_cloud("cloud2", maintenance=True)
    with pytest.raises(NoRoom) as caught:
        works.machines.create(spec(JBOSS, memory_mb=8000), ASKER)
    assert [cloud for cloud, _ in caught.value.fields] == ["cloud1", "cloud2", "cloud3"]
    assert all(reason in str(caught.value) for _, reason in caught.value.fields)
    assert works.store.tasks.list() == []


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"networks": ("dmz",)}, NoRoom, "dmz"),
        ({"disks": (DiskSpec(4, "fast"),)}, NoRoom, "fast"),
        ({"source": Source("iso", volume="default/none.iso")}, NoRoom, "none.iso"),
        ({"cloud": "cloud9"}, Invalid, "no cloud instance 'cloud9'"),
        ({"source": Source("image", image="debian")}, Invalid, "no images"),
    ],
)
def test_what_no_cloud_instance_has_is_refused_before_there_is_a_task(
    works: Works, changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        works.machines.create(spec(JBOSS, **changes), ASKER)
    assert works.store.tasks.list() == []


def test_what_went_away_meanwhile_fails_the_task_with_what_there_is(works: Works) -> None:
    works.resources.get("cloud1")
    works.minion.networks = ["lan"]
    error = failed(works, works.machines.create(spec(JBOSS), ASKER))
    assert "no network default" in error
    assert list(works.minion.volumes) == ["default/rescue.iso"] and works.minion.machines == {}
    assert works.store.get_cloud("cloud1").free_memory_mb == 8192 - 1024


def test_a_disk_that_is_full_leaves_nothing_behind(works: Works) -> None:
    works.minion.failing["create_disk"] = ("DiskFull", "pool default has 3 GB free, 4 GB needed")
    assert failed(works, works.machines.create(spec(JBOSS), ASKER)) == (
        "pool default has 3 GB free, 4 GB needed"
    )
    assert list(works.minion.volumes) == ["default/rescue.iso"]


@pytest.mark.parametrize("verb", ["create_disk", "define", "start"])
@pytest.mark.parametrize("way", ["lost_requests", "lost_replies"])
def test_a_lost_request_or_reply_makes_no_second_machine(works: Works, verb: str, way: str) -> None:
    getattr(works.fabric, way)[verb] = 3
    works.made(JBOSS)
    assert len(works.minion.machines) == 1 and len(works.minion.volumes) == 2
    assert set(works.minion.acts.values()) == {1}


def test_a_cloud_instance_that_goes_away_halfway_gets_the_volume_taken_away_when_it_is_back(
    make: Callable[..., Works],
) -> None:
    works = make(patience_s=0.1)
    works.fabric.lost_replies["define"] = 25
    error = failed(works, works.machines.create(spec(JBOSS), ASKER))
    assert "given up after" in error and "undone" not in error
    assert works.minion.machines == {} and list(works.minion.volumes) == ["default/rescue.iso"]


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        ("off", "start", "running"), ("running", "shutdown", "off"), ("running", "poweroff", "off"),
        ("running", "reboot", "running"), ("running", "reset", "running"), ("running", "pause", "paused"),
        ("paused", "resume", "running"), ("paused", "poweroff", "off"),
    ],
)  # fmt: skip
def test_actions(works: Works, before: str, action: str, after: str) -> None:
    works.minion.put(machine("m1", state=MachineState(before)))
    works.fleet.refresh(["cloud1"])
    done = works.ended(works.machines.act("m1", action, ASKER))
    assert (done.state, done.result["state"]) == (TaskState.DONE, after)
    assert works.store.get_machine("m1").state.value == after


@pytest.mark.parametrize(
    ("state", "action", "advice"),
    [
        ("running", "start", "m1 is running: there is nothing to start"),
        ("paused", "start", "resume it instead"), ("off", "shutdown", "nothing to shut down"),
        ("paused", "shutdown", "resume it first"), ("off", "poweroff", "nothing to power off"),
        ("off", "reboot", "start it instead"), ("off", "pause", "nothing to pause"),
        ("running", "resume", "nothing to resume"), ("crashed", "pause", "for one that is running"),
    ],
)  # fmt: skip
def test_an_action_that_makes_no_sense_now_is_refused_at_once(
    works: Works, state: str, action: str, advice: str
) -> None:
    works.minion.put(machine("m1", state=MachineState(state)))
    works.fleet.refresh(["cloud1"])
    with pytest.raises(Conflict, match=advice):
        works.machines.act("m1", action, ASKER)


def test_a_start_that_does_not_fit_is_refused_with_the_numbers(works: Works) -> None:
    works.minion.put(machine("m1", state=MachineState.OFF, max_memory_mb=7100))
    works.fleet.refresh(["cloud1"])
    with pytest.raises(NoRoom, match="7168 MB free, 7228 MB needed"):
        works.machines.act("m1", "start", ASKER)


def test_a_guest_that_does_not_listen_is_offered_poweroff_and_never_gets_it_unasked(
    make: Callable[..., Works],
) -> None:
    works = make(shutdown_timeout_s=0.2)
    found = works.made(JBOSS)
    works.minion.deaf.add(found.uuid)
    error = failed(works, works.machines.act(JBOSS, "shutdown", ASKER))
    assert f"POST /api/v1/machines/{JBOSS}/poweroff" in error and "ACPI" in error
    assert works.store.get_machine(JBOSS).state is MachineState.RUNNING


def test_power_can_be_pulled_while_a_shutdown_is_waited_for(works: Works) -> None:
    works.minion.deaf.add(works.made(JBOSS).uuid)
    shutdown = works.machines.act(JBOSS, "shutdown", ASKER)
    assert works.ended(works.machines.act(JBOSS, "poweroff", ASKER)).state is TaskState.DONE
    assert works.store.tasks.get(shutdown.id).state is TaskState.CANCELLED


def test_a_machine_somebody_works_on_is_left_alone(make: Callable[..., Works]) -> None:
    works = make(running=False)
    works.minion.put(machine("m1"))
    works.fleet.refresh(["cloud1"])
    works.machines.act("m1", "pause", ASKER)
    with pytest.raises(Conflict, match="task 1 is at work on m1"):
        works.machines.act("m1", "reboot", ASKER)


def test_a_machine_out_of_reach_is_said_to_be_so_at_once(works: Works) -> None:
    works.made(JBOSS)
    works.fabric.down["cloud1"] = CloudUnreachable("cloud1 did not answer")
    works.fleet.refresh(["cloud1"])
    with pytest.raises(CloudUnreachable, match="which cannot be reached: cloud1 did not answer"):
        works.machines.act(JBOSS, "pause", ASKER)


def test_tags_and_notes_change_at_once(works: Works) -> None:
    before = works.made(JBOSS)
    after = works.machines.change(
        JBOSS, Change(tags={"a": "b"}, notes="new"), ASKER, revision=before.revision
    )
    assert isinstance(after, MachineInstance) and (after.tags, after.notes) == ({"a": "b"}, "new")
    with pytest.raises(StaleVersion):
        works.machines.change(JBOSS, Change(notes="late"), ASKER, revision=before.revision)


def test_a_change_answers_what_holds_when(works: Works) -> None:
    works.made(JBOSS)
    task = works.machines.change(JBOSS, Change(memory_mb=1024, autostart=True, notes="x"), ASKER)
    assert isinstance(task, Task)
    assert works.ended(task).result == {"memory_mb": "next-start", "autostart": "now", "notes": "now"}
    assert works.store.get_machine(JBOSS).notes == "x"


def test_a_change_that_fails_halfway_is_taken_back(works: Works) -> None:
    before = works.made(JBOSS, start=False)
    works.minion.failing["rename"] = ("HostError", "libvirt refused")
    task = works.machines.change(JBOSS, Change(memory_mb=1024, vcpus=4, autostart=True, name="other"), ASKER)
    assert isinstance(task, Task)
    assert "libvirt refused" in failed(works, task)
    works.fleet.refresh(["cloud1"])
    after = works.store.get_machine(JBOSS)
    assert replace(after, revision=0, observed_at=None) == replace(before, revision=0, observed_at=None)


def test_renaming_wants_it_off_and_the_name_free(works: Works) -> None:
    works.made(JBOSS)
    works.made("web1", start=False)
    with pytest.raises(Conflict, match="renamed while it is off"):
        works.machines.change(JBOSS, Change(name="new"), ASKER)
    with pytest.raises(MachineExists):
        works.machines.change("web1", Change(name=JBOSS), ASKER)
    task = works.machines.change("web1", Change(name="web2"), ASKER)
    assert isinstance(task, Task) and works.ended(task).state is TaskState.DONE
    assert works.store.get_machine("web2").name == "web2"


def test_more_memory_than_its_cloud_instance_could_ever_give_is_invalid(works: Works) -> None:
    works.made(JBOSS)
    with pytest.raises(Invalid, match="would never start") as caught:
        works.machines.change(JBOSS, Change(memory_mb=8000), ASKER)
    assert caught.value.fields == (("memory_mb", "at most 7040, what cloud1 has"),)


def test_a_running_machine_is_deleted_only_by_force(works: Works) -> None:
    works.made(JBOSS)
    with pytest.raises(Conflict, match="shut it down first, or delete it with force"):
        works.machines.delete(JBOSS, ASKER)
    done = works.ended(works.machines.delete(JBOSS, ASKER, force=True))
    assert done.state is TaskState.DONE and len(done.result["disks_deleted"]) == 1
    assert works.minion.machines == {} and list(works.minion.volumes) == ["default/rescue.iso"]
    with pytest.raises(NotFound):
        works.store.get_machine(JBOSS)


def test_disks_are_kept_on_request_and_named(works: Works) -> None:
    works.made(JBOSS, start=False)
    done = works.ended(works.machines.delete(JBOSS, ASKER, keep_disks=True))
    assert len(works.minion.volumes) == 2
    (kept,) = done.result["disks_kept"]
    assert kept["disk"] in works.minion.volumes and kept["why"] == "it was asked to be kept"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_disk_that_another_machine_uses_is_kept_and_said(works: Works, when: str) -> None:
    found = works.made(JBOSS, start=False)
    disks = works.minion.details[found.uuid]["disks"]
    works.minion.put(machine("other"))
    if when == "before":
        works.minion.details[machine("other").uuid]["disks"] = disks
    else:
        works.minion.failing["delete_disk"] = ("VolumeInUse", "other uses it")
    done = works.ended(works.machines.delete(JBOSS, ASKER))
    assert done.state is TaskState.DONE and done.result["disks_deleted"] == []
    assert "other uses it" in done.result["disks_kept"][0]["why"] and len(works.minion.volumes) == 2


def test_the_iso_image_it_began_with_stays_for_others(works: Works) -> None:
    iso = "default/rescue.iso"
    works.made(JBOSS, start=False, source=Source("iso", volume=iso))
    done = works.ended(works.machines.delete(JBOSS, ASKER))
    assert len(done.result["disks_deleted"]) == 1 and iso not in done.result["disks_deleted"]
    assert [kept["disk"] for kept in done.result["disks_kept"]] == [iso]


def test_disks_that_could_not_be_deleted_are_named_in_the_error(works: Works) -> None:
    works.made(JBOSS, start=False)
    works.minion.failing["delete_disk"] = ("HostError", "I/O error")
    error = failed(works, works.machines.delete(JBOSS, ASKER))
    assert f"default/{JBOSS}" in error and "I/O error" in error


def test_a_foreign_machine_is_adopted_once(works: Works) -> None:
    works.minion.put(machine("m1"))
    works.fleet.refresh(["cloud1"])
    assert works.ended(works.machines.adopt("m1", ASKER)).state is TaskState.DONE
    assert works.store.get_machine("m1").managed
    with pytest.raises(Conflict, match="managed by this cloud master already"):
        works.machines.adopt("m1", ASKER)


def test_after_a_lost_database_our_machines_are_ours_again(works: Works, tmp_path: Path) -> None:
    works.made(JBOSS)
    works.minion.put(machine("m1"))
    with closing(Store(tmp_path / "new")) as empty:
        fleet = Fleet(empty, works.fabric, works.clock)
        fleet.discover()
        fleet.refresh(["cloud1"])
        assert {each.name: each.managed for each in empty.list_machines()} == {JBOSS: True, "m1": False}


def test_a_task_too_far_to_turn_back_is_not_cancelled(works: Works) -> None:
    works.made(JBOSS, start=False)
    works.fabric.lost_requests["undefine"] = 10**9
    task = works.machines.delete(JBOSS, ASKER)
    wait_for(lambda: works.steps(task)["undefine"] is not StepState.WAITING, "the step")
    with pytest.raises(Conflict, match="too far to be cancelled"):
        works.machines.cancel(task.id, ASKER)
    works.fabric.lost_requests.clear()
    assert works.ended(task).state is TaskState.DONE


def test_a_key_gives_the_task_it_gave_before_even_when_the_machine_is_gone(works: Works) -> None:
    works.made(JBOSS, start=False)
    asker = replace(ASKER, key="k1", request_hash="h1")
    done = works.ended(works.machines.delete(JBOSS, asker))
    assert works.machines.delete(JBOSS, asker).id == done.id


def test_what_is_previewed_is_what_is_done_and_writes_nothing(make: Callable[..., Works]) -> None:
    works = make(clouds=3, running=False)
    works.machines.create(spec("a", groups=("db",)), ASKER)
    placed = works.machines.place(spec("b", groups=("db",)))
    assert [(v.cloud, v.accepted) for v in placed.verdicts] == [
        ("cloud1", False), ("cloud2", True), ("cloud3", True)
    ]  # fmt: skip
    assert works.machines.create(spec("b", groups=("db",)), ASKER).cloud == placed.chosen
    assert len(works.store.tasks.list()) == 2


def test_capacity_counts_reservations_and_resources_have_an_age(make: Callable[..., Works]) -> None:
    works = make(running=False)
    before = works.machines.capacity().flavors[0].total
    works.machines.create(spec(JBOSS), ASKER)
    assert works.machines.capacity().flavors[0].total == before - 1
    heard = works.machines.resources("cloud1")
    assert heard is not None and (heard[0].networks, heard[0].default_pool) == (("default",), "default")
    assert heard[1] >= 0
    with pytest.raises(NotFound):
        works.machines.resources("cloud9")


def test_fifty_clients_get_as_many_machines_as_fit_and_not_one_more(make: Callable[..., Works]) -> None:
    works = make(clouds=3, memory_mb=33_700)  # 50 times 640 MB each, and not 51 times

    def create(number: int) -> Any:
        try:
            return works.machines.create(spec(f"m{number}"), ASKER)
        except NoRoom as exc:
            return exc

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(200)))
    tasks = [answer for answer in answers if isinstance(answer, Task)]
    refusals = [answer for answer in answers if isinstance(answer, NoRoom)]
    assert (len(tasks), len(refusals)) == (150, 50)
    assert all(len(refusal.fields) == 3 for refusal in refusals)
    assert all(works.ended(task, 60).state is TaskState.DONE for task in tasks)
    assert [len(minion.machines) for minion in works.minions.values()] == [50, 50, 50]
    assert all(0 <= (cloud.free_memory_mb or 0) < 640 for cloud in works.store.list_clouds())


def test_the_same_key_fifty_times_at_once_makes_one_machine(works: Works) -> None:
    asker = replace(ASKER, key="k1", request_hash="h1")
    with ThreadPoolExecutor(50) as pool:
        tasks = list(pool.map(lambda _: works.machines.create(spec(JBOSS), asker), range(50)))
    assert len({task.id for task in tasks}) == 1
    works.ended(tasks[0])
    assert len(works.minion.machines) == 1


def test_of_fifty_with_the_same_version_one_gets_a_task_and_the_others_are_stale(works: Works) -> None:
    seen = works.made(JBOSS)

    def change(_: int) -> str:
        try:
            works.machines.change(JBOSS, Change(vcpus=2), ASKER, revision=seen.revision)
        except StaleVersion:
            return "stale"
        return "task"

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(change, range(50)))
    assert (answers.count("task"), answers.count("stale")) == (1, 49)
