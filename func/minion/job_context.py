"""Let a method that runs as a job say how far it is; outside of a job all of it goes nowhere."""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Optional

log = logging.getLogger(__name__)


class JobContext:
    """What the thread of a job can say and ask. `stop` is set when the minion ends."""

    def __init__(self, folder: Path, stop: threading.Event) -> None:
        self.folder = folder
        self.stop = stop
        # Whether the value of the method alone is the job's result, so that its program's end can become it.
        self.is_plain = True
        self.is_left = False  # its program goes on without this process

    def say(self, text: str) -> None:
        """Add a line to what `jobs.tail_output` shows."""
        try:
            with (self.folder / "out").open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"{text}\n")
        except OSError as exc:  # a job must not fail for what it says
            log.warning("%s: what the job says is not kept: %s", self.folder, exc.strerror)

    def progress(self, current: int, total: int) -> None:
        """Say how far it is, for `jobs.get_progress`."""
        try:
            (self.folder / "progress").write_text(f"{int(current)} {int(total)}", encoding="ascii")
        except OSError as exc:
            log.warning("%s: how far the job is is not kept: %s", self.folder, exc.strerror)

    def follow(self, file: Path) -> None:
        """What the job says is what that file says, of a program that writes its own log."""
        try:
            (self.folder / "out").symlink_to(file)
        except OSError as exc:
            log.warning("%s: what the job says is not shown: %s", self.folder, exc.strerror)


_current: ContextVar[Optional[JobContext]] = ContextVar("job", default=None)


def current() -> Optional[JobContext]:
    """The job of this thread; None where the method was called and waited for."""
    return _current.get()


def enter(context: Optional[JobContext]) -> None:
    """From now on this thread works for that job, or for none."""
    _current.set(context)


def report_progress(current_: int, total: int) -> None:
    """`progress` of the job of this thread, where it has one."""
    context = current()
    if context is not None:
        context.progress(current_, total)
