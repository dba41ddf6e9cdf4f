"""Bring a database to the schema version this program knows, or leave it as it was."""

from __future__ import annotations

import glob
import logging
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from cloudmasterd.errors import StoreError, StoreTooNew
from cloudmasterd.store.connection import transaction
from cloudmasterd.store.schema import MIGRATIONS, Migration

log = logging.getLogger(__name__)

KEPT_COPIES = 3  # from before migrations, the newest


def migrate(raw: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Run the migrations that `path`, open as `raw`, has not seen; each is one transaction.

    A database that holds something is copied to `<path>.v<N>.bak` first, N being the version that it has, and
    the newest KEPT_COPIES of those stay. Raises StoreTooNew for a database of
    a newer program and StoreError for one that is not ours or when a migration fails.
    """
    found = schema_version(raw, path, migrations[-1].version)
    pending = [migration for migration in migrations if migration.version > found]
    if pending and found:
        backup(raw, path, Path(f"{path}.v{found}.bak"))
    if pending and not found:  # nothing can be lost half-way: one step, and one way to the disk
        statements = tuple(statement for migration in pending for statement in migration.statements)
        pending = [Migration(pending[-1].version, statements)]
    for migration in pending:
        _run(raw, path, migration)
        if found:
            log.info("%s is now at schema version %d", path, migration.version)
    if pending and found:
        _forget_copies(path)


def schema_version(raw: sqlite3.Connection, path: Path, known: int = MIGRATIONS[-1].version) -> int:
    """The schema version of a database, 0 for an empty one; changes nothing.

    StoreError when it is not one of ours, StoreTooNew when its version is above `known`.
    """
    version = int(raw.execute("PRAGMA user_version").fetchone()[0])
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables and version == 0:
        return 0
    stated = None
    if "meta" in tables:
        stated = raw.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if stated is None or stated[0] != str(version):
        raise StoreError(
            f"{path} is an SQLite database, but not one of cloudmasterd's (user_version {version},"
            f" schema_version {stated[0] if stated else 'missing'}): move it away, or name another file"
            " as the database"
        )
    if version > known:
        raise StoreTooNew(
            f"{path} has schema version {version}, this cloudmasterd knows versions up to {known}: install"
            f" the cloudmasterd that wrote it or a newer one, or put back {_older_copy(path, known)}"
            " (docs/operations.md, Downgrade)"
        )
    return version


def backup(raw: sqlite3.Connection, path: Path, to: Path) -> None:
    """Copy the database to `to`, which appears only when it is complete; replaces an older copy."""
    part = Path(f"{to}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy = sqlite3.connect(part)
        try:
            raw.backup(copy)
        finally:
            copy.close()
        part.replace(to)
    except (OSError, sqlite3.Error) as exc:
        raise StoreError(f"{path} needs a migration, but cannot be copied to {to} before it: {exc}") from exc
    log.info("%s was copied to %s before its migration", path, to)


def _copies(path: Path) -> list[tuple[int, Path]]:
    """(version, file) of the copies there are, the oldest version first."""
    found = []
    for file in path.parent.glob(f"{glob.escape(path.name)}.v*.bak"):
        number = file.name[len(path.name) + 2 : -len(".bak")]
        if number.isdecimal():
            found.append((int(number), file))
    return sorted(found)


def _older_copy(path: Path, known: int) -> str:
    fitting = [file for version, file in _copies(path) if version <= known]
    return str(fitting[-1]) if fitting else "a backup from before the upgrade with `cloudmasterctl restore`"


def _forget_copies(path: Path) -> None:
    for _, file in _copies(path)[:-KEPT_COPIES]:
        try:
            file.unlink()
        except OSError as exc:
            log.warning("%s is not needed any more, and cannot be removed: %s", file, exc)


def _run(raw: sqlite3.Connection, path: Path, migration: Migration) -> None:
    # SQLite heeds this only outside a transaction; the check below stands in for it
    raw.execute("PRAGMA foreign_keys = OFF")
    try:
        with transaction(raw):
            for statement in migration.statements:
                raw.execute(statement)
            broken = raw.execute("PRAGMA foreign_key_check").fetchall()
            if broken:
                table, _, parent, _ = broken[0]
                raise StoreError(
                    f"{len(broken)} rows of {table} refer to rows of {parent} that are not there"
                )
            raw.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('schema_version', ?)",
                (str(migration.version),),
            )
            raw.execute(f"PRAGMA user_version = {migration.version:d}")
    except (sqlite3.Error, StoreError) as exc:
        raise StoreError(
            f"{path} could not be brought to schema version {migration.version} and was left as it was: {exc}"
        ) from exc
    finally:
        raw.execute("PRAGMA foreign_keys = ON")
