"""Disks of machines that are off, whose files alone tell what they stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from func.minion import codes
from func.minion.machine.machine_facts import paths_of
from tests.func.minion.machine.support import NEW, OFF, RUN, Cloud, write_qcow2

RUN1 = {"pool": "default", "volume": "run1.qcow2"}
ABOVE = {"uuid": NEW, "pool": "default", "volume": "above.qcow2"}


@pytest.mark.parametrize("deep", [False, True])
def test_a_disk_below_one_in_no_pool_of_a_machine_that_is_off_is_not_deleted(
    cloud: Cloud, tmp_path: Path, deep: bool
) -> None:
    above = tmp_path / "own.qcow2"
    below = "/pool/run1.qcow2"
    if deep:
        write_qcow2(tmp_path / "middle.qcow2", below)
        below = "middle.qcow2"
    write_qcow2(above, below)
    cloud.domain(RUN).destroy()
    cloud.connection.defineXML(cloud.domain(OFF).XMLDesc().replace("/pool/off1.qcow2", str(above)))
    with pytest.raises(codes.VolumeInUse, match="is a disk of off1; it was not deleted"):
        cloud.do("delete_disk", uuid=RUN, **RUN1)
    above.unlink()
    assert cloud.do("delete_disk", uuid=RUN, **RUN1) == {"deleted": True}


def test_what_a_running_disk_is_copied_to_is_in_use() -> None:
    copying = (
        "<domain><devices><disk type='file' device='disk'><source file='/pool/a.qcow2'/>"
        "<mirror type='file' job='copy'><format type='raw'/><source file='/pool/b.raw'/>"
        "<backingStore><source file='/pool/base.raw'/></backingStore></mirror>"
        "<target dev='vda'/></disk></devices></domain>"
    )
    assert set(paths_of(copying)) == {"/pool/a.qcow2", "/pool/b.raw", "/pool/base.raw"}


def test_disks_that_stand_on_each_other_end_the_search(cloud: Cloud, tmp_path: Path) -> None:
    ring = tmp_path / "ring.qcow2"
    write_qcow2(ring, "ring.qcow2")
    cloud.connection.defineXML(cloud.domain(OFF).XMLDesc().replace("/pool/off1.qcow2", str(ring)))
    assert cloud.do("delete_disk", **ABOVE) == {"deleted": True}
