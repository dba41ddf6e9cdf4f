"""Run other programs and see them to their end; alone imports subprocess, and never starts a shell.

A child that works for minutes is the head of a session of its own and carries `FUNC_WORK=DIR` in its
environment, and so does all that it starts. By that they are found again after this process was killed, in
whatever group or session they are: the kernel tells what was in a process's environment when it began.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from func.errors import HostError

log = logging.getLogger(__name__)

WORK = "FUNC_WORK"
PROC = Path("/proc")
GRACE_S = 5.0  # what a child has to clean up after itself before it is killed
KILLED_WITHIN_S = 10.0
LOOK_S = 0.05


class Overdue(HostError):  # noqa: N818 - what its receiver knows: it was not done in time
    """The program had not ended when its time was over; it has now."""


class Interrupted(HostError):  # noqa: N818 - what happened to the child
    """Somebody wants the program to stop."""


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit code, or minus the number of the signal; what it said."""

    code: int
    out: str = ""
    err: str = ""


class Child:
    """A program that works on while others do something else."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    def wait(self, limit_s: float, stopped: Callable[[float], bool]) -> int:
        """Its exit code; raises Overdue, or Interrupted once `stopped(seconds)`, which waits, says so."""
        end = time.monotonic() + limit_s
        while True:
            code = self._popen.poll()
            if code is not None:
                return code
            if time.monotonic() >= end:
                raise Overdue(f"not done within {limit_s:.0f} s")
            if stopped(LOOK_S):
                raise Interrupted("it was told to stop")

    def end(self, work: Path, grace_s: float = GRACE_S) -> None:
        """See it and all that it started in that folder to their end."""
        try:
            end_all(work, self._popen.poll, grace_s)
        finally:
            self._popen.poll()


def run(argv: Sequence[str], limit_s: float, env: Optional[Mapping[str, str]] = None) -> Done:
    """Run a program to its end; raises Overdue after the limit, OSError where it cannot be started."""
    try:
        done = subprocess.run(
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False, env=env
        )
    except subprocess.TimeoutExpired as exc:
        raise Overdue(f"{argv[0]} was not done within {limit_s:.0f} s") from exc
    return Done(done.returncode, _text(done.stdout), _text(done.stderr))


def start(argv: Sequence[str], env: Mapping[str, str], work: Path, output: int, given: str = "") -> Child:
    """Start a program that works for long in the folder `work`; what it says goes to the file `output`.

    It reads `given`, which is short. Raises OSError where it cannot be started.
    """
    popen = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE if given else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=work,
        env={**env, WORK: str(work)},
        start_new_session=True,
    )
    if popen.stdin is not None:
        # A pipe holds far more than what is given, so this waits for nobody.
        with contextlib.suppress(BrokenPipeError), popen.stdin as stdin:
            stdin.write(given.encode("utf-8"))
    return Child(popen)


def end_all(work: Path, reap: Callable[[], object] = lambda: None, grace_s: float = GRACE_S) -> bool:
    """End every process of that folder: ask first, kill after the grace. Whether there were any.

    `reap` is called again and again: a child of ours is there until somebody asks for its exit code.
    Raises HostError when one of them cannot be killed, as while it waits for a dead disk.
    """
    found = _processes(work)
    if not found:
        return False
    log.info("ending %d processes of %s", len(found), work)
    # INT, because Python programs such as virt-install clean up at that, and at TERM they do not.
    for number, within_s in ((signal.SIGINT, grace_s), (signal.SIGKILL, KILLED_WITHIN_S)):
        end = time.monotonic() + within_s
        told: set[int] = set()
        while found and time.monotonic() < end:
            for pid in set(found) - told:  # one that was told may have started another before it ended
                _signal(pid, number)
                told.add(pid)
            time.sleep(LOOK_S)
            reap()
            found = _processes(work)
    if found:
        raise HostError(f"processes {', '.join(map(str, found))} of {work} do not end, not even when killed")
    return True


def is_running(work: Path) -> bool:
    """Whether any process of that folder runs."""
    return bool(_processes(work))


def _processes(work: Path) -> list[int]:
    wanted = f"{WORK}={work}".encode()
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:  # ended since, or another's
                continue
            if wanted in environ.split(b"\0"):
                found.append(int(entry.name))
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it was faster
        log.debug("%d has ended by itself", pid)


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
