"""The XML of machines and volumes against golden files; to write them anew: GOLDEN=write pytest THIS_FILE."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from func.minion.machine import arguments
from func.minion.machine.machine_facts import (
    DiskFacts,
    NicFacts,
    disks_of,
    firmware_of,
    is_managed,
    machine_type_of,
    mark_says_managed,
    nics_of,
    paths_of,
)
from func.minion.machine.machine_xml import Files, Source, Sources, machine_xml, mark_xml, volume_xml
from func.minion.machine.offer import Offer
from tests.func.minion.machine.support import NEW, spec

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
QEMU = "/usr/bin/qemu-system-x86_64"
TEST = Offer("test", "x86_64")
BIOS = Offer("qemu", "x86_64", QEMU, "pc", "bios", "maximum")
UEFI = Offer("qemu", "x86_64", QEMU, "q35", "uefi", "maximum")
KVM = Offer("kvm", "x86_64", QEMU, "q35", "uefi", "host-model")
ARM = Offer("qemu", "aarch64", "/usr/bin/qemu-system-aarch64", "virt", "uefi", "maximum")

ISO = Source("/pool/install.iso", "file", "iso")
SEED = Source("/pool/seed.iso", "file", "raw")
FILE = Source("/pool/above.qcow2", "file", "qcow2")
LV = Source("/dev/vg/data", "block", "raw")
DATA = {"pool": "vg", "volume": "data", "format": "raw"}


def built(
    offer: Offer,
    sources: Sources = Sources((FILE,), nics=("network",)),
    files: Files = Files(),
    **changes: Any,
) -> str:
    machine = arguments.new_machine(spec(**changes))
    return machine_xml(machine, offer, sources, "operation-1", files)


def full(offer: Offer) -> str:
    disks = [*spec()["disks"], DATA]
    place = {"pool": "default", "volume": "x.iso"}
    sources = Sources((FILE, LV), ISO, SEED, ("network",))
    files = Files(f"/log/{NEW}-console.log", f"/nvram/{NEW}_VARS.fd")
    return built(offer, sources, files, disks=disks, cdrom=place, seed=place)


CASES = {
    "test": lambda: built(TEST),
    "qemu-bios": lambda: full(BIOS),
    "qemu-uefi-q35": lambda: full(UEFI),
    "kvm-uefi-q35-headless": lambda: built(KVM, Sources((FILE,), nics=("bridge",)), graphics=False),
    "qemu-aarch64": lambda: full(ARM),
    "smallest": lambda: built(
        UEFI, Sources(), disks=[], networks=[], boot=[], graphics=False, metadata={}, max_memory_mb=None
    ),
    "volume": lambda: volume_xml(disk(), None),
    "volume-with-backing": lambda: volume_xml(disk(), FILE),
}


def disk(**changes: Any) -> arguments.NewDisk:
    raw = {"uuid": NEW, "pool": "default", "volume": "new.qcow2", "size_gb": 4, "format": "qcow2", **changes}
    return arguments.new_disk(raw)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_xml_is_that_of_the_golden_file(name: str) -> None:
    file = GOLDEN / f"{name}.xml"
    text = CASES[name]()
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_every_golden_file_has_its_case() -> None:
    assert sorted(file.stem for file in GOLDEN.iterdir()) == sorted(CASES)


@pytest.mark.parametrize("nasty", ["a'/><evil x='", '"><x>', "a&b", "</name>", "ä€𝄞", "]]>", "../../etc"])
def test_nothing_a_caller_sends_becomes_markup(nasty: str) -> None:
    text = built(
        UEFI,
        Sources((Source(f"/pool/{nasty}", "file", "raw"),), nics=("network",)),
        networks=[{"network": nasty, "mac": "52:54:00:aa:bb:cc"}],
        metadata={"task": nasty},
    )
    tree = ElementTree.fromstring(text)
    assert [element.tag for element in tree.iter()] == [
        element.tag for element in ElementTree.fromstring(built(UEFI)).iter()
    ]
    assert nics_of(text) == (NicFacts(nasty, "52:54:00:aa:bb:cc"),)
    assert list(paths_of(text)) == [f"/pool/{nasty}"]
    mark = ElementTree.fromstring(mark_xml(True, nasty, "operation-1"))
    assert mark.get("task") == nasty


@pytest.mark.parametrize("bus", ["virtio", "scsi", "sata", "ide"])
def test_many_disks_have_names_of_their_own(bus: str) -> None:
    disks = [{"pool": "p", "volume": f"v{n}", "format": "raw", "bus": bus} for n in range(16)]
    text = built(BIOS, Sources((LV,) * 16, ISO, SEED), disks=disks, cdrom=DATA_AT, seed=DATA_AT)
    targets = [found.target for found in disks_of(text)]
    assert len(set(targets)) == 18
    seedless = built(BIOS, Sources((LV,) * 16, ISO), disks=disks, cdrom=DATA_AT)
    assert ("virtio-scsi" in seedless) == (bus == "scsi")


@pytest.mark.parametrize("offer", [BIOS, UEFI, ARM], ids=["pc", "q35", "virt"])
def test_a_seed_is_where_a_kernel_that_knows_virtio_alone_finds_it(offer: Offer) -> None:
    tree = ElementTree.fromstring(built(offer, Sources((FILE,), None, SEED), seed=DATA_AT, networks=[]))
    (seed,) = (disk for disk in tree.findall("./devices/disk") if disk.get("device") == "cdrom")
    assert seed.find("./target").attrib == {"dev": "sda", "bus": "scsi"}
    assert [each.attrib for each in tree.findall("./devices/controller")] == [
        {"type": "scsi", "model": "virtio-scsi"}
    ]


DATA_AT = {"pool": "vg", "volume": "data"}


def test_what_is_built_can_be_read() -> None:
    text = full(UEFI)
    assert disks_of(text)[0] == DiskFacts("vda", "/pool/above.qcow2", "", "", "qcow2", False, ())
    assert list(paths_of(text)) == [
        "/pool/above.qcow2", "/dev/vg/data", "/pool/install.iso", "/pool/seed.iso"
    ]  # fmt: skip
    assert (firmware_of(text), machine_type_of(text), is_managed(text)) == ("uefi", "q35", True)
    assert (firmware_of(full(BIOS)), firmware_of("<domain/>")) == ("bios", "bios")
    assert not is_managed(built(TEST, metadata={"managed": False}))
    assert not is_managed("<domain/>")
    assert mark_says_managed(mark_xml(True, "", "operation-1"))
    assert not mark_says_managed(mark_xml(False, "17", "operation-1"))


def test_what_others_built_can_be_read() -> None:
    text = """<domain><os><type>hvm</type><loader readonly='yes' type='pflash'>/x.fd</loader></os><devices>
     <disk type='file'><driver type='qcow2'/><source file='/top'/><target dev='vda'/>
      <backingStore type='file'><source file='/mid'/>
      <backingStore type='block'><source dev='/low'/><backingStore/></backingStore>
      </backingStore></disk>
     <disk type='volume'><source pool='p' volume='v'/><target dev='vdb'/></disk>
     <disk type='network'><source protocol='rbd' name='r'/><target dev='vdc'/></disk>
     <disk type='file' device='cdrom'/>
     <interface type='user'/><interface type='direct'><source dev='eth0'/><mac address='m'/></interface>
     </devices></domain>"""
    assert disks_of(text) == (
        DiskFacts("vda", "/top", "", "", "qcow2", False, ("/mid", "/low")),
        DiskFacts("vdb", "", "p", "v", "", False, ()),
        DiskFacts("vdc", "", "", "", "", False, ()),
        DiskFacts("", "", "", "", "", True, ()),
    )
    assert list(paths_of(text)) == ["/top", "/mid", "/low"]
    assert nics_of(text) == (NicFacts("user", ""), NicFacts("eth0", "m"))
    assert firmware_of(text) == "uefi"
