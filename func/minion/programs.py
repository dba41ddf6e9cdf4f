"""Run a shell's command so that it goes on, and how it ended is known, when this process is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

from func.minion import children
from func.minion.children import Interrupted
from func.minion.job_context import JobContext

OUT, ERR, CODE, PROGRAM = "out", "err", "rc", "program"
MOST_OUTPUT = 2 * 2**20  # of each of the two; a reply has to hold both
LEFT_OUT = "[{} bytes before this are left out]\n"

# What waits for the command is a shell too: it writes down the exit code, whoever is there to read it.
_WRITE_DOWN = 'cd /; /bin/sh -c "$3" >"$1" 2>"$2" </dev/null; echo $? >"$0"'
_FIRST_LOOK_S, _LAST_LOOK_S = 0.002, 0.05

Outcome = list[object]
"""[exit code, what it said, what it complained of]"""


def run(command: str, env: Mapping[str, str], limit_s: float, job: Optional[JobContext]) -> Outcome:
    """Run a command to its end; raises Overdue after the limit, when it has been ended, OSError.

    In a job the command belongs to that: when the minion ends, Interrupted is raised and the command goes on.
    """
    if job is None:
        folder = Path(tempfile.mkdtemp(prefix="func-"))
        try:
            return _run_in(folder, command, env, limit_s, _waits())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if job.is_plain:
        (job.folder / PROGRAM).touch()
    try:
        return _run_in(job.folder, command, env, limit_s, _waits(job.stop.wait))
    except Interrupted:
        job.is_left = True
        raise


def outcome(folder: Path) -> Optional[Outcome]:
    """How the command of a job ended; None where it has not, or where the job was more than a command."""
    code = folder / CODE
    if not (folder / PROGRAM).exists() or not code.exists():
        return None
    number = code.read_text(encoding="ascii")
    # An empty file is one that is about to be written.
    return [int(number), _said(folder / OUT), _said(folder / ERR)] if number.endswith("\n") else None


def is_alive(folder: Path) -> bool:
    """Whether the command of a job, or anything it started, still runs."""
    return (folder / PROGRAM).exists() and children.is_running(folder)


def _run_in(
    folder: Path, command: str, env: Mapping[str, str], limit_s: float, stopped: Callable[[float], bool]
) -> Outcome:
    out, err, code = folder / OUT, folder / ERR, folder / CODE
    # Nobody else reads them, whatever the command's own mask lets it write.
    for file in (out, err):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        argv = ["/bin/sh", "-c", _WRITE_DOWN, str(code), str(out), str(err), command]
        child = children.start(argv, env, folder, nowhere)
    finally:
        os.close(nowhere)
    try:
        status = child.wait(limit_s, stopped)
    except children.Overdue:
        child.end(folder)
        raise
    number = code.read_text(encoding="ascii").strip() if code.exists() else ""
    return [int(number) if number else status, _said(out), _said(err)]


def _waits(wait: Optional[Callable[[float], bool]] = None) -> Callable[[float], bool]:
    """Wait between two looks, the longer the longer it takes: most commands are done in no time."""
    pause_s = _FIRST_LOOK_S

    def look(most_s: float) -> bool:
        nonlocal pause_s
        pause_s = min(pause_s * 1.5, _LAST_LOOK_S, most_s)
        if wait is None:
            time.sleep(pause_s)
            return False
        return wait(pause_s)

    return look


def _said(file: Path) -> str:
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - MOST_OUTPUT))
        text = stream.read(MOST_OUTPUT).decode("utf-8", "replace")
    return (LEFT_OUT.format(size - MOST_OUTPUT) if size > MOST_OUTPUT else "") + text
