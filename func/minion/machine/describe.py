"""Tell of one machine all the cloud master may want to know, and of the host what it has to give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from func.minion import libvirt_storage as storage
from func.minion.libvirt_connection import error_types, libvirt
from func.minion.machine import offer
from func.minion.machine.arguments import Target
from func.minion.machine.context import Setup, find, state_name
from func.minion.machine.disks import path_of_volume, users_of
from func.minion.machine.host_offer import arch_of, domains_of, host_arch, is_test, virt_type
from func.minion.machine.machine_facts import DiskFacts, disks_of, firmware_of, is_managed, nics_of, size_of
from func.minion.machine.networks import active_networks, bridges

DEFAULT_POOL = "default"


def describe(connection: Any, target: Target, seed: str = "") -> Mapping[str, Any]:
    """One machine; memory in MiB. A disk's pool and volume are None where no pool of libvirt has it.

    What is read from the path `seed` is no disk of anybody's: it comes and goes with the machine.
    """
    domain = find(connection, target.uuid)
    _, most_kib, memory_kib, vcpus, _ = domain.info()
    xml = domain.XMLDesc(0)
    later = size_of(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return {
        "name": domain.name(),
        "state": state_name(domain),
        "memory_mb": memory_kib // 1024,
        "max_memory_mb": most_kib // 1024,
        "vcpus": vcpus,
        "next": {"memory_mb": later.memory_mb, "max_memory_mb": later.max_memory_mb, "vcpus": later.vcpus},
        "autostart": bool(domain.autostart()),
        "managed": is_managed(xml),
        "disks": [
            _disk(connection, disk, target.uuid) for disk in disks_of(xml) if not seed or disk.path != seed
        ],
        "networks": [{"network": nic.network, "mac": nic.mac} for nic in nics_of(xml)],
        "firmware": firmware_of(xml),
    }


def resources(connection: Any, setup: Setup) -> Mapping[str, Any]:
    """What the host has to give to machines besides memory; sizes in GiB, rounded down."""
    own = host_arch(connection)
    found: dict[str, Any] = {"arch": own}
    if is_test(connection):
        found.update(firmwares=["bios"], virt_type="test", machine_types=[])
    else:
        arch = arch_of(connection, own)
        kind = virt_type(setup, arch)
        can = domains_of(connection, arch, kind)
        found.update(
            firmwares=list(offer.firmwares(own, can.uefi)),
            virt_type=kind,
            machine_types=list(arch.machine_types),
        )
    found["networks"] = active_networks(connection)
    found["bridges"] = bridges(connection, setup.net_dir)
    pools = storage.active_pools(connection)
    for pool in pools:
        storage.refresh(pool)  # an ISO may have been put there past libvirt
    default = _default([pool.name() for pool in pools])
    found["pools"] = [_pool(pool, default) for pool in pools]
    found["isos"] = sorted(
        f"{pool}/{volume.name()}"
        for pool, volume in storage.all_volumes(connection)
        if volume.name().lower().endswith(".iso")
    )
    return found


def _disk(connection: Any, disk: DiskFacts, uuid: str) -> Mapping[str, Any]:
    path = disk.path or path_of_volume(connection, disk.pool, disk.volume)
    pool, volume = (disk.pool, disk.volume) if disk.pool else _place_of(connection, path)
    return {
        "target": disk.target,
        "pool": pool,
        "volume": volume,
        "path": path,
        "format": disk.format,
        "read_only": disk.read_only,
        "shared_with": users_of(connection, path, but=uuid) if path else [],
    }


def _place_of(connection: Any, path: str) -> tuple[Optional[str], Optional[str]]:
    """The pool and volume of a path, where a pool has it."""
    if not path:
        return None, None
    try:
        volume = connection.storageVolLookupByPath(path)
        return str(volume.storagePoolLookupByVolume().name()), str(volume.name())
    except error_types():
        return None, None


def _default(names: list[str]) -> Optional[str]:
    """The pool to take where none is asked for: the one of that name, else the first."""
    return DEFAULT_POOL if DEFAULT_POOL in names else next(iter(names), None)


def _pool(pool: Any, default: Optional[str]) -> Mapping[str, Any]:
    _, capacity, _, free = pool.info()
    return {
        "name": pool.name(),
        "capacity_gb": capacity // storage.GIB,
        "free_gb": free // storage.GIB,
        "default": pool.name() == default,
    }
