"""The audit record as values: its entries, which of them are wanted, its head, and whether it is whole."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.acting import Deed

NO_HASH = "0" * 64
"""What stands before the first record."""

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Head:
    """How many records there are, and the hash of the last one: noted elsewhere it shows a cut-off end."""

    count: int = 0
    hash: str = NO_HASH

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"


@dataclass(frozen=True)
class Entry:
    """A record as it is kept. `hash` covers `previous` and everything else in it."""

    id: int
    at: str  # as values.time_to_text writes it, for a hash is over that
    deed: Deed
    previous: str
    hash: str


@dataclass(frozen=True)
class Filter:
    """Which records are wanted; None: any. `target` takes in what lies below that path."""

    who: Optional[str] = None
    action: Optional[str] = None
    target: Optional[str] = None
    result: Optional[str] = None
    request_id: Optional[str] = None
    since: Optional[datetime] = None
    until: Optional[datetime] = None  # not itself


ALL = Filter()
"""Every record."""


@dataclass(frozen=True)
class Verdict:
    """What there is, and what is wrong with it: sentences that name the records, the first MOST_TOLD."""

    head: Head
    wrong: tuple[str, ...] = ()
    first: int = 1  # the record from which on all were looked at

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def parse_head(text: str) -> Optional[Head]:
    """COUNT:HASH as a head; None for what is none."""
    found = _HEAD.fullmatch(text)
    return None if found is None else Head(int(found[1]), found[2])


def entry_object(found: Entry) -> dict[str, Any]:
    """A record as a JSON object; its canonical JSON without `previous` and `hash` is what the hash covers."""
    return {
        "id": found.id,
        "at": found.at,
        **asdict(found.deed),
        "previous": found.previous,
        "hash": found.hash,
    }
