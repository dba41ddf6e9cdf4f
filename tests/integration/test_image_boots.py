"""A machine instance cloned from an image boots on real QEMU: from the upload to its serial greeting."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cloudmasterd.model import TaskState
from tests.cloudmasterd.clones import MIB, Clones
from tests.cloudmasterd.works import ASKER
from tests.integration.support import eventually

pytestmark = pytest.mark.integration

GREETING = b"Hello from an image.\r\n"

# Waits until the first serial port takes a byte, sends the next of the greeting, and halts after the last.
BOOT = bytes.fromhex(
    "fa 31c0 8ed8 be1e7c"  # no interrupts; ds = 0; si = the greeting
    "bafd03 ec a820 74fb"  # line status: wait for its bit 5
    "ac 84c0 7406 baf803 ee ebed"  # next byte; none: halt; send it; again
    "f4 ebfd"  # halt
)


def disk_image() -> bytes:
    """A disk of 1 MiB with a boot sector that greets."""
    sector = (BOOT + GREETING + b"\0").ljust(510, b"\0") + b"\x55\xaa"
    return sector.ljust(MIB, b"\0")


def as_qcow2(raw: bytes, folder: Path) -> bytes:
    (folder / "made.raw").write_bytes(raw)
    convert = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "made.raw", "made.qcow2"]
    subprocess.run(convert, check=True, cwd=folder)
    return (folder / "made.qcow2").read_bytes()


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_machine_boots_from_its_image_and_leaves_nothing(
    qemu_clones: Clones, form: str, tmp_path: Path
) -> None:
    data = disk_image() if form == "raw" else as_qcow2(disk_image(), tmp_path)
    sha256 = qemu_clones.upload("greeter", data, form)
    task = qemu_clones.create(
        "web1", "greeter", firmware="bios", networks=(), memory_mb=64, cloud_init={"ssh_keys": ["k"]}
    )
    ended = qemu_clones.ended(task)
    assert ended.state is TaskState.DONE, ended.error
    uuid = qemu_clones.store.get_machine("web1").uuid
    log = qemu_clones.root("cloud1") / f"log/{uuid}-console.log"
    eventually(lambda: log.exists() and GREETING in log.read_bytes(), "the greeting on the serial port", 180)
    (volume,) = (qemu_clones.root("cloud1") / "pool").iterdir()
    chain = subprocess.run(
        ["qemu-img", "info", "-U", "--backing-chain", str(volume)], check=True, capture_output=True, text=True
    )
    assert str(qemu_clones.kept() / f"{sha256}.{form}") in chain.stdout
    assert (qemu_clones.kept() / f"{sha256}.{form}").read_bytes() == data  # nothing was written to it
    assert qemu_clones.ended(qemu_clones.machines.delete("web1", ASKER, force=True)).error is None
    assert list((qemu_clones.root("cloud1") / "pool").iterdir()) == []
    assert qemu_clones.seeds() == []


def test_an_image_that_a_disk_stands_on_is_never_evicted(qemu_clones: Clones) -> None:
    sha256 = qemu_clones.upload("greeter", disk_image())
    spare = qemu_clones.upload("spare", bytes(MIB))
    ended = qemu_clones.ended(qemu_clones.create("web1", "greeter", networks=(), memory_mb=64, start=False))
    assert ended.state is TaskState.DONE, ended.error
    qemu_clones.fanout.minions_["cloud1"].close()
    (qemu_clones.root("cloud1") / "etc/func/modules/Image.conf").write_text("[main]\nkeep_gb = 0\n")
    qemu_clones.start_minion("cloud1", "keep_gb = 0")
    (qemu_clones.kept() / f"{spare}.raw").write_bytes(bytes(MIB))
    for name in (sha256, spare):
        os.utime(qemu_clones.kept() / f"{name}.raw", (1, 1))
    qemu_clones.ask("cloud1", "image.status", "0" * 64, "raw", "1024")
    assert [file.name for file in qemu_clones.kept().iterdir()] == [f"{sha256}.raw"]
