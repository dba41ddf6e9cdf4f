"""Times as people and programs write them, and as programs are told them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from cloudmasterd.times import read_time, time_text


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=timezone.utc)),
        ("2026-11-22T08:05", datetime(2026, 11, 22, 8, 5, tzinfo=timezone.utc)),
        ("2026-11-22 08:05:09", datetime(2026, 11, 22, 8, 5, 9, tzinfo=timezone.utc)),
        ("2026-11-22T08:05:09Z", datetime(2026, 11, 22, 8, 5, 9, tzinfo=timezone.utc)),
        ("2026-11-22t08:05:09.5z", datetime(2026, 11, 22, 8, 5, 9, 500000, tzinfo=timezone.utc)),
        ("2026-11-22T08:05:09.123456+02:00",
         datetime(2026, 11, 22, 8, 5, 9, 123456, tzinfo=timezone(timedelta(hours=2)))),
    ],
)  # fmt: skip
def test_times_as_people_and_programs_write_them(text: str, at: datetime) -> None:
    assert read_time(text) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11",
        "2026-13-01",
        "2026-11-22T25:00",
        "2026-11-22T08",
        "22.11.2026",
        "2026-11-22T08:00:00+99:99",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of whichever the text is wrong
        read_time(text)


def test_a_time_is_told_in_utc_with_milliseconds() -> None:
    there = timezone(timedelta(hours=2))
    assert time_text(datetime(2026, 11, 22, 9, 53, 23, 120999, there)) == "2026-11-22T07:53:23.120Z"
    assert time_text(None) is None
