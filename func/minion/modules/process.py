"""The wire module `process`: what runs on this host, and how much memory it takes."""

from __future__ import annotations

import os
import re
import signal as signals
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from func.minion import children
from func.minion.codes import FuncException
from func.minion.module import FuncModule

LIMIT_S = 60.0
PS, PKILL = "/bin/ps", "/usr/bin/pkill"
_FLAGS = re.compile(r"[A-Za-z0-9 ,=:%_.+-]{0,200}")
_LEVEL = re.compile(r"-?([A-Z0-9+]{1,20})")
_ENV = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}


class ProcessModule(FuncModule):
    """Exit codes are those of the programs of the same names."""

    version = "0.0.1"
    description = "Processes"
    methods = ("info", "mem", "memory", "kill", "pkill", "loadavg")

    def __init__(self, root: Path, proc: Path = Path("/proc")) -> None:
        super().__init__(root)
        self._proc = proc

    def info(self, flags: str = "-auxh") -> list[list[str]]:
        """The lines of `ps`, each as a list of words."""
        if not isinstance(flags, str) or not _FLAGS.fullmatch(flags):
            raise FuncException(f"{flags!r:.80} is nothing to tell ps; -auxh is")
        done = _run([PS, *flags.split()])
        if done.err and not done.err.startswith("Warning") and done.code != 0:
            raise FuncException(done.err.splitlines()[0])
        return [line.split() for line in done.out.splitlines()]

    def mem(self) -> list[list[str]]:
        """[[private, shared, both, program], ...], the largest last, and a line with the sum of all.

        Shared memory is divided among those that share it, as the kernel counts it.
        """
        private: dict[str, int] = defaultdict(int)
        both: dict[str, int] = defaultdict(int)
        count: dict[str, int] = defaultdict(int)
        for entry in self._proc.iterdir():
            found = _memory_kib(entry) if entry.name.isdigit() else None
            if found is not None:
                name = _program(entry)
                private[name] += found[0]
                both[name] += found[1]
                count[name] += 1
        lines = [
            [
                _size(private[name]),
                _size(both[name] - private[name]),
                _size(both[name]),
                _counted(name, count[name]),
            ]
            for name in sorted(both, key=lambda name: both[name])
        ]
        return [*lines, ["", "", "", _size(sum(both.values()))]]

    memory = mem  # Func has both names

    def kill(self, pid: Any, signal: str = "TERM") -> int:
        """0 when the signal was sent, 1 when there is no such process, or it cannot be sent one."""
        try:
            number = int(pid)
        except (TypeError, ValueError) as exc:
            raise FuncException(f"{pid!r:.40} is no process's number") from exc
        if number <= 0:
            raise FuncException(f"{number} means more than one process: name one by its number, or use pkill")
        try:
            os.kill(number, _signal(signal))
        except (ProcessLookupError, PermissionError):
            return 1
        return 0

    def pkill(self, name: str, level: str = "") -> int:
        """0 when a process matched and was sent the signal, -9 or the like, else TERM; 1 when none did."""
        if not isinstance(name, str) or not name:
            raise FuncException("the name is a pattern for pkill")
        return _run([PKILL, *([f"-{_signal(level)}"] if level else []), "--", name]).code

    def loadavg(self) -> list[str]:
        """The words of /proc/loadavg."""
        return (self._proc / "loadavg").read_text(encoding="ascii").split()

    def grep(self, word: str) -> dict[str, Any]:
        """Lines of `info` and `mem` that contain `word`."""
        wanted = word.strip().lower()
        found = {}
        for where, lines in (("process.info", self.info()), ("process.mem", self.mem())):
            texts = [" ".join(line) for line in lines]
            found[where] = [text for text in texts if wanted in text.lower()]
        return {where: texts for where, texts in found.items() if texts}


def _run(command: Sequence[str]) -> children.Done:
    try:
        return children.run(command, LIMIT_S, _ENV)
    except OSError as exc:
        raise FuncException(f"{command[0]}: {exc.strerror}; install procps") from exc


def _signal(text: Any) -> int:
    """A signal by number or name: 9, -9, KILL, SIGKILL; nothing is TERM."""
    match = _LEVEL.fullmatch(str(text) or "TERM")
    word = match.group(1) if match else ""
    try:
        return int(
            signals.Signals(int(word))
            if word.isdigit()
            else signals.Signals[f"SIG{word.removeprefix('SIG')}"]
        )
    except (KeyError, ValueError) as exc:
        raise FuncException(f"{text!r:.40} is no signal, such as TERM, KILL or 9") from exc


def _memory_kib(entry: Path) -> Optional[tuple[int, int]]:
    """(private, private and its part of what is shared) of a process; None where it has none, or ended."""
    private = both = 0
    try:
        text = (entry / "smaps_rollup").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        words = line.split()
        if words[0].startswith("Private"):
            private += int(words[1])
        elif words[0] == "Pss:":
            both += int(words[1])
    return (private, both) if both else None


def _program(entry: Path) -> str:
    """The program's name; the kernel keeps but 15 characters of it, unless its file says the rest."""
    try:
        name = (entry / "comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
        file = (entry / "exe").resolve().name
    except OSError:  # it has ended
        return "?"
    return file if file.startswith(name) else name


def _counted(name: str, count: int) -> str:
    return f"{name} ({count})" if count > 1 else name


def _size(kib: float) -> str:
    for unit in ("KiB", "MiB", "GiB"):
        if kib < 1000:
            return f"{kib:.1f} {unit}"
        kib /= 1024
    return f"{kib:.1f} TiB"
