"""A machine instance on real QEMU, through every part: from the request for it to its greeting and end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.guest import ASKED, GREETING, boot_iso, memory_mb
from tests.integration.machines import done, ended, get, machine, refused, state_of
from tests.integration.support import eventually, libvirtd_program, refresh, start_libvirtd

libvirt = pytest.importorskip("libvirt", reason="needs libvirt: install python3-libvirt")

CLOUD = "cloud1.example.org"
NAME = "real1.example.org"
BODY = {
    "name": NAME, "memory_mb": 64, "disks": [{"size_gb": 1}], "networks": [], "firmware": "bios",
    "source": {"kind": "iso", "volume": "default/greet.iso"},
}  # fmt: skip
NOBODY = 65534
SHUTDOWN_S = 20
BOOTS_WITHIN_S = 240


@pytest.fixture(scope="module")
def qemu_uri() -> Iterator[str]:
    if libvirtd_program() is None or not shutil.which("qemu-system-x86_64") or not shutil.which("qemu-img"):
        pytest.skip("needs libvirt-daemon-driver-qemu, qemu-system-x86 and qemu-utils: make setup-test")
    yield from start_libvirtd("qemu+unix:///session")


class Host:
    """A session's libvirt with a pool, and the minion's side of it."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.pool, self.log = folder / "pool", folder / CLOUD / "log"
        for path in (self.pool, self.log):
            path.mkdir(parents=True)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        (self.pool / "greet.iso").write_bytes(boot_iso())
        (self.pool / "greet.iso").chmod(0o644)
        self.connection = libvirt.open(uri)
        made = self.connection.storagePoolDefineXML(
            f"<pool type='dir'><name>default</name><target><path>{self.pool}</path></target></pool>"
        )
        made.create()

    def disks(self) -> list[str]:
        """The volumes that were made."""
        return sorted(file.name for file in self.pool.iterdir() if file.name != "greet.iso")

    def said(self, uuid: str) -> list[str]:
        """Whole lines of the serial console, which come letter by letter."""
        log = self.log / f"{uuid}-console.log"
        text = log.read_text("ascii", "replace") if log.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="real-"))  # pytest's own folders are not for others to enter
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def real(qemu_uri: str, folder: Path) -> Iterator[Host]:
    host = Host(qemu_uri, folder)
    yield host
    for domain in host.connection.listAllDomains():
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    host.connection.close()


@pytest.fixture(scope="module")
def qemu_cloud(qemu_uri: str, folder: Path, real: Host) -> Iterator[Cloud]:
    made = Cloud(
        folder, 1, ports=free_ports(), log=write_log, libvirt_uri=qemu_uri,
        settings={"poll_interval_s": 2, "minion_timeout_s": 20, "shutdown_timeout_s": SHUTDOWN_S},
    )  # fmt: skip
    modules = made.root_of(CLOUD) / "etc/func/modules"
    modules.mkdir(parents=True)
    (modules / "Machine.conf").write_text("[main]\nconsole_log_dir = /log\n")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def booted(qemu_cloud: Cloud, real: Host) -> Iterator[str]:
    """A running machine instance that has greeted; its uuid."""
    done(qemu_cloud, "POST", "/machines", BODY)
    uuid = machine(qemu_cloud, NAME)["uuid"]
    greeted(real, uuid, 1)
    yield uuid
    if state_of(qemu_cloud, NAME) is not None:
        done(qemu_cloud, "DELETE", f"/machines/{NAME}?force=true")


def greeted(host: Host, uuid: str, times: int) -> str:
    """The line of its greeting, once it is there that often."""

    def greetings() -> list[str]:
        found = [line for line in host.said(uuid) if GREETING in line]
        return found if len(found) >= times else []

    found = eventually(greetings, f"greeting {times} on the serial port", BOOTS_WITHIN_S)
    assert len(found) == times
    return found[-1]


def test_it_boots_from_an_iso_image_and_shuts_down_when_asked(
    qemu_cloud: Cloud, real: Host, booted: str
) -> None:
    assert machine(qemu_cloud, NAME)["state"] == "running"
    (task,) = get(qemu_cloud, f"/tasks?machine={booted}")["items"]
    steps = get(qemu_cloud, f"/tasks/{task['id']}")["steps"]
    assert steps[2]["detail"].startswith("pc-q35-") and steps[2]["detail"].endswith(", bios")
    assert real.disks() == [f"{NAME}-{booted[:8]}-1.qcow2"]

    asked = done(qemu_cloud, "POST", f"/machines/{NAME}/shutdown")
    assert asked["result"]["state"] == "off"
    assert ASKED in "\n".join(real.said(booted))
    assert machine(qemu_cloud, NAME)["state"] == "off"

    gone = done(qemu_cloud, "DELETE", f"/machines/{NAME}")
    assert gone["result"]["disks_deleted"] == [f"default/{NAME}-{booted[:8]}-1.qcow2"]
    assert [kept["disk"] for kept in gone["result"]["disks_kept"]] == ["default/greet.iso"]
    assert real.disks() == [] and (real.pool / "greet.iso").exists()
    assert real.connection.listAllDomains() == []


def test_its_memory_changes_and_its_own_bios_counts_it(qemu_cloud: Cloud, real: Host, booted: str) -> None:
    assert 60 < memory_mb(greeted(real, booted, 1)) <= 64
    more = done(qemu_cloud, "PATCH", f"/machines/{NAME}", {"memory_mb": 160})
    assert more["result"]["memory_mb"] == "next-start"
    done(qemu_cloud, "POST", f"/machines/{NAME}/reboot")
    done(qemu_cloud, "POST", f"/machines/{NAME}/poweroff")
    before = len([line for line in real.said(booted) if GREETING in line])
    done(qemu_cloud, "POST", f"/machines/{NAME}/start")
    assert 156 < memory_mb(greeted(real, booted, before + 1)) <= 160
    assert machine(qemu_cloud, NAME)["max_memory_mb"] == 160
    less = done(qemu_cloud, "PATCH", f"/machines/{NAME}", {"memory_mb": 96})
    assert less["result"]["memory_mb"] == "now"
    done(qemu_cloud, "POST", f"/machines/{NAME}/poweroff")
    done(qemu_cloud, "PATCH", f"/machines/{NAME}", {"memory_mb": 128})
    before += 1
    done(qemu_cloud, "POST", f"/machines/{NAME}/start")
    assert 124 < memory_mb(greeted(real, booted, before + 1)) <= 128


def test_one_that_does_not_listen_is_never_powered_off_unasked(
    qemu_cloud: Cloud, real: Host, booted: str
) -> None:
    done(qemu_cloud, "POST", f"/machines/{NAME}/pause")
    done(qemu_cloud, "POST", f"/machines/{NAME}/resume")
    done(qemu_cloud, "POST", f"/machines/{NAME}/poweroff")
    (real.pool / "greet.iso").rename(real.pool / "away")
    (real.pool / "greet.iso").write_bytes(bytes(65536))  # nothing to boot: the BIOS does not listen
    try:
        done(qemu_cloud, "POST", f"/machines/{NAME}/start")
        task = ended(qemu_cloud, "POST", f"/machines/{NAME}/shutdown")
        assert task["state"] == "failed"
        assert f"{SHUTDOWN_S} s after it was asked to shut down {NAME} is still running" in task["error"]
        assert "poweroff" in task["error"]
        refresh(qemu_cloud, CLOUD)
        assert machine(qemu_cloud, NAME)["state"] == "running"
        assert refused(qemu_cloud, "DELETE", f"/machines/{NAME}")[0] == 409
    finally:
        (real.pool / "away").rename(real.pool / "greet.iso")


def test_a_disk_larger_than_the_pool_has_room_for_is_refused(qemu_cloud: Cloud, real: Host) -> None:
    body = {**BODY, "disks": [{"size_gb": 60_000}]}
    status, words = refused(qemu_cloud, "POST", "/machines", body)
    assert status == 409 and "pool 'default' has" in words and "60000 GB needed" in words
    assert real.disks() == []
