"""Look at a database, copy it while its cloud master runs, and make a copy fit to go on from."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import quote

from cloudmasterd.acting import Deed, Detail
from cloudmasterd.clock import Clock
from cloudmasterd.errors import StoreError
from cloudmasterd.model import StepState, Task, TaskState
from cloudmasterd.record import Head, Verdict
from cloudmasterd.store.audit_verify import verify
from cloudmasterd.store.connection import BUSY_TIMEOUT_S, translated
from cloudmasterd.store.lock import DatabaseLock
from cloudmasterd.store.migrate import schema_version
from cloudmasterd.store.schema import MIGRATIONS
from cloudmasterd.store.store import Store

KNOWN_VERSION = MIGRATIONS[-1].version
RECORDS_LOOKED_AT = 100_000  # of the audit, the latest: a second's work
_FIRST_WITH_RECORD = 7
COMPANIONS = ("", "-wal", "-shm")

# Of each kind of task that installs: the step that begins what cannot be taken up later.
_INSTALLING = {"machine.create": "install", "cloud.rebuild": "reboot"}

_CUT_OFF = (
    "this cloud master was restored from a backup of {when}, when the task was not done: nobody knows here"
    " what became of it afterwards. Look at the cloud instance, and ask again for what is still wanted"
)


@dataclass(frozen=True)
class Health:
    """What was found in a database: its schema version, and what is broken in it, empty when it is sound."""

    version: int
    problem: str = ""


def look_at(path: Path) -> Health:
    """Look through every page of a database, in use or not; StoreError when it is not one of ours."""
    with _reading(path) as raw:
        version = schema_version(raw, path)
        found = raw.execute("PRAGMA integrity_check(1)").fetchone()[0]
        broken = raw.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok":
        return Health(version, str(found))
    return Health(
        version, f"rows of {broken[0]} refer to rows of {broken[2]} that are gone" if broken else ""
    )


def look_at_record(path: Path) -> Verdict:
    """Whether the end of its audit record is whole; StoreError when the database is not one of ours."""
    with _reading(path) as raw:
        if schema_version(raw, path) < _FIRST_WITH_RECORD:
            return Verdict(Head())
        return verify(raw, last=RECORDS_LOOKED_AT)


def copy_database(path: Path, to: Path) -> int:
    """Copy it, as it is at one moment, into the new file `to`; its schema version. Raises StoreError.

    The cloud master may run and write meanwhile.
    """
    with _reading(path) as raw:
        schema_version(raw, path)
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(to)) as copy:
            # In one go: a writer is not held up by a reader in WAL mode, but each write would begin a copy
            # in several steps anew.
            raw.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, nothing beside it
        return look_at(to).version


def image_names(path: Path) -> list[str]:
    """The images in the catalogue of a database of any schema version; raises StoreError."""
    with _reading(path) as raw:
        if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'image'").fetchone() is None:
            return []
        return [name for (name,) in raw.execute("SELECT name FROM image")]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise StoreError(f"there is no database {path}")
    with (
        translated(path, "read"),
        closing(
            sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        ) as raw,
    ):
        yield raw


def end_unfinished(path: Path, clock: Clock, taken_at: str, *, keep: bool = False, by: str) -> int:
    """End the tasks of a copy as failed, with what they hold, and how many; brings it to our schema version.

    That `by` put it back is on its audit record afterwards, which has nothing of what was done since.

    What was done on cloud instances since `taken_at` is not known here: a delete or a power-off that waited
    in line then may be what nobody wants any more. With `keep` only those end that installed something.
    """
    store = Store(path, clock=clock)
    try:
        pending = [task for task in store.tasks.pending() if not keep or _installs(task)]
        for task in pending:
            error = _CUT_OFF.format(when=taken_at)
            store.tasks.end(task.id, TaskState.FAILED, error, None, clock.now())
        told: Detail = {"backup_of": taken_at, "ended_tasks": len(pending)}
        store.audit.add(Deed(by, "restore", detail=told), durable=True)
    finally:
        store.close()
    return len(pending)


def _installs(task: Task) -> bool:
    """Whether an installation had begun: late, its task would undo it, and delete what was long in use."""
    name = _INSTALLING.get(task.kind)
    return any(step.name == name and step.state is not StepState.WAITING for step in task.steps)


class Claim:
    """The lock of a database whose cloud master must not run, from making it until `release`.

    Raises StoreLocked when it does. After `replaced` the next start takes the database for one that was not
    closed: it goes on numbering far beyond all that was ever given out, so that no number means two things.
    """

    def __init__(self, path: Path) -> None:
        self.file = Path(f"{path}.lock")
        self._lock: Optional[DatabaseLock] = DatabaseLock(self.file)

    def replaced(self) -> None:
        """Let the next start know that the database is another one."""
        if self._lock is not None:
            self._lock.unclean = True

    def release(self) -> None:
        """Let a cloud master have the database."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
