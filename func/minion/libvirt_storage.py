"""Find, make and delete volumes of libvirt's storage pools, by look-up alone: no path is ever built here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import fromstring

from func.minion.codes import DiskFull, NoSuchPool, NoSuchVolume, Unsupported, VolumeExists
from func.minion.libvirt_connection import error_types, is_code, libvirt, quietly

GIB = 2**30
SHOWN_NAMES = 10
# libvirt has no code for it: the texts of the kernel's error, of its own disk pools and of its test driver.
_FULL_TEXTS = ("No space left on device", "Not enough free space", "not enough free space")


@dataclass(frozen=True)
class VolumeFacts:
    """A volume as libvirt knows it; `backing` is the path of what it stands on, or empty."""

    name: str
    path: str
    kind: str  # file|block
    format: str
    capacity: int  # bytes
    backing: str


def active_pools(connection: Any) -> list[Any]:
    """All active pools, by name."""
    pools = connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    return sorted(pools, key=lambda pool: str(pool.name()))


def find_pool(connection: Any, name: str) -> Any:
    """The active pool of that name; raises NoSuchPool."""
    try:
        pool = connection.storagePoolLookupByName(name)
    except error_types() as exc:
        if not is_code(exc, "VIR_ERR_NO_STORAGE_POOL"):
            raise
        there = _listed(pool.name() for pool in active_pools(connection))
        raise NoSuchPool(f"no storage pool {name!r} on this host; there are: {there}") from exc
    if not pool.isActive():
        raise NoSuchPool(f"storage pool {name!r} is not active; start it with virsh pool-start")
    return pool


def find_volume(connection: Any, pool_name: str, name: str) -> Any:
    """The volume of that name; raises NoSuchPool, NoSuchVolume."""
    pool = find_pool(connection, pool_name)
    volume = look_up(pool, name)
    if volume is None:
        there = _listed(pool.listVolumes())
        raise NoSuchVolume(f"storage pool {pool_name!r} has no volume {name!r}; it has: {there}")
    return volume


def look_up(pool: Any, name: str) -> Any:
    """The volume of that name, or None; the pool is looked through anew before it is said not to be there."""
    for last in (False, True):
        try:
            return pool.storageVolLookupByName(name)
        except error_types() as exc:
            if not is_code(exc, "VIR_ERR_NO_STORAGE_VOL"):
                raise
        if not last:
            refresh(pool)
    return None


def refresh(pool: Any) -> None:
    """Have libvirt see what others put into the pool; it refuses while one of its own volumes is made."""
    quietly(lambda: pool.refresh(0))


def facts(volume: Any) -> VolumeFacts:
    """What libvirt knows of a volume. Raises Unsupported for one that is neither a file nor a device."""
    root = fromstring(volume.XMLDesc(0))  # noqa: S314 - libvirt's own text
    kinds = {libvirt.VIR_STORAGE_VOL_FILE: "file", libvirt.VIR_STORAGE_VOL_BLOCK: "block"}
    kind, capacity, _ = volume.info()
    if kind not in kinds:
        raise Unsupported(f"volume {volume.name()!r} is neither a file nor a device of this host")
    form = root.find("./target/format")
    return VolumeFacts(
        volume.name(),
        volume.path(),
        kinds[kind],
        "raw" if form is None else form.get("type", "raw"),
        int(capacity),
        _absolute(root.findtext("./backingStore/path", ""), volume.path()),
    )


def _absolute(backing: str, path: str) -> str:
    """A backing file may be named relative to the volume above it."""
    return str(PurePosixPath(path).parent / backing) if backing else ""


def free_bytes(pool: Any) -> int:
    """How much the pool can still take, as far as libvirt knows."""
    return int(pool.info()[3])


def create(pool: Any, xml: str, name: str) -> Any:
    """Make a volume; raises VolumeExists, DiskFull."""
    try:
        return pool.createXML(xml, 0)
    except error_types() as exc:
        if is_code(exc, "VIR_ERR_STORAGE_VOL_EXIST") or "already exists" in str(exc):
            raise VolumeExists(f"storage pool {pool.name()!r} has a volume {name!r} already") from exc
        if any(text in str(exc) for text in _FULL_TEXTS):
            free_gb = free_bytes(pool) // GIB
            text = f"storage pool {pool.name()!r} has no room for {name!r}: {free_gb} GB are free ({exc})"
            raise DiskFull(text) from exc
        raise


def delete(volume: Any) -> bool:
    """Delete a volume; False where it was gone already."""
    try:
        volume.delete(0)
    except error_types() as exc:
        if is_code(exc, "VIR_ERR_NO_STORAGE_VOL"):
            return False
        raise
    return True


def all_volumes(connection: Any) -> Iterator[tuple[str, Any]]:
    """Every volume of every active pool, with the pool's name, as far as they can be listed."""
    for pool in active_pools(connection):
        try:
            volumes = volumes_of(pool)
        except error_types():
            continue
        for volume in volumes:
            yield pool.name(), volume


def volumes_of(pool: Any) -> list[Any]:
    """The volumes of a pool; one that stopped meanwhile has none, one that cannot be listed raises."""
    try:
        return list(pool.listAllVolumes(0))
    except error_types():
        if pool.isActive():
            raise
        return []


def _listed(names: Any) -> str:
    known = sorted(names)
    more = f" and {len(known) - SHOWN_NAMES} more" if len(known) > SHOWN_NAMES else ""
    return (", ".join(known[:SHOWN_NAMES]) or "none") + more
