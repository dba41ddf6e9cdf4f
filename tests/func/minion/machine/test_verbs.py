"""Every verb of the module `machine`, and every way it fails, on libvirt's test driver."""

from __future__ import annotations

import json
from typing import Any

import pytest

from func.errors import HostError
from func.minion import codes
from func.minion.machine import disks
from func.minion.machine.arguments import Volume
from func.minion.operations import Attempt, Entry, Journal
from tests.func.minion.machine.support import NEW, OFF, PAUSED, RUN, Cloud, spec

libvirt = pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")

DISK = {"uuid": NEW, "pool": "default", "volume": "new.qcow2", "size_gb": 4, "format": "qcow2"}
BASE = {"pool": "default", "volume": "base.qcow2"}


def old_disk(volume: str, uuid: str = NEW, pool: str = "default") -> dict[str, Any]:
    return {"uuid": uuid, "pool": pool, "volume": volume}


def cut_off(cloud: Cloud, verb: str, arguments: dict[str, Any], *notes: str) -> str:
    """An operation that a minion began and did not live to end."""
    Journal(cloud.module.root / "var/lib/func/operations").begin(
        Entry("operation-cut-off", verb, arguments, notes=notes)
    )
    return "operation-cut-off"


def test_a_machine_goes_from_nothing_to_nothing(cloud: Cloud) -> None:
    volumes, machines = cloud.volumes(), cloud.machines()
    made = cloud.do("create_disk", **DISK, backing=BASE)
    assert made == {
        "pool": "default", "volume": "new.qcow2", "path": "/pool/new.qcow2", "size_gb": 4, "made": True
    }  # fmt: skip
    disks = [{"pool": "default", "volume": "new.qcow2", "format": "qcow2"}]
    place = {"pool": "default", "volume": "Boot CD & more.ISO"}
    answer = cloud.do("define", **spec(disks=disks, cdrom=place))
    assert answer == {"made": True, "firmware": "bios", "machine_type": ""}
    assert cloud.do("start", uuid=NEW) == {"changed": True, "state": "running"}
    assert cloud.do("poweroff", uuid=NEW) == {"changed": True, "state": "off"}
    assert cloud.do("undefine", uuid=NEW) == {"made": True}
    assert cloud.do("delete_disk", **old_disk("new.qcow2")) == {"deleted": True}
    assert (cloud.volumes(), cloud.machines()) == (volumes, machines)


def test_a_machine_is_described_as_it_was_defined(cloud: Cloud) -> None:
    cloud.do("define", **spec())
    assert cloud.do("describe", uuid=NEW) == {
        "name": "new1.example.org", "state": "off", "memory_mb": 256, "max_memory_mb": 512, "vcpus": 2,
        "autostart": True, "managed": True, "firmware": "bios",
        "next": {"memory_mb": 256, "max_memory_mb": 512, "vcpus": 2},
        "disks": [{"target": "sda", "pool": "default", "volume": "above.qcow2", "path": "/pool/above.qcow2",
                   "format": "qcow2", "read_only": False, "shared_with": []}],
        "networks": [{"network": "default", "mac": "52:54:00:aa:bb:cc"}],
    }  # fmt: skip
    xml = cloud.domain(NEW).XMLDesc()
    assert 'task="17"' in xml
    assert "listen='127.0.0.1'" in xml


def test_a_cd_is_told_from_a_disk_of_its_own(cloud: Cloud) -> None:
    cd = {"pool": "default", "volume": "Boot CD & more.ISO"}
    cloud.do("define", **spec(cdrom=cd))
    found = cloud.do("describe", uuid=NEW)["disks"]
    assert [(disk["volume"], disk["read_only"]) for disk in found] == [
        ("above.qcow2", False), (cd["volume"], True)
    ]  # fmt: skip


def test_a_machine_of_others_is_described_too(cloud: Cloud) -> None:
    found = cloud.do("describe", uuid=RUN)
    assert (found["state"], found["managed"]) == ("running", False)
    assert [(disk["volume"], disk["path"], disk["shared_with"]) for disk in found["disks"]] == [
        ("run1.qcow2", "/pool/run1.qcow2", []), ("shared.raw", "/fast/shared.raw", ["paused1"])
    ]  # fmt: skip
    off = cloud.do("describe", uuid=OFF)
    assert off["networks"][1] == {"network": "br0", "mac": "52:54:00:00:00:02"}
    assert off["disks"][1]["pool"] is None  # an empty drive


def test_what_the_host_has_to_give(cloud: Cloud) -> None:
    pool = {"capacity_gb": 100, "free_gb": 100}
    assert json.loads(cloud.module.resources()) == {
        "arch": "x86_64", "firmwares": ["bios"], "virt_type": "test", "machine_types": [],
        "networks": ["default"], "bridges": ["virbr0"], "isos": ["default/Boot CD & more.ISO"],
        "pools": [{"name": "default", **pool, "default": True}, {"name": "fast", **pool, "default": False}],
        "koan": False,
    }  # fmt: skip


# Power


@pytest.mark.parametrize(
    ("verb", "uuid", "changed", "state"),
    [
        ("start", OFF, True, "running"),
        ("start", RUN, False, "running"),
        ("shutdown", RUN, True, "off"),
        ("shutdown", OFF, False, "off"),
        ("poweroff", RUN, True, "off"),
        ("poweroff", PAUSED, True, "off"),
        ("poweroff", OFF, False, "off"),
        ("reboot", RUN, True, "running"),
        ("reset", RUN, True, "running"),
        ("pause", RUN, True, "paused"),
        ("pause", PAUSED, False, "paused"),
        ("resume", PAUSED, True, "running"),
        ("resume", RUN, False, "running"),
    ],
)
def test_power_is_changed_where_it_has_to_be(
    cloud: Cloud, verb: str, uuid: str, changed: bool, state: str
) -> None:
    assert cloud.do(verb, uuid=uuid) == {"changed": changed, "state": state}
    assert cloud.do("describe", uuid=uuid)["state"] == state


@pytest.mark.parametrize(
    ("verb", "uuid", "text"),
    [
        ("start", PAUSED, "cannot start 'paused1': it is paused; resume it"),
        ("shutdown", PAUSED, "cannot shut down 'paused1': it is paused; resume it first"),
        ("reboot", OFF, "cannot reboot 'off1': it is off; only a running machine reboots"),
        ("reboot", PAUSED, "it is paused"),
        ("reset", OFF, "only a running machine can be reset"),
        ("pause", OFF, "only a running machine can be paused"),
        ("resume", OFF, "only a paused machine can be resumed"),
        ("undefine", RUN, "cannot undefine 'run1': it is running; shut it down first"),
        ("undefine", PAUSED, "it is paused"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(cloud: Cloud, verb: str, uuid: str, text: str) -> None:
    before = cloud.domain(uuid).state()
    with pytest.raises(codes.WrongState, match=text):
        cloud.do(verb, uuid=uuid)
    assert cloud.domain(uuid).state() == before


@pytest.mark.parametrize(
    ("verb", "more"),
    [(verb, {}) for verb in ("start", "shutdown", "poweroff", "reboot", "reset", "pause", "resume", "adopt")]
    + [("describe", {}), ("set_autostart", {"on": True}), ("set_shape", {}), ("rename", {"name": "x"})],
)
def test_a_machine_that_is_not_there_is_told(cloud: Cloud, verb: str, more: dict[str, Any]) -> None:
    with pytest.raises(codes.NoSuchMachine, match=f"no machine with the uuid {NEW} on this host"):
        cloud.do(verb, uuid=NEW, **more)


@pytest.mark.parametrize("verb", ["reboot", "reset"])
def test_a_reboot_that_was_cut_off_is_not_done_again(cloud: Cloud, verb: str) -> None:
    operation = cut_off(cloud, verb, {"uuid": RUN})
    for _ in range(2):
        assert cloud.do(verb, operation, uuid=RUN) == {"uncertain": True}
    assert json.loads(cloud.module.operation(operation)) == {"state": "ended"}


# Disks


def test_a_disk_is_made_once(cloud: Cloud) -> None:
    first = cloud.do("create_disk", "operation-x", **DISK)
    cloud.connection.storagePoolLookupByName("default").storageVolLookupByName("new.qcow2").delete()
    assert cloud.do("create_disk", "operation-x", **DISK) == first
    assert "new.qcow2" not in cloud.volumes()  # it only said what it had said before


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"pool": "nope"}, codes.NoSuchPool, "no storage pool 'nope' on this host; there are: default, fast"),
        ({"pool": "cold"}, codes.NoSuchPool, "storage pool 'cold' is not active; start it with"),
        ({"pool": "../etc"}, codes.NoSuchPool, "no storage pool"),
        ({"volume": "base.qcow2"}, codes.VolumeExists, "default/base.qcow2 is there already"),
        ({"size_gb": 101}, codes.DiskFull, "'default' has 100 GB free, and default/new.qcow2 needs 101"),
        ({"backing": {**BASE, "volume": "no"}}, codes.NoSuchVolume, "has no volume 'no'; it has: Boot CD"),
        ({"backing": {**BASE, "pool": "no"}}, codes.NoSuchPool, "no storage pool 'no'"),
        ({"backing": BASE, "size_gb": 1}, codes.BadSpec, "at least 2, the size of default/base.qcow2, not 1"),
        ({"size_gb": 0}, codes.BadSpec, "size_gb is a whole number"),
    ],
)
def test_a_disk_that_cannot_be_made_is_refused(
    cloud: Cloud, arguments: dict[str, Any], kind: type[Exception], text: str
) -> None:
    before = cloud.volumes()
    with pytest.raises(kind, match=text):
        cloud.do("create_disk", **{**DISK, **arguments})
    assert cloud.volumes() == before


def test_a_disk_whose_making_was_cut_off_is_taken_for_its_own(cloud: Cloud) -> None:
    for verb in ("create_disk", "delete_disk"):
        cloud.do(verb, **(DISK if verb == "create_disk" else old_disk("new.qcow2")))
    operation = cut_off(cloud, "create_disk", DISK, "volume was absent")
    cloud.do("create_disk", **DISK)  # stands for what the cut-off run made
    assert cloud.do("create_disk", operation, **DISK)["made"] is False


def test_a_disk_that_was_half_made_is_made_anew(cloud: Cloud) -> None:
    cloud.do("create_disk", **{**DISK, "size_gb": 1, "format": "raw"})  # stands for what a crash left
    operation = cut_off(cloud, "create_disk", DISK, "volume was absent")
    assert cloud.do("create_disk", operation, **DISK)["made"] is True
    volume = cloud.connection.storagePoolLookupByName("default").storageVolLookupByName("new.qcow2")
    assert volume.info()[1] == 4 * 2**30


def test_a_disk_of_somebody_else_is_never_taken_for_its_own(cloud: Cloud) -> None:
    arguments = {**DISK, "volume": "base.qcow2"}
    operation = cut_off(cloud, "create_disk", arguments)  # it had not seen it absent
    with pytest.raises(codes.VolumeExists):
        cloud.do("create_disk", operation, **arguments)
    assert "base.qcow2" in cloud.volumes()


def test_the_operation_knows_before_it_acts_that_the_volume_was_absent(cloud: Cloud) -> None:
    cloud.do("create_disk", "operation-x", **DISK)
    journal = Journal(cloud.module.root / "var/lib/func/operations")
    assert Attempt(journal, "operation-x", again=True).noted("volume was absent")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (old_disk("off1.qcow2"), "volume default/off1.qcow2 is a disk of off1; it was not deleted"),
        (old_disk("run1.qcow2"), "is a disk of run1; it was not deleted"),
        (old_disk("run1.qcow2", RUN), "is a disk of run1, which runs; power it off first"),
        (old_disk("shared.raw", RUN, "fast"), "is a disk of paused1; it was not deleted"),
        (old_disk("shared.raw", PAUSED, "fast"), "is a disk of run1; it was not deleted"),
        (old_disk("base.qcow2"), "is what default/above.qcow2 stands on; it was not deleted"),
    ],
)
def test_a_disk_that_something_stands_on_is_never_deleted(
    cloud: Cloud, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(codes.VolumeInUse, match=text):
        cloud.do("delete_disk", **arguments)
    assert arguments["volume"] in cloud.volumes(arguments["pool"])


def test_a_disk_that_the_next_start_will_use_is_not_deleted(cloud: Cloud) -> None:
    cloud.do("start", uuid=OFF)
    xml = cloud.domain(OFF).XMLDesc().replace("/pool/off1.qcow2", "/pool/above.qcow2")
    cloud.connection.defineXML(xml)
    for volume in ("off1.qcow2", "above.qcow2"):
        with pytest.raises(codes.VolumeInUse, match="is a disk of off1"):
            cloud.do("delete_disk", **old_disk(volume))


def test_a_disk_stays_while_a_pool_cannot_be_listed_and_goes_when_one_has_stopped(cloud: Cloud) -> None:
    class Pool:
        """A real pool, but one that does not say what is in it."""

        def __init__(self, pool: Any, active: bool) -> None:
            self._pool, self._active = pool, active

        def __getattr__(self, name: str) -> Any:
            return getattr(self._pool, name)

        def isActive(self) -> bool:  # noqa: N802  libvirt's name
            return self._active

        def listAllVolumes(self, flags: int) -> Any:  # noqa: N802
            raise libvirt.libvirtError("the server hangs")

    class Host:
        """The host's connection with such a pool."""

        def __init__(self, connection: Any, active: bool) -> None:
            self._connection, self._active = connection, active

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def listAllStoragePools(self, flags: int) -> Any:  # noqa: N802
            pools = self._connection.listAllStoragePools(flags)
            return [Pool(pool, self._active) if pool.name() == "fast" else pool for pool in pools]

    at = Volume("default", "above.qcow2")
    with pytest.raises(codes.VolumeInUse, match="'fast' cannot be listed .*; it was not deleted"):
        disks.check_volumes(Host(cloud.connection, active=True), at, "/pool/above.qcow2")
    disks.check_volumes(Host(cloud.connection, active=False), at, "/pool/above.qcow2")


def test_a_disk_is_deleted_once_nothing_stands_on_it(cloud: Cloud) -> None:
    assert cloud.do("delete_disk", **old_disk("above.qcow2")) == {"deleted": True}
    assert cloud.do("delete_disk", **old_disk("base.qcow2")) == {"deleted": True}
    assert cloud.do("delete_disk", **old_disk("base.qcow2")) == {"deleted": False}
    with pytest.raises(codes.NoSuchPool):
        cloud.do("delete_disk", **old_disk("x", pool="nope"))


def test_the_disk_of_a_machine_that_is_off_can_be_deleted_for_it(cloud: Cloud) -> None:
    assert cloud.do("delete_disk", **old_disk("off1.qcow2", OFF)) == {"deleted": True}


# Definition


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"name": "run1"}, codes.NameTaken, f"a machine 'run1' already, with the uuid {RUN}"),
        ({"uuid": OFF}, codes.NameTaken, "is that of machine 'off1', not 'new1.example.org'"),
        ({"networks": [{"network": "nope", "mac": "52:54:00:00:00:09"}]}, codes.NoSuchNetwork,
         "no network 'nope' on this host; there are: default; bridges: virbr0"),
        ({"networks": [{"network": "idle", "mac": "52:54:00:00:00:09"}]}, codes.NoSuchNetwork,
         "network 'idle' is not active; start it with"),
        ({"disks": [{"pool": "default", "volume": "nope"}]}, codes.NoSuchVolume, "has no volume 'nope'"),
        ({"disks": [{"pool": "nope", "volume": "x"}]}, codes.NoSuchPool, "no storage pool 'nope'"),
        ({"disks": [{**BASE, "format": "raw"}]}, codes.BadSpec, "has the format qcow2, not raw"),
        ({"cdrom": {"pool": "default", "volume": "no.iso"}}, codes.NoSuchVolume, "'no.iso'"),
        ({"seed": {"pool": "cold", "volume": "x.iso"}}, codes.NoSuchPool, "'cold' is not active"),
        ({"firmware": "uefi"}, codes.Unsupported, "this host has no UEFI firmware; it has: bios"),
        ({"arch": "aarch64"}, codes.Unsupported, "no emulator for aarch64"),
        ({"memory_mb": 0}, codes.BadSpec, "memory_mb is a whole number"),
    ],
)  # fmt: skip
def test_a_machine_that_cannot_be_is_refused(
    cloud: Cloud, changes: dict[str, Any], kind: type[Exception], text: str
) -> None:
    before = cloud.machines()
    with pytest.raises(kind, match=text):
        cloud.do("define", **spec(**changes))
    assert cloud.machines() == before


def test_a_machine_can_be_on_a_bridge_of_the_host(cloud: Cloud) -> None:
    (cloud.module.root / "sys/class/net/br7/bridge").mkdir(parents=True)
    (cloud.module.root / "sys/class/net/eth0").mkdir()
    assert json.loads(cloud.module.resources())["bridges"] == ["br7", "virbr0"]
    nics = [{"network": name, "mac": f"52:54:00:00:00:0{n}"} for n, name in enumerate(("br7", "default"))]
    cloud.do("define", **spec(networks=nics))
    assert cloud.do("describe", uuid=NEW)["networks"] == nics
    assert "<source bridge='br7'/>" in cloud.domain(NEW).XMLDesc()
    for name in ("eth0", "../net/br7", "*"):
        with pytest.raises(codes.NoSuchNetwork):
            cloud.do(
                "define",
                **spec(uuid=NEW.replace("4", "5"), name="x", networks=[{**nics[0], "network": name}]),
            )


def test_a_machine_is_defined_once(cloud: Cloud) -> None:
    cloud.do("define", **spec())
    assert cloud.do("define", **spec())["made"] is False
    assert len(cloud.machines()) == 4


def test_a_definition_that_was_cut_off_is_completed(cloud: Cloud) -> None:
    operation = cut_off(cloud, "define", spec())
    cloud.do("define", **spec(autostart=False))  # stands for what the cut-off run made
    assert cloud.do("define", operation, **spec())["made"] is False
    assert cloud.do("describe", uuid=NEW)["autostart"] is True


def test_a_machine_is_renamed_while_it_is_off(cloud: Cloud) -> None:
    assert cloud.do("rename", uuid=OFF, name="off2") == {"changed": True}
    assert cloud.do("rename", uuid=OFF, name="off2") == {"changed": False}
    with pytest.raises(codes.NameTaken, match="a machine 'run1' already"):
        cloud.do("rename", uuid=OFF, name="run1")
    with pytest.raises(codes.WrongState, match="cannot rename 'run1': it is running"):
        cloud.do("rename", uuid=RUN, name="run2")
    assert cloud.do("describe", uuid=OFF)["name"] == "off2"


@pytest.mark.parametrize("uuid", [OFF, RUN])
def test_a_machine_of_others_becomes_ours_and_stays_it(cloud: Cloud, uuid: str) -> None:
    assert cloud.do("adopt", uuid=uuid) == {"changed": True}
    assert cloud.do("adopt", uuid=uuid) == {"changed": False}
    cloud.do("poweroff", uuid=uuid)
    assert cloud.do("describe", uuid=uuid)["managed"] is True


def test_a_machine_that_is_gone_need_not_be_forgotten(cloud: Cloud) -> None:
    assert cloud.do("undefine", uuid=OFF) == {"made": True}
    assert cloud.do("undefine", uuid=OFF) == {"made": False}


# Shape


def test_autostart_goes_on_and_off(cloud: Cloud) -> None:
    answers = [cloud.do("set_autostart", uuid=RUN, on=on) for on in (True, True, False, False)]
    assert [answer["changed"] for answer in answers] == [True, False, True, False]


def test_a_machine_that_is_off_has_its_new_size_at_its_next_start(cloud: Cloud) -> None:
    for memory_mb, vcpus in ((1024, 8), (128, 1), (128, 1)):
        answer = cloud.do("set_shape", uuid=OFF, memory_mb=memory_mb, vcpus=vcpus)
        assert answer == {"memory_mb": "next-start", "vcpus": "next-start"}
        found = cloud.do("describe", uuid=OFF)
        assert [found[key] for key in ("memory_mb", "max_memory_mb", "vcpus")] == [
            memory_mb,
            memory_mb,
            vcpus,
        ]


def test_a_running_machine_changes_now_within_its_maximum(cloud: Cloud) -> None:
    for memory_mb, vcpus in ((512, 3), (1024, 4), (256, 1)):
        answer = cloud.do("set_shape", uuid=RUN, memory_mb=memory_mb, vcpus=vcpus)
        assert answer == {"memory_mb": "now", "vcpus": "now"}
        found = cloud.do("describe", uuid=RUN)
        assert [found[key] for key in ("memory_mb", "max_memory_mb", "vcpus")] == [memory_mb, 1024, vcpus]
    cloud.do("poweroff", uuid=RUN)
    found = cloud.do("describe", uuid=RUN)
    assert [found[key] for key in ("memory_mb", "max_memory_mb", "vcpus")] == [256, 256, 1]


def test_a_running_machine_grows_beyond_its_maximum_at_its_next_start(cloud: Cloud) -> None:
    answer = cloud.do("set_shape", uuid=RUN, memory_mb=4096, vcpus=8)
    assert answer == {"memory_mb": "next-start", "vcpus": "next-start"}
    assert cloud.do("describe", uuid=RUN)["memory_mb"] == 1024
    cloud.do("poweroff", uuid=RUN)
    found = cloud.do("describe", uuid=RUN)
    assert [found[key] for key in ("memory_mb", "max_memory_mb", "vcpus")] == [4096, 4096, 8]


@pytest.mark.parametrize("uuid", [OFF, RUN], ids=["off", "running with less than it may have"])
def test_a_change_is_taken_back_whole_with_what_was_described_before_it(cloud: Cloud, uuid: str) -> None:
    if uuid == RUN:
        cloud.domain(RUN).setMemoryFlags(600 * 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    before = cloud.do("describe", uuid=uuid)
    cloud.do("set_shape", uuid=uuid, memory_mb=2048, vcpus=7)
    assert cloud.do("describe", uuid=uuid)["next"] == {"memory_mb": 2048, "max_memory_mb": 2048, "vcpus": 7}
    shape = {key: before[key] for key in ("memory_mb", "vcpus", "next")}
    cloud.do("set_shape", uuid=uuid, **shape)
    assert cloud.do("describe", uuid=uuid) == before
    if uuid == RUN:
        cloud.do("poweroff", uuid=RUN)
        found = cloud.do("describe", uuid=RUN)
        assert {key: found[key] for key in before["next"]} == before["next"]


def test_only_what_was_asked_for_changes(cloud: Cloud) -> None:
    assert cloud.do("set_shape", uuid=RUN, vcpus=2) == {"memory_mb": None, "vcpus": "now"}
    assert cloud.do("set_shape", uuid=RUN, memory_mb=512) == {"memory_mb": "now", "vcpus": None}
    assert cloud.do("set_shape", uuid=RUN) == {"memory_mb": None, "vcpus": None}


def test_libvirts_own_refusal_is_told_and_remembered(cloud: Cloud) -> None:
    snapshot = "<domainsnapshot><name>s1</name></domainsnapshot>"
    cloud.domain(OFF).snapshotCreateXML(snapshot, 0)
    for _ in range(2):
        with pytest.raises(HostError) as caught:
            cloud.do("set_shape", "operation-x", uuid=OFF, vcpus=4096)
        assert str(caught.value).startswith("libvirt: ")
    assert cloud.do("undefine", uuid=OFF) == {"made": True}  # its snapshots with it
