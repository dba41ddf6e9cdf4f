"""The audit record as CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.acting import Deed
from cloudmasterd.record import NO_HASH, Entry, Head, entry_object, parse_head
from cloudmasterd.record_text import COLUMNS, csv_lines, json_lines

AT = "2026-11-22T08:00:00.000000+00:00"


def an_entry(**said: object) -> Entry:
    return Entry(7, AT, Deed("bob", "startMachine", "/x", **said), NO_HASH, "f" * 64)  # type: ignore[arg-type]


def test_json_lines_are_one_object_a_line() -> None:
    (line,) = json_lines([an_entry(reason="ö\u2028", detail={"a": 1})])
    assert line.endswith("\n") and line.isascii() and line.count("\n") == 1
    found = json.loads(line)
    assert set(found) == set(COLUMNS)
    assert (found["id"], found["at"], found["reason"], found["detail"]) == (7, AT, "ö\u2028", {"a": 1})


@given(st.text(max_size=40))
def test_csv_gives_back_what_was_in_it(reason: str) -> None:
    if "\0" in reason or any(0xD800 <= ord(letter) <= 0xDFFF for letter in reason):
        return  # the store keeps neither
    text = "".join(csv_lines([an_entry(reason=reason)]))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["reason"] == (f"'{reason}" if reason.startswith(("=", "+", "-", "@")) else reason)


def test_csv_has_a_line_of_headings_and_no_value_for_none() -> None:
    head, line = csv_lines([an_entry()])
    assert head.strip().split(",") == list(COLUMNS)
    assert dict(zip(COLUMNS, next(csv.reader([line]))))["status"] == ""


def test_a_head_is_read_as_it_is_written() -> None:
    head = Head(12, "a" * 64)
    assert parse_head(str(head)) == head
    for text in ("", "12", "12:", "x:" + "a" * 64, "12:" + "A" * 64, f"{head} "):
        assert parse_head(text) is None


def test_an_object_has_everything_that_the_hash_covers() -> None:
    assert set(entry_object(an_entry())) == set(COLUMNS)
