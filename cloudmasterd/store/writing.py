"""Write to the database: only differences, in bulk, inside the transaction of the caller.

Goes past SQLObject to its DB-API connection: parameters instead of literals and executemany cost a third.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Optional

from cloudmasterd.errors import NotFound
from cloudmasterd.model import Inventory, MemoryPolicy
from cloudmasterd.store.audit_rows import append
from cloudmasterd.store.choose import Sighting
from cloudmasterd.store.drift import appeared, deeds_of_others, drift
from cloudmasterd.store.events import News, add_events
from cloudmasterd.store.reconcile import Difference, Plan, difference, settle
from cloudmasterd.store.reservations import sum_up
from cloudmasterd.store.values import clean, time_to_text
from cloudmasterd.store.writer import Unit

KEPT_VANISHED = 1000  # own rows of vanished machine instances that outlive them, the latest to vanish

# Lists go in as one JSON parameter: the statement stays the same, so SQLite parses it once, and has no bound.
_SIGHTINGS_OF_CLOUDS = """
    SELECT id, cloud, uuid, name, state, memory_mb, max_memory_mb, vcpus, autostart, appeared, shown
    FROM sighting WHERE cloud IN (SELECT value FROM json_each(?))"""
_SIGHTINGS_OF_UUIDS = """
    SELECT id, cloud, uuid, name, state, memory_mb, max_memory_mb, vcpus, autostart, appeared, shown
    FROM sighting WHERE uuid IN (SELECT value FROM json_each(?))"""
_CLOUDS = """
    SELECT name, reachability, error, cursor, arch, cpus, memory_mb, live_free_memory_mb, observed_at
    FROM cloud WHERE name IN (SELECT value FROM json_each(?))"""
_OBSERVED = "UPDATE cloud SET observed_at = ? WHERE name IN (SELECT value FROM json_each(?))"
# ids are in the order of time: the latest task of a machine instance, and where it was when it vanished
_TASKS_OF = """
    SELECT machine, id, ended_at FROM task WHERE id IN (
        SELECT max(id) FROM task WHERE machine IN (SELECT value FROM json_each(?)) GROUP BY machine)"""
_TASKS_ON = """
    SELECT cloud, max(id) FROM task WHERE ended_at IS NULL AND machine IS NULL
        AND cloud IN (SELECT value FROM json_each(?)) GROUP BY cloud"""
_LAST_ON = """
    SELECT machine, cloud FROM event WHERE kind = 'machine.vanished' AND id IN (
        SELECT max(id) FROM event WHERE machine IN (SELECT value FROM json_each(?)) GROUP BY machine)"""
_MARKED = """
    UPDATE machine SET managed = 1, revision = ?
    WHERE managed = 0 AND uuid IN (SELECT value FROM json_each(?))"""
_INSERT_SIGHTING = """
    INSERT INTO sighting
        (id, cloud, uuid, name, state, memory_mb, max_memory_mb, vcpus, autostart, appeared, shown)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class CloudRow(NamedTuple):
    """What the writer needs to know of a cloud instance."""

    name: str
    reachability: str
    error: Optional[str]
    cursor: Optional[str]
    arch: Optional[str]
    cpus: Optional[int]
    memory_mb: Optional[int]
    live_free_memory_mb: Optional[int]
    observed_at: Optional[str]


def reconcile(unit: Unit, inventories: Mapping[str, Inventory], at: datetime) -> None:
    """Take over what cloud instances answered, and tell as events what is not as it was."""
    raw, change = unit.raw, unit.change
    rows = _clouds(raw, inventories)
    unknown = [name for name in inventories if name not in rows]
    if unknown:
        raw.executemany(
            "INSERT INTO cloud (name, reachability, revision) VALUES (?, 'new', ?)",
            [(n, change) for n in unknown],
        )
        rows.update((name, CloudRow(name, "new", *[None] * 7)) for name in unknown)
    facts, cursors = _cloud_changes(rows, inventories, change)
    raw.executemany(
        "UPDATE cloud SET reachability = 'up', error = NULL, unreachable_since = NULL, arch = ?, cpus = ?,"
        " memory_mb = ?, live_free_memory_mb = ?, revision = ? WHERE name = ?",
        facts,
    )
    raw.executemany("UPDATE cloud SET cursor = ? WHERE name = ?", cursors)
    raw.execute(_OBSERVED, (time_to_text(at), json.dumps(list(inventories))))
    back = {name for name, row in rows.items() if row.reachability != "up"}
    speaking = [name for name, said in inventories.items() if said.full or said.machines or said.gone]
    looked_at = {*speaking, *(back - set(unknown))}
    present = _sightings(raw, looked_at) if looked_at else {}
    differences = [difference(name, present.get(name, {}), inventories[name], change) for name in speaking]
    recontested = [uuid for name in back for uuid in present.get(name, ())]
    changed = any(found.appeared or found.changed or found.gone for found in differences)
    unit.changed = bool(facts) or changed
    if back:
        busy = _tasks_on(raw, back)
        again = (row for row in rows.values() if row.reachability == "unreachable")
        add_events(unit, (_reachable(row)._replace(task=busy.get(row.name)) for row in again), at)
    if changed or recontested:
        plan = _resolve(raw, differences, recontested)
        _carry_out(raw, plan, at, change)
        _tell_drift(unit, plan, present, rows, at)
    _take_up_marks(unit, inventories.values())


def mark_unreachable(unit: Unit, errors: Mapping[str, str], at: datetime) -> None:
    """Note that cloud instances gave no answer, and why."""
    raw, change = unit.raw, unit.change
    rows = _clouds(raw, errors)
    since = time_to_text(at)
    unknown = [(name, clean(errors[name]), since, change) for name in errors if name not in rows]
    lost = [name for name, row in rows.items() if row.reachability != "unreachable"]
    other = [
        (clean(errors[name]), change, name)
        for name, row in rows.items()
        if row.reachability == "unreachable" and row.error != clean(errors[name])
    ]
    raw.executemany(
        "INSERT INTO cloud (name, reachability, error, unreachable_since, revision)"
        " VALUES (?, 'unreachable', ?, ?, ?)",
        unknown,
    )
    raw.executemany(
        "UPDATE cloud SET reachability = 'unreachable', error = ?, unreachable_since = ?, revision = ?"
        " WHERE name = ?",
        [(clean(errors[name]), since, change, name) for name in lost],
    )
    raw.executemany("UPDATE cloud SET error = ?, revision = ? WHERE name = ?", other)
    unit.changed = bool(unknown or lost or other)
    silent = [*(name for name, *_ in unknown), *lost]
    busy = _tasks_on(raw, silent) if silent else {}
    add_events(unit, (_unreachable(name, errors[name])._replace(task=busy.get(name)) for name in silent), at)
    if lost:
        present = _sightings(raw, lost)
        plan = _resolve(raw, [], [uuid for rows_of in present.values() for uuid in rows_of])
        _carry_out(raw, plan, at, change)
        _tell_drift(unit, plan, present, rows, at)


def sync_clouds(unit: Unit, expiries: Mapping[str, Optional[datetime]]) -> None:
    """Take over which cloud instances have a certificate and until when."""
    raw, change = unit.raw, unit.change
    known: dict[str, Optional[str]] = dict(raw.execute("SELECT name, certificate_expires_at FROM cloud"))
    wanted = {name: time_to_text(expires) for name, expires in expiries.items()}
    new = [(name, expires, change) for name, expires in wanted.items() if name not in known]
    other = [(e, change, name) for name, e in wanted.items() if name in known and known[name] != e]
    raw.executemany(
        "INSERT INTO cloud (name, reachability, certificate_expires_at, revision) VALUES (?, 'new', ?, ?)",
        new,
    )
    raw.executemany("UPDATE cloud SET certificate_expires_at = ?, revision = ? WHERE name = ?", other)
    unit.changed = bool(new or other)


def remove_cloud(unit: Unit, name: str, by: str, at: datetime) -> list[int]:
    """Forget a cloud instance and what it reported, and tell it; the ids of tasks that had not ended there.

    Those are asked to end, and what they reserved is free. Raises NotFound.
    """
    raw, asked = unit.raw, clean(name)
    if asked not in _clouds(raw, [asked]):
        raise NotFound(f"there is no cloud instance {name[:80]!r}; GET /api/v1/clouds lists those there are")
    present = _sightings(raw, [asked])
    nothing = difference(asked, present.get(asked, {}), Inventory(True, None, None), unit.change)
    plan = _resolve(raw, [nothing], [])
    raw.execute("DELETE FROM reservation WHERE cloud = ?", (asked,))
    _carry_out(raw, plan, at, unit.change)
    unfinished = raw.execute("SELECT id FROM task WHERE ended_at IS NULL AND cloud = ?", (asked,)).fetchall()
    raw.execute(
        "UPDATE task SET cancel_asked = 1, revision = ? WHERE ended_at IS NULL AND cloud = ?",
        (unit.change, asked),
    )
    raw.execute("DELETE FROM cloud WHERE name = ?", (asked,))
    unit.changed = True
    told = News("cloud.removed", f"{by} removed {asked}: its certificate is revoked", asked)
    add_events(unit, [*drift(plan, present, set(), {}), told], at)
    return [int(task) for (task,) in unfinished]


def adopt_policy(unit: Unit, policy: MemoryPolicy) -> None:
    """Note the policy that free memory is reckoned by; another one than last time is a change."""
    raw = unit.raw
    text = f"{policy.reserve_min_mb} {policy.reserve_percent} {policy.overhead_mb}"
    known = raw.execute("SELECT value FROM meta WHERE key = 'policy'").fetchone()
    if known == (text,):
        return
    raw.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('policy', ?)", (text,))
    raw.execute("UPDATE cloud SET revision = ? WHERE memory_mb IS NOT NULL", (unit.change,))
    unit.changed = True


def _cloud_changes(
    rows: Mapping[str, CloudRow], inventories: Mapping[str, Inventory], change: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Optional[str], str]]]:
    facts: list[tuple[Any, ...]] = []
    cursors: list[tuple[Optional[str], str]] = []
    for name, said in inventories.items():
        row = rows[name]
        known = row[4:8]
        figures = known
        if said.cloud is not None:
            cloud = said.cloud
            figures = (clean(cloud.arch), cloud.cpus, cloud.memory_mb, cloud.live_free_memory_mb)
        if row.reachability != "up" or figures != known:
            facts.append((*figures, change, name))
        cursor = None if said.cursor is None else clean(said.cursor)
        if cursor != row.cursor:
            cursors.append((cursor, name))
    return facts, cursors


def _resolve(
    raw: sqlite3.Connection, differences: Sequence[Difference], recontested: Collection[str]
) -> Plan:
    contested = set(recontested).union(*(found.contested for found in differences))
    known: dict[str, list[Sighting]] = {}
    for row in raw.execute(_SIGHTINGS_OF_UUIDS, (json.dumps(list(contested)),)):
        sighting = Sighting._make(row)
        known.setdefault(sighting.uuid, []).append(sighting)
    up: set[str] = set()
    if any(len(rivals) > 1 for rivals in known.values()) or (known and differences):
        up = {name for (name,) in raw.execute("SELECT name FROM cloud WHERE reachability = 'up'")}
    return settle(differences, known, recontested, up)


def _carry_out(raw: sqlite3.Connection, plan: Plan, at: datetime, change: int) -> None:
    raw.executemany("UPDATE sighting SET shown = 0 WHERE id = ?", [(key,) for key in plan.hide])
    raw.executemany("DELETE FROM sighting WHERE id = ?", [(key,) for key in plan.delete])
    raw.executemany(
        "INSERT INTO machine (uuid, revision) VALUES (?, ?)"
        " ON CONFLICT (uuid) DO UPDATE SET revision = excluded.revision, vanished_at = NULL",
        [(uuid, change) for uuid in plan.touched],
    )
    raw.executemany(
        "UPDATE sighting SET name = ?, state = ?, memory_mb = ?, max_memory_mb = ?, vcpus = ?, autostart = ?,"
        " shown = ? WHERE id = ?",
        [(*row[3:9], row.shown, row.id) for row in plan.update],
    )
    raw.executemany(_INSERT_SIGHTING, plan.insert)
    raw.executemany("UPDATE sighting SET shown = 1 WHERE id = ?", [(key,) for key in plan.show])
    if plan.vanished:
        _let_go(raw, plan.vanished, at)
    sum_up(raw, plan.clouds, change)


def _take_up_marks(unit: Unit, inventories: Iterable[Inventory]) -> None:
    """Have machine instances that bear our mark as ours, so that a database that was lost costs no owner.

    None is disowned for want of a mark: a func of before tells of none.
    """
    marked = [machine.uuid for said in inventories for machine in said.machines if machine.managed]
    if marked:
        done = unit.raw.execute(_MARKED, (unit.change, json.dumps(marked)))
        unit.changed |= done.rowcount > 0


def _let_go(raw: sqlite3.Connection, uuids: Sequence[str], at: datetime) -> None:
    """Forget vanished machine instances, but keep, of the latest, what somebody wrote about them."""
    raw.executemany(
        "DELETE FROM machine WHERE uuid = ? AND managed = 0 AND profile IS NULL AND image IS NULL"
        " AND tags = '{}' AND notes = ''",
        [(uuid,) for uuid in uuids],
    )
    since = time_to_text(at)
    raw.executemany("UPDATE machine SET vanished_at = ? WHERE uuid = ?", [(since, uuid) for uuid in uuids])
    raw.execute(
        "DELETE FROM machine WHERE vanished_at IS NOT NULL AND uuid IN (SELECT uuid FROM machine"
        " WHERE vanished_at IS NOT NULL ORDER BY vanished_at DESC, uuid LIMIT -1 OFFSET ?)",
        (KEPT_VANISHED,),
    )


def _reachable(row: CloudRow) -> News:
    again = "" if row.observed_at is None else " again"
    return News("cloud.reachable", f"{row.name} answers{again}", row.name)


def _unreachable(name: str, error: str) -> News:
    return News("cloud.unreachable", f"{name} does not answer: {error}", name)


def _tell_drift(
    unit: Unit,
    plan: Plan,
    present: Mapping[str, Mapping[str, Sighting]],
    rows: Mapping[str, CloudRow],
    at: datetime,
) -> None:
    """Write as events what a plan changes of what was shown, each with the task that was at work on it.

    The task may have ended, but not before its cloud instance was last looked at.
    """
    first = {name for name, row in rows.items() if row.memory_mb is None}
    new = appeared(plan, first)
    was_on = dict(unit.raw.execute(_LAST_ON, (json.dumps(new),)).fetchall()) if new else {}
    news = list(drift(plan, present, first, was_on))
    if not news:
        return
    tasks: dict[str, tuple[int, Optional[str]]] = {
        uuid: (task, ended_at)
        for uuid, task, ended_at in unit.raw.execute(_TASKS_OF, (json.dumps([n.machine for n in news]),))
    }
    busy = _tasks_on(unit.raw, {each.cloud for each in news if each.cloud})
    told = [_with_task(each, tasks, rows, busy) for each in news]
    add_events(unit, told, at)
    append(unit.raw, deeds_of_others(told), at)


def _tasks_on(raw: sqlite3.Connection, clouds: Collection[str]) -> Mapping[str, int]:
    """The unfinished tasks on these cloud instances as a whole: whatever is seen there is their doing."""
    return dict(raw.execute(_TASKS_ON, (json.dumps(list(clouds)),)).fetchall())


def _with_task(
    news: News,
    tasks: Mapping[str, tuple[int, Optional[str]]],
    rows: Mapping[str, CloudRow],
    busy: Mapping[str, int],
) -> News:
    if news.cloud is not None and news.cloud in busy:
        return news._replace(task=busy[news.cloud])
    task, ended_at = tasks.get(news.machine or "", (None, None))
    row = rows.get(news.cloud or "")
    seen_before = row.observed_at if row is not None else None
    if task is None or (ended_at is not None and (seen_before is None or ended_at < seen_before)):
        return news
    return news._replace(task=task)


def _clouds(raw: sqlite3.Connection, names: Iterable[str]) -> dict[str, CloudRow]:
    return {row[0]: CloudRow._make(row) for row in raw.execute(_CLOUDS, (json.dumps(list(names)),))}


def _sightings(raw: sqlite3.Connection, clouds: Iterable[str]) -> dict[str, dict[str, Sighting]]:
    found: dict[str, dict[str, Sighting]] = {}
    for row in raw.execute(_SIGHTINGS_OF_CLOUDS, (json.dumps(list(clouds)),)):
        found.setdefault(row[1], {})[row[2]] = Sighting._make(row)
    return found
