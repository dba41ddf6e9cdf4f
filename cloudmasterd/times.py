"""Times as text: RFC 3339, which programs and files have; people get them from `words`."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Optional

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE
)


def time_text(at: Optional[datetime]) -> Optional[str]:
    """RFC 3339 in UTC with milliseconds: 2026-11-22T07:53:23.120Z."""
    if at is None:
        return None
    return at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


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
