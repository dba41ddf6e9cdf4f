"""How times, tags and foreign text become what the database holds, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Optional

MAX_ID = (1 << 63) - 1  # the largest number SQLite has


def time_to_text(at: Optional[datetime]) -> Optional[str]:
    """ISO 8601 in UTC, always of one length so that text order is time order; ValueError for a naive time."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at!r}; take it from a Clock")
    return at.astimezone(timezone.utc).isoformat(timespec="microseconds")


@lru_cache(maxsize=1024)
def time_from_text(text: Optional[str]) -> Optional[datetime]:
    """The time that `time_to_text` wrote."""
    return None if text is None else datetime.fromisoformat(text)


def known_time(text: str) -> datetime:
    """The same, for a text that is always there."""
    return datetime.fromisoformat(text)


def tags_from_text(text: str) -> Mapping[str, str]:
    """The tags of a row; every call gives a mapping of its own."""
    if text == "{}":
        return {}
    tags: dict[str, str] = json.loads(text)
    return tags


def names_from_text(text: str) -> tuple[str, ...]:
    """The names in a JSON list."""
    return () if text == "[]" else tuple(json.loads(text))


def clean(text: str) -> str:
    """Text as the database can keep it: a NUL and half a surrogate pair become replacement characters.

    libvirt never gives either, but a name comes from another machine, and one bad name must not cost the
    batch that it comes in. The same is done to what is looked up.
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
