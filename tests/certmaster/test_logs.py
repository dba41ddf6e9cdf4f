"""Log lines: on a terminal with their time, in the journal with their priority."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from certmaster.logs import JournalLine, OneLine

TREE = Path(__file__).resolve().parents[2]
PROGRAM = """
import logging
from certmaster.logs import start_logging
start_logging("INFO")
logging.getLogger("x").warning("said %s", "a\\nb")
logging.getLogger("x").debug("not this")
"""


def record(level: int = logging.ERROR, text: str = "text") -> logging.LogRecord:
    return logging.LogRecord("x", level, "", 1, "said %s", (text,), None)


def test_a_line_stays_one_line_whatever_a_minion_says() -> None:
    line = OneLine().format(record(text="a\nb\x1b[31m\u2028é"))
    assert line.endswith(" ERROR x: said a\\nb\\x1b[31m\\u2028é")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("level", "prefix"),
    [(logging.DEBUG, "<7>"), (logging.INFO, "<6>"), (logging.WARNING, "<4>"), (logging.ERROR, "<3>"),
     (logging.CRITICAL, "<3>")],
)  # fmt: skip
def test_the_journal_gets_a_priority_and_no_time(level: int, prefix: str) -> None:
    assert JournalLine().format(record(level)) == f"{prefix}x: said text"


def test_every_line_of_a_traceback_has_the_priority() -> None:
    try:
        raise ValueError("one\n<0>two")
    except ValueError:
        found = logging.LogRecord("x", logging.ERROR, "", 1, "failed", (), sys.exc_info())
    lines = JournalLine().format(found).split("\n")
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)


def said_into(stderr: int, journal_stream: str) -> None:
    environ = {**os.environ, "JOURNAL_STREAM": journal_stream}
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=stderr, env=environ, cwd=TREE, check=True)


@pytest.mark.parametrize("is_journal", [True, False], ids=["the journal", "a file it was sent to since"])
def test_the_journal_is_known_by_the_stream_that_systemd_names(is_journal: bool) -> None:
    with tempfile.TemporaryFile("w+") as stderr:
        found = os.fstat(stderr.fileno())
        inode = found.st_ino if is_journal else found.st_ino + 1
        said_into(stderr.fileno(), f"{found.st_dev}:{inode}")
        stderr.seek(0)
        lines = stderr.read().splitlines()
    assert len(lines) == 1
    assert (lines[0] == "<4>x: said a\\nb") is is_journal
    assert lines[0].endswith("WARNING x: said a\\nb") is not is_journal
