"""The line that says how far a call has come, on a real terminal."""

from __future__ import annotations

import io
import os
import re
import select
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from func.overlord.cli.progress import Progress
from tests.func.overlord.cli.support import NAMES, run
from tests.func.overlord.farm import Farm

END = "<that was all>"


class Terminal:
    """One end of a pseudo-terminal to write to, and what came out of the other."""

    def __init__(self) -> None:
        self._reader, writer = os.openpty()
        self.stream: TextIO = os.fdopen(writer, "w", encoding="utf-8")
        self._seen = ""

    def read(self, until: str) -> str:
        """All that came out until something was there, a regular expression."""
        while not re.search(until, self._seen):
            ready, _, _ = select.select([self._reader], [], [], 60)
            assert ready, f"{until!r} never came: {self._seen!r}"
            self._seen += os.read(self._reader, 4096).decode()
        return self._seen

    def all(self) -> str:
        """All that was written: the kernel hands it over a little later, and in its order."""
        self.stream.write(END)
        self.stream.flush()
        self._seen = self.read(END).replace(END, "")
        return self._seen

    def close(self) -> None:
        self.stream.close()
        os.close(self._reader)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    made = Terminal()
    yield made
    made.close()


def shown(text: str) -> str:
    """What a terminal shows at last, of lines that are written over each other."""
    return text.rpartition("\r\x1b[K")[2]


def test_a_long_call_is_counted_and_the_line_goes_away(terminal: Terminal) -> None:
    with Progress(3, "minions answered", terminal.stream) as progress:
        progress.add(2)
        terminal.read("2 of 3 minions answered, [1-9][0-9]* s")
        progress.now(5, 9)
        terminal.read("5 of 9")
    assert shown(terminal.all()) == ""


def test_what_is_printed_in_between_stands_alone(terminal: Terminal) -> None:
    with Progress(3, "done", terminal.stream) as progress:
        terminal.read("0 of 3 done")
        with progress.hidden():
            terminal.stream.write("a result\n")
            terminal.stream.flush()
        terminal.read(r"a result\r\n\r\x1b\[K0 of 3")
    assert "\r\x1b[Ka result\r\n" in terminal.all()


def test_a_short_call_shows_nothing(terminal: Terminal) -> None:
    with Progress(3, "done", terminal.stream) as progress:
        progress.add(3)
    assert terminal.all() == ""


def test_a_file_or_a_dumb_terminal_gets_no_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    stream = io.StringIO()
    with Progress(3, "done", stream):
        assert set(threading.enumerate()) <= before
    monkeypatch.setenv("TERM", "dumb")
    with Progress(3, "done", terminal.stream):
        assert set(threading.enumerate()) <= before
    assert stream.getvalue() == terminal.all() == ""


def test_a_call_that_takes_long_shows_the_line(
    root: str,
    farm: Farm,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answer(name: str, method: str, args: object) -> int:
        if name == NAMES[1]:
            terminal.read("1 of 2 minions answered")
        return 1

    farm.answer = answer
    monkeypatch.setattr("sys.stderr", terminal.stream)
    assert run(root, "cloud*", "ping") == 0
    assert shown(terminal.all()) == ""
    assert capsys.readouterr().out == "".join(f"[ ok ... ] {name}\n" for name in NAMES)
