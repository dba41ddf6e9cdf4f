"""SQLObject connections that are safe to use from any thread, and the errors of SQLite in our words.

SQLObject's own SQLite connection keeps one DB-API connection a thread and closes those of dead threads while
others take theirs, without a lock. Here every SQLObject connection owns one DB-API connection, and a pool
lends it to one thread at a time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlobject import dberrors
from sqlobject.sqlite.sqliteconnection import SQLiteConnection

from cloudmasterd.errors import StoreError

BUSY_TIMEOUT_S = 5.0
READER_CACHE_KIB = 512

_HINTS = (
    ("not a database", "it is no SQLite file: move it away, or name another file as the database"),
    ("malformed", "it is damaged: stop cloudmasterd and put back a copy, or move it away to start anew"),
    ("disk is full", "make room on its file system"),
    ("readonly", "the account cloudmasterd runs under must be able to write it and its folder"),
    ("unable to open", "the account cloudmasterd runs under must be able to read and write it"),
    ("locked", "another program holds it; end that program (an open sqlite3 shell?)"),
)


class OneConnection(SQLiteConnection):
    """An SQLObject connection that is one DB-API connection, `raw`, in autocommit mode."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        # No cache: another connection's writes would leave it stale, and nobody here keeps row objects.
        super().__init__(str(path), timeout=BUSY_TIMEOUT_S, check_same_thread=False, cache=False)
        self.raw: sqlite3.Connection = self.makeConnection()
        self.raw.execute("PRAGMA foreign_keys = ON")
        if read_only:
            self.raw.execute("PRAGMA query_only = ON")
            self.raw.execute(f"PRAGMA cache_size = {-READER_CACHE_KIB:d}")

    def getConnection(self) -> sqlite3.Connection:  # noqa: N802  SQLObject's name
        """The one connection there is."""
        return self.raw

    def releaseConnection(self, conn: Any, explicit: bool = False) -> None:  # noqa: N802
        """Nothing: SQLObject would commit here, in the middle of our transaction."""

    def close(self) -> None:
        """Close the DB-API connection; also called by SQLObject when this object is collected."""
        raw = getattr(self, "raw", None)
        if raw is not None:
            raw.close()


@contextmanager
def transaction(raw: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing; takes the write lock at once, so it cannot fail half-way for want of it."""
    raw.execute("BEGIN IMMEDIATE")
    try:
        yield raw
        raw.execute("COMMIT")
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite and SQLObject raise into StoreError."""
    try:
        yield
    except (sqlite3.Error, dberrors.Error, OverflowError, UnicodeEncodeError) as exc:
        text = str(exc)
        hint = next((f"; {hint}" for sign, hint in _HINTS if sign in text), "")
        raise StoreError(f"cannot {doing} {path}: {text}{hint}") from exc


class Readers:
    """Lends read-only connections, each to one thread at a time.

    There are as many as were ever lent at once. None is thrown away before `close`: SQLObject's class
    registry keeps a reference to every connection for good.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[OneConnection] = []
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[OneConnection]:
        """A connection for the length of the block; StoreError when it or the block fails, or after close."""
        with translated(self._path, "read"):
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Close what is idle now and the rest as it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> OneConnection:
        with self._lock:
            if self._closed:
                raise StoreError(f"{self._path} was closed: cloudmasterd is shutting down")
            if self._idle:
                return self._idle.pop()
        return OneConnection(self._path, read_only=True)

    def _give_back(self, connection: OneConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
