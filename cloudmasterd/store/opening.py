"""Find, create and open the database file, or say clearly why that cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudmasterd.errors import StoreError
from cloudmasterd.store.connection import OneConnection
from cloudmasterd.store.migrate import schema_version

_WAL_BYTES = 16 * 1024 * 1024


def real_path(path: Path) -> Path:
    """The path without symbolic links, so that one database has one lock; StoreError without its folder."""
    try:
        real = path.resolve()
        there, folder = real.exists(), real.parent.is_dir()
    except (OSError, RuntimeError) as exc:
        raise StoreError(f"cannot use the database {path}: {exc}") from exc
    if not folder:
        raise StoreError(
            f"cannot use the database {path}: there is no folder {real.parent}; make it, owned by the account"
            " cloudmasterd runs under, or name another place"
        )
    if there and not real.is_file():
        raise StoreError(f"cannot use the database {path}: it is no file; name a file in it or beside it")
    return real


@contextmanager
def open_database(path: Path) -> Iterator[OneConnection]:
    """The connection that writes; the file is made when it is not there, and is its owner's alone."""
    try:
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as exc:
        raise StoreError(
            f"cannot use the database {path}: {exc.strerror}; it must belong to the account"
            " cloudmasterd runs under"
        ) from exc
    connection = OneConnection(path)
    try:
        schema_version(connection.raw, path)  # before anything is done to a file that may not be ours
        path.chmod(0o600)
        _prepare(connection, path)
        yield connection
    finally:
        connection.close()


def _prepare(connection: OneConnection, path: Path) -> None:
    raw = connection.raw
    mode = raw.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"cannot use the database {path}: its file system does not carry SQLite's WAL mode (got {mode});"
            " put it on a local disk"
        )
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES:d}")
    problem = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise StoreError(
            f"cannot use the database {path}: it is damaged ({problem}); put back a copy, or move it away to"
            " start anew: the cloud instances will fill it again"
        )
