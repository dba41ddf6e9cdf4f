"""The audit record as text: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from cloudmasterd.record import Entry, entry_object

COLUMNS = (
    "id", "at", "who", "means", "credential", "address", "request_id", "action", "target", "result", "status",
    "reason", "detail", "previous", "hash",
)  # fmt: skip

# what a spreadsheet would take for a formula; a record may hold what anybody typed
_FORMULA = ("=", "+", "-", "@")


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


def _taken(buffer: io.StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
