"""A machine instance cloned from an image boots on real QEMU: from the upload to its serial greeting."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudmasterd.model import TaskState
from tests.cloudmasterd.clones import MIB, Clones
from tests.cloudmasterd.works import ASKER
from tests.integration.support import eventually, libvirtd_program, start_libvirtd

libvirt = pytest.importorskip("libvirt", reason="needs libvirt: install python3-libvirt")
pytestmark = pytest.mark.integration

NOBODY = 65534
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


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    if libvirtd_program() is None or not shutil.which("qemu-system-x86_64") or not shutil.which("qemu-img"):
        pytest.skip("needs libvirt-daemon-driver-qemu, qemu-system-x86 and qemu-utils")
    yield from start_libvirtd("qemu+unix:///session")


@pytest.fixture
def clones(uri: str) -> Iterator[Clones]:
    # pytest's own folders are not for others to enter
    folder = Path(tempfile.mkdtemp(prefix="clones-"))
    folder.chmod(0o755)
    modules = folder / "cloud1/etc/func/modules"
    modules.mkdir(parents=True)
    (modules / "Machine.conf").write_text("[main]\nconsole_log_dir = /log\nvirt_type = qemu\n")
    for name in ("log", "pool"):
        (folder / "cloud1" / name).mkdir()
        own(folder / "cloud1" / name)
    pool = libvirt.open(uri).storagePoolDefineXML(
        f"<pool type='dir'><name>default</name><target><path>{folder}/cloud1/pool</path></target></pool>"
    )
    pool.create()
    clones = Clones(folder, uri=uri)
    clones.fanout.after = hand_over(folder)
    yield clones
    for domain in libvirt.open(uri).listAllDomains():
        if domain.isActive():
            domain.destroy()
        domain.undefine()
    clones.close()
    pool.destroy()
    pool.undefine()
    shutil.rmtree(folder)


def own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def hand_over(folder: Path) -> Any:
    """A system's libvirt hands the seed to QEMU's user at the start; a session's cannot."""

    def after(minion: str, method: str, args: tuple[Any, ...]) -> None:
        if method == "image.put_seed":
            own(folder / f"{minion}/var/lib/func/seeds/{args[0]}.iso")

    return after


def as_qcow2(raw: bytes, folder: Path) -> bytes:
    (folder / "made.raw").write_bytes(raw)
    convert = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "made.raw", "made.qcow2"]
    subprocess.run(convert, check=True, cwd=folder)
    return (folder / "made.qcow2").read_bytes()


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_machine_boots_from_its_image_and_leaves_nothing(clones: Clones, form: str, tmp_path: Path) -> None:
    data = disk_image() if form == "raw" else as_qcow2(disk_image(), tmp_path)
    sha256 = clones.upload("greeter", data, form)
    task = clones.create(
        "web1", "greeter", firmware="bios", networks=(), memory_mb=64, cloud_init={"ssh_keys": ["k"]}
    )
    ended = clones.ended(task)
    assert ended.state is TaskState.DONE, ended.error
    uuid = clones.store.get_machine("web1").uuid
    log = clones.root("cloud1") / f"log/{uuid}-console.log"
    eventually(lambda: log.exists() and GREETING in log.read_bytes(), "the greeting on the serial port", 60)
    (volume,) = (clones.root("cloud1") / "pool").iterdir()
    chain = subprocess.run(
        ["qemu-img", "info", "-U", "--backing-chain", str(volume)], check=True, capture_output=True, text=True
    )
    assert str(clones.kept() / f"{sha256}.{form}") in chain.stdout
    assert (clones.kept() / f"{sha256}.{form}").read_bytes() == data  # nothing was written to it
    assert clones.ended(clones.machines.delete("web1", ASKER, force=True)).error is None
    assert list((clones.root("cloud1") / "pool").iterdir()) == []
    assert clones.seeds() == []


def test_an_image_that_a_disk_stands_on_is_never_evicted(clones: Clones) -> None:
    sha256 = clones.upload("greeter", disk_image())
    spare = clones.upload("spare", bytes(MIB))
    ended = clones.ended(clones.create("web1", "greeter", networks=(), memory_mb=64, start=False))
    assert ended.state is TaskState.DONE, ended.error
    clones.fanout.minions_["cloud1"].close()
    (clones.root("cloud1") / "etc/func/modules/Image.conf").write_text("[main]\nkeep_gb = 0\n")
    clones.start_minion("cloud1", "keep_gb = 0")
    (clones.kept() / f"{spare}.raw").write_bytes(bytes(MIB))
    for name in (sha256, spare):
        os.utime(clones.kept() / f"{name}.raw", (1, 1))
    clones.ask("cloud1", "image.status", "0" * 64, "raw", "1024")
    assert [file.name for file in clones.kept().iterdir()] == [f"{sha256}.raw"]
