"""Write a backup of a cloud master that may run meanwhile: whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from cloudmasterd import __version__
from cloudmasterd.clock import Clock
from cloudmasterd.control import archive
from cloudmasterd.control.archive import BLOCK, Entry, Manifest
from cloudmasterd.control.places import Kind, Place, Places, all_files
from cloudmasterd.errors import BackupError
from cloudmasterd.func_fabric import authority_pin, certmaster_held_still
from cloudmasterd.store.copying import copy_database

_ENDING = ".part"


def write_backup(where: Places, target: Path, clock: Clock, *, images: bool, force: bool) -> Manifest:
    """Write the backup `target`, for its owner alone; raises BackupError, ConfigError or StoreError.

    Nothing appears under that name before every byte of it was read again and found right. An older file
    goes only with `force`.
    """
    _refuse_existing(target, force)
    try:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=_ENDING, dir=target.parent)
                )
            )
            manifest = _write(where, folder, clock, images)
            written = folder / "backup"
            if archive.read(written) != manifest:
                raise BackupError(f"{target}: what was written is not what was to be written; try again")
            _publish(written, target, force)
    except OSError as exc:
        raise BackupError(f"{target} cannot be written: {exc.strerror or exc}") from exc
    return manifest


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise BackupError(f"{target} is there already: name another file, or overwrite it with --force")


def _publish(written: Path, target: Path, force: bool) -> None:
    if force:
        written.replace(target)
    else:
        try:
            os.link(written, target)
        except FileExistsError:
            _refuse_existing(target, force)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(where: Places, folder: Path, clock: Clock, images: bool) -> Manifest:
    """The backup as `folder`/backup."""
    copy = folder / "database"
    # certmaster's files first: a certificate that is signed in between is none the database could miss
    small: dict[str, bytes] = {}
    entries: list[Entry] = []
    with certmaster_held_still(where.func):
        for place, path in all_files([place for place in where.listed if place.kind is not Kind.IMAGE]):
            data = _read(path)
            entry = _entry(where, place, path, len(data), hashlib.sha256(data).hexdigest())
            small[entry.path] = data
            entries.append(entry)
    schema = copy_database(where.database, copy)
    database = where.relative(where.database)
    entries.append(Entry(database, Kind.DATABASE, 0o600, copy.stat().st_size, _sum(copy)))
    if images:
        for place, path in all_files([place for place in where.listed if place.kind is Kind.IMAGE]):
            entries.append(_entry(where, place, path, path.stat().st_size, _sum(path)))
    at = clock.now()
    manifest = Manifest(
        __version__, schema, at.isoformat(timespec="seconds"), socket.gethostname(),
        authority_pin(where.func), images, where.relative(where.config_file), database, tuple(entries),
    )  # fmt: skip

    def open_entry(entry: Entry) -> IO[bytes]:
        if entry.path in small:
            return io.BytesIO(small[entry.path])
        return (copy if entry.kind is Kind.DATABASE else where.root / entry.path).open("rb")

    descriptor = os.open(folder / "backup", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        archive.write(stream, manifest, open_entry, at.timestamp())
        stream.flush()
        os.fsync(stream.fileno())
    with suppress(FileNotFoundError):
        copy.unlink()
    return manifest


def _entry(where: Places, place: Place, path: Path, size: int, checksum: str) -> Entry:
    mode = place.mode(path, path.stat().st_mode)
    return Entry(where.relative(path), place.kind, mode, size, checksum)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BackupError(f"{path} cannot be read: {exc.strerror}; run this as root") from exc


def _sum(path: Path) -> str:
    found = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                found.update(block)
    except OSError as exc:
        raise BackupError(f"{path} cannot be read: {exc.strerror}; run this as root") from exc
    return found.hexdigest()
