"""A line on the terminal that says how far a call has come, for as long as it takes more than a second."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Optional, TextIO

APPEARS_AFTER_S = 1.0
_EVERY_S = 0.25
_CLEARED = "\r\x1b[K"


class Progress:
    """`7 of 50 minions answered, 3 s` on standard error, where that is a terminal; gone at the end."""

    def __init__(self, total: int, what: str, stream: Optional[TextIO] = None) -> None:
        self._total = total
        self._what = what
        self._stream = stream or sys.stderr
        self._done = 0
        self._shown = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> Progress:
        if self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._clear()

    def add(self, count: int) -> None:
        """So many more are done."""
        self._done += count

    def now(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self._done, self._total = done, total

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """The line is away while something else is printed."""
        with self._lock:
            self._clear()
            yield

    def _tell(self) -> None:
        began = time.monotonic()
        wait_s = APPEARS_AFTER_S
        while not self._over.wait(wait_s):
            with self._lock:
                passed_s = int(time.monotonic() - began)
                line = f"{self._done} of {self._total} {self._what}, {passed_s} s"
                self._stream.write(f"{_CLEARED}{line}")
                self._stream.flush()
                self._shown = True
            wait_s = _EVERY_S

    def _clear(self) -> None:
        if self._shown:
            self._stream.write(_CLEARED)
            self._stream.flush()
            self._shown = False
