"""Rows of the task tables as tasks, steps and log lines; several tables are read in one snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Optional

from sqlobject.sqlbuilder import AND, DESC, IN, OR, Select, sqlrepr

from cloudmasterd.errors import NotFound
from cloudmasterd.model import NewTask, Step, StepState, Task, TaskState
from cloudmasterd.store import installs, tables
from cloudmasterd.store.connection import OneConnection
from cloudmasterd.store.reading import rows
from cloudmasterd.store.values import MAX_ID, clean, known_time, time_from_text, time_to_text

_t, _s = tables.Task.q, tables.Step.q

_TASK_ITEMS = (
    _t.id, _t.kind, _t.state, _t.target, _t.cloud, _t.machine, _t.machine_name, _t.arguments, _t.asked_by,
    _t.request_id, _t.created_at, _t.started_at, _t.ended_at, _t.cancel_asked, _t.error, _t.result,
    _t.revision,
)  # fmt: skip

_STEP_ITEMS = (
    _s.task, _s.name, _s.title, _s.state, _s.operation, _s.detail, _s.result, _s.progress, _s.started_at,
    _s.ended_at,
)  # fmt: skip

# What is read again and again is put together once, with parameters: that takes a third of the time.
_TASKS = sqlrepr(Select(_TASK_ITEMS, staticTables=["task"]), "sqlite")
_TASK = f"{_TASKS} WHERE id = ?"
_WORK = (
    f"SELECT {', '.join(sqlrepr(item, 'sqlite') for item in (*_TASK_ITEMS, *_STEP_ITEMS))}"  # noqa: S608  constants
    " FROM task LEFT JOIN step ON step.task = task.id WHERE task.id = ? ORDER BY step.number"
)
_PENDING = f"{_TASKS} WHERE ended_at IS NULL ORDER BY id"
_STEPS_OF = sqlrepr(Select(_STEP_ITEMS, staticTables=["step"]), "sqlite")
_STEPS = f"{_STEPS_OF} WHERE task IN (SELECT value FROM json_each(?)) ORDER BY task, number"  # noqa: S608  constants
_LOG = "SELECT at, text FROM task_log WHERE task = ? ORDER BY id"
_LINE = "SELECT id FROM task WHERE ended_at IS NULL AND state = 'waiting' ORDER BY id"
_PLACE = "SELECT count(*) FROM task WHERE ended_at IS NULL AND state = 'waiting' AND id <= ?"

_WAITING = TaskState.WAITING.value


def get_task(connection: OneConnection, task_id: int) -> Task:
    """The task with its log, or NotFound."""
    with snapshot(connection.raw):
        found = _tasks(connection.raw, connection.raw.execute(_TASK, (known_id(task_id),)).fetchall())
        lines = connection.raw.execute(_LOG, (known_id(task_id),)).fetchall()
    if not found:
        raise NotFound(f"there is no task {task_id}; GET /api/v1/tasks lists those there are")
    return replace(found[0], log=tuple((known_time(at), text) for at, text in lines))


def get_work(connection: OneConnection, task_id: int) -> Task:
    """The task as whoever runs it reads it before each move, in one statement: without log and position."""
    found = connection.raw.execute(_WORK, (known_id(task_id),)).fetchall()
    if not found:
        raise NotFound(f"there is no task {task_id}; GET /api/v1/tasks lists those there are")
    width = len(_TASK_ITEMS)
    return _task(found[0][:width], [_step(row[width:]) for row in found if row[width] is not None], None)


def list_tasks(
    connection: OneConnection,
    states: Iterable[TaskState],
    machine: Optional[str],
    cloud: Optional[str],
    before: Optional[int],
    limit: int,
) -> list[Task]:
    """Tasks, newest first, without their logs."""
    where = []
    wanted = {TaskState(state) for state in states}
    if wanted:
        where.append(IN(_t.state, sorted(state.value for state in wanted)))
    if machine is not None:
        asked = clean(machine)
        where.append(OR(_t.machine == asked.lower(), _t.machine_name == asked))
    if cloud is not None:
        where.append(_t.cloud == clean(cloud))
    if before is not None:
        where.append(_t.id < min(before, MAX_ID))
    if limit <= 0:
        return []
    query = Select(_TASK_ITEMS, orderBy=[DESC(_t.id)], end=limit)
    with snapshot(connection.raw):
        return _tasks(connection.raw, rows(connection, query.newClause(AND(*where)) if where else query))


def pending_tasks(connection: OneConnection) -> list[Task]:
    """Tasks that wait or run, oldest first, without their logs."""
    with snapshot(connection.raw):
        return _tasks(connection.raw, connection.raw.execute(_PENDING).fetchall())


def insert_task(
    raw: sqlite3.Connection, new: NewTask, at: str, key: Optional[str], request_hash: str, change: int
) -> int:
    """Write a task that waits, with its steps; returns its id."""
    added = raw.execute(
        "INSERT INTO task (kind, state, target, cloud, machine, machine_name, arguments, anti_affinity,"
        " asked_by, request_id, idempotency_key, request_hash, created_at, revision)"
        " VALUES (?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (new.kind, new.target, new.cloud, new.machine, new.machine_name, json_text(new.arguments),
         json.dumps(list(new.groups)), clean(new.asked_by), clean(new.request_id), key, request_hash, at,
         change),
    )  # fmt: skip
    task_id = added.lastrowid
    assert task_id is not None
    if new.secret is not None:
        raw.execute("INSERT INTO task_secret (task, body) VALUES (?, ?)", (task_id, new.secret))
    if new.report_token is not None:
        installs.expect(raw, task_id, new.report_token)
    raw.executemany(
        "INSERT INTO step (task, number, name, title, state, operation, detail, result, progress, started_at,"
        " ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (task_id, number, step.name, clean(step.title), step.state.value, step.operation,
             clean(step.detail), json_text(step.result), step.progress, time_to_text(step.started_at),
             time_to_text(step.ended_at))
            for number, step in enumerate(new.steps)
        ],
    )  # fmt: skip
    return task_id


@contextmanager
def snapshot(raw: sqlite3.Connection) -> Iterator[None]:
    """Let several SELECTs see one state of the database; nothing to do inside a transaction."""
    if raw.in_transaction:
        yield
        return
    raw.execute("BEGIN")
    try:
        yield
    finally:
        raw.execute("ROLLBACK")


def json_text(value: Mapping[str, Any]) -> str:
    """A JSON object as the database holds it."""
    return json.dumps(dict(value), separators=(",", ":"))


def known_id(task_id: int) -> int:
    """The id as the database can look it up; one that is too large for it becomes one that is not there."""
    return task_id if 0 <= task_id <= MAX_ID else -1


def _tasks(raw: sqlite3.Connection, found: Sequence[Sequence[Any]]) -> list[Task]:
    if not found:
        return []
    steps: dict[int, list[Step]] = {}
    for row in raw.execute(_STEPS, (json.dumps([row[0] for row in found]),)):
        steps.setdefault(row[0], []).append(_step(row))
    line = _places(raw, [row[0] for row in found if row[2] == _WAITING])
    return [_task(row, steps.get(row[0], []), line.get(row[0])) for row in found]


def _places(raw: sqlite3.Connection, waiting: Sequence[int]) -> dict[int, int]:
    """The place in line of tasks that wait, 1 is next."""
    if len(waiting) > 1:
        return {task_id: place for place, (task_id,) in enumerate(raw.execute(_LINE), 1)}
    return {task_id: raw.execute(_PLACE, (task_id,)).fetchone()[0] for task_id in waiting}


def _task(row: Sequence[Any], steps: Sequence[Step], position: Optional[int]) -> Task:
    (task_id, kind, state, target, cloud, machine, machine_name, arguments, asked_by, request_id, created_at,
     started_at, ended_at, cancel_asked, error, result, revision) = row  # fmt: skip
    return Task(
        id=task_id,
        kind=kind,
        state=TaskState(state),
        target=target,
        cloud=cloud,
        machine=machine,
        machine_name=machine_name,
        arguments=json.loads(arguments),
        steps=tuple(steps),
        asked_by=asked_by,
        request_id=request_id,
        created_at=known_time(created_at),
        started_at=time_from_text(started_at),
        ended_at=time_from_text(ended_at),
        cancel_asked=bool(cancel_asked),
        error=error,
        result=json.loads(result),
        position=position,
        revision=revision,
    )


def _step(row: Sequence[Any]) -> Step:
    _, name, title, state, operation, detail, result, progress, started_at, ended_at = row
    return Step(
        name=name,
        title=title,
        state=StepState(state),
        operation=operation,
        detail=detail,
        result=json.loads(result),
        progress=progress,
        started_at=time_from_text(started_at),
        ended_at=time_from_text(ended_at),
    )
