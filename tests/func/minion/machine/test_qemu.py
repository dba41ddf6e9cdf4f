"""The verbs of the module `machine` on real QEMU, under a libvirt daemon of an unprivileged user."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from func.minion import codes
from func.minion.operations import Entry, Journal
from tests.func.minion.helpers import wait_for
from tests.func.minion.machine.support import NEW, Cloud
from tests.sockets import listens

libvirt = pytest.importorskip("libvirt", reason="needs libvirt: install python3-libvirt")

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
NOBODY = 65534
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The folder of a session of libvirt's own, with a daemon in it."""
    missing = [
        name for name in ("libvirtd", "qemu-system-x86_64", "qemu-img") if not shutil.which(name, path=PATH)
    ]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed: libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils"
        )
    home = Path(tempfile.mkdtemp(prefix="qemu-"))
    for folder in ("libvirt", "pool", "log"):
        (home / folder).mkdir()
    (home / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')  # else it wants a daemon for its logs
    argv = ["libvirtd"]
    if os.geteuid() == 0:  # a session daemon refuses to be root's
        argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "libvirtd"]
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    env = {"PATH": PATH, "HOME": str(home)}
    env.update({f"XDG_{kind}": str(home) for kind in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME")})
    daemon = subprocess.Popen(
        argv, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        path = home / "libvirt/libvirt-sock"
        wait_for(lambda: listens(path) or daemon.poll() is not None, "libvirtd to listen")
        assert daemon.poll() is None, "libvirtd ended at once"
        yield home
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(60)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def cloud(home: Path, tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path, f"qemu+unix:///session?socket={home}/libvirt/libvirt-sock")
    pool = cloud.connection.storagePoolDefineXML(
        f"<pool type='dir'><name>default</name><target><path>{home}/pool</path></target></pool>"
    )
    pool.create()
    # pytest's own folders are not for others to enter
    cloud.module._setup = replace(
        cloud.module._setup, console_log_dir=home / "log", nvram_dir=home / "libvirt/qemu/nvram"
    )
    yield cloud
    for domain in cloud.connection.listAllDomains():
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    pool.destroy()
    pool.undefine()
    for file in (home / "pool").iterdir():
        file.unlink()
    cloud.module.close()


def disk(volume: str, **more: Any) -> dict[str, Any]:
    return {"uuid": NEW, "pool": "default", "volume": volume, "size_gb": 1, "format": "qcow2", **more}


def old(volume: str) -> dict[str, Any]:
    return {"uuid": NEW, "pool": "default", "volume": volume}


def machine(**changes: Any) -> dict[str, Any]:
    return {
        "uuid": NEW, "name": "new1.example.org", "memory_mb": 128, "vcpus": 1, "networks": [],
        "disks": [{"pool": "default", "volume": "new.qcow2", "format": "qcow2"}], "graphics": True,
        "metadata": {"task": 17}, **changes,
    }  # fmt: skip


def test_the_host_says_what_it_has(cloud: Cloud, home: Path) -> None:
    (home / "pool/put-there.iso").write_bytes(b"x" * 2048)  # past libvirt
    found = json.loads(cloud.module.resources())
    assert found["arch"] == "x86_64"
    assert found["virt_type"] in ("kvm", "qemu")
    assert "bios" in found["firmwares"]
    assert "q35" in found["machine_types"]
    assert found["isos"] == ["default/put-there.iso"]
    assert [(pool["name"], pool["default"]) for pool in found["pools"]] == [("default", True)]
    assert found["pools"][0]["capacity_gb"] >= found["pools"][0]["free_gb"] > 0


@pytest.mark.parametrize("firmware", [None, "bios"])
def test_a_machine_goes_from_nothing_to_nothing(cloud: Cloud, home: Path, firmware: Any) -> None:
    cloud.do("create_disk", **disk("base.qcow2"))
    backing = {"pool": "default", "volume": "base.qcow2"}
    made = cloud.do("create_disk", **disk("new.qcow2", size_gb=2, backing=backing))
    assert made["path"] == f"{home}/pool/new.qcow2"
    assert made["made"] is True
    cdrom = {"pool": "default", "volume": "base.qcow2"}
    defined = cloud.do("define", **machine(firmware=firmware, seed=cdrom))
    best = json.loads(cloud.module.resources())["firmwares"][-1]
    assert defined["firmware"] == (firmware or best)
    assert defined["machine_type"].startswith("pc-q35-")
    assert cloud.do("define", **machine(firmware=firmware, seed=cdrom)) == {**defined, "made": False}

    assert cloud.do("start", uuid=NEW) == {"changed": True, "state": "running"}
    assert cloud.do("start", uuid=NEW) == {"changed": False, "state": "running"}
    log = home / f"log/{NEW}-console.log"
    if defined["firmware"] == "uefi":  # it speaks to the serial console, the BIOS does not
        wait_for(lambda: log.stat().st_size > 0, "the firmware to greet", 60)
    assert log.exists()
    assert cloud.do("reset", uuid=NEW)["changed"] is True
    assert cloud.do("pause", uuid=NEW) == {"changed": True, "state": "paused"}
    assert cloud.do("resume", uuid=NEW) == {"changed": True, "state": "running"}
    assert cloud.do("set_shape", uuid=NEW, memory_mb=96)["memory_mb"] == "now"
    assert cloud.do("set_shape", uuid=NEW, memory_mb=192, vcpus=2) == {
        "memory_mb": "next-start", "vcpus": "next-start"
    }  # fmt: skip
    for volume, kind in (("new.qcow2", codes.VolumeInUse), ("base.qcow2", codes.VolumeInUse)):
        with pytest.raises(kind):
            cloud.do("delete_disk", **old(volume))
    found = cloud.do("describe", uuid=NEW)
    assert (found["state"], found["managed"], found["firmware"]) == ("running", True, defined["firmware"])
    assert [(d["target"], d["volume"]) for d in found["disks"]] == [
        ("vda", "new.qcow2"),
        ("sda", "base.qcow2"),
    ]

    assert cloud.do("poweroff", uuid=NEW) == {"changed": True, "state": "off"}
    found = cloud.do("describe", uuid=NEW)
    assert [found[key] for key in ("memory_mb", "max_memory_mb", "vcpus")] == [192, 192, 2]
    settings = {file.name for file in home.rglob("*.fd")}
    assert settings == ({f"{NEW}_VARS.fd"} if defined["firmware"] == "uefi" else set())
    assert cloud.do("rename", uuid=NEW, name="new2.example.org") == {"changed": True}
    assert cloud.do("start", uuid=NEW)["changed"] is True
    assert {file.name for file in home.rglob("*.fd")} == settings
    cloud.do("poweroff", uuid=NEW)
    assert cloud.do("undefine", uuid=NEW) == {"made": True}
    with pytest.raises(codes.VolumeInUse, match=r"is what default/new\.qcow2 stands on"):
        cloud.do("delete_disk", **old("base.qcow2"))
    for volume in ("new.qcow2", "base.qcow2"):
        assert cloud.do("delete_disk", **old(volume)) == {"deleted": True}
    assert list((home / "pool").iterdir()) == []
    assert list((home / "log").iterdir()) == []
    assert list(home.rglob("*.fd")) == []


@pytest.mark.parametrize("form", ["qcow2", "raw"])
@pytest.mark.parametrize("content", [b"", b"QFI\xfb", b"x" * 4096])
def test_a_disk_of_which_a_crash_left_a_part_is_made_anew(
    cloud: Cloud, home: Path, form: str, content: bytes
) -> None:
    arguments = disk("new.img", format=form)
    cloud.do("create_disk", "operation-x", **arguments)
    Journal(cloud.module.root / "var/lib/func/operations").write(
        Entry("operation-x", "create_disk", arguments, notes=("volume was absent",))
    )
    (home / "pool/new.img").write_bytes(content)
    cloud.connection.storagePoolLookupByName("default").refresh()  # as a new daemon would find it
    assert cloud.do("create_disk", "operation-x", **arguments)["made"] is True
    text = subprocess.run(
        ["qemu-img", "info", "--output=json", str(home / "pool/new.img")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = json.loads(text)
    assert (found["format"], found["virtual-size"]) == (form, 2**30)


def test_a_rename_that_would_lose_the_settings_of_the_uefi_is_refused(cloud: Cloud, home: Path) -> None:
    cloud.module._setup = replace(cloud.module._setup, nvram_dir=None)
    if cloud.do("define", **machine(disks=[]))["firmware"] != "uefi":
        pytest.skip("no UEFI firmware installed: ovmf")
    if "<nvram" in cloud.domain(NEW).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE):
        pytest.skip("this libvirt writes the file's name down by itself")
    with pytest.raises(codes.Unsupported, match="would lose the settings of its UEFI"):
        cloud.do("rename", uuid=NEW, name="new2.example.org")


def test_an_overlay_made_past_libvirt_keeps_what_it_stands_on(cloud: Cloud, home: Path) -> None:
    cloud.do("create_disk", **disk("base.qcow2"))
    for name in ("base.qcow2", str(home / "pool/base.qcow2")):  # relative and absolute
        subprocess.run(
            [
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                "qcow2",
                "-b",
                name,
                str(home / "pool/top.qcow2"),
            ],
            check=True,
        )
        with pytest.raises(codes.VolumeInUse, match=r"default/top\.qcow2 stands on"):
            cloud.do("delete_disk", **old("base.qcow2"))


def test_a_disk_larger_than_the_room_is_refused(cloud: Cloud) -> None:
    with pytest.raises(codes.DiskFull, match="GB free, and default/new.qcow2 needs 1000000"):
        cloud.do("create_disk", **disk("new.qcow2", size_gb=1_000_000))


def test_networks_that_a_session_has_not_are_told(cloud: Cloud) -> None:
    nic = {"network": "default", "mac": "52:54:00:00:00:01"}
    with pytest.raises(codes.NoSuchNetwork, match="no network 'default' on this host; there are: user"):
        cloud.do("define", **machine(disks=[], networks=[nic]))


def test_every_bus_is_one_that_qemu_takes(cloud: Cloud) -> None:
    disks = []
    for number, bus in enumerate(("virtio", "scsi", "sata")):
        cloud.do("create_disk", **disk(f"v{number}.raw", format="raw"))
        disks.append({"pool": "default", "volume": f"v{number}.raw", "format": "raw", "bus": bus})
    cdrom = {"pool": "default", "volume": "v0.raw"}
    cloud.do("define", **machine(disks=disks, cdrom=cdrom, boot=["cdrom", "hd", "network"], graphics=False))
    found = cloud.do("describe", uuid=NEW)["disks"]
    assert [each["target"] for each in found] == ["vda", "sda", "sdb", "sdc"]
