"""Programs that are run: their end, their deadline, and finding them again when their parent is gone."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from func.minion import children
from tests.func.minion.helpers import wait_for

SLEEPS = "import time; open('up', 'w').close(); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " + SLEEPS
# The head ends, and what it started is in a session of its own.
ORPHANS = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPS!r}], start_new_session=True)"
)


def start(work: Path, code: str) -> children.Child:
    with (work / "output").open("wb") as output:
        return children.start([sys.executable, "-c", code], dict(os.environ), work, output.fileno())


def never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def is_up(work: Path) -> None:
    wait_for((work / "up").exists, "the program to be up")


def test_a_program_that_ends_tells_its_code_and_what_it_said() -> None:
    done = children.run([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"], 60)
    assert (done.code, done.out.strip(), done.err.strip()) == (1, "out", "err")


def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(children.Overdue, match="was not done within 0"):
        children.run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2)


def test_what_a_child_says_is_in_the_file(tmp_path: Path) -> None:
    child = start(tmp_path, "import sys; print('hello'); sys.stderr.write('and bye'); sys.exit(3)")
    assert child.wait(60, never) == 3
    assert (tmp_path / "output").read_text().split() == ["hello", "and", "bye"]


def test_the_deadline_of_a_child_does_not_end_it_but_is_told(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPS)
    is_up(tmp_path)
    with pytest.raises(children.Overdue):
        child.wait(0.1, never)
    child.end(tmp_path)
    assert child.wait(0, never) != 0


def test_waiting_ends_when_somebody_wants_it_to(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPS)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(children.Interrupted):
        child.wait(60, stop.wait)
    child.end(tmp_path)


@pytest.mark.parametrize("code", [SLEEPS, DEAF], ids=["listens", "is deaf"])
def test_a_child_ends_when_it_is_asked_or_else_is_killed(tmp_path: Path, code: str) -> None:
    child = start(tmp_path, code)
    is_up(tmp_path)
    assert children.end_all(tmp_path, child._popen.poll, 0.5)
    assert child.wait(60, never) != 0
    assert not children.end_all(tmp_path)


def test_what_a_child_started_elsewhere_is_found_by_its_folder(tmp_path: Path) -> None:
    child = start(tmp_path, ORPHANS)
    assert child.wait(60, never) == 0
    is_up(tmp_path)
    (tmp_path / "other").mkdir()
    assert not children.end_all(tmp_path / "other"), "another folder's processes are none of its business"
    assert children.end_all(tmp_path)
    assert not children.end_all(tmp_path)
