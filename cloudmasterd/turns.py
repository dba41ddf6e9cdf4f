"""Who computes when: workers one after the other, and whoever asks for a change before them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

GIVE_WAY_S = 0.02  # about five requests; nobody who works ever waits longer for those who ask


class Turns:
    """One turn, which one worker at a time has, and requests that workers give way to; thread-safe.

    All of cloudmasterd shares one interpreter and one way into the database: workers that compute at once
    finish nothing sooner, but a request would get the interpreter only after each of them. So a worker lets
    go of the turn while it waits for somebody else, and what it does next waits while a request is being
    answered. That is for `give_way_s` at most: neither many requests nor one that takes long keeps workers
    from work.
    """

    def __init__(
        self, give_way_s: float = GIVE_WAY_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._give_way_s = give_way_s
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._asking: dict[object, float] = {}  # requests, and until when each is given way to

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A request is being answered for the length of the block; it waits for no worker here."""
        request = object()
        with self._changed:
            self._asking[request] = self._monotonic() + self._give_way_s
        try:
            yield
        finally:
            with self._changed:
                del self._asking[request]
                self._changed.notify_all()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have the turn for the length of the block."""
        self._take()
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let others have the turn for the length of the block, inside `working`: it waits for somebody."""
        self._turn.release()
        try:
            self.give_way()
            yield
        finally:
            self._take()

    def give_way(self) -> None:
        """Return when no request is being answered that is given way to, after `give_way_s` at the latest."""
        if not self._asking:  # the usual case, for which no lock is worth it
            return
        with self._changed:
            until = self._monotonic() + self._give_way_s
            while True:
                now = self._monotonic()
                latest = min(until, max(self._asking.values(), default=now))
                if latest <= now:
                    return
                self._changed.wait(latest - now)

    def _take(self) -> None:
        self._turn.acquire()
        self.give_way()
