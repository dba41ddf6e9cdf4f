"""Which files the disks of this host stand on, as far down as there is anything below."""

from __future__ import annotations

import logging
import os
from typing import Any, Optional

from func.errors import HostError
from func.minion import libvirt_storage as storage
from func.minion.codes import Unsupported
from func.minion.libvirt_connection import error_types, libvirt
from func.minion.machine import overlays
from func.minion.machine.disks import path_of_volume
from func.minion.machine.machine_facts import disks_of

log = logging.getLogger(__name__)

_DEPTH = 64


class _UnknownError(Exception):
    """Something cannot be looked at, so what it stands on is not known."""


def backing_files(connection: Any) -> Optional[frozenset[str]]:
    """Paths of all that a disk or volume is or stands on, links followed; None where that cannot be told.

    What cannot be looked at may stand on anything: a pool that is not active, a disk whose file is not there.
    """
    try:
        return frozenset(_collect(connection))
    except (_UnknownError, HostError) as exc:
        return _nothing(exc)
    except error_types() as exc:  # something went away while it was looked at
        return _nothing(exc)


def _nothing(why: Exception) -> Optional[frozenset[str]]:
    log.warning("no image is evicted, because it is not certain what is in use: %s", why)
    return None


def _collect(connection: Any) -> set[str]:
    idle = connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE)
    if idle:
        raise _UnknownError(f"storage pool {idle[0].name()!r} is not active")
    known: dict[str, str] = {}
    pools = storage.active_pools(connection)
    for pool in pools:
        storage.refresh(pool)
    for volume in (volume for pool in pools for volume in storage.volumes_of(pool)):
        try:
            facts = storage.facts(volume)
        except Unsupported:  # a directory in the pool
            continue
        known[facts.path] = facts.backing
    found: set[str] = set()
    for path in known:
        _follow(path, known, found)
    for domain in connection.listAllDomains():
        for xml in (domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
            for disk in disks_of(xml):
                for path in (disk.path or path_of_volume(connection, disk.pool, disk.volume), *disk.below):
                    _follow(path, known, found)
    return found


def _follow(path: str, known: dict[str, str], found: set[str]) -> None:
    for _ in range(_DEPTH):
        if not path or os.path.realpath(path) in found:
            return
        found |= {path, os.path.realpath(path)}
        path = known[path] if path in known else _below(path)
    raise _UnknownError(f"{path} stands on more than {_DEPTH} files")


def _below(path: str) -> str:
    """What a file says it stands on; empty where it is no QCOW2, or stands alone."""
    try:
        return overlays.below(path)
    except OSError as exc:
        raise _UnknownError(f"{path} cannot be read: {exc.strerror}") from exc
    except overlays.NotAFileError as exc:
        raise _UnknownError(str(exc)) from exc
