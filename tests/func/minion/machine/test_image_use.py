"""What the disks of a host stand on: through pools, through domains, and where it cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from func.minion.machine.image_use import backing_files
from tests.func.minion.machine.support import Cloud, write_qcow2


def domain(cloud: Cloud, path: Path) -> Any:
    return cloud.connection.defineXML(
        f"<domain type='test'><name>own</name><memory>1024</memory><os><type>hvm</type></os><devices>"
        f"<disk type='file' device='disk'><source file='{path}'/><target dev='vda' bus='virtio'/></disk>"
        "</devices></domain>"
    )


def look(cloud: Cloud) -> Any:
    cold = cloud.connection.storagePoolLookupByName("cold")
    if not cold.isActive():
        cold.create()
    return backing_files(cloud.connection)


def test_volumes_and_what_they_stand_on_are_in_use(cloud: Cloud) -> None:
    assert {"/pool/above.qcow2", "/pool/base.qcow2", "/fast/shared.raw"} <= look(cloud)


def test_a_disk_in_no_pool_is_followed_by_its_own_header(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "image.raw").write_bytes(b"x")
    write_qcow2(tmp_path / "middle.qcow2", str(tmp_path / "image.raw"))
    write_qcow2(tmp_path / "top.qcow2", "middle.qcow2")  # relative, as qemu-img may write it
    (tmp_path / "link.qcow2").symlink_to(tmp_path / "top.qcow2")
    domain(cloud, tmp_path / "link.qcow2")
    assert str(tmp_path / "image.raw") in look(cloud)


def test_a_pool_that_is_not_active_may_hold_anything(cloud: Cloud) -> None:
    assert backing_files(cloud.connection) is None


def test_a_disk_that_is_not_there_may_stand_on_anything(cloud: Cloud, tmp_path: Path) -> None:
    domain(cloud, tmp_path / "gone.qcow2")
    assert look(cloud) is None


def test_a_backing_that_is_no_file_is_not_guessed_at(cloud: Cloud, tmp_path: Path) -> None:
    write_qcow2(tmp_path / "top.qcow2", 'json:{"driver": "raw"}')
    domain(cloud, tmp_path / "top.qcow2")
    assert look(cloud) is None


def test_a_chain_that_ends_nowhere_is_not_followed_for_ever(cloud: Cloud, tmp_path: Path) -> None:
    write_qcow2(tmp_path / "a.qcow2", "b.qcow2")
    write_qcow2(tmp_path / "b.qcow2", "a.qcow2")
    domain(cloud, tmp_path / "a.qcow2")
    assert str(tmp_path / "b.qcow2") in look(cloud)
