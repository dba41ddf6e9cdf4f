"""Get a new password from whoever sits at the terminal, from a file or from a pipe; never from arguments."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Optional, TextIO

from cloudmasterd.errors import Invalid

STANDARD_INPUT = "-"
_MOST = 8192


def read_new_password(name: str, file: Optional[str], stdin: TextIO = sys.stdin) -> str:
    """The password for the user `name`: the first line of `file`, "-" for standard input; without one it is
    asked for twice on the terminal, or read from standard input where that is none. Raises Invalid."""
    if file is not None and file != STANDARD_INPUT:
        return _of_file(Path(file))
    if file is None and stdin.isatty():
        return _asked(name)
    return _line(stdin.readline(_MOST), "standard input")


def _asked(name: str) -> str:
    try:
        password = getpass.getpass(f"New password of {name}: ")
        again = getpass.getpass("The same again: ")
    except (EOFError, KeyboardInterrupt) as exc:
        raise Invalid("no password was given, and nothing was changed") from exc
    if again != password:
        raise Invalid("these were two different passwords, and nothing was changed: try again")
    return password


def _of_file(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return _line(opened.readline(_MOST), str(file))
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text in UTF-8"
        raise Invalid(f"no password can be read from {file}: {reason}") from exc


def _line(text: str, source: str) -> str:
    password = text.rstrip("\r\n")
    if not password:
        raise Invalid(f"there is no password in the first line of {source}: put one there")
    return password
