"""The rows of the audit record: append-only, each bound by a hash to all before it."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.acting import Deed
from cloudmasterd.record import ALL, Entry, Filter, Head, parse_head
from cloudmasterd.store.values import MAX_ID, clean, time_to_text

COLUMNS = (
    "id", "at", "who", "means", "credential", "address", "request_id", "action", "target", "result", "status",
    "reason", "detail",
)  # fmt: skip
"""What a hash covers, beside the hash before it."""

LONGEST = 500  # of a text; of detail each of its values
LONGEST_DETAIL = 20  # values

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ALL = ", ".join((*COLUMNS, "previous", "hash"))
_SELECT = f"SELECT {_ALL} FROM audit"  # noqa: S608  constants
_INSERT = f"INSERT INTO audit ({_ALL}) VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"  # noqa: S608
_READ_AT_ONCE = 1000

Entries = list[Entry]


def append(raw: sqlite3.Connection, deeds: Iterable[Deed], at: datetime) -> None:
    """Put deeds on the record, inside the transaction that is open on `raw`, which must be a write."""
    told = list(deeds)
    if not told:
        return
    head = _place(raw)
    rows = []
    for deed in told:
        values = _values(head.count + 1, deed, at)
        own = hash_of(head.hash, values)
        rows.append((*values, head.hash, own))
        head = Head(head.count + 1, own)
    raw.executemany(_INSERT, rows)
    raw.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('audit_head', ?)", (str(head),))


def read_head(raw: sqlite3.Connection) -> Optional[Head]:
    """The head of the record; None where it has one that is none."""
    row = raw.execute("SELECT value FROM meta WHERE key = 'audit_head'").fetchone()
    return None if row is None else parse_head(str(row[0]))


def _place(raw: sqlite3.Connection) -> Head:
    """What the next record follows.

    Where somebody spoiled the record it goes on all the same, so that nobody can stop a cloud master that
    way; it just never follows on well from there, and `verify` says where.
    """
    last = int(raw.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()[0])
    head = read_head(raw) or Head()
    return Head(max(head.count, last), head.hash)


def hash_of(previous: str, values: Sequence[Any]) -> str:
    """SHA-256 over the hash before and the record as canonical JSON: sorted keys, no spaces, ASCII.

    `detail` counts as the object it is. ValueError for values that no record of ours has.
    """
    row = dict(zip(COLUMNS, values))
    row["detail"] = json.loads(row["detail"])
    if canonical(row["detail"]) != values[-1]:
        raise ValueError("its detail is not written as cloudmasterd writes it")
    return hashlib.sha256(f"{previous}{canonical(row)}".encode()).hexdigest()


def canonical(value: Any) -> str:
    """The one way in which a value is written for a hash."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def select(
    raw: sqlite3.Connection, wanted: Filter, before: Optional[int], after: Optional[int], limit: int
) -> Entries:
    """Records with an id below `before`, newest first; with `after` those above it, oldest first."""
    where, values = _where(wanted)
    for sign, place in (("<", before), (">", after)):
        if place is not None:
            where.append(f"id {sign} ?")
            values.append(max(0, min(place, MAX_ID)))
    return [entry(row) for row in _rows(raw, where, values, "DESC" if after is None else "ASC", limit)]


def walk(raw: sqlite3.Connection, wanted: Filter = ALL) -> Iterator[Entry]:
    """All records, oldest first, without holding them all at once."""
    last = 0
    while True:
        where, values = _where(wanted)
        found = _rows(raw, [*where, "id > ?"], [*values, last], "ASC", _READ_AT_ONCE)
        yield from map(entry, found)
        if len(found) < _READ_AT_ONCE:
            return
        last = found[-1][0]


def walk_rows(raw: sqlite3.Connection, after: int = 0) -> Iterator[Sequence[Any]]:
    """The rows behind the id `after` as they are, oldest first: COLUMNS, `previous`, `hash`."""
    last = after or -MAX_ID  # from the beginning also what somebody put before it
    while True:
        found = _rows(raw, ["id > ?"], [last], "ASC", _READ_AT_ONCE)
        yield from found
        if len(found) < _READ_AT_ONCE:
            return
        last = found[-1][0]


def entry(row: Sequence[Any]) -> Entry:
    """A record out of its row."""
    (number, at, who, means, credential, address, request_id, action, target, result, status, reason, detail,
     previous, own) = row  # fmt: skip
    deed = Deed(
        who=who,
        action=action,
        target=target,
        means=means,
        credential=credential,
        address=address,
        request_id=request_id,
        result=result,
        status=status,
        reason=reason,
        detail=_detail(detail),
    )
    return Entry(number, str(at), deed, previous, own)


def _detail(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        value = None  # somebody spoiled it: to be seen all the same, and verify names the record
    return value if isinstance(value, dict) else {"spoiled": str(text)[:LONGEST]}


def _where(wanted: Filter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    for column in ("who", "action", "result", "request_id"):
        value = getattr(wanted, column)
        if value is not None:
            where.append(f"{column} = ?")
            values.append(clean(value))
    if wanted.target is not None:
        below = clean(wanted.target).rstrip("/")
        # a range and no LIKE: the index serves it, and no letter in it means anything else
        where.append("(target = ? OR (target > ? AND target < ?))")
        values += [below, f"{below}/", f"{below}0"]  # "0" comes right after "/"
    for sign, at in ((">=", wanted.since), ("<", wanted.until)):
        if at is not None:
            where.append(f"at {sign} ?")
            values.append(time_to_text(at))
    return where, values


def _rows(
    raw: sqlite3.Connection, where: Sequence[str], values: Sequence[Any], order: str, limit: int
) -> list[Sequence[Any]]:
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    sql = f"{_SELECT}{condition} ORDER BY id {order} LIMIT ?"
    return raw.execute(sql, (*values, max(0, min(limit, MAX_ID)))).fetchall()


def _values(number: int, deed: Deed, at: datetime) -> tuple[Any, ...]:
    detail = {
        _text(key): _text(value) if isinstance(value, str) else value
        for key, value in list(deed.detail.items())[:LONGEST_DETAIL]
    }
    texts = (deed.who, deed.means, deed.credential, deed.address, deed.request_id, deed.action, deed.target)
    return (
        number,
        time_to_text(at),
        *map(_text, (*texts, deed.result)),
        deed.status,
        _text(deed.reason),
        canonical(detail),
    )


def _text(text: str) -> str:
    """One line that every reader of the record can show."""
    return _CONTROL.sub(" ", clean(text)).strip()[:LONGEST]
