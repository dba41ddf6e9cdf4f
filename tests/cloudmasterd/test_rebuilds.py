"""A cloud instance installed anew: refused, prepared, cancelled, followed, silent, killed in between."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloudmasterd.errors import (
    CloudUnreachable,
    CobblerUnreachable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    StaleVersion,
)
from cloudmasterd.model import CloudState, MachineState, NewTask, Step, StepState, Task, TaskState
from cloudmasterd.rebuild_spec import RebuildSpec, parse_rebuild
from cloudmasterd.rebuilds import Rebuilds
from cloudmasterd.recipes import rebuild
from cloudmasterd.tasks import StepContext
from tests.cloudmasterd.rebuilding import ASKER, CLOUD, OWN_BOOT, PROFILE, KilledError, Rebuilding
from tests.fakes import machine

BOTH = ("build1", "jboss1")


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Rebuilding]:
    found = Rebuilding(tmp_path, *BOTH)
    yield found
    found.close()


def states(task: Task) -> dict[str, str]:
    return {step.name: step.state.value for step in task.steps}


def maintenance(works: Rebuilding) -> str:
    """The reason of the maintenance; empty without one."""
    cloud = works.store.get_cloud(CLOUD)
    return cloud.maintenance_reason if cloud.maintenance_since is not None else ""


def installed(works: Rebuilding) -> Task:
    """The whole way, with reports."""
    works.until_at("report:booted")
    works.say("booted")
    works.until_at("report:kickstart")
    works.say("post")
    works.until_at("report:done")
    works.say("done")
    works.until_at("enrolled")
    works.enrol()
    works.move()
    works.minion.come_back()
    return works.until_over()


# What is refused before anything is promised


@pytest.mark.parametrize("lose", [(), ("jboss1",), ("jboss1", "nobody")])
def test_whoever_would_be_lost_must_be_named(works: Rebuilding, lose: tuple[str, ...]) -> None:
    with pytest.raises(Conflict, match="would be erased, and with it") as caught:
        works.submit(*lose)
    missing = [name for name in BOTH if name not in lose]
    assert [name for name, _ in caught.value.fields] == missing
    assert all("running, 512 MB, uuid " in text for _, text in caught.value.fields)
    assert works.store.tasks.list() == []


def test_one_that_is_off_is_lost_just_as_well(works: Rebuilding) -> None:
    works.minion.put(machine("build1", state=MachineState.OFF))
    works.fleet.refresh([CLOUD])
    with pytest.raises(Conflict) as caught:
        works.submit("jboss1")
    assert caught.value.fields[0][1].startswith("off, ")


def test_who_does_not_live_there_cannot_be_lost(works: Rebuilding) -> None:
    with pytest.raises(Conflict, match="nobody of `lose` is not on cloud1"):
        works.submit(*BOTH, "nobody")


def test_names_and_uuids_are_both_good(works: Rebuilding) -> None:
    uuid = machine("jboss1").uuid
    task = works.submit("build1", uuid.upper())
    assert task.arguments["lose"] == {uuid: "jboss1", machine("build1").uuid: "build1"}


def test_a_name_that_is_the_uuid_of_another_names_nobody(tmp_path: Path) -> None:
    uuid = machine("jboss1").uuid
    works = Rebuilding(tmp_path, "jboss1", uuid)
    with pytest.raises(Conflict, match=f"{uuid} of `lose` is the name of one .* and the uuid of another"):
        works.submit(uuid)
    assert works.submit("jboss1", machine(uuid).uuid).arguments["lose"].keys() == {uuid, machine(uuid).uuid}
    works.close()


def test_one_that_cannot_be_reached_cannot_be_prepared(works: Rebuilding) -> None:
    works.down[CLOUD] = CloudUnreachable("no route")
    works.fleet.refresh([CLOUD])
    with pytest.raises(CloudUnreachable, match="nobody can prepare it"):
        works.submit(*BOTH)


def test_one_that_never_answered_is_not_erased_unseen(works: Rebuilding) -> None:
    works.store.sync_clouds({"cloud2": None})
    with pytest.raises(Conflict, match="never answered"):
        works.rebuilds.rebuild("cloud2", RebuildSpec(PROFILE), ASKER)
    with pytest.raises(NotFound):
        works.rebuilds.rebuild("cloud3", RebuildSpec(PROFILE), ASKER)


def test_while_a_task_is_at_work_there_it_is_not_erased(works: Rebuilding) -> None:
    first = works.submit(*BOTH)
    with pytest.raises(Conflict, match=f"task {first.id} is at work on cloud1"):
        works.submit(*BOTH)


def test_the_same_request_gives_the_same_task(works: Rebuilding) -> None:
    asker = replace(ASKER, key="k1", request_hash="h")
    tasks = [works.rebuilds.rebuild(CLOUD, RebuildSpec(PROFILE, BOTH), asker) for _ in range(2)]
    assert tasks[0].id == tasks[1].id
    with pytest.raises(Conflict, match="another request"):
        works.rebuilds.rebuild(CLOUD, RebuildSpec("Other", BOTH), replace(asker, request_hash="i"))


def test_a_stale_revision_is_refused(works: Rebuilding) -> None:
    with pytest.raises(StaleVersion):
        works.rebuilds.rebuild(CLOUD, RebuildSpec(PROFILE, BOTH), ASKER, revision=0)


def test_who_is_bound_to_tags_erases_nothing_whatever_it_carries(works: Rebuilding) -> None:
    for living in works.store.list_machines():
        works.store.change_machine(living.uuid, tags={"team": "web"})
    with pytest.raises(Forbidden, match="cloud1.* carries no tags, and your rights are bound to team=web"):
        works.rebuilds.rebuild(
            CLOUD, RebuildSpec(PROFILE, BOTH), replace(ASKER, scopes=(frozenset({"team=web"}),))
        )
    assert works.store.tasks.list() == []


@pytest.mark.parametrize(
    ("profile", "text"),
    [("Nope", "no profile"), ("Arm", "is for aarch64, and cloud1 is x86_64"), ("", "name a profile")],
)
def test_a_profile_that_does_not_fit_is_refused_by_its_field(
    works: Rebuilding, profile: str, text: str
) -> None:
    with pytest.raises(Invalid, match=text) as caught:
        works.submit(*BOTH, profile=profile)
    assert [name for name, _ in caught.value.fields] == ["profile"]


def test_without_the_cobbler_server_nothing_is_begun(works: Rebuilding) -> None:
    works.cobbler.error = CobblerUnreachable("cobbler.example.org does not answer")
    with pytest.raises(CobblerUnreachable):
        works.submit(*BOTH)
    assert works.store.tasks.list() == []


def test_the_profile_is_the_configured_one_or_the_one_it_had(works: Rebuilding) -> None:
    cloud = works.store.get_cloud(CLOUD)
    assert works.rebuilds.default_profile(cloud) == ""
    had = replace(cloud, profile="Other")
    assert works.rebuilds.default_profile(had) == "Other"
    configured = Rebuilds(works.store, works.runner, works.profiles, works.clock, PROFILE)
    assert configured.default_profile(had) == PROFILE
    works.store.change_cloud(CLOUD, profile="Other")
    assert works.submit(*BOTH, profile="").arguments["profile"] == "Other"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({"profile": "a b"}, "profile"),
        ({"profile": 7}, "profile"),
        ({"lose": "jboss1"}, "lose"),
        ({"lose": ["jboss1", "jboss1"]}, "lose[1]"),
        ({"lose": [""]}, "lose[0]"),
        ({"lose": [None]}, "lose[0]"),
        ({"metadata": {"a": "x y"}}, "metadata.a"),
        ({"metadata": {"certmaster": "evil"}}, "metadata.certmaster"),
        ({"metadata": {"genome_token": "x"}}, "metadata.genome_token"),
        ({"metadata": {"genome_report": "x"}}, "metadata.genome_report"),
        ({"metadata": {"genome_ca": "x"}}, "metadata.genome_ca"),
        ({"reason": "two\nlines"}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"lost": []}, "lost"),
    ],
)
def test_a_wrong_body_is_told_by_its_field(body: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_rebuild(body)
    assert [name for name, _ in caught.value.fields] == [field]


def test_a_right_body_is_read() -> None:
    body = {"profile": None, "lose": ["a", "b"], "metadata": {"x": "1", "y": ["2", "3"]}, "reason": "disks"}
    spec = parse_rebuild(body)
    assert (spec.profile, spec.lose, spec.reason) == (None, ("a", "b"), "disks")
    assert dict(spec.metadata) == {"x": "1", "y": ("2", "3")}
    assert parse_rebuild({}) == RebuildSpec()
    assert "3" not in repr(spec)


# The whole way


def test_a_cloud_instance_is_installed_anew_and_serves_again(works: Rebuilding) -> None:
    works.submit(*BOTH, reason="new disks", metadata={"genome_sshkey": ["ssh-rsa,AA", "ssh-rsa,BB"]})
    works.until_at("prepare")
    assert works.store.get_cloud(CLOUD).state is CloudState.MAINTENANCE
    assert maintenance(works) == "task 1 installs it anew: new disks"
    task = installed(works)
    assert (task.state, task.error) == (TaskState.DONE, None)
    assert set(states(task).values()) == {"done"}
    assert task.result == {"cloud": "/api/v1/clouds/cloud1", "profile": PROFILE, "lost": ["build1", "jboss1"]}
    assert works.step("report:booted").detail.startswith("booted at ")
    cloud = works.store.get_cloud(CLOUD)
    assert (cloud.state, cloud.profile, cloud.machines) == (CloudState.UP, PROFILE, 0)
    assert works.minion.reboots == 1
    (order,) = works.minion.orders
    assert (order["server"], order["profile"], order["force"]) == ("cobbler.example.org", PROFILE, True)
    assert order["metadata"] == {
        "genome_sshkey": ["ssh-rsa,AA", "ssh-rsa,BB"], "certmaster": "master",
        "genome_token": works.certmaster.made[0].token, "genome_ca": "c" * 64,
        "genome_name": CLOUD, "genome_report": f"http://master/install/{works.token()}",
    }  # fmt: skip
    made = works.certmaster.made[0]
    assert (made.name, made.replace) == (CLOUD, True)


def test_who_was_lost_is_news_that_names_the_task(works: Rebuilding) -> None:
    works.submit(*BOTH)
    task = installed(works)
    news = [(e.kind, e.machine_name, e.task) for e in works.store.events.list()]
    assert ("machine.vanished", "jboss1", task.id) in news
    assert ("machine.vanished", "build1", task.id) in news
    assert {number for kind, _, number in news if kind.startswith("cloud.")} <= {task.id}
    assert works.store.list_machines() == []


def test_an_empty_cloud_instance_is_erased_without_force(tmp_path: Path) -> None:
    works = Rebuilding(tmp_path)
    works.submit()
    assert installed(works).state is TaskState.DONE
    assert works.minion.orders[0]["force"] is False
    works.close()


def test_secrets_are_nowhere_but_in_the_secret_of_the_task(works: Rebuilding, tmp_path: Path) -> None:
    task = works.submit(*BOTH, metadata={"root_password": "hunter2"})
    works.until_at("reboot")
    secrets = ("hunter2", works.token(), works.certmaster.made[0].token)
    raw = sqlite3.connect(tmp_path / "db")
    found = [line for line in raw.iterdump() if any(secret in line for secret in secrets)]
    assert len(found) == 1 and "task_secret" in found[0]
    assert not any(secret in repr(works.store.tasks.get(task.id)) for secret in secrets)
    works.until_at("report:booted")
    installed_after(works)
    assert not [line for line in raw.iterdump() if any(secret in line for secret in secrets)]
    raw.close()


def installed_after(works: Rebuilding) -> None:
    works.say("done")
    works.enrol()
    works.minion.come_back()
    works.until_over()


def test_maintenance_of_before_stays_afterwards(works: Rebuilding) -> None:
    works.store.change_cloud(CLOUD, maintenance=True, maintenance_reason="moving house")
    works.submit(*BOTH)
    assert installed(works).state is TaskState.DONE
    assert maintenance(works) == "moving house"
    assert works.step("ready").detail == "it stays in maintenance, as before"


def test_maintenance_that_somebody_took_over_stays(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.store.change_cloud(CLOUD, maintenance_reason="and now a new disk")
    installed_after(works)
    assert maintenance(works) == "and now a new disk"


def test_an_install_that_reports_nothing_is_over_when_it_has_enrolled_and_answers(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.enrol()
    for _ in range(5):
        works.move()
    assert works.at() == "report:booted"
    works.minion.come_back()
    task = works.until_over()
    assert task.state is TaskState.DONE
    assert works.step("report:done").detail == "not reported; it has enrolled anew and answers"


def test_one_that_was_let_in_by_hand_is_seen_by_its_new_boot(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.minion.come_back()
    works.move()
    assert works.at() == "report:booted"  # nothing shows that it is there
    works.fleet.refresh([CLOUD])  # the poller comes by
    assert works.until_over().state is TaskState.DONE


def test_one_that_comes_back_with_a_func_of_2008_is_back(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.enrol()
    works.minion.come_back()
    works.minion.has_genome = False
    assert works.until_over().state is TaskState.DONE
    assert "with another func than before" in works.step("enrolled").detail


def test_a_certmaster_that_is_down_for_a_while_costs_nothing(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.certmaster.down = True
    works.say("done")
    works.until_at("enrolled")
    works.enrol()
    works.minion.come_back()
    works.move()
    works.certmaster.down = False
    assert works.until_over().state is TaskState.DONE


# Before the reboot


@pytest.mark.parametrize("step", ["maintenance", "check", "token", "prepare"])
def test_until_the_reboot_it_is_cancelled_and_all_is_as_before(works: Rebuilding, step: str) -> None:
    task = works.submit(*BOTH)
    works.until(lambda: works.at() == step and works.task().state is TaskState.RUNNING)
    works.store.tasks.ask_cancel(task.id)
    ended = works.until_over()
    assert (ended.state, ended.error) == (TaskState.CANCELLED, None)
    assert maintenance(works) == ""
    assert works.minion.prepared is None and works.minion.reboots == 0
    assert works.certmaster.deleted == {token.id for token in works.certmaster.made}
    assert len(works.store.list_machines()) == 2


def test_a_preparation_under_way_is_cancelled_too(works: Rebuilding) -> None:
    works.minion.busy = 10**6
    task = works.submit(*BOTH)
    works.until(lambda: works.step("prepare").detail == "fetches the installer")
    works.store.tasks.ask_cancel(task.id)
    assert works.until_over().state is TaskState.CANCELLED
    assert len(works.minion.cancelled) == 1
    assert works.minion.prepared is None and maintenance(works) == ""


def test_from_the_reboot_on_it_cannot_be_cancelled(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    assert works.runner.may_cancel(works.task()) is False
    works.store.tasks.ask_cancel(works.task().id)
    installed_after(works)
    assert works.task().state is TaskState.DONE


@pytest.mark.parametrize(
    ("refusing", "text"),
    [
        (("HostError", "no boot loader that I know"), "no boot loader that I know"),
        (("WrongState", "machines are running"), "machines are running"),
        (("BadSpec", "no"), "no"),
        (("Unsupported", "there is no program"), "cannot be installed anew from here: there is no program"),
    ],
)
def test_a_preparation_that_is_refused_is_undone(
    works: Rebuilding, refusing: tuple[str, str], text: str
) -> None:
    works.minion.refusing = refusing
    works.submit(*BOTH)
    task = works.until_over()
    assert task.state is TaskState.FAILED and text in (task.error or "")
    assert maintenance(works) == "" and works.certmaster.deleted
    assert states(task)["reboot"] == "skipped"


def test_a_func_that_is_too_old_is_said_to_be(works: Rebuilding) -> None:
    works.minion.has_genome = False
    works.submit(*BOTH)
    task = works.until_over()
    assert "cannot be installed anew from here: the func of cloud1 is too old" in (task.error or "")
    assert maintenance(works) == ""


def test_without_a_certmaster_it_fails_and_is_undone(works: Rebuilding) -> None:
    works.certmaster.down = True
    works.submit(*BOTH)
    task = works.until_over()
    assert (task.state, task.error) == (TaskState.FAILED, "certmaster is not running")
    assert maintenance(works) == ""


@pytest.mark.parametrize("step", ["check", "reboot"])
def test_one_that_came_since_is_not_lost_unasked(works: Rebuilding, step: str) -> None:
    works.submit(*BOTH)
    works.until_at(step)
    works.minion.put(machine("late1"))
    task = works.until_over()
    assert task.state is TaskState.FAILED
    assert "late1 came to cloud1 since this was asked for" in (task.error or "")
    assert works.minion.reboots == 0 and works.minion.prepared is None
    assert maintenance(works) == ""


def test_the_machine_that_the_cloud_master_runs_on_is_not_erased(works: Rebuilding) -> None:
    works.minion.boot_id = OWN_BOOT
    works.submit(*BOTH)
    task = works.until_over()
    assert task.state is TaskState.FAILED
    assert "this cloud master runs on cloud1 itself, and would be erased with it" in (task.error or "")
    assert works.minion.orders == [] and works.certmaster.made == []
    assert maintenance(works) == ""


def test_the_kernel_says_which_boot_this_is(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("1b2c\n")
    assert rebuild.read_boot_id(tmp_path / "boot_id") == "1b2c"
    assert rebuild.read_boot_id(tmp_path / "none") == ""
    assert rebuild.OWN_BOOT_ID.exists()


def test_one_that_is_being_made_there_is_not_lost_unasked(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("reboot")
    works.store.change_cloud(CLOUD, maintenance=False)  # an administrator wants it to go on serving
    new = NewTask(
        kind="machine.create", target="/x", cloud=CLOUD, machine=machine("late1").uuid,
        machine_name="late1", arguments={}, steps=(Step("act", "Make"),), asked_by="bob", request_id="r",
    )  # fmt: skip
    other = works.store.tasks.submit(lambda room: new)
    assert works.driver.advance(1, works.memory, lambda: False) is None
    task = works.store.tasks.get(1)
    assert f"late1 (task {other.id}) is coming to cloud1" in (task.error or "")
    assert works.minion.reboots == 0 and works.minion.prepared is None


def test_one_that_was_deleted_since_is_no_reason_to_stop(works: Rebuilding) -> None:
    works.submit(*BOTH)
    del works.minion.machines[machine("jboss1").uuid]
    assert installed(works).state is TaskState.DONE


def test_a_task_that_came_in_between_is_waited_for(works: Rebuilding) -> None:
    works.submit(*BOTH)
    new = NewTask(
        kind="machine.start", target="/x", cloud=CLOUD, machine=machine("build1").uuid,
        machine_name="build1", arguments={}, steps=(Step("act", "Start"),), asked_by="bob", request_id="r",
    )  # fmt: skip
    other = works.store.tasks.submit(lambda room: new)
    driver, memory = works.driver, works.memory

    def move() -> None:
        works.clock.advance(driver.advance(1, memory, lambda: False, light=True) or 0.0)

    for _ in range(4):
        move()
    step = works.store.tasks.get(1).steps[1]
    assert (step.state, step.detail) == (StepState.RUNNING, f"waits for the end of task {other.id}")
    works.store.tasks.end(other.id, TaskState.CANCELLED, None, None, works.clock.now())
    move()
    assert works.store.tasks.get(1).steps[1].state is StepState.DONE


# The reboot


@pytest.mark.parametrize("lost", ["lost_requests", "lost_replies"])
def test_a_lost_order_to_reboot_is_sent_again_and_a_lost_answer_is_no_loss(
    works: Rebuilding, lost: str
) -> None:
    works.submit(*BOTH)
    works.until_at("reboot")
    getattr(works.fabric, lost)["genome.reboot"] = 1
    works.move()
    if lost == "lost_replies":
        assert "so it may be on its way" in works.step("reboot").detail
        works.say("booted")
        works.until_at("report:kickstart")
        assert works.step("reboot").detail == "it reports from its installer"
    else:
        works.until_at("report:booted")
    assert works.minion.reboots == 1
    installed_after(works)
    assert works.task().state is TaskState.DONE and works.minion.reboots == 1


def test_a_report_from_elsewhere_does_not_stand_for_the_reboot(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("reboot")
    works.say("booted")
    works.until_at("report:kickstart")
    assert works.minion.reboots == 1


def test_one_that_comes_back_before_anybody_knew_it_went_is_not_rebooted_again(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("reboot")
    works.fabric.lost_replies["genome.reboot"] = 1
    works.move()
    works.enrol()
    works.minion.come_back()
    assert works.until_over().state is TaskState.DONE
    assert works.minion.reboots == 1
    assert works.step("reboot").detail == "it has rebooted"


def test_one_that_refuses_to_reboot_is_as_before(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("reboot")
    works.minion.prepared = None  # somebody took it back on the spot
    task = works.until_over()
    assert task.state is TaskState.FAILED and "it is not prepared" in (task.error or "")
    assert maintenance(works) == ""


# When it does not come back


def test_silence_is_said_and_then_the_task_fails_in_maintenance(works: Rebuilding) -> None:
    works.submit(*BOTH, reason="disks")
    works.until_at("report:booted")
    works.say("packages", "12 of 900")
    works.until_at("report:post")
    works.until(lambda: "silent since its last word, packages at " in works.step("report:post").detail)
    task = works.until_over()
    assert task.state is TaskState.FAILED
    error = task.error or ""
    assert "has not ended within 120 min" in error and "12 of 900" in error
    assert "cloud1 stays in maintenance, because nobody knows what is on it now" in error
    assert maintenance(works) == "task 1 installs it anew: disks"
    assert works.certmaster.deleted == set()  # it may still come


def test_one_that_installs_and_never_enrols_fails_with_what_to_look_at(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.say("done", "rebooting")
    works.until_at("enrolled")
    works.move()
    assert works.step("enrolled").detail.startswith("has not enrolled yet; last word done at ")
    works.enrol()
    works.until(lambda: works.step("enrolled").detail.startswith("has enrolled, does not answer yet; silent"))
    task = works.until_over()
    assert "cloud1 has not come back within 120 min; done at " in (task.error or "")
    assert "look at its console, whether funcd runs there" in (task.error or "")
    assert maintenance(works)


def test_an_install_that_fails_tells_its_own_words_and_stays_in_maintenance(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.say("failed", "no disk found")
    task = works.until_over()
    assert "it failed: no disk found" in (task.error or "")
    assert maintenance(works)


def test_one_that_comes_back_as_it_was_is_told_apart(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("report:booted")
    works.move()
    works.minion.come_back(anew=False)
    works.fleet.refresh([CLOUD])
    task = works.until_over()
    assert task.state is TaskState.FAILED
    assert "rebooted into the system it had, and not into its installer" in (task.error or "")
    assert maintenance(works)
    assert len(works.store.list_machines()) == 2


def test_one_that_never_answers_the_order_to_reboot_is_given_up(works: Rebuilding) -> None:
    works.submit(*BOTH)
    works.until_at("reboot")
    works.down[CLOUD] = CloudUnreachable("cloud1 did not answer")
    task = works.until_over()
    assert "cloud1 has not come back within 120 min" in (task.error or "")
    assert maintenance(works)


# Killed in between


def test_a_new_process_takes_it_up_at_every_move(works: Rebuilding) -> None:
    works.submit(*BOTH)
    spoken = iter([("booted",), ("packages", "9"), ("done",)])
    for _ in range(200):
        works.new_process()
        works.move()
        if works.at().startswith("report:"):
            for word in spoken:
                works.say(*word)
        if works.at() == "enrolled" and works.down:
            works.enrol()
            works.minion.come_back()
        if works.at() == "":
            break
    assert works.task().state is TaskState.DONE
    assert works.minion.reboots == 1 and len(works.minion.orders) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 15))
def test_a_kill_at_any_call_costs_nothing(tmp_path: Path, number: int, after: bool) -> None:
    works = Rebuilding(tmp_path, *BOTH)
    works.submit(*BOTH)
    works.fabric.kill_at, works.fabric.after = works.fabric.calls + number, after
    killed = 0
    for _ in range(300):
        try:
            works.move()
        except KilledError:
            killed += 1
            works.new_process()
        if works.at() in ("report:booted", "reboot") and works.minion.reboots and works.down:
            works.say("done")
        if works.at() == "enrolled" and works.down:
            works.enrol()
            works.minion.come_back()
        if works.at() == "":
            break
    task = works.task()
    assert (task.state, task.error) == (TaskState.DONE, None)
    assert works.minion.reboots == 1 and len(works.minion.orders) == 1
    assert works.store.get_cloud(CLOUD).state is CloudState.UP
    assert works.store.list_machines() == []
    works.close()


@pytest.mark.parametrize("made", [False, True])
def test_a_task_cancelled_after_a_kill_in_the_making_of_its_token_keeps_none(
    works: Rebuilding, made: bool
) -> None:
    task = works.submit(*BOTH)
    works.until_at("token")
    # killed when the step had begun: before the token was made, or before it was written that it was
    works.store.tasks.begin_step(task.id, 2, "operation-t", works.clock.now())
    if made:
        step = works.recipes["cloud.rebuild"].steps["token"]
        step.do(StepContext(works.task(), works.step("token"), "operation-t", works.clock.now()))
    works.new_process()
    works.store.tasks.ask_cancel(task.id)
    ended = works.until_over()
    assert (ended.state, ended.error) == (TaskState.CANCELLED, None)
    assert len(works.certmaster.made) == 1
    assert works.certmaster.deleted == {works.certmaster.made[0].id}
    assert maintenance(works) == ""


def test_the_steps_are_said_in_words() -> None:
    assert [step.title for step in rebuild.steps("cloud1", "F42")] == [
        "Put cloud1 into maintenance",
        "Look what lives on cloud1",
        "Make a one-time token for cloud1 to enrol with",
        "Prepare cloud1 to be installed from F42",
        "Reboot cloud1 into its installer",
        "See cloud1 boot its installer",
        "See cloud1 read its kickstart",
        "See cloud1 install packages",
        "See cloud1 set itself up",
        "See the installation of cloud1 end",
        "See cloud1 enrolled and answering again",
        "Let cloud1 take machine instances again",
    ]
    assert json.loads(rebuild.secret_of(RebuildSpec(metadata={"a": "b"}), "t")) == {
        "report_token": "t", "metadata": {"a": "b"},
    }  # fmt: skip
