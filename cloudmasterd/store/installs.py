"""What installing machines say of themselves, by the hash of the token each is known by."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Callable, Optional

from cloudmasterd.model import Install, Phase
from cloudmasterd.store.connection import Readers
from cloudmasterd.store.values import clean, time_from_text, time_to_text
from cloudmasterd.store.writer import Unit, Writer

_SELECT = "SELECT task, reached, said, text, heard_at, failure FROM install"
_BY_TASK, _BY_TOKEN = f"{_SELECT} WHERE task = ?", f"{_SELECT} WHERE token_hash = ?"


class InstallStore:
    """Installations under way: one for each unfinished task that was submitted with a report_token."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def find(self, token: str) -> Optional[Install]:
        """The installation of the machine with this token; None for a wrong one, or after its task's end."""
        with self._readers.borrow() as connection:
            return _find(connection.raw, _BY_TOKEN, token_hash(token))

    def get(self, task_id: int) -> Install:
        """What the machine that the task installs has said; nothing, where there is no such task."""
        with self._readers.borrow() as connection:
            return _find(connection.raw, _BY_TASK, task_id) or Install(task_id)

    def change(self, task_id: int, change: Callable[[Install], Install], *, durable: bool) -> None:
        """Write what `change` makes of it; nothing happens when the task has ended meanwhile."""

        def work(unit: Unit) -> None:
            before = _find(unit.raw, _BY_TASK, task_id)
            if before is not None:
                _write(unit.raw, change(before))

        self._writer.run(work, durable=durable)


def token_hash(token: str) -> str:
    """What the database knows a token by."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def expect(raw: sqlite3.Connection, task_id: int, token: str) -> None:
    """From now on the machine with this token may report to the task."""
    raw.execute("INSERT INTO install (task, token_hash) VALUES (?, ?)", (task_id, token_hash(token)))


def forget(raw: sqlite3.Connection, task_id: int) -> None:
    """The task has ended: its machine has nothing to say to it any more."""
    raw.execute("DELETE FROM install WHERE task = ?", (task_id,))


def _write(raw: sqlite3.Connection, install: Install) -> None:
    raw.execute(
        "UPDATE install SET reached = ?, said = ?, text = ?, heard_at = ?, failure = ? WHERE task = ?",
        (
            None if install.reached is None else install.reached.value,
            None if install.said is None else install.said.value,
            clean(install.text),
            time_to_text(install.heard_at),
            None if install.failure is None else clean(install.failure),
            install.task,
        ),
    )


def _find(raw: sqlite3.Connection, sql: str, key: Any) -> Optional[Install]:
    row: Optional[Sequence[Any]] = raw.execute(sql, (key,)).fetchone()
    if row is None:
        return None
    task, reached, said, text, heard_at, failure = row
    heard: Optional[datetime] = time_from_text(heard_at)
    return Install(
        task=int(task),
        reached=None if reached is None else Phase(reached),
        said=None if said is None else Phase(said),
        text=text,
        heard_at=heard,
        failure=failure,
    )
