"""When tokens and sessions were used last: exact here, written down now and then."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Callable, Optional

from cloudmasterd.errors import StoreError

log = logging.getLogger(__name__)

WRITE_EVERY = timedelta(seconds=60)
MOST_KEPT = 4096  # the oldest go; what is written of them stays

Write = Callable[[str, datetime, str], None]


@dataclass(frozen=True)
class _Use:
    at: datetime
    written_at: Optional[datetime]


class LastUse:
    """The last use of each of one kind, by id; `write` keeps one. Any thread may call it."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._uses: OrderedDict[str, _Use] = OrderedDict()

    def find(self, key: str) -> Optional[datetime]:
        """When it was used last, as far as it is known here."""
        found = self._uses.get(key)
        return None if found is None else found.at

    def note(self, key: str, at: datetime, address: str, written_at: Optional[datetime]) -> None:
        """It is used at the time `at`; `written_at` is what the database says of its last use."""
        with self._lock:
            before = self._uses.get(key)
            last = written_at if before is None else before.written_at
            due = last is None or not timedelta(0) <= at - last < WRITE_EVERY
            self._uses[key] = _Use(at, at if due else last)
            self._uses.move_to_end(key)
            if len(self._uses) > MOST_KEPT:
                self._uses.popitem(last=False)
        if due:
            self._keep(key, at, address)

    def _keep(self, key: str, at: datetime, address: str) -> None:
        try:
            self._write(key, at, address)
        except StoreError as exc:
            # whoever reads needs no database that can be written
            log.warning("when %s was used last could not be noted: %s", key, exc)
