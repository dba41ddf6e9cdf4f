"""An image on its way between real processes: over TLS, through a crash, onto a disk that is really full."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.machines import done, get, send, spec
from tests.integration.support import ask, eventually, refresh

pytestmark = pytest.mark.integration

CLOUD = "cloud1.example.org"
MIB = 2**20
SIZE = 24 * MIB
CHUNK = 4 * MIB
IMAGES = "var/lib/func/images"


def upload(cloud: Cloud, name: str, seed: int) -> bytes:
    """Have the catalogue hold an image of noise, the same every time."""
    data = random.Random(seed).randbytes(SIZE)
    body = {"name": name, "format": "raw", "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": SIZE}
    assert send(cloud, "POST", "/images", body).status == 201
    for offset in range(0, SIZE, CHUNK):
        path = f"/api/v1/images/{name}/data?offset={offset}"
        headers = {"Content-Type": "application/octet-stream"}
        reply = ask(cloud, "PUT", path, body=data[offset : offset + CHUNK], headers=headers)
        assert reply.status == 200, reply.body
    assert get(cloud, f"/images/{name}")["state"] == "ready"
    return data


def clone(name: str, image: str) -> dict[str, Any]:
    return spec(name, cloud=CLOUD, source={"kind": "image", "image": image})


def begun(cloud: Cloud, name: str, image: str) -> Any:
    reply = send(cloud, "POST", "/machines", clone(name, image))
    assert reply.status == 202, reply.body
    return reply.json


def ended(cloud: Cloud, task: Any) -> Any:
    path = f"/tasks/{task['id']}"
    return eventually(lambda: (found := get(cloud, path))["ended_at"] and found, f"{path} to end", 300)


def part_of(folder: Path) -> Optional[Path]:
    """What has come of an image so far, once it is more than nothing."""
    found = [file for file in folder.glob("*") if file.suffix not in (".raw", ".qcow2") and file.is_file()]
    return next((file for file in found if file.stat().st_size > MIB), None)


def slow_down(cloud: Cloud) -> None:
    """Have the minion stand back for whoever else wants to work, so that the test sees it halfway."""
    for thread in Path(f"/proc/{cloud.processes[CLOUD].pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One cloud instance that is asked again soon."""
    settings = {"poll_interval_s": 60, "minion_timeout_s": 5, "task_patience_s": 120}
    made = Cloud(tmp_path_factory.mktemp("push"), 1, ports=free_ports(), log=write_log, settings=settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_an_image_comes_over_tls_whole_and_is_cloned_from_there_on(small: Cloud) -> None:
    data = upload(small, "first", 1)
    task = done(small, "POST", "/machines", clone("web1", "first"))
    (step,) = [step for step in task["steps"] if step["name"] == "image"]
    assert step["state"] == "done"
    kept = small.root_of(CLOUD) / IMAGES / f"{hashlib.sha256(data).hexdigest()}.raw"
    assert kept.read_bytes() == data
    before = kept.stat().st_ino
    done(small, "POST", "/machines", clone("web2", "first"))
    assert kept.stat().st_ino == before, "it is sent once"
    assert [machine["image"] for machine in get(small, "/machines")["items"] if machine["image"]] == [
        "first"
    ] * 2


def test_a_minion_that_is_killed_halfway_goes_on_where_it_stopped(small: Cloud) -> None:
    data = upload(small, "second", 2)
    folder = small.root_of(CLOUD) / IMAGES
    slow_down(small)
    task = begun(small, "web3", "second")
    part = eventually(lambda: part_of(folder), "a part of the image to arrive")
    small.processes[CLOUD].send(signal.SIGKILL)
    small.end(CLOUD)
    size = part.stat().st_size
    assert MIB < size < SIZE, "it was killed too late to show anything"
    assert part.read_bytes() == data[:size]
    small.start_minion(CLOUD)
    found = ended(small, task)
    assert (found["state"], found["error"]) == ("done", None)
    assert (folder / f"{hashlib.sha256(data).hexdigest()}.raw").read_bytes() == data
    assert part_of(folder) is None


# A disk that is full

UNSHARE = (
    shutil.which("unshare") or "unshare",
    "--mount",
    *(() if os.geteuid() == 0 else ("--user", "--map-root-user")),
)
MOUNT = 'mount -t tmpfs -o size=$1 none "$2" && shift 2 && exec "$@"'
ROOM = 40 * MIB


class Cramped(Cloud):
    """A cloud whose minions keep images on a file system of their own, of a few MB."""

    def command(self, program: str, *args: str, root: Optional[Path] = None) -> list[str]:
        """The minion's command line in a mount namespace where that file system is mounted."""
        plain = super().command(program, *args, root=root)
        if program != "funcd" or root is None:
            return plain
        folder = root / IMAGES
        folder.mkdir(parents=True, exist_ok=True)
        return [*UNSHARE, "sh", "-c", MOUNT, "sh", str(ROOM), str(folder), *plain]

    def seen_by_minion(self) -> Path:
        """The folder of the images as the minion sees it."""
        folder = (self.root_of(CLOUD) / IMAGES).relative_to("/")
        return Path(f"/proc/{self.processes[CLOUD].pid}/root") / folder


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cramped]:
    trial = [*UNSHARE, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
    if shutil.which("unshare") is None or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace of his own")
    settings = {"poll_interval_s": 60, "minion_timeout_s": 5, "task_patience_s": 120}
    made = Cramped(
        tmp_path_factory.mktemp("cramped"), 1, ports=free_ports(), log=write_log, settings=settings
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


@contextmanager
def full(folder: Path) -> Iterator[int]:
    """Fill a file system to its last block; how many bytes that took."""
    filler = folder / "filler"
    written = 0
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                written += file.write(bytes(64 * 1024)) or 0
        except OSError as exc:
            assert "No space left" in str(exc)
    try:
        yield written
    finally:
        filler.unlink()


def test_a_disk_that_fills_up_halfway_fails_the_task_which_leaves_nothing_and_says_where(
    cramped: Cramped,
) -> None:
    data = upload(cramped, "third", 3)
    folder = cramped.seen_by_minion()
    slow_down(cramped)
    task = begun(cramped, "web4", "third")
    part = eventually(lambda: part_of(folder), "a part of the image to arrive")
    with full(folder):
        found = ended(cramped, task)
        assert part.stat().st_size < SIZE, "it was filled too late to show anything"
        assert part.read_bytes() == data[: part.stat().st_size], "what did not fit whole is not there"
    assert found["state"] == "failed"
    assert "no room for images in" in found["error"] and IMAGES in found["error"], found["error"]
    assert [step["state"] for step in found["steps"][:2]] == ["done", "failed"]
    assert {step["state"] for step in found["steps"][2:]} == {"skipped"}
    refresh(cramped, CLOUD)
    assert "web4" not in [machine["name"] for machine in get(cramped, "/machines")["items"]]
    done(cramped, "POST", "/machines", clone("web4", "third"))
    assert (folder / f"{hashlib.sha256(data).hexdigest()}.raw").read_bytes() == data


def test_an_image_for_which_there_is_no_room_is_not_begun(cramped: Cramped) -> None:
    upload(cramped, "fourth", 4)
    reply = send(cramped, "POST", "/machines", clone("web5", "fourth"), Prefer="wait=50")
    found = reply.json
    assert (reply.status, found["state"]) == (200, "failed")
    assert "needs 24 MB more in" in found["error"] and "MB are free" in found["error"], found["error"]
    assert part_of(cramped.seen_by_minion()) is None
