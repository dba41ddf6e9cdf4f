"""Whatever is done to the record behind the daemon's back, verify finds it and says where."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.acting import Deed
from cloudmasterd.record import NO_HASH, Head, parse_head
from cloudmasterd.store import Store
from cloudmasterd.store.audit_rows import COLUMNS, append, canonical, hash_of, walk_rows
from cloudmasterd.store.audit_verify import MOST_TOLD, judge, verify
from tests.cloudmasterd.store.answers import NOON

Rows = list[list[Any]]

WIDTH = len(COLUMNS)


def chain(length: int) -> tuple[Rows, str]:
    """A sound record, and its head."""
    rows: Rows = []
    previous = NO_HASH
    for number in range(1, length + 1):
        values = [
            number, "2026-01-02T12:00:00.000000+00:00", f"user{number % 3}", "token", "c", "192.0.2.1",
            f"r-{number}", "startMachine", f"/api/v1/machines/m{number}", "done",
            202 if number % 2 else None, "", canonical({"task": number}),
        ]  # fmt: skip
        own = hash_of(previous, values)
        rows.append([*values, previous, own])
        previous = own
    return rows, f"{length}:{previous}"


def wrong(rows: Rows, head: Optional[str], noted: Optional[Head] = None) -> tuple[str, ...]:
    return judge(rows, head, noted).wrong


def rehash(rows: Rows, start: int, previous: Optional[str] = None) -> str:
    """Make the chain sound again from `start` on, as a hand that is not careless would; its head."""
    for number in range(start, len(rows)):
        rows[number][-2] = rows[number - 1][-1] if number else NO_HASH
        rows[number][-1] = hash_of(rows[number][-2], rows[number][:WIDTH])
    return f"{len(rows)}:{rows[-1][-1]}"


def test_a_sound_record_is_whole():
    for length in (0, 1, 5):
        rows, head = chain(length)
        assert wrong(rows, head if length else None) == ()
        assert judge(rows, head).head.count == length


@pytest.mark.parametrize("column", range(1, WIDTH))
def test_a_changed_row_is_named(column: int):
    rows, head = chain(5)
    rows[2][column] = canonical({"task": 99}) if column == WIDTH - 1 else 201 if column == 10 else "other"
    assert wrong(rows, head) == ("record 3 was changed: its hash is not that of what it says",)


@pytest.mark.parametrize("detail", ["{", '{"task": 3}', "[]", '{"task":3,"a":1}'])
def test_detail_in_another_form_is_a_change(detail: str):
    rows, head = chain(5)
    rows[2][WIDTH - 1] = detail
    assert wrong(rows, head) == ("record 3 was changed: its hash is not that of what it says",)


def test_bytes_where_a_text_was_are_a_change():
    rows, head = chain(3)
    rows[1][2] = b"user2"
    assert wrong(rows, head) == ("record 2 was changed: its hash is not that of what it says",)


def test_removed_rows_are_named():
    rows, head = chain(9)
    assert wrong(rows[:2] + rows[3:], head) == ("removed: 3, before record 4",)
    assert wrong(rows[4:], head) == ("removed: 1 to 4, before record 5",)


def test_a_cut_tail_is_named():
    rows, head = chain(9)
    assert wrong(rows[:8], head) == ("cut off: 9, at the end",)
    assert wrong(rows[:2], head) == ("cut off: 3 to 9, at the end",)
    assert wrong([], head) == ("cut off: 1 to 9, at the end",)


def test_a_row_put_in_at_the_end_is_named():
    rows, head = chain(5)
    assert wrong(chain(6)[0], head) == ("put in: 6 to 6, at the end",)
    rows.insert(0, [0, *rows[0][1:]])
    assert "record 0 was put in" in wrong(rows, head)[0]


def test_two_rows_that_changed_places_are_named():
    rows, head = chain(6)
    rows[1][1:], rows[3][1:] = rows[3][1:], rows[1][1:]
    found = wrong(rows, head)
    assert any("record 2 was changed" in text for text in found)
    assert any("record 4 was changed" in text for text in found)


def test_a_row_whose_hash_was_reckoned_anew_does_not_go_with_the_next():
    rows, head = chain(5)
    rows[2][2] = "eve"
    rows[2][-1] = hash_of(rows[2][-2], rows[2][:WIDTH])
    assert wrong(rows, head) == (
        "record 4 does not follow record 3: one of them was changed, moved or put in",
    )


def test_the_last_row_reckoned_anew_does_not_go_with_the_head():
    rows, head = chain(5)
    rows[4][2] = "eve"
    rows[4][-1] = hash_of(rows[4][-2], rows[4][:WIDTH])
    assert wrong(rows, head) == ("record 5 is not the one that was written last: it was changed",)


def test_a_record_written_anew_as_a_whole_is_found_by_the_head_that_was_noted():
    rows, head = chain(5)
    noted = parse_head(head)
    rows[1][2] = "eve"
    assert wrong(rows, rehash(rows, 1)) == ()
    assert wrong(rows, rehash(rows, 1), noted) == (
        "record 5 is not the one that was noted: the record was written anew up to there",
    )
    shorter = f"4:{rows[3][-1]}"
    assert wrong(rows[:4], shorter, noted) == ("cut off: record 5 was noted, and there are 4",)


def test_a_head_noted_long_ago_still_fits():
    rows, head = chain(9)
    assert wrong(rows, head, Head(4, rows[3][-1])) == ()


@pytest.mark.parametrize("head", [None, "", "5", "x:y", "5:" + "g" * 64])
def test_a_spoiled_head_is_told(head: Optional[str]):
    rows, _ = chain(5)
    (told,) = wrong(rows, head)
    assert told.startswith("the head of the record is")


def test_one_hand_that_spoils_everything_is_not_told_row_by_row():
    rows, head = chain(100)
    for row in rows:
        row[2] = "eve"
    assert len(wrong(rows, head)) == MOST_TOLD + 1


def test_the_end_alone_can_be_looked_at(store: Store, path: Path):
    for number in range(10):
        store.audit.add(Deed("bob", f"do{number}"))
    raw = store._writer.connection.raw
    assert (verify(raw, last=3).first, verify(raw, last=3).whole) == (8, True)
    assert (verify(raw, last=50).first, verify(raw, last=50).whole) == (1, True)
    tamper(path, "UPDATE audit SET who = 'eve' WHERE id = 2")
    assert verify(raw, last=3).whole
    assert not verify(raw).whole


def tamper(path: Path, *statements: str) -> None:
    other = sqlite3.connect(path)
    for trigger in ("audit_stays", "audit_keeps"):
        other.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    for sql in statements:
        other.execute(sql)
    other.commit()
    other.close()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM audit WHERE id = 5", "cut off: 5, at the end"),
        ("DELETE FROM audit WHERE id = 2", "removed: 2"),
        ("UPDATE meta SET value = 'x' WHERE key = 'audit_head'", "does not follow record 5"),
        ("DELETE FROM meta WHERE key = 'audit_head'", "does not follow record 5"),
        ("INSERT INTO audit SELECT 6, at, who, means, credential, address, request_id, action, target,"
         " result, status, reason, detail, previous, hash FROM audit WHERE id = 5", "record 6 does not"),
    ],
)  # fmt: skip
def test_the_daemon_goes_on_after_it_was_tampered_with_and_it_stays_to_be_found(
    store: Store, path: Path, sql: str, told: str
):
    for number in range(5):
        store.audit.add(Deed("bob", f"do{number}"))
    tamper(path, sql)
    store.audit.add(Deed("bob", "goes on"))
    found = store.audit.verify().wrong
    if "cut off" in told:  # what was cut off is a gap by now
        told = "removed: 5, before record 6"
    assert any(told in text for text in found), found


# Any tampering at all


def _edit(rows: Rows, rng: random.Random) -> None:
    row, column = rng.choice(rows), rng.randrange(1, WIDTH + 2)
    row[column] = f"{row[column]}x" if isinstance(row[column], str) else 418


def _remove(rows: Rows, rng: random.Random) -> None:
    del rows[rng.randrange(len(rows))]


def _insert(rows: Rows, rng: random.Random) -> None:
    """A row among the others, and those behind it renumbered."""
    place = rng.randrange(len(rows) + 1)
    made = list(rng.choice(rows))
    made[2] = "eve"
    rows.insert(place, made)
    for number, row in enumerate(rows, 1):
        row[0] = number


def _swap(rows: Rows, rng: random.Random) -> None:
    """Two rows change places, and their numbers with them or not."""
    if len(rows) < 2:
        _edit(rows, rng)
        return
    one, two = rng.sample(range(len(rows)), 2)
    rows[one], rows[two] = rows[two], rows[one]
    if rng.random() < 0.5:
        rows[one][0], rows[two][0] = rows[two][0], rows[one][0]


def _cut(rows: Rows, rng: random.Random) -> None:
    del rows[rng.randrange(len(rows)) :]


def _forge(rows: Rows, rng: random.Random) -> None:
    """A row changed with its own hash made right again, which the next one or the head does not know of."""
    row = rng.choice(rows)
    row[2] += "x"
    row[WIDTH - 1] = "{}"
    row[-1] = hash_of(row[-2], row[:WIDTH])


TAMPERINGS = (_edit, _remove, _insert, _swap, _cut, _forge)


@given(
    length=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    hands=st.lists(st.sampled_from(TAMPERINGS), min_size=1, max_size=3),
)
def test_any_tampering_is_found(length: int, seed: int, hands: list[Callable[[Rows, random.Random], None]]):
    rows, head = chain(length)
    untouched = [list(row) for row in rows]
    rng = random.Random(seed)
    for hand in hands:
        if rows:
            hand(rows, rng)
    assert bool(wrong(rows, head)) == (rows != untouched)


@given(length=st.integers(1, 10), place=st.integers(0, 9), cut=st.integers(0, 9))
def test_whoever_reckons_everything_anew_is_found_by_a_noted_head(length: int, place: int, cut: int):
    rows, head = chain(length)
    noted = parse_head(head)
    place %= length
    rows[place][2] = "eve"
    del rows[max(1, length - cut) :]
    forged = rehash(rows, min(place, len(rows) - 1))
    if place < len(rows):
        assert wrong(rows, forged) == ()
    assert wrong(rows, forged, noted) != () or noted is None


def test_a_hash_is_over_what_the_documents_say():
    raw = sqlite3.connect(":memory:", isolation_level=None)
    columns = ", ".join((*COLUMNS[1:], "previous", "hash"))
    raw.execute(f"CREATE TABLE audit (id INTEGER PRIMARY KEY, {columns})")
    raw.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
    append(raw, [Deed("bob", "do", "/x", detail={"ü": "ö"})], NOON)
    (row,) = walk_rows(raw)
    raw.close()
    text = json.dumps(
        {**dict(zip(COLUMNS, row)), "detail": {"ü": "ö"}}, sort_keys=True, separators=(",", ":")
    )
    assert row[-1] == hashlib.sha256((NO_HASH + text).encode()).hexdigest()
