"""Write log records to stderr, each on one line: with its time, or as systemd's journal wants it.

certmaster and cloudmasterd each have a copy of this file, for neither may import the other.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Union

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# syslog's numbers, see sd-daemon(3)
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class OneLine(logging.Formatter):
    """A record on one line, whatever a remote machine put into its text; only a traceback adds lines."""

    def __init__(self, form: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
        super().__init__(form, "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """The line with control characters spelled out."""
        return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], super().formatMessage(record))


class JournalLine(OneLine):
    """A record for the journal, which has its time: each line begins with its priority, <3> for an error."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines; the journal makes an entry of each."""
        priority = next((one for level, one in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def start_logging(level: Union[int, str], environ: Mapping[str, str] = os.environ) -> None:
    """Log to stderr from that level on; who has set logging up before keeps its handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalLine() if _is_journal(environ) else OneLine())
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(level)


def _is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr is the pipe to the journal that systemd gave it, and not a file it was sent to since."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or something that is no file
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
