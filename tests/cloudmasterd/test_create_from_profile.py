"""A machine instance made from a profile: koan, what it reports, its end, and nothing left where it fails."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from cloudmasterd.errors import CobblerUnreachable, Invalid, NoRoom, NotFound
from cloudmasterd.model import MachineState, StepState, TaskState
from cloudmasterd.spec import MachineSpec, Source
from cloudmasterd.tasks.drive import Memory
from tests.cloudmasterd.installing import METADATA, NAME, PROFILE, TOKEN, Site
from tests.cloudmasterd.works import ASKER, spec
from tests.fakes import profile

PHASES = [f"report:{phase}" for phase in ("booted", "kickstart", "packages", "post", "done")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def states(site: Site, task: Any) -> dict[str, str]:
    return {step.name: step.state.value for step in site.store.tasks.get(task.id).steps}


def details(task: Any) -> dict[str, str]:
    return {step.name: step.detail for step in task.steps}


def test_it_is_installed_reports_goes_off_and_is_started(site: Site) -> None:
    task = site.create()
    assert [step.name for step in task.steps] == [
        "check", "disk:0", "install", *PHASES, "off", "start", "see",
    ]  # fmt: skip
    done = site.finish(task)
    assert (done.state, done.error) == (TaskState.DONE, None)
    machine = site.store.get_machine(NAME)
    assert (machine.state, machine.profile, machine.managed) == (MachineState.RUNNING, PROFILE, True)
    assert done.result["machine"] == f"/api/v1/machines/{NAME}"
    assert site.minion.machines[machine.uuid].state is MachineState.RUNNING


def test_koan_is_told_what_was_asked_for_and_where_to_report(site: Site) -> None:
    task = site.create(autostart=True, firmware="bios", memory_mb=1024, vcpus=2)
    site.until(task, "install")
    wanted = dict(site.minion.order)
    assert task.machine is not None
    options = dict(wanted.pop("kernel_options"))
    url = options.pop("genome_report")
    assert options == METADATA
    assert len(url.rpartition("/")[2]) == 43
    volume = f"{NAME}-{task.machine[:8]}-1.qcow2"
    assert wanted == {
        "uuid": task.machine, "name": NAME, "server": "cobbler.example.org", "profile": PROFILE,
        "memory_mb": 1024, "vcpus": 2, "firmware": "bios", "arch": "x86_64",
        "disks": [{"pool": "default", "volume": volume, "format": "qcow2"}],
        "networks": wanted["networks"], "autostart": True, "graphics": True,
        "metadata": {"task": task.id, "managed": True}, "deadline_s": 900,
    }  # fmt: skip
    assert f"default/{volume}" in site.minion.volumes, "its disk is there before koan"


def test_a_profile_that_reports_nothing_is_done_when_the_machine_goes_off(site: Site) -> None:
    task = site.create()
    waiting = site.until(task, "report:kickstart")
    assert details(waiting)["report:booted"] == "koan started it"
    site.minion.turn(MachineState.OFF)
    site.works.fleet.refresh_cloud("cloud1")
    done = site.drive(task)
    assert done.state is TaskState.DONE
    assert details(done)["report:done"] == "not reported; it is off"
    assert site.store.get_machine(NAME).state is MachineState.RUNNING


def test_one_that_is_not_to_be_started_stays_off(site: Site) -> None:
    done = site.finish(site.create(start=False))
    assert "start" not in states(site, done)
    assert site.store.get_machine(NAME).state is MachineState.OFF
    assert site.store.get_machine(NAME).profile == PROFILE


def test_while_it_is_installed_nobody_starts_it(site: Site) -> None:
    task = site.create()
    site.until(task, "report:kickstart")
    site.say("done")
    site.until(task, "off")
    assert states(site, task)["start"] == StepState.WAITING.value
    assert site.store.get_machine(NAME).state is MachineState.RUNNING


def test_koan_that_fails_leaves_nothing(site: Site) -> None:
    site.minion.koan_error = "koan exited 1: Error: profile not found"
    failed = site.drive(site.create())
    assert failed.state is TaskState.FAILED
    assert "koan exited 1: Error: profile not found" in str(failed.error)
    assert site.is_empty()
    assert states(site, failed)["disk:0"] == "undone"


@pytest.mark.parametrize("step", ["install", *PHASES[1:], "off"])
def test_an_installation_that_is_cancelled_in_any_step_leaves_nothing(site: Site, step: str) -> None:
    task = site.create()
    for phase in ("kickstart", "packages", "post", "done"):
        if step == f"report:{phase}" or step == "install":
            break
        site.until(task, f"report:{phase}")
        site.say(phase)
    site.until(task, step)
    site.works.machines.cancel(task.id, ASKER)
    ended = site.drive(task)
    assert (ended.state, ended.error) == (TaskState.CANCELLED, None)
    assert list(site.minion.cancelled) == list(site.minion.orders), "by the operation it was begun with"
    assert site.is_empty()
    assert states(site, ended)["install"] == "undone"


def test_a_reply_that_was_lost_while_koan_was_at_work_is_found_out_before_it_is_undone(site: Site) -> None:
    task = site.create()
    site.until(task, "install")
    site.memory = Memory()  # the process that began it is gone
    site.works.machines.cancel(task.id, ASKER)
    assert site.drive(task).state is TaskState.CANCELLED
    assert len(site.minion.orders) == 1
    assert site.is_empty()


@pytest.mark.parametrize("step", ["install", "report:kickstart", "off"])
def test_another_process_goes_on_where_it_stood(site: Site, step: str) -> None:
    task = site.create()
    if step == "off":
        site.until(task, "report:kickstart")
        site.say("done")
    site.until(task, step)
    site.memory = Memory()
    if step == "off":
        site.minion.turn(MachineState.OFF)
        assert site.drive(task).state is TaskState.DONE
    else:
        assert site.finish(task).state is TaskState.DONE
    assert len(site.minion.orders) == 1, "it is installed once"


def test_a_machine_that_says_that_it_failed_is_taken_away_with_its_reason(site: Site) -> None:
    task = site.create()
    site.until(task, "report:kickstart")
    site.say("packages")
    site.say("failed", "no space left on /dev/vda2")
    ended = site.drive(task)
    assert ended.state is TaskState.FAILED
    assert "no space left on /dev/vda2" in str(ended.error)
    assert site.is_empty()


def test_one_that_never_ends_is_given_up_in_time_and_taken_away(site: Site) -> None:
    ended = site.drive(site.create())
    assert ended.state is TaskState.FAILED
    assert "has not ended within 10 min" in str(ended.error)
    assert site.is_empty()


def test_one_that_says_done_and_stays_on_is_given_up_with_what_would_be_right(site: Site) -> None:
    task = site.create()
    site.until(task, "report:kickstart")
    site.say("done")
    ended = site.drive(task)
    assert ended.state is TaskState.FAILED
    assert "its kickstart has to end with reboot or poweroff" in str(ended.error)
    assert site.is_empty()


def test_one_that_somebody_deletes_meanwhile_fails_and_is_cleaned_up(site: Site) -> None:
    task = site.create()
    site.until(task, "report:kickstart")
    site.minion.machines.clear()
    site.works.fleet.refresh_cloud("cloud1")
    ended = site.drive(task)
    assert ended.state is TaskState.FAILED
    assert f"cloud1 has no {NAME} any more" in str(ended.error)
    assert site.is_empty()


def test_one_that_crashes_fails(site: Site) -> None:
    task = site.create()
    site.until(task, "report:kickstart")
    site.minion.turn(MachineState.CRASHED)
    site.works.fleet.refresh_cloud("cloud1")
    ended = site.drive(task)
    assert "crashed while it was being installed" in str(ended.error)
    assert site.is_empty()


@pytest.mark.parametrize("koan", [False, None], ids=["no koan", "a func of before"])
def test_a_cloud_instance_without_koan_is_refused_with_that_reason(tmp_path: Path, koan: Any) -> None:
    site = Site(tmp_path, clouds=2)
    try:
        site.minion.koan = koan
        assert site.create().cloud == "cloud2"
        with pytest.raises(NoRoom, match="cloud1 cannot take it: no koan, which installs from profiles"):
            site.works.machines.create(replace(look(), cloud="cloud1"), ASKER)
        verdicts = {v.cloud: v for v in site.works.machines.place(look()).verdicts}
        assert not verdicts["cloud1"].accepted and verdicts["cloud2"].accepted
        assert "no koan" in verdicts["cloud1"].reason
    finally:
        site.close()


def look() -> MachineSpec:
    """Another one from the same profile."""
    return spec("another", source=Source("profile", profile=PROFILE))


def test_koan_that_went_away_since_is_missed_before_anything_is_made(site: Site) -> None:
    task = site.create()
    site.minion.koan = False
    site.clock.advance(61)
    ended = site.drive(task)
    assert "cloud1 has no koan" in str(ended.error)
    assert site.is_empty()


def test_a_profile_of_an_older_architecture_goes_where_that_runs(site: Site) -> None:
    done = site.finish(site.create("GenomeCloud-F8-i386"))
    assert done.state is TaskState.DONE
    assert site.minion.order["arch"] == "x86_64"


def test_a_profile_for_an_architecture_that_no_cloud_instance_has_finds_no_room(site: Site) -> None:
    site.cobbler.put(profile("other", arch="s390x"))
    with pytest.raises(NoRoom, match="arch x86_64, s390x wanted"):
        site.create("other")


def test_an_unknown_profile_makes_no_task(site: Site) -> None:
    with pytest.raises(Invalid, match=f"did you mean '{PROFILE}'"):
        site.create("GenomeCloud-RHEL5-x86_64")
    assert site.store.tasks.list() == []


def test_a_silent_cobbler_makes_no_task_and_leaves_nothing_reserved(site: Site) -> None:
    site.create()
    site.clock.advance(2)
    site.cobbler.error = CobblerUnreachable("the cobbler server does not answer: refused")
    free_mb = site.store.get_cloud("cloud1").free_memory_mb
    with pytest.raises(CobblerUnreachable, match="Try again when it answers"):
        site.works.machines.create(look(), ASKER)
    assert len(site.store.tasks.list()) == 1
    assert site.store.get_cloud("cloud1").free_memory_mb == free_mb


def test_the_same_request_again_gets_its_task_though_cobbler_is_silent_now(site: Site) -> None:
    asker = replace(ASKER, key="k", request_hash="h")
    task = site.works.machines.create(look(), asker)
    site.clock.advance(2)
    site.cobbler.error = CobblerUnreachable("silent")
    assert site.works.machines.create(look(), asker).id == task.id


def test_tokens_are_with_the_task_alone_and_gone_when_it_ends(site: Site, tmp_path: Path) -> None:
    task = site.create()
    site.until(task, "report:kickstart")
    url = site.minion.order["kernel_options"]["genome_report"]
    report = url.rpartition("/")[2]
    now = site.store.tasks.get(task.id)
    for secret in (TOKEN, report):
        assert secret not in repr(now)
        assert secret not in json.dumps(dict(now.arguments))
        assert secret not in repr(site.store.events.list())
    site.say("done")
    site.until(task, "off")
    site.minion.turn(MachineState.OFF)
    site.drive(task)
    with closing(sqlite3.connect(tmp_path / "db")) as raw:
        kept = "\n".join(raw.iterdump())
    assert NAME in kept
    assert TOKEN not in kept and report not in kept
    with pytest.raises(NotFound):
        site.installs.report(report, "done")


def test_its_memory_is_held_from_the_answer_on_and_counted_once(site: Site) -> None:
    def free() -> Optional[int]:
        return site.store.get_cloud("cloud1").free_memory_mb

    before = free()
    assert before is not None
    task = site.create()
    assert free() == before - 512 - 128
    site.until(task, "report:kickstart")
    assert free() == before - 512 - 128
    site.works.machines.cancel(task.id, ASKER)
    site.drive(task)
    assert free() == before
