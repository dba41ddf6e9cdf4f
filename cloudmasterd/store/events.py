"""Events: what happened, in an order that a client can follow by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Optional

from sqlobject.sqlbuilder import AND, DESC, OR, Select

from cloudmasterd.model import Event
from cloudmasterd.store import tables
from cloudmasterd.store.connection import OneConnection, Readers
from cloudmasterd.store.reading import rows
from cloudmasterd.store.values import MAX_ID, clean, known_time, time_to_text
from cloudmasterd.store.writer import Unit, Writer

KEPT_EVENTS = 100_000  # the latest
PRUNED_EVERY = 1000  # events, so that most of them cost no look at the oldest
LONGEST_TEXT = 2000

# After a stop that was not clean the last events may be lost, but a client may have seen them.
SKIPPED_IDS = 100_000

_e = tables.Event.q
_ITEMS = (_e.id, _e.at, _e.kind, _e.text, _e.cloud, _e.machine, _e.machine_name, _e.task)

Events = list[Event]


class News(NamedTuple):
    """An event that has no number yet."""

    kind: str
    text: str
    cloud: Optional[str] = None
    machine: Optional[str] = None  # uuid
    machine_name: Optional[str] = None
    task: Optional[int] = None


class EventStore:
    """The latest events; older ones are forgotten."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    @property
    def latest(self) -> int:
        """The id of the latest event; 0 before the first."""
        return self._writer.latest_event

    def add(
        self,
        kind: str,
        text: str,
        at: datetime,
        cloud: Optional[str] = None,
        machine: Optional[str] = None,
        machine_name: Optional[str] = None,
        task: Optional[int] = None,
    ) -> Event:
        """Write an event; `text` is one sentence for people, `machine` a uuid."""

        def work(unit: Unit) -> Event:
            add_events(unit, [News(kind, text, cloud, machine, machine_name, task)], at)
            return _find(unit.connection, [_e.id == unit.latest_event], [_e.id], 1)[0]

        return self._writer.run(work, durable=True)

    def list(
        self, after: int = 0, limit: int = 100, machine: Optional[str] = None, cloud: Optional[str] = None
    ) -> Events:
        """Events behind the id `after`, oldest first; `machine` is a uuid or a name."""
        where = [_e.id > max(0, min(after, MAX_ID)), *_about(machine, cloud)]
        with self._readers.borrow() as connection:
            return _find(connection, where, [_e.id], limit)

    def newest(
        self,
        limit: int,
        before: Optional[int] = None,
        machine: Optional[str] = None,
        cloud: Optional[str] = None,
    ) -> Events:
        """Events with an id below `before`, newest first. Ids have gaps: do not reckon with them."""
        where = _about(machine, cloud)
        if before is not None:
            where.append(_e.id < max(0, min(before, MAX_ID)))
        with self._readers.borrow() as connection:
            return _find(connection, where, [DESC(_e.id)], limit)

    def wait(self, after: int, timeout_s: float) -> bool:
        """Wait until there is an event behind the id `after`; False when time ran out."""
        return self._writer.wait_for_event(after, timeout_s)


def add_events(unit: Unit, news: Iterable[News], at: datetime) -> None:
    """Write events in the transaction of `unit`, and forget the oldest when there are too many."""
    since = time_to_text(at)
    told = [
        (since, each.kind, clean(each.text)[:LONGEST_TEXT], *(_text(value) for value in each[2:5]), each.task)
        for each in news
    ]
    if not told:
        return
    unit.raw.executemany(
        "INSERT INTO event (at, kind, text, cloud, machine, machine_name, task) VALUES (?, ?, ?, ?, ?, ?, ?)",
        told,
    )
    unit.changed = True
    unit.latest_event = latest_event(unit)
    if unit.latest_event // PRUNED_EVERY != (unit.latest_event - len(told)) // PRUNED_EVERY:
        unit.raw.execute(
            "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (KEPT_EVENTS,),
        )


def latest_event(unit: Unit) -> int:
    """The id of the latest event; 0 before the first."""
    return int(unit.raw.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()[0])


def skip_ids(unit: Unit) -> None:
    """Let no event to come have an id that a lost one may have had."""
    unit.raw.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'", (SKIPPED_IDS,))


def _about(machine: Optional[str], cloud: Optional[str]) -> list[Any]:
    where = []
    if machine is not None:
        asked = clean(machine)
        where.append(OR(_e.machine == asked.lower(), _e.machine_name == asked))
    if cloud is not None:
        where.append(_e.cloud == clean(cloud))
    return where


def _find(connection: OneConnection, where: Sequence[Any], order: Sequence[Any], limit: int) -> Events:
    if limit <= 0:
        return []
    query = Select(_ITEMS, orderBy=order, end=min(limit, MAX_ID), staticTables=[])
    return [_event(row) for row in rows(connection, query.newClause(AND(*where)) if where else query)]


def _event(row: Sequence[Any]) -> Event:
    event_id, at, kind, text, cloud, machine, machine_name, task = row
    return Event(event_id, known_time(at), kind, text, cloud, machine, machine_name, task)


def _text(value: Any) -> Optional[str]:
    return None if value is None else clean(value)
