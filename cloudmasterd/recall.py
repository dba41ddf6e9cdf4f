"""What was looked up a moment ago, until something changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, Generic, Optional, TypeVar

from cloudmasterd.clock import Clock
from cloudmasterd.store.tokens import secret_hash

Found = TypeVar("Found")

KNOWN_FOR_S = 1.0  # so long what another process changed is not seen here
MOST_KEPT = 1024


@dataclass(frozen=True)
class _Known(Generic[Found]):
    found: Found
    change: int
    until: float


class Recall(Generic[Found]):
    """Finds by secret, and remembers under the secret's hash. Any thread may call it.

    A change of this process, which `change_count` counts, makes it forget at once.
    """

    def __init__(
        self, look: Callable[[str], Optional[Found]], change_count: Callable[[], int], clock: Clock
    ) -> None:
        self._look = look
        self._change_count = change_count
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known[Found]] = {}

    def find(self, secret: str) -> Optional[Found]:
        """What has that secret; None when nothing has."""
        key = secret_hash(secret)
        change, now = self._change_count(), self._clock.monotonic()  # before the look: it may be newer
        known = self._known.get(key)
        if known is not None and known.change == change and now < known.until:
            return known.found
        found = self._look(secret)
        with self._lock:
            if found is None:
                self._known.pop(key, None)
            else:
                if len(self._known) >= MOST_KEPT:
                    self._known.clear()
                self._known[key] = _Known(found, change, now + KNOWN_FOR_S)
        return found
