"""Run another program with a fixed argument list, a deadline and no shell; the only user of subprocess."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

PLACES = "/usr/sbin:/usr/bin:/sbin:/bin"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit code (negative: a signal, None: the deadline) and what it printed."""

    code: Optional[int]
    output: str

    @property
    def how(self) -> str:
        """The end in words, e.g. `ended with exit code 1`."""
        if self.code is None:
            return "did not end in time"
        return f"was ended by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"

    def tail(self, lines: int = 8) -> str:
        """The last lines that say something."""
        return "\n".join([line for line in self.output.splitlines() if line.strip()][-lines:])


def find(name: str) -> Optional[Path]:
    """Where a program is, or None."""
    found = shutil.which(name, path=search_path())
    return Path(found) if found else None


def search_path() -> str:
    """The caller's path, and behind it where root's programs are even if the caller forgot them."""
    return ":".join(part for part in (os.environ.get("PATH", ""), PLACES) if part)


def run(argv: Sequence[str], timeout_s: float) -> Done:
    """Run a program to its end; at the deadline, and when this is interrupted, its whole group is killed.

    Its output goes through a file, so that a child it leaves behind cannot hold us up. It ends when we are
    killed, because a koan left alone would change the boot entry after somebody has put the old one back.
    """
    env = {"PATH": search_path(), "LC_ALL": "C.UTF-8", "HOME": "/root", "PYTHONUNBUFFERED": "1"}
    env.update({key: value for key, value in os.environ.items() if key.startswith("LIBVIRT_")})
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        except OSError as exc:
            return Done(127, f"{argv[0]}: {exc.strerror}")
        code: Optional[int] = None
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return Done(code, output.read().decode(errors="replace"))


def die_with_parent() -> None:
    """Have the kernel end this process with the one that started it."""
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
