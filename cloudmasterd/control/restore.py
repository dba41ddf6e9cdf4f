"""Put a backup back: on a fresh machine, or over what is there, which is put aside."""

from __future__ import annotations

import io
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudmasterd.clock import Clock
from cloudmasterd.config import load_config
from cloudmasterd.control import archive
from cloudmasterd.control.archive import BLOCK, Entry, Manifest, Source
from cloudmasterd.control.change import Change
from cloudmasterd.control.places import ASIDE, Kind, Place, Places, files_of, places
from cloudmasterd.control.shell_user import shell_user
from cloudmasterd.errors import BackupError, StoreTooNew
from cloudmasterd.func_fabric import newer_list
from cloudmasterd.store.copying import (
    COMPANIONS,
    KNOWN_VERSION,
    end_unfinished,
    image_names,
    look_at,
)

_CONNECT_S = 1.0
_WHOLE = (
    Kind.AUTHORITY,
    Kind.MASTER,
    Kind.CERTMASTER,
)  # put aside as directories: a file that stays would be in force
_EDITED = (Kind.CONFIG, Kind.IDENTITY)


@dataclass(frozen=True)
class Restored:
    """What was done: files written, what was put aside, tasks that were ended, images without their data."""

    manifest: Manifest
    written: int
    aside: tuple[Path, ...]
    ended_tasks: int
    missing_images: tuple[str, ...]


@dataclass(frozen=True)
class _Staged:
    """A backup that was checked: its files but for images below `stage`, and the place of each."""

    file: Path
    stage: Path
    manifest: Manifest
    where: Mapping[str, Place]
    here: Places
    images: frozenset[str]


def restore(file: Path, root: Path, clock: Clock, *, force: bool, keep_tasks: bool) -> Restored:
    """Put the backup `file` back below `root`; raises CloudError, and then nothing has changed.

    Before anything is touched every byte of it is checked, no cloud master and no certmaster may run here,
    and without `force` no data may be here. With `keep_tasks` tasks that were under way go on,
    but for installations that had begun.
    """
    with tempfile.TemporaryDirectory(prefix="cloudmasterctl-") as name:
        staged = _check(file, Path(name), root)
        database = staged.stage / staged.manifest.database
        ended = end_unfinished(database, clock, staged.manifest.created_at, keep=keep_tasks, by=shell_user())
        _refuse_certmaster(staged.here)
        with Change(root, clock.now().strftime("%Y%m%dT%H%M%SZ")) as change:
            change.claim(staged.here.database)
            _refuse_data(staged.here, force)
            _put_back(staged, change, root)
        return Restored(
            staged.manifest, change.written, tuple(change.aside), ended, tuple(_without_data(staged))
        )


def _check(file: Path, stage: Path, root: Path) -> _Staged:
    manifest = archive.read_manifest(file)
    if manifest.schema > KNOWN_VERSION:
        raise StoreTooNew(
            f"{file} has a database of schema version {manifest.schema}, written by cloudmasterd"
            f" {manifest.version}; this cloudmasterd knows versions up to {KNOWN_VERSION}: install that one"
            " or a newer one, or take a backup from before the upgrade"
        )
    if archive.read(file, partial(_stage, stage)) != manifest:
        raise BackupError(f"{file} changed while it was read; try again")
    database = stage / manifest.database
    if not database.exists():
        raise BackupError(f"{file} holds no database")
    health = look_at(database)
    if health.problem or health.version != manifest.schema:
        problem = health.problem or f"it has schema version {health.version}, not {manifest.schema}"
        raise BackupError(f"{file}: its database cannot be used: {problem}")
    config_file = stage / manifest.config_file
    named = config_file if config_file.exists() else None
    there = places(load_config(named, stage), config_file, stage)
    if there.relative(there.database) != manifest.database:
        raise BackupError(f"{file}: its configuration names {there.database}, not the database it holds")
    where = {entry.path: there.find(entry.kind, stage / entry.path) for entry in manifest.entries}
    # By the settings of the backup, not by those that are here: they are the ones that are going to hold.
    return _Staged(file, stage, manifest, where, there.moved_to(root), frozenset(image_names(database)))


def _stage(stage: Path, entry: Entry, data: Source) -> None:
    if entry.kind is Kind.IMAGE:
        return  # checked here, written from the file itself: there may be no room for it twice
    path = stage / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        shutil.copyfileobj(data, out, BLOCK)


def _refuse_certmaster(here: Places) -> None:
    address, port = here.func.listen_addr or "127.0.0.1", here.func.listen_port
    try:
        socket.create_connection((address, port), _CONNECT_S).close()
    except OSError:
        return
    raise BackupError(
        f"something listens on {address} port {port}, most likely certmaster, which would go on with the"
        " files it has: `systemctl stop cloudmasterd certmaster` first"
    )


def _refuse_data(here: Places, force: bool) -> None:
    found = [here.database] if here.database.exists() else []
    found += [path for place in here.listed if place.kind in _WHOLE for path in files_of(place)]
    if found and not force:
        more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
        raise BackupError(
            f"there is data of a cloud master here: {found[0]}{more}. With --force it is put aside, as"
            f" NAME{ASIDE}TIME beside where it is; nothing is deleted"
        )


def _put_back(staged: _Staged, change: Change, root: Path) -> None:
    here = staged.here
    newer = _newer_revocations(staged, root)
    for path in _in_the_way(staged, root):
        change.put_aside(path)
    for place in here.listed:
        if place.kind in _WHOLE:
            change.folder(place.path, place.dir_mode, place.owner)
    for entry in staged.manifest.entries:
        if newer and root / entry.path == here.func.ca_crl:
            _write(staged, change, root, entry, io.BytesIO(newer))
        elif entry.kind is not Kind.IMAGE and not (root / entry.path).exists():
            with (staged.stage / entry.path).open("rb") as data:
                _write(staged, change, root, entry, data)

    def take(entry: Entry, data: Source) -> None:
        if entry.kind is Kind.IMAGE:
            _write(staged, change, root, entry, data)

    if any(entry.kind is Kind.IMAGE for entry in staged.manifest.entries):
        archive.read(staged.file, take)
    change.done(sorted({(root / entry.path).parent for entry in staged.manifest.entries}))


def _newer_revocations(staged: _Staged, root: Path) -> bytes:
    """The list of revoked certificates that is here, where it is a newer one of the same authority.

    The backup's would let in again who was revoked since.
    """
    lists, authority = staged.here.func.ca_crl, staged.here.func.ca_cert
    files = [staged.stage / path.relative_to(root) for path in (authority, lists)]
    if not (lists.exists() and all(file.exists() for file in files)):
        return b""
    theirs, old = (file.read_bytes() for file in files)
    found = lists.read_bytes()
    return found if newer_list(theirs, found, old) else b""


def _write(staged: _Staged, change: Change, root: Path, entry: Entry, data: Source) -> None:
    place, path = staged.where[entry.path], root / entry.path
    change.folder(path.parent, place.dir_mode, place.owner)
    change.write(path, data, place.mode(path, entry.mode), place.owner)


def _in_the_way(staged: _Staged, root: Path) -> Iterator[Path]:
    """What has to make room: all data, and of the configuration what differs from the backup's."""
    theirs = {root / entry.path for entry in staged.manifest.entries}
    for place in staged.here.listed:
        if place.kind is Kind.DATABASE:
            yield from (Path(f"{place.path}{ending}") for ending in COMPANIONS)
        elif place.kind is Kind.PASSWORD:
            yield place.path  # of the database that is put aside
        elif place.kind in _WHOLE and any(place.path.glob("*")):
            yield place.path
        elif place.kind is Kind.IMAGE:
            # the next start removes what the catalogue does not know
            for path in files_of(place):
                if path in theirs or path.stem not in staged.images:
                    yield path
    for entry in staged.manifest.entries:
        path = root / entry.path
        if entry.kind in _EDITED and path.exists() and _differ(path, staged.stage / entry.path):
            yield path


def _differ(one: Path, other: Path) -> bool:
    return one.read_bytes() != other.read_bytes()


def _without_data(staged: _Staged) -> Iterator[str]:
    there = {path.stem for p in staged.here.listed if p.kind is Kind.IMAGE for path in files_of(p)}
    yield from sorted(staged.images - there)
