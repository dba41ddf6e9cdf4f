"""What goes when a task ends: the memory it held, its secret, and with it tasks of long ago."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from cloudmasterd.model import TaskState
from cloudmasterd.store.reservations import sum_up
from cloudmasterd.store.values import time_to_text
from cloudmasterd.store.writer import Unit

KEPT_TASKS = 10_000  # that have ended, the latest
PRUNED_AT_ONCE = 50  # so that no end of a task has to wait for long
KEY_LIFETIME = timedelta(hours=24)  # a key is remembered for at least this long


def give_back(unit: Unit, task_id: int, at: datetime) -> None:
    """Free what it held, and let its machine instance have, or lose, what was written about it."""
    held = [
        cloud for (cloud,) in unit.raw.execute("SELECT cloud FROM reservation WHERE task = ?", (task_id,))
    ]
    unit.raw.execute("DELETE FROM reservation WHERE task = ?", (task_id,))
    if held:
        sum_up(unit.raw, held, unit.change)
    machine, state, groups = unit.raw.execute(
        "SELECT machine, state, anti_affinity FROM task WHERE id = ?", (task_id,)
    ).fetchone()
    if state == TaskState.DONE.value and groups != "[]":
        unit.raw.execute("UPDATE machine SET anti_affinity = ? WHERE uuid = ?", (groups, machine))
    # what was written about a machine instance that never came to be goes the way of a vanished one's
    unit.raw.execute(
        "UPDATE machine SET vanished_at = ? WHERE uuid = ? AND vanished_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM sighting s WHERE s.uuid = machine.uuid)",
        (time_to_text(at), machine),
    )


def forget_secret(unit: Unit, task_id: int) -> None:
    """Let nothing of what was for its steps alone stay in the file."""
    if unit.raw.execute("SELECT 1 FROM task_secret WHERE task = ?", (task_id,)).fetchone() is None:
        return
    # SQLite leaves what is deleted in the file until something else comes to stand there
    unit.raw.execute("PRAGMA secure_delete = ON").fetchall()
    unit.raw.execute("DELETE FROM task_secret WHERE task = ?", (task_id,))
    unit.raw.execute("PRAGMA secure_delete = OFF").fetchall()


def prune(raw: sqlite3.Connection, oldest: datetime, oldest_key: datetime) -> None:
    """Forget tasks that ended before `oldest`, and the earliest of too many, but none with a young key."""
    raw.execute(
        "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE ended_at < ? ORDER BY ended_at LIMIT ?)",
        (time_to_text(oldest), PRUNED_AT_ONCE),
    )
    raw.execute(
        "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE ended_at <= (SELECT ended_at FROM task"
        " WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1 OFFSET ?)"
        " AND (idempotency_key IS NULL OR created_at < ?) ORDER BY ended_at LIMIT ?)",
        (KEPT_TASKS, time_to_text(oldest_key), PRUNED_AT_ONCE),
    )
