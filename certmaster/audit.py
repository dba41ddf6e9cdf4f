"""The record of what became of whose request: a line for each, in a file that is only ever added to."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from certmaster.certdir import SECRET

log = logging.getLogger(__name__)

_NOBODY = "this program"
_actor: ContextVar[str] = ContextVar("actor", default=_NOBODY)


@contextmanager
def acting(who: str) -> Iterator[None]:
    """Name who is behind what happens in this block, such as `10.0.0.5` or `root, process 4711`."""
    token = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> str:
    """Who is behind what happens now, empty where nobody was named."""
    who = _actor.get()
    return "" if who == _NOBODY else who


class Audit:
    """Adds lines `TIME - WHO ACT WHAT: RESULT` to a file, 0600; without a path it keeps silent.

    A line is one write, so that several processes may share the file, and it may be rotated at any time.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._failed = False

    def add(self, act: str, what: str, result: str) -> None:
        """Record it. A file that cannot be written is told of once: the authority goes on without."""
        if self._path == Path():
            return
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{time} - {_actor.get()} {act} {what}: {result}"
        line = "".join(c if c.isprintable() else "?" for c in text).encode() + b"\n"
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, SECRET)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as exc:
            if not self._failed:
                log.error("%s: cannot be written: %s: no audit record is kept", self._path, exc.strerror)
            self._failed = True
