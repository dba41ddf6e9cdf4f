"""Remember asynchronous calls for an hour, in a file that every process of the same user can read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from func import wire
from func.errors import JobBookError, WireError

KEPT_S = 3600.0
"""How long a job is remembered after the last thing that was heard of it."""

_BUSY_S = 20.0
_VERSION = 1
_TABLES = (
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, heard_at REAL NOT NULL, sent_by REAL NOT NULL)",
    "CREATE TABLE calls (job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, minion TEXT NOT NULL,"
    " minion_job TEXT, value BLOB, PRIMARY KEY (job, minion))",
    f"PRAGMA user_version = {_VERSION}",
)


@dataclass(frozen=True)
class Call:
    """One minion's part of a job: not taken yet, taken under an id of the minion's, or ended with a value.

    `value` is as Func's users see it: what the method answered, or a REMOTE_ERROR list.
    """

    minion: str
    minion_job: Optional[str] = None
    ended: bool = False
    value: Any = None


@dataclass(frozen=True)
class Job:
    """An asynchronous call as it was last heard of; until `sent_by` somebody may still be sending it."""

    job_id: str
    calls: tuple[Call, ...]
    sent_by: float


def book_file(root: Path) -> Path:
    """Where the jobs of this user are; each has one of its own, because it is nobody else's to read."""
    return root / f"var/lib/func/overlord-jobs-{os.getuid()}.db"


class JobBook:
    """The jobs in one file, which threads and processes may share. Raises JobBookError."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now

    def begin(self, name: str, minions: Collection[str], sending_s: float) -> str:
        """Enter a job whose calls are about to be sent; answers its id, `name` and the time."""
        with self._writing() as cursor:
            now = at = self._now()
            cursor.execute("DELETE FROM jobs WHERE heard_at < ?", (now - KEPT_S,))
            while cursor.execute("SELECT 1 FROM jobs WHERE id = ?", (f"{name}-{at!r}",)).fetchone():
                at += 1e-6
            job_id = f"{name}-{at!r}"
            cursor.execute("INSERT INTO jobs VALUES (?, ?, ?)", (job_id, now, now + sending_s))
            cursor.executemany(
                "INSERT INTO calls (job, minion) VALUES (?, ?)", [(job_id, minion) for minion in minions]
            )
        return job_id

    def enter(self, job_id: str, taken: Mapping[str, str], ended: Mapping[str, Any]) -> None:
        """Note {minion: its job's id} and {minion: final value}; a value that is there already stays."""
        values = [(_written(value), job_id, minion) for minion, value in ended.items()]
        with self._writing() as cursor:
            cursor.executemany(
                "UPDATE calls SET minion_job = ? WHERE job = ? AND minion = ?",
                [(minion_job, job_id, minion) for minion, minion_job in taken.items()],
            )
            cursor.executemany(
                "UPDATE calls SET value = ? WHERE job = ? AND minion = ? AND value IS NULL", values
            )
            cursor.execute("UPDATE jobs SET heard_at = ? WHERE id = ?", (self._now(), job_id))

    def find(self, job_id: str) -> Optional[Job]:
        """A job with its calls, sorted by minion; None when it is not known (any more)."""
        jobs = self._read("WHERE id = ?", (job_id,))
        return jobs[0] if jobs else None

    def list_jobs(self) -> list[Job]:
        """Every job that is remembered, the oldest first."""
        return self._read("", ())

    def _read(self, where: str, arguments: tuple[str, ...]) -> list[Job]:
        if not self._path.exists():
            return []
        with self._connected() as connection:
            connection.execute("BEGIN")
            jobs = connection.execute(
                f"SELECT id, sent_by FROM jobs {where or 'WHERE 1'} AND heard_at >= ? ORDER BY heard_at, id",  # noqa: S608
                (*arguments, self._now() - KEPT_S),
            ).fetchall()
            return [Job(job_id, _calls(connection, job_id), sent_by) for job_id, sent_by in jobs]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection.cursor()
            connection.commit()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would make it as the umask has it, and its journal gets the mode of the file.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                _prepare(connection, self._path)
                yield connection
        except OSError as exc:
            raise JobBookError(
                f"{self._path}: {exc.strerror}; asynchronous calls are remembered there"
            ) from exc
        except sqlite3.Error as exc:
            raise JobBookError(
                f"{self._path}: {exc}; it holds the asynchronous calls of the last hour and may be removed"
            ) from exc


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.execute("BEGIN EXCLUSIVE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statement in _TABLES if version == 0 else ():
            connection.execute(statement)
        connection.commit()
    elif version != _VERSION:
        raise JobBookError(f"{path}: it is of another version of func (its number is {version}); remove it")


def _calls(connection: sqlite3.Connection, job_id: str) -> tuple[Call, ...]:
    rows = connection.execute(
        "SELECT minion, minion_job, value FROM calls WHERE job = ? ORDER BY minion", (job_id,)
    )
    return tuple(
        Call(minion, minion_job, value is not None, None if value is None else wire.decode_response(value))
        for minion, minion_job, value in rows
    )


def _written(value: Any) -> bytes:
    # As on the wire, because what came from there is all there is to remember.
    try:
        return wire.encode_result(value)
    except WireError as exc:
        return wire.encode_result(wire.remote_error("xmlrpclib.ProtocolError", f"it cannot be kept: {exc}"))
