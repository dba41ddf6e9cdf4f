"""The last use is exact here and written down once a minute."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest

from cloudmasterd.errors import StoreError
from cloudmasterd.last_use import MOST_KEPT, WRITE_EVERY, LastUse
from tests.fakes import START

HERE = "192.0.2.1"


class Book:
    """What was written down."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, datetime, str]] = []

    def write(self, key: str, at: datetime, address: str) -> None:
        self.lines.append((key, at, address))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def uses(book: Book) -> LastUse:
    return LastUse(book.write)


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_first_use_is_written_and_then_one_a_minute(uses: LastUse, book: Book) -> None:
    for second in range(181):
        uses.note("a", later(second), HERE, None)
    assert book.lines == [("a", later(second), HERE) for second in (0, 60, 120, 180)]
    assert uses.find("a") == later(180)


def test_after_a_restart_what_is_written_counts(uses: LastUse, book: Book) -> None:
    uses.note("a", later(59), HERE, START)
    assert (book.lines, uses.find("a")) == ([], later(59))
    uses.note("a", later(60), HERE, START)
    assert book.lines == [("a", later(60), HERE)]


def test_a_clock_that_was_put_back_does_not_stop_the_book(uses: LastUse, book: Book) -> None:
    uses.note("a", later(7200), HERE, None)
    uses.note("a", START, HERE, None)
    assert [at for _, at, _ in book.lines] == [later(7200), START]


def test_of_one_that_was_never_used_nothing_is_known(uses: LastUse) -> None:
    assert uses.find("a") is None


def test_a_database_that_cannot_be_written_keeps_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    def full(key: str, at: datetime, address: str) -> None:
        raise StoreError("the disk is full")

    uses = LastUse(full)
    with caplog.at_level(logging.WARNING):
        for second in range(int(WRITE_EVERY.total_seconds())):
            uses.note("a", later(second), HERE, None)
    assert [record.getMessage() for record in caplog.records] == [
        "when a was used last could not be noted: the disk is full"
    ]


def test_the_memory_is_bounded(uses: LastUse, book: Book) -> None:
    for number in range(MOST_KEPT + 3):
        uses.note(str(number), START, HERE, None)
    assert uses.find("0") is None
    assert uses.find(str(MOST_KEPT)) == START
