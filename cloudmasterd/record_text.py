"""The audit record as text: CSV for spreadsheets, JSON lines for programs; the times that filters take."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from cloudmasterd.record import Entry, entry_object

COLUMNS = (
    "id", "at", "who", "means", "credential", "address", "request_id", "action", "target", "result", "status",
    "reason", "detail", "previous", "hash",
)  # fmt: skip

# what a spreadsheet would take for a formula; a record may hold what anybody typed
_FORMULA = ("=", "+", "-", "@")

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE
)


def json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """One JSON object a line; all that the hashes are over is in it."""
    for entry in entries:
        yield json.dumps(entry_object(entry), separators=(",", ":"), ensure_ascii=True) + "\n"


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """RFC 4180 with a line of headings; a text that a spreadsheet would run has an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield _taken(buffer)
    for entry in entries:
        row = entry_object(entry)
        row["detail"] = json.dumps(row["detail"], separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        writer.writerow([_harmless(row[name]) for name in COLUMNS])
        yield _taken(buffer)


def read_time(text: str) -> datetime:
    """A time as people and RFC 3339 write it, in UTC where it says no zone; ValueError for what is none."""
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is no time: write 2026-11-22 or 2026-11-22T08:00:00Z")
    plain = text.upper().replace("Z", "+00:00").replace(" ", "T")
    fraction = re.search(r"\.\d+", plain)
    if fraction is not None:  # Python 3.9 wants three digits or six
        plain = plain.replace(fraction[0], fraction[0].ljust(7, "0"))
    at = datetime.fromisoformat(plain)
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def _taken(buffer: io.StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
