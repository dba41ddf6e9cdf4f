"""Machine instances cloned from images: real minions on libvirt's test driver, real files, the wire."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from cloudmasterd.errors import Conflict, Invalid
from cloudmasterd.model import ImageState, StepState, Task, TaskState
from tests.cloudmasterd.clones import MIB, Clones, lose
from tests.cloudmasterd.works import ASKER

pytestmark = pytest.mark.slow

pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")

DATA = os.urandom(3 * MIB) + bytes(512)
SECRET = "hunter2-is-my-password"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Clones]]:
    made: list[Clones] = []

    def make(**settings: Any) -> Clones:
        made.append(Clones(tmp_path, **settings))
        return made[-1]

    yield make
    for clones in made:
        clones.close()


@pytest.fixture
def clones(make: Callable[..., Clones]) -> Clones:
    return make()


def done(clones: Clones, task: Task) -> Task:
    ended = clones.ended(task)
    assert ended.state is TaskState.DONE, ended.error
    return ended


def test_a_machine_stands_on_the_image_that_was_sent_for_it(clones: Clones) -> None:
    sha256 = clones.upload("debian-12", DATA)
    ended = done(clones, clones.create("web1", "debian-12"))
    assert [step.name for step in ended.steps] == [
        "check", "image", "disk:0", "seed", "define", "start", "see"
    ]  # fmt: skip
    kept = clones.kept() / f"{sha256}.raw"
    assert kept.read_bytes() == DATA
    assert (kept.stat().st_mode & 0o777, clones.kept().stat().st_mode & 0o777) == (0o644, 0o711)
    found = clones.store.get_machine("web1")
    assert (found.image, found.state.value) == ("debian-12", "running")
    xml = clones.domain_xml("cloud1", found.uuid)
    assert f"var/lib/func/seeds/{found.uuid}.iso" in xml
    assert re.search(r"device='cdrom'.*?seeds", xml, re.S)


def test_its_seed_is_for_root_alone_and_goes_with_it(clones: Clones) -> None:
    clones.upload("debian-12", DATA)
    done(clones, clones.create("web1", "debian-12", cloud_init={"hostname": "web"}))
    uuid = clones.store.get_machine("web1").uuid
    assert clones.seeds() == [f"{uuid}.iso"]
    seed = clones.root("cloud1") / f"var/lib/func/seeds/{uuid}.iso"
    assert seed.stat().st_mode & 0o777 == 0o600
    assert b'"local-hostname": "web"' in seed.read_bytes()
    ended = done(clones, clones.machines.delete("web1", ASKER, force=True))
    assert clones.seeds() == []
    assert ended.result["disks_kept"] == []


def test_user_data_stands_nowhere_but_in_the_seed(clones: Clones) -> None:
    clones.upload("debian-12", DATA)
    task = clones.create("web1", "debian-12", cloud_init={"user_data": f"#cloud-config\n# {SECRET}\n"})
    ended = done(clones, task)
    assert SECRET not in repr(task) and SECRET not in repr(ended)
    assert clones.store.tasks.get_secret(task.id) is None
    assert SECRET not in repr(clones.store.events.list())
    journal = clones.root("cloud1") / "var/lib/func/operations"
    assert all(SECRET not in file.read_text() for file in journal.iterdir())
    clones.stop_master()
    raw = sqlite3.connect(clones.folder / "db")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    assert SECRET.encode() not in (clones.folder / "db").read_bytes()
    clones.start_master()


def test_while_the_task_waits_the_secret_waits_with_it(make: Callable[..., Clones]) -> None:
    clones = make()
    clones.upload("debian-12", DATA)
    clones.runner.stop(5)
    task = clones.create("web1", "debian-12", cloud_init={"user_data": "#!/bin/sh\n"})
    assert json.loads(clones.store.tasks.get_secret(task.id) or "") == {"user_data": "#!/bin/sh\n"}
    clones.stop_master()
    clones.start_master()
    done(clones, task)


def test_an_image_is_sent_to_a_cloud_instance_once(clones: Clones) -> None:
    clones.upload("debian-12", DATA)
    tasks = [clones.create(f"web{number}", "debian-12") for number in range(4)]
    for task in tasks:
        done(clones, task)
    assert clones.fanout.calls["cloud1 image.put"] == 4  # pieces of 1 MiB and the rest, whoever sent them


def test_a_transfer_goes_on_after_lost_requests_and_replies(clones: Clones) -> None:
    clones.upload("debian-12", DATA)
    clones.fanout.before = lose("image.put", "image.finish", "image.status", "image.put_seed", times=3)
    clones.fanout.after = lose("image.put", "image.finish", "image.put_seed", times=5)
    done(clones, clones.create("web1", "debian-12"))


def test_a_master_that_was_killed_goes_on_where_it_was(make: Callable[..., Clones]) -> None:
    clones = make()
    sha256 = clones.upload("debian-12", DATA)
    clones.fanout.before = lose("image.put", times=10**9)
    task = clones.create("web1", "debian-12")
    clones.stop_master()
    clones.fanout.before = lambda *call: None
    clones.ask("cloud1", "image.status", sha256, "raw", str(len(DATA)))
    clones.ask("cloud1", "image.put", sha256, "0", base64.b64encode(DATA[: 2 * MIB]).decode())
    clones.fanout.calls.clear()
    clones.start_master()
    done(clones, task)
    assert clones.fanout.calls["cloud1 image.put"] == 2


def test_a_piece_that_a_power_cut_spoilt_is_noticed_and_all_is_sent_anew(clones: Clones) -> None:
    sha256 = clones.upload("debian-12", DATA)
    clones.kept().mkdir(parents=True)
    (clones.kept() / f"{sha256}.part").write_bytes(bytes(MIB))
    done(clones, clones.create("web1", "debian-12"))
    assert (clones.kept() / f"{sha256}.raw").read_bytes() == DATA


def test_an_image_that_spoils_on_the_way_again_and_again_fails_with_both_sums(clones: Clones) -> None:
    sha256 = clones.upload("debian-12", DATA)
    file = clones.folder / "images/debian-12.img"
    file.write_bytes(bytes(len(DATA)))  # a bad disk of the master
    ended = clones.ended(clones.create("web1", "debian-12"))
    assert ended.state is TaskState.FAILED and ended.error is not None
    assert sha256 in ended.error and "upload it again" in ended.error
    assert list(clones.kept().iterdir()) == []


def test_what_was_made_is_undone_with_the_seed(clones: Clones) -> None:
    clones.upload("debian-12", DATA)
    clones.fanout.before = _fail_define(clones)
    ended = clones.ended(clones.create("web1", "debian-12"))
    assert ended.state is TaskState.FAILED
    states = {step.name: step.state for step in ended.steps}
    assert (states["seed"], states["disk:0"]) == (StepState.UNDONE, StepState.UNDONE)
    assert clones.seeds() == []
    assert clones.store.tasks.get_secret(ended.id) is None


def _fail_define(clones: Clones) -> Callable[[str, str, tuple[Any, ...]], None]:
    def before(minion: str, method: str, args: tuple[Any, ...]) -> None:
        if method == "machine.perform" and args[1] == "define":
            for seed in (clones.root(minion) / "var/lib/func/seeds").iterdir():
                seed.unlink()

    return before


def test_a_disk_smaller_than_the_image_is_refused_at_once(clones: Clones) -> None:
    clones.upload("large", DATA, min_disk_gb=8)
    with pytest.raises(
        Invalid, match="7 GB: the image is larger than the disk, large needs at least 8"
    ) as told:
        clones.create("web1", "large", 7)
    assert told.value.fields[0][0] == "disks[0].size_gb"
    with pytest.raises(Invalid, match="take a larger flavor"):
        clones.create("web1", "large", 7, flavor="tiny")


def test_an_image_that_is_not_there_or_not_whole_is_refused_with_what_is(clones: Clones) -> None:
    clones.upload("debian-12", DATA)
    with pytest.raises(Invalid, match="there is no image 'debain'; there are: debian-12"):
        clones.create("web1", "debain")
    clones.images.create({"name": "half", "format": "raw", "sha256": "0" * 64, "size_bytes": 1024})
    clones.images.receive("half", 0, bytes(512))
    with pytest.raises(Conflict, match=r"half is still being uploaded \(50 % are there\)"):
        clones.create("web1", "half")
    with pytest.raises(Conflict, match="SHA-256"):
        clones.images.receive("half", 512, bytes(512))
    with pytest.raises(Conflict, match="half is corrupt"):
        clones.create("web1", "half")
    (clones.folder / "images/debian-12.img").unlink()
    with pytest.raises(Conflict, match="the file of the image debian-12 is gone"):
        clones.create("web1", "debian-12")


def test_an_image_is_not_deleted_while_a_task_is_to_clone_it(make: Callable[..., Clones]) -> None:
    clones = make()
    clones.upload("debian-12", DATA)
    clones.runner.stop(5)
    task = clones.create("web1", "debian-12")
    with pytest.raises(Conflict, match=f"task {task.id} is about to clone the image debian-12"):
        clones.images.delete("debian-12")
    assert clones.images.get("debian-12").state is ImageState.READY
    clones.stop_master()
    clones.start_master()
    done(clones, task)
    clones.images.delete("debian-12")
    assert list((clones.folder / "images").iterdir()) == []
    assert clones.store.get_machine("web1").image == "debian-12"


def test_a_cloud_instance_without_room_says_so_in_numbers(clones: Clones) -> None:
    sha256 = "1" * 64
    with pytest.raises(Exception, match=r"needs 8388608000 MB more in .*images, and \d+ MB are free") as told:
        clones.ask("cloud1", "image.status", sha256, "raw", str(8000 * 2**40))
    assert "DiskFull" in str(told.value)
