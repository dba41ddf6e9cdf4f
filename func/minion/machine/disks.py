"""The verbs create_disk and delete_disk: volumes, and who stands on them."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from typing import Any, Optional

from func.minion import libvirt_storage as storage
from func.minion.codes import BadSpec, DiskFull, Unsupported, VolumeExists, VolumeInUse
from func.minion.libvirt_connection import error_types, is_code, libvirt
from func.minion.machine import overlays
from func.minion.machine.arguments import ImageRef, NewDisk, OldDisk, Volume
from func.minion.machine.context import Context
from func.minion.machine.machine_facts import disks_of, paths_of
from func.minion.machine.machine_xml import Source, volume_xml

ABSENT = "volume was absent"
MAX_DEPTH = 64


def create_disk(context: Context, disk: NewDisk) -> Mapping[str, Any]:
    """Make a volume; {"pool", "volume", "path", "size_gb", "made"}.

    The operation notes down that the volume was absent before it makes it: so a later run knows a volume that
    is there for its own, whole or half made, and one that another made for another's.
    """
    if not isinstance(disk.backing, ImageRef):
        return _create(context, disk, _backing(context.connection, disk))
    if context.setup.images is None:
        raise Unsupported("this host keeps no images")
    with context.setup.images.using(disk.backing.sha256) as image:
        _check_size(disk, image.virtual_size)
        return _create(context, disk, Source(str(image.path), "file", image.format))


def _create(context: Context, disk: NewDisk, backing: Optional[Source]) -> Mapping[str, Any]:
    pool = storage.find_pool(context.connection, disk.at.pool)
    there = storage.look_up(pool, disk.at.volume)
    if there is not None:
        if not context.attempt.noted(ABSENT):
            raise VolumeExists(f"volume {disk.at} is there already; give the disk another name")
        if _is_whole(storage.facts(there), disk, backing):
            return _answer(disk, there, made=False)
        storage.delete(there)  # ours, and half made
    _check_room(pool, disk)
    context.attempt.note(ABSENT)
    return _answer(disk, storage.create(pool, volume_xml(disk, backing), disk.at.volume), made=True)


def delete_disk(context: Context, disk: OldDisk) -> Mapping[str, Any]:
    """Delete a volume that nobody stands on; {"deleted"}. One that is gone already is fine."""
    pool = storage.find_pool(context.connection, disk.at.pool)
    volume = storage.look_up(pool, disk.at.volume)
    if volume is None:
        return {"deleted": False}
    path = volume.path()
    _check_machines(context.connection, disk, path)
    check_volumes(context.connection, disk.at, path)
    return {"deleted": storage.delete(volume)}


def source_of(connection: Any, at: Volume) -> Source:
    """Where a volume is; raises NoSuchPool, NoSuchVolume, Unsupported."""
    found = storage.facts(storage.find_volume(connection, at.pool, at.volume))
    return Source(found.path, found.kind, found.format)


def users_of(connection: Any, path: str, but: str) -> list[str]:
    """Names of the machines, but for the one with the uuid `but`, whose disks are or stand on the path."""
    return sorted(
        domain.name()
        for domain in connection.listAllDomains()
        if domain.UUIDString() != but and _uses(connection, domain, path)
    )


def path_of_volume(connection: Any, pool: str, volume: str) -> str:
    """The path of a volume that a machine's XML names; empty where it is gone."""
    try:
        return str(connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).path())
    except error_types():
        return ""


def _uses(connection: Any, domain: Any, path: str) -> bool:
    wanted = os.path.realpath(path)
    for xml in _xmls(domain):
        paths = set(paths_of(xml))
        paths |= {
            path_of_volume(connection, disk.pool, disk.volume)
            for disk in disks_of(xml)
            if disk.pool and not disk.path
        }
        if path in paths or any(_stands_on(used, wanted) for used in paths if used):
            return True
    return False


def _stands_on(path: str, wanted: str) -> bool:
    """Whether a file is `wanted`, or stands on it; of a machine that is off, only its files can tell."""
    for _ in range(MAX_DEPTH):
        if os.path.realpath(path) == wanted:
            return True
        try:
            path = overlays.below(path)
        except (OSError, ValueError):  # not there, a drive without its disk, a disk over the network
            return False
        if not path:
            return False
    return False


def _xmls(domain: Any) -> list[str]:
    """What the machine uses now, and what it will use at its next start."""
    try:
        texts = [domain.XMLDesc(0)]
        if domain.isActive() and domain.isPersistent():
            texts.append(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    except error_types() as exc:
        if is_code(exc, "VIR_ERR_NO_DOMAIN"):  # undefined since it was listed
            return []
        raise
    return texts


def _check_machines(connection: Any, disk: OldDisk, path: str) -> None:
    others = users_of(connection, path, but=disk.uuid)
    if others:
        raise VolumeInUse(f"volume {disk.at} is a disk of {', '.join(others)}; it was not deleted")
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        if domain.UUIDString() == disk.uuid and _uses(connection, domain, path):
            raise VolumeInUse(
                f"volume {disk.at} is a disk of {domain.name()}, which runs; power it off first"
            )


def check_volumes(connection: Any, at: Volume, path: str) -> None:
    """Raise VolumeInUse where another volume stands on this one, or where nobody can know."""
    wanted = os.path.realpath(path)
    above = []
    for pool in storage.active_pools(connection):
        storage.refresh(pool)  # an overlay may have been made past libvirt
        try:
            volumes = storage.volumes_of(pool)
        except error_types() as exc:
            raise VolumeInUse(
                f"storage pool {pool.name()!r} cannot be listed ({exc}), so what stands on volume {at} is not"
                " known; it was not deleted"
            ) from exc
        for volume in volumes:
            backing = _backing_of(volume)
            if backing and (backing == path or os.path.realpath(backing) == wanted):
                above.append(f"{pool.name()}/{volume.name()}")
    if above:
        raise VolumeInUse(f"volume {at} is what {', '.join(sorted(above))} stands on; it was not deleted")


def _backing_of(volume: Any) -> str:
    try:
        return storage.facts(volume).backing
    except Unsupported:  # neither a file nor a device
        return ""
    except error_types():  # deleted since it was listed
        return ""


def _backing(connection: Any, disk: NewDisk) -> Optional[Source]:
    if not isinstance(disk.backing, Volume):
        return None
    found = storage.facts(storage.find_volume(connection, disk.backing.pool, disk.backing.volume))
    _check_size(disk, found.capacity)
    return Source(found.path, found.kind, found.format)


def _check_size(disk: NewDisk, below: int) -> None:
    if below > disk.size_gb * storage.GIB:
        least_gb = -(-below // storage.GIB)
        raise BadSpec(f"size_gb is at least {least_gb}, the size of {disk.backing}, not {disk.size_gb}")


def _check_room(pool: Any, disk: NewDisk) -> None:
    """Volumes grow as they are written to, so many may promise more than there is; none alone may."""
    free_gb = storage.free_bytes(pool) // storage.GIB
    if disk.size_gb > free_gb:
        raise DiskFull(
            f"storage pool {disk.at.pool!r} has {free_gb} GB free, and {disk.at} needs {disk.size_gb}"
        )


def _is_whole(found: storage.VolumeFacts, disk: NewDisk, backing: Optional[Source]) -> bool:
    below = "" if backing is None else backing.path
    wanted = disk.size_gb * storage.GIB
    return found.format == disk.format and found.capacity == wanted and found.backing == below


def _answer(disk: NewDisk, volume: Any, made: bool) -> Mapping[str, Any]:
    path = volume.path()
    return {
        "pool": disk.at.pool,
        "volume": disk.at.volume,
        "path": path,
        "size_gb": disk.size_gb,
        "made": made,
    }
