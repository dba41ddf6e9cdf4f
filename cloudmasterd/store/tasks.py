"""Tasks and the memory they hold: what nobody could be asked again, so most writes wait for the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Callable, NoReturn, Optional, TypeVar

from cloudmasterd import acting
from cloudmasterd.clock import Clock
from cloudmasterd.errors import Conflict, NotFound
from cloudmasterd.model import ENDED_STATES, MemoryPolicy, NewTask, StepState, Task, TaskState
from cloudmasterd.store import installs, task_end, task_rows
from cloudmasterd.store.connection import OneConnection, Readers
from cloudmasterd.store.reservations import sum_up
from cloudmasterd.store.room import Room
from cloudmasterd.store.task_rows import json_text, known_id
from cloudmasterd.store.values import clean, tags_from_text, time_to_text
from cloudmasterd.store.writer import Unit, Writer

KEPT_LOG_LINES = 200  # of each task, the latest
LONGEST_LINE = 2000

_BEGUN_STEPS = frozenset({StepState.RUNNING, StepState.UNDOING})

_WAITING = " AND state = 'waiting'"
_RUNNING = " AND state = 'running'"
_UNFINISHED = " AND ended_at IS NULL"

_BETWEEN = " "  # between a name and a key; stands in neither

Answer = TypeVar("Answer")
Tasks = list[Task]
Allow = Callable[[Task, Optional[Mapping[str, str]]], None]
"""Takes a task and the tags of the machine instance it works on, None where it works on none."""


class TaskStore:
    """Tasks, their steps and reservations. Every change of one is a numbered change of a fact."""

    def __init__(
        self, writer: Writer, readers: Readers, policy: MemoryPolicy, clock: Clock, keep_days: int
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._policy = policy
        self._clock = clock
        self._keep = max(timedelta(days=keep_days), task_end.KEY_LIFETIME)

    def submit(
        self, decide: Callable[[Room], NewTask], *, key: Optional[str] = None, request_hash: str = ""
    ) -> Task:
        """Write the task that `decide` makes of the room there is, together with its reservation.

        Nothing else is written between what `decide` sees and the task; it must be quick and not call the
        store. Whatever it raises is raised here, and nothing is written. A `key` that was used before
        gives the task of that time, or Conflict when the request was another one. Raises Conflict too when
        an unfinished task works on the machine instance already.
        """

        def work(unit: Unit) -> Task:
            if key is not None:
                before = _find_key(unit.connection, clean(key), request_hash)
                if before is not None:
                    return before
            room = Room(unit.connection, self._policy)
            try:
                new = decide(room)
                _refuse_if_busy(room, new)
            finally:
                room.close()
            return self._insert(unit, new, None if key is None else clean(key), request_hash)

        return self._writer.run(work, durable=True)

    def find_made(self, key: str, request_hash: str) -> Optional[Task]:
        """The task that `submit` made under this key; Conflict when the request was another one."""
        with self._readers.borrow() as connection:
            return _find_key(connection, clean(key), request_hash)

    def look(self, question: Callable[[Room], Answer]) -> Answer:
        """What `question` makes of the room there is, without a task: for a preview. Nobody waits for it."""
        with self._readers.borrow() as connection, task_rows.snapshot(connection.raw):
            room = Room(connection, self._policy)
            try:
                return question(room)
            finally:
                room.close()

    def get(self, task_id: int, *, log: bool = True) -> Task:
        """The task; NotFound. Without `log` as whoever runs it needs it: without place in line too."""
        with self._readers.borrow() as connection:
            return (task_rows.get_task if log else task_rows.get_work)(connection, task_id)

    def get_secret(self, task_id: int) -> Optional[str]:
        """What was given to an unfinished task for its steps alone; it is in nothing else that is read."""
        with self._readers.borrow() as connection:
            found = connection.raw.execute(
                "SELECT body FROM task_secret WHERE task = ?", (known_id(task_id),)
            ).fetchone()
        return None if found is None else str(found[0])

    def keep_secret(self, task_id: int, body: str) -> None:
        """Let this be the secret of an unfinished task from now on; Conflict when it does not run."""

        def work(unit: Unit) -> None:
            _touch(unit, task_id, _RUNNING)
            unit.raw.execute("INSERT OR REPLACE INTO task_secret (task, body) VALUES (?, ?)", (task_id, body))

        self._writer.run(work, durable=True)

    def list(
        self,
        *,
        states: Iterable[TaskState] = (),
        machine: Optional[str] = None,
        cloud: Optional[str] = None,
        before: Optional[int] = None,
        limit: int = 100,
    ) -> Tasks:
        """Tasks without their logs, newest first: those in one of `states` (any when empty), of the machine
        instance with the uuid or name `machine`, on `cloud`, older than the task `before`."""
        with self._readers.borrow() as connection:
            return task_rows.list_tasks(connection, states, machine, cloud, before, limit)

    def pending(self) -> Tasks:
        """Tasks that wait or run, without their logs, oldest first."""
        with self._readers.borrow() as connection:
            return task_rows.pending_tasks(connection)

    def begin(self, task_id: int, at: datetime, *, operation: Optional[str] = None) -> None:
        """Take a task that waits out of the line; Conflict when it is not waiting any more.

        With `operation` its first step begins under it at once, as by `begin_step`. Alone it does not wait
        for the disk: nothing acts on it yet.
        """

        def work(unit: Unit) -> None:
            _touch(unit, task_id, _WAITING, "state = 'running', started_at = ?", time_to_text(at))
            if operation is not None:
                _begin_next(unit, task_id, 0, operation, at)

        self._writer.run(work, durable=operation is not None)

    def begin_step(
        self,
        task_id: int,
        index: int,
        operation: Optional[str],
        at: datetime,
        *,
        state: StepState = StepState.RUNNING,
    ) -> None:
        """Write down that a step is about to act, or with `state` UNDOING to be undone, under an operation
        id that the cloud instance will remember. Conflict when the task does not run."""
        if state not in _BEGUN_STEPS:
            raise ValueError(f"a step begins by running or undoing, not {state.value}")

        def work(unit: Unit) -> None:
            _touch(unit, task_id, _RUNNING)
            _change_step(
                unit,
                "UPDATE step SET state = ?, operation = ?, detail = '', progress = NULL, ended_at = NULL,"
                " started_at = coalesce(started_at, ?) WHERE task = ? AND number = ?",
                (state.value, operation, time_to_text(at)),
                task_id,
                index,
            )

        self._writer.run(work, durable=True)

    def progress(self, task_id: int, index: int, percent: Optional[int], detail: Optional[str]) -> None:
        """How far a step that runs is; None keeps what was said. What comes too late is passed over.

        Does not wait for the disk: a power cut may take it along.
        """
        shown = None if percent is None else max(0, min(100, percent))
        said = None if detail is None else clean(detail)[:LONGEST_LINE]

        def work(unit: Unit) -> None:
            done = unit.raw.execute(
                "UPDATE step SET progress = coalesce(?1, progress), detail = coalesce(?2, detail)"
                " WHERE task = ?3 AND number = ?4 AND state IN ('running', 'undoing')"
                " AND (progress, detail) IS NOT (coalesce(?1, progress), coalesce(?2, detail))",
                (shown, said, known_id(task_id), known_id(index)),
            )
            if done.rowcount:
                _touch(unit, task_id)

        self._writer.run(work)

    def end_step(
        self,
        task_id: int,
        index: int,
        state: StepState,
        detail: Optional[str],
        result: Optional[Mapping[str, Any]],
        at: datetime,
        *,
        then: Optional[str] = None,
    ) -> None:
        """How a step ended; None keeps the detail or result it has. Conflict when the task does not run.

        With `then` the next step begins under that operation in the same write, as by `begin_step`, unless
        somebody wants the task to end. Alone it does not wait for the disk: what a power cut takes along is
        asked once more, under the same operation.
        """

        def work(unit: Unit) -> None:
            _touch(unit, task_id, _RUNNING)
            _change_step(
                unit,
                "UPDATE step SET state = ?, detail = coalesce(?, detail), result = coalesce(?, result),"
                " ended_at = ? WHERE task = ? AND number = ?",
                (
                    state.value,
                    None if detail is None else clean(detail),
                    None if result is None else json_text(result),
                    None if state in _BEGUN_STEPS else time_to_text(at),
                ),
                task_id,
                index,
            )
            if then is not None:
                _begin_next(unit, task_id, index + 1, then, at)

        self._writer.run(work, durable=then is not None)

    def note(self, task_id: int, text: str, at: datetime) -> None:
        """Add a line to the log of a task; the oldest of too many go. Does not wait for the disk."""

        def work(unit: Unit) -> None:
            _touch(unit, task_id)
            unit.raw.execute(
                "INSERT INTO task_log (task, at, text) VALUES (?, ?, ?)",
                (task_id, time_to_text(at), clean(text)[:LONGEST_LINE]),
            )
            unit.raw.execute(
                "DELETE FROM task_log WHERE task = ?1 AND id <= (SELECT id FROM task_log WHERE task = ?1"
                " ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (task_id, KEPT_LOG_LINES),
            )

        self._writer.run(work)

    def ask_cancel(self, task_id: int, allow: Optional[Allow] = None) -> Task:
        """Note that somebody wants the task to end; whoever runs it looks. Conflict when it has ended.

        `allow` sees the task, and raises what stands against it.
        """

        def work(unit: Unit) -> Task:
            if allow is not None:
                _check(unit.connection, task_id, allow)
            _touch(unit, task_id, _UNFINISHED, "cancel_asked = 1")
            acting.tell(task=task_id)
            return task_rows.get_task(unit.connection, task_id)

        return self._writer.run(work, durable=True)

    def end(
        self,
        task_id: int,
        state: TaskState,
        error: Optional[str],
        result: Optional[Mapping[str, Any]],
        at: datetime,
    ) -> Task:
        """End a task and give back what it held; Conflict when it has ended before.

        A task that started a machine instance must have let the store see it active, or its memory is free
        again until the next refresh. Good news does not wait for the disk: a power cut can only make it
        come twice. Any other end does, because somebody may act on it.
        """
        ended = time_to_text(at)
        if state not in ENDED_STATES:
            raise ValueError(f"a task ends as done, failed or cancelled, not {state.value}")

        def work(unit: Unit) -> Task:
            _touch(
                unit, task_id, _UNFINISHED, "state = ?, error = ?, result = ?, ended_at = ?",
                state.value, None if error is None else clean(error), json_text(result or {}), ended,
            )  # fmt: skip
            task_end.give_back(unit, task_id, at)
            task_end.forget_secret(unit, task_id)
            installs.forget(unit.raw, task_id)
            task_end.prune(unit.raw, at - self._keep, at - task_end.KEY_LIFETIME)
            return task_rows.get_task(unit.connection, task_id)

        return self._writer.run(work, durable=state is not TaskState.DONE)

    def _insert(self, unit: Unit, new: NewTask, key: Optional[str], request_hash: str) -> Task:
        at = time_to_text(self._clock.now())
        assert at is not None
        task_id = task_rows.insert_task(unit.raw, new, at, key, request_hash, unit.change)
        unit.changed = True
        acting.tell(target=new.target, task=task_id)
        if new.machine is not None:
            # of several who saw the same machine instance one gets a task, the others have to look again
            unit.raw.execute("UPDATE machine SET revision = ? WHERE uuid = ?", (unit.change, new.machine))
        if new.reserve_mb:
            if new.cloud is None or new.reserve_mb < 0:
                raise ValueError(
                    f"a reservation of {new.reserve_mb} MB on {new.cloud}: on which, and how much?"
                )
            unit.raw.execute(
                "INSERT INTO reservation (task, cloud, uuid, name, memory_mb) VALUES (?, ?, ?, ?, ?)",
                (task_id, new.cloud, new.machine, new.machine_name, new.reserve_mb),
            )
            sum_up(unit.raw, [new.cloud], unit.change)
        return task_rows.get_task(unit.connection, task_id)


def key_place(name: str, key: str) -> str:
    """What a key of somebody's stands under: two people may well take the same one."""
    return f"{name}{_BETWEEN}{key}"


def _check(connection: OneConnection, task_id: int, allow: Allow) -> None:
    task = task_rows.get_task(connection, task_id)
    if task.machine is None:
        return allow(task, None)
    found = connection.raw.execute("SELECT tags FROM machine WHERE uuid = ?", (task.machine,)).fetchone()
    # one that is being made gets its tags in the end
    made = task.arguments.get("tags", {}) if task.kind == "machine.create" else {}
    return allow(task, {**made, **tags_from_text("{}" if found is None else found[0])})


def _find_key(connection: OneConnection, key: str, request_hash: str) -> Optional[Task]:
    found = connection.raw.execute(
        "SELECT id, request_hash FROM task WHERE idempotency_key = ?", (key,)
    ).fetchone()
    if found is None:
        return None
    if found[1] != request_hash:
        raise Conflict(
            f"the Idempotency-Key {key.rpartition(_BETWEEN)[2]!r} stands for another request already, which"
            f" made task {found[0]}: take a new key for a new request, and repeat one to the letter"
        )
    acting.tell(task=int(found[0]), again=True)
    return task_rows.get_task(connection, found[0])


def _refuse_if_busy(room: Room, new: NewTask) -> None:
    busy = None if new.machine is None else room.busy(new.machine)
    if busy is not None:
        raise Conflict(
            f"task {busy} is at work on {new.machine_name or new.machine}: wait until it has ended, or cancel"
            f" it with POST /api/v1/tasks/{busy}/cancel"
        )


def _touch(unit: Unit, task_id: int, when: str = "", change: str = "", *values: Any) -> None:
    """Give the task a new revision, and its row a `change`; Conflict where `when` does not hold."""
    done = unit.raw.execute(
        f"UPDATE task SET revision = ?{change and ', ' + change} WHERE id = ?{when}",  # noqa: S608  constants
        (unit.change, *values, known_id(task_id)),
    )
    if not done.rowcount:
        _refuse(unit, task_id)
    unit.changed = True


def _refuse(unit: Unit, task_id: int) -> NoReturn:
    found = unit.raw.execute("SELECT state FROM task WHERE id = ?", (known_id(task_id),)).fetchone()
    if found is None:
        raise NotFound(f"there is no task {task_id}; GET /api/v1/tasks lists those there are")
    state = TaskState(found[0])
    if state in ENDED_STATES:
        raise Conflict(f"task {task_id} has ended already ({state.value}): submit a new one")
    raise Conflict(f"task {task_id} is {state.value}: that is not the time for it")


def _change_step(unit: Unit, sql: str, values: tuple[Any, ...], task_id: int, index: int) -> None:
    if not unit.raw.execute(sql, (*values, task_id, known_id(index))).rowcount:
        raise NotFound(f"task {task_id} has no step {index}; its steps count from 0")


def _begin_next(unit: Unit, task_id: int, index: int, operation: str, at: datetime) -> None:
    unit.raw.execute(
        "UPDATE step SET state = 'running', operation = ?, started_at = ?"
        " WHERE task = ? AND number = ? AND state = 'waiting'"
        " AND NOT EXISTS (SELECT 1 FROM task WHERE id = step.task AND cancel_asked)",
        (operation, time_to_text(at), task_id, index),
    )
