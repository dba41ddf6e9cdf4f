"""What a caller may send with a verb, and what is said of everything else."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from func.minion.codes import BadSpec
from func.minion.machine import arguments
from func.minion.machine.arguments import Disk, NewDisk, NewMachine, Nic, Volume
from func.minion.machine.verbs import VERBS
from tests.func.minion.machine.support import NEW, spec

DISK = {"uuid": NEW, "pool": "default", "volume": "new.qcow2", "size_gb": 4}
AT = {"pool": "default", "volume": "x"}


def test_a_machine_is_what_was_sent() -> None:
    disk = {"pool": "p", "volume": "v", "format": "raw", "bus": "scsi"}
    assert arguments.new_machine(spec(disks=[disk], cdrom=AT, arch="x86_64", firmware="uefi")) == NewMachine(
        uuid=NEW, name="new1.example.org", memory_mb=256, max_memory_mb=512, vcpus=2, arch="x86_64",
        firmware="uefi", disks=(Disk(Volume("p", "v"), "raw", "scsi"),), cdrom=Volume("default", "x"),
        seed=None, nics=(Nic("default", "52:54:00:aa:bb:cc"),), boot=("hd", "network"), autostart=True,
        graphics=True, managed=True, task="17",
    )  # fmt: skip


def test_what_may_be_left_out_has_a_sensible_value() -> None:
    machine = arguments.new_machine({"uuid": NEW.upper(), "name": "m", "memory_mb": 64, "vcpus": 1})
    assert machine == NewMachine(
        uuid=NEW, name="m", memory_mb=64, max_memory_mb=64, vcpus=1, arch=None, firmware=None, disks=(),
        cdrom=None, seed=None, nics=(), boot=("hd",), autostart=False, graphics=False, managed=True, task="",
    )  # fmt: skip
    assert arguments.new_disk(DISK) == NewDisk(NEW, Volume("default", "new.qcow2"), 4, "qcow2", None)
    assert arguments.shape({"uuid": NEW}).memory_mb is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"uuid": None}, "uuid is missing"),
        ({"uuid": "../../etc/passwd"}, "uuid is no uuid: .*; right are 8-4-4-4-12 hex digits"),
        ({"name": ""}, "name is no name: ''; right are 1 to 63 letters"),
        ({"name": "a b"}, "name is no name"),
        ({"name": "-rf"}, "a letter or digit first"),
        ({"name": "../x"}, "name is no name"),
        ({"name": "x\n"}, "name is no name"),
        ({"name": "x" * 64}, "name is no name"),
        ({"name": "<x/>"}, "name is no name"),
        ({"name": 7}, "name is no name: 7"),
        ({"memory_mb": 0}, "memory_mb is a whole number from 1 to 16777216, not 0"),
        ({"memory_mb": -1}, "not -1"),
        ({"memory_mb": "512"}, "not '512'"),
        ({"memory_mb": True}, "not True"),
        ({"memory_mb": 1.5}, "not 1.5"),
        ({"memory_mb": 10**15}, "memory_mb is a whole number"),
        ({"memory_mb": 513}, r"max_memory_mb is at least memory_mb \(513\), not 512"),
        ({"vcpus": 0}, "vcpus is a whole number from 1 to 4096, not 0"),
        ({"firmware": "efi"}, "firmware is one of bios, uefi, not 'efi'"),
        ({"disks": {}}, "disks is a list of at most 16, not {}"),
        ({"disks": [{}] * 17}, "disks is a list of at most 16"),
        ({"disks": ["x"]}, r"disks\[0\] is a JSON object, not 'x'"),
        ({"disks": [{"pool": "p"}]}, r"disks\[0\].volume is missing"),
        ({"disks": [{**AT, "format": "vmdk"}]}, r"disks\[0\].format is one of qcow2, raw, not 'vmdk'"),
        ({"disks": [{**AT, "bus": "usb"}]}, r"disks\[0\].bus is one of"),
        ({"disks": [{**AT, "path": "/etc"}]}, r"disks\[0\]: unknown 'path'; known are pool, volume"),
        ({"disks": [AT, AT]}, "disks has default/x twice"),
        ({"cdrom": {"pool": "p", "volume": "\x00"}}, "cdrom.volume is a text of 1 to 255"),
        ({"seed": {"pool": "", "volume": "x"}}, "seed.pool is a text"),
        ({"networks": [{"network": "n", "mac": "01:00:00:00:00:00"}]}, "a unicast address such as"),
        ({"networks": [{"network": "n", "mac": "x"}]}, r"networks\[0\].mac is a unicast address"),
        ({"networks": [{"network": "a\nb", "mac": "52:54:00:00:00:01"}]}, r"networks\[0\].network is a text"),
        ({"networks": [{"network": "n", "mac": "52:54:00:00:00:01"}] * 2}, "has 52:54:00:00:00:01 twice"),
        ({"boot": ["fd"]}, r"boot\[0\] is one of hd, network, cdrom, not 'fd'"),
        ({"boot": ["hd", "hd"]}, "boot has hd twice"),
        ({"autostart": "yes"}, "autostart is true or false, not 'yes'"),
        ({"graphics": 1}, "graphics is true or false, not 1"),
        ({"metadata": []}, "metadata is a JSON object"),
        ({"metadata": {"task": "\x1b"}}, "metadata.task is a text"),
        ({"metadata": {"owner": "x"}}, "metadata: unknown 'owner'; known are managed, task"),
        ({"memory": 5}, "the arguments: unknown 'memory'; known are memory_mb"),
    ],
)  # fmt: skip
def test_a_wrong_machine_is_refused_with_what_would_be_right(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSpec, match=text):
        arguments.new_machine(spec(**changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"volume": "../../../etc/cron.d/x"}, "volume is no name"),
        ({"volume": "a/b"}, "volume is no name"),
        ({"volume": "x" * 201}, "right are 1 to 200 letters"),
        ({"size_gb": 0}, "size_gb is a whole number from 1 to 1048576, not 0"),
        ({"size_gb": "4"}, "not '4'"),
        ({"format": "iso"}, "format is one of qcow2, raw"),
        ({"format": "raw", "backing": AT}, "format is qcow2 where there is a backing, not raw"),
        ({"backing": "default/x"}, "backing is a JSON object"),
    ],
)
def test_a_wrong_disk_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSpec, match=text):
        arguments.new_disk({**DISK, **changes})


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (arguments.target, {}),
        (arguments.target, {"uuid": NEW, "force": True}),
        (arguments.naming, {"uuid": NEW}),
        (arguments.naming, {"uuid": NEW, "name": "a/b"}),
        (arguments.autostart, {"uuid": NEW, "on": 1}),
        (arguments.shape, {"uuid": NEW, "memory_mb": 0}),
        (arguments.old_disk, {"uuid": NEW, "pool": "p"}),
    ],
)
def test_every_verb_checks_its_arguments(parse: Callable[[Any], Any], raw: Any) -> None:
    with pytest.raises(BadSpec):
        parse(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(VERBS)), st.sampled_from(sorted(spec())), JSON)
def test_whatever_stands_in_a_field_is_taken_or_refused(verb: str, key: str, value: Any) -> None:
    try:
        VERBS[verb].parse({**spec(), key: value})
    except BadSpec as exc:
        assert str(exc)


@given(st.sampled_from(sorted(VERBS)), JSON)
def test_whatever_is_sent_is_taken_or_refused(verb: str, value: Any) -> None:
    try:
        VERBS[verb].parse(value)
    except BadSpec as exc:
        assert str(exc)
