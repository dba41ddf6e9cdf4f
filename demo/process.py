"""One program of the demo: started in a process group of its own, its log handed on line by line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

LogLine = Callable[[str, str], None]
"""Takes a program's name and one line of its log."""

_LAUNCH = Path(__file__).with_name("launch.py")


class Process:
    """A running program. Make it in a thread that lives as long as the program shall: it dies with it."""

    def __init__(self, name: str, argv: Sequence[str], log: LogLine, env: Mapping[str, str]) -> None:
        self.name = name
        self.argv = tuple(argv)
        self._log = log
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(env),
        )
        self._reader = threading.Thread(target=self._read, name=f"log of {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._popen.pid

    def exit_code(self) -> Optional[int]:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._popen.poll()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to it and to every process it started."""
        try:
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            pass

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        if self.exit_code() is None:
            self.send(signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within that time."""
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self, timeout_s: float = 5.0) -> None:
        """End it: politely, then not; nothing of its process group is left. It may have ended already."""
        if self.exit_code() is None:
            self.send(signal.SIGTERM)
            self.wait(timeout_s)
        self.send(signal.SIGKILL)
        self._popen.wait()
        self._reader.join(timeout_s)
        if self._popen.stdout is not None and not self._reader.is_alive():
            self._popen.stdout.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._log(self.name, line.decode("utf-8", "replace").rstrip("\r\n"))


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
