"""Change settings in the text of a configuration file, and leave every other line as somebody wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECTION = re.compile(r"\s*\[\s*main\s*\]")
_ANY_SECTION = re.compile(r"\s*\[[^\]]*\]")


def set_main(text: str, values: Mapping[str, str]) -> str:
    """The text with these settings in [main]; an empty value takes a setting out.

    A setting that is there is changed where it stands, a new one goes directly below `[main]`.
    """
    lines, left = [], dict(values)
    in_main = False
    for line in text.splitlines():
        if _ANY_SECTION.match(line):
            in_main = bool(_SECTION.match(line))
        key = _key(line) if in_main else ""
        if key not in values:
            lines.append(line)
        elif left.get(key):
            lines.append(f"{key} = {left.pop(key)}")
    new = [f"{key} = {value}" for key, value in left.items() if value]
    if new:
        heads = [number for number, line in enumerate(lines) if _SECTION.match(line)]
        if not heads:
            lines = ["[main]", *lines]
        place = heads[0] + 1 if heads else 1
        lines[place:place] = new
    return "".join(f"{line}\n" for line in lines)


def says(text: str, key: str) -> bool:
    """Whether somebody gave that setting a value in [main]."""
    in_main = False
    for line in text.splitlines():
        if _ANY_SECTION.match(line):
            in_main = bool(_SECTION.match(line))
        elif in_main and _key(line) == key:
            return True
    return False


def _key(line: str) -> str:
    # ConfigParser takes `:` for `=` too, and keys in any case.
    found = re.match(r"([^\s=:;#\[][^=:]*?)\s*[=:]", line)
    return found[1].lower() if found else ""
