"""Find out whether the audit record is whole: what was changed, removed, put in, moved or cut off."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional

from cloudmasterd.errors import StoreError
from cloudmasterd.record import Head, Verdict, parse_head
from cloudmasterd.store.audit_rows import COLUMNS, canonical, hash_of, walk_rows
from cloudmasterd.store.task_rows import snapshot

MOST_TOLD = 20  # of what is wrong; one hand can spoil everything
NO_RECORD = Head()


def verify(raw: sqlite3.Connection, noted: Optional[Head] = None, last: Optional[int] = None) -> Verdict:
    """Look at every record of the database, or at the `last` ones; `noted` is a head that was kept."""
    with snapshot(raw), _any_bytes(raw):
        row = raw.execute("SELECT value FROM meta WHERE key = 'audit_head'").fetchone()
        start = Head() if last is None else _before(raw, last)
        return judge(walk_rows(raw, start.count), None if row is None else str(row[0]), noted, start)


def judge(
    rows: Iterable[Sequence[Any]],
    head: Optional[str],
    noted: Optional[Head] = None,
    start: Head = NO_RECORD,
) -> Verdict:
    """The verdict on these rows behind `start`, oldest first: COLUMNS, `previous`, `hash`."""
    chain = _Chain(noted, start)
    wrong: list[str] = []
    for row in rows:
        wrong += chain.look_at(row)
        if len(wrong) >= MOST_TOLD:
            more = "and there may be more: looking ended here"
            return Verdict(chain.head, (*wrong, more), start.count + 1)
    wrong += chain.end(head)
    return Verdict(chain.head, tuple(wrong), start.count + 1)


def judge_export(lines: Iterable[str], noted: Optional[Head] = None) -> Verdict:
    """The verdict on JSON lines as they were exported: a part of the record, but without gaps."""
    rows = (_exported(number, line) for number, line in enumerate(lines, 1))
    first = next(rows, None)
    if first is None:
        return Verdict(Head(), ("there is no record in it",))
    chain = _Chain(noted, Head(first[0] - 1, first[-2]))
    wrong: list[str] = []
    for row in itertools.chain([first], rows):
        wrong += chain.look_at(row)
        if len(wrong) >= MOST_TOLD:
            break
    if noted is not None and not wrong and noted.count > chain.head.count:
        wrong.append(f"record {noted.count} was noted, and the file ends with {chain.head.count}")
    return Verdict(chain.head, tuple(wrong), first[0])


def _exported(number: int, line: str) -> Sequence[Any]:
    try:
        value = json.loads(line)
        row = [value[name] for name in (*COLUMNS, "previous", "hash")]
        row[len(COLUMNS) - 1] = canonical(value["detail"])
        return [int(row[0]), *row[1:]]
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(
            f"line {number} is no record: {exc}; give a file that `cloudmasterctl audit export` wrote"
        ) from exc


@contextmanager
def _any_bytes(raw: sqlite3.Connection) -> Iterator[None]:
    """Let a text that is no UTF-8 be read all the same: it is a record that was changed."""
    before, raw.text_factory = raw.text_factory, _lenient
    try:
        yield
    finally:
        raw.text_factory = before


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _before(raw: sqlite3.Connection, last: int) -> Head:
    """The record before the `last` ones; where there are not so many, the beginning."""
    row = raw.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?", (last,)).fetchone()
    return Head() if row is None else Head(int(row[0]), str(row[1]))


class _Chain:
    """The chain as far as it was looked at."""

    def __init__(self, noted: Optional[Head], start: Head) -> None:
        self.head = start
        self._noted = noted

    def look_at(self, row: Sequence[Any]) -> Iterator[str]:
        number, previous, own = row[0], row[-2], row[-1]
        last = self.head.count
        if not isinstance(number, int) or number <= last:
            yield f"record {number} was put in: records are numbered from 1 on"
            return
        if number > last + 1:
            missing = f"{last + 1}" if number == last + 2 else f"{last + 1} to {number - 1}"
            yield f"removed: {missing}, before record {number}"
        elif previous != self.head.hash:
            before = f"record {last}" if last else "the beginning"
            yield f"record {number} does not follow {before}: one of them was changed, moved or put in"
        if _hash(previous, row[: len(COLUMNS)]) != own:
            yield f"record {number} was changed: its hash is not that of what it says"
        if self._noted is not None and number == self._noted.count and own != self._noted.hash:
            yield f"record {number} is not the one that was noted: the record was written anew up to there"
        self.head = Head(number, str(own))

    def end(self, text: Optional[str]) -> Iterator[str]:
        """What the end tells: `text` is the head as the database has it."""
        last = self.head.count
        if self._noted is not None and self._noted.count > last:
            yield f"cut off: record {self._noted.count} was noted, and there are {last}"
        if text is None and not last:
            return
        head = None if text is None else parse_head(text)
        if head is None:
            yield f"the head of the record is {'gone' if text is None else 'none'}: its end may be cut off"
        elif head.count > last:
            first = f"{last + 1}" if head.count == last + 1 else f"{last + 1} to {head.count}"
            yield f"cut off: {first}, at the end"
        elif head.count < last:
            yield f"put in: {head.count + 1} to {last}, at the end"
        elif head.hash != self.head.hash:
            yield f"record {last} is not the one that was written last: it was changed"


def _hash(previous: Any, values: Sequence[Any]) -> Optional[str]:
    try:
        return hash_of(str(previous), values)
    except (TypeError, ValueError):  # bytes where a text was, or detail that is no JSON
        return None
