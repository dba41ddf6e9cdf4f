"""A machine instance made from a profile, from the request to its first start: every part is the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmasterd.errors import Invalid
from cloudmasterd.model import StepState, Task, TaskState
from cloudmasterd.profiles import LATELY_S
from cloudmasterd.spec import DiskSpec, MachineSpec, Source
from tests.cobbler.bench import Bench
from tests.installs.conftest import PROFILE
from tests.installs.host import Host, eventually
from tests.installs.master import ASKER, CLOUD, Master
from tests.integration.guest import GREETING

NAME = "web1.example.org"
TOKEN = "T" * 43


@pytest.fixture
def master(tmp_path: Path, quick: Bench, host: Host) -> Iterator[Master]:
    made = Master(tmp_path, host, quick)
    yield made
    made.close()
    host.clear()


def spec(profile: str = PROFILE, **metadata: str) -> MachineSpec:
    source = Source("profile", profile=profile, metadata={"certmaster": "cloud.example.org", **metadata})
    return MachineSpec(NAME, 256, 1, (DiskSpec(1),), ("user",), firmware="bios", source=source)


def at(master: Master, task: Task, step: str) -> bool:
    now = {each.name: each.state for each in master.store.tasks.get(task.id).steps}
    return now[step] is StepState.RUNNING


def test_a_machine_is_installed_from_a_profile_and_started(master: Master, host: Host) -> None:
    task = master.machines.create(spec(genome_token=TOKEN), ASKER)
    done = master.ended(task)
    assert (done.state, done.error) == (TaskState.DONE, None)
    details = {step.name: step.detail for step in done.steps}
    assert details["report:done"].startswith("done at "), details

    shown = master.get(f"/api/v1/machines/{NAME}")
    assert (shown["state"], shown["profile"], shown["cloud"]) == ("running", PROFILE, CLOUD)
    uuid = task.machine or ""
    eventually(lambda: GREETING in host.said(uuid), "it to boot from its disk")
    said = host.said(uuid)
    assert "certmaster=cloud.example.org" in said and f"genome_token={TOKEN}" in said
    assert f"# the kickstart of {PROFILE}" in said
    assert "GUEST installed" in said and "no word to" not in said
    assert TOKEN not in str(master.get("/api/v1/tasks"))


def test_a_cancelled_installation_leaves_neither_machine_nor_disk(master: Master, host: Host) -> None:
    task = master.machines.create(spec(guest_waits="yes"), ASKER)
    eventually(lambda: at(master, task, "report:packages"), "its installer to have the kickstart")
    assert host.machines() == [NAME]
    master.machines.cancel(task.id, ASKER)
    ended = master.ended(task)
    assert (ended.state, ended.error) == (TaskState.CANCELLED, None)
    assert (host.machines(), host.volumes()) == ([], [])
    assert master.get("/api/v1/machines")["items"] == []
    assert master.machines.place(spec()).chosen == CLOUD, "nothing is held for it any more"


def test_a_profile_that_koan_cannot_install_fails_with_its_reason_and_leaves_nothing(
    master: Master, host: Host, quick: Bench
) -> None:
    quick.register("Treeless", "url --url=http://cobbler.example.org/cobbler/pub/nothing/\nreboot\n")
    ended = master.ended(master.machines.create(spec("Treeless"), ASKER))
    assert ended.state is TaskState.FAILED
    assert "install tree" in (ended.error or "")
    assert (host.machines(), host.volumes()) == ([], [])


def test_a_profile_that_was_deleted_meanwhile_is_refused_before_anything_is_made(
    master: Master, quick: Bench
) -> None:
    quick.register("Shortlived")
    master.profiles.refresh()
    assert master.machines.place(spec("Shortlived")).chosen == CLOUD
    quick.call("remove_profile", "Shortlived", quick.token())
    eventually(lambda: master.catalogue_age_s() > LATELY_S, "an answer that is not as good as a new one")
    with pytest.raises(Invalid, match="has no profile 'Shortlived'"):
        master.machines.create(spec("Shortlived"), ASKER)
    assert master.store.tasks.list() == []
