"""Whether a text that cobbler gave is a kickstart it could render; pure."""

from __future__ import annotations

import re

SECTIONS = ("%pre", "%post", "%packages", "%addon", "%onerror", "%traceback", "%anaconda", "%certificate")
HASH = re.compile(r"\$(1|2[aby]?|5|6|y|gy|7)\$\S+")  # of a password: rootpw --iscrypted $6$salt$...
UNFILLED = re.compile(r"\$\{?([A-Za-z_]\w*)")
# What anaconda and dnf fill in themselves, in repo and url.
THEIRS = ("releasever", "basearch", "arch", "stream", "contentdir", "infra")
# What cobbler writes in the place of a part that it could not render, and answers 200 with.
BROKEN = ("# Error: no snippet data for", "# *** ERROR ***", "# *** This template")


def flaw(text: str) -> str:
    """What is wrong with a rendered kickstart, or an empty string.

    cobbler answers every failure of its templates with 200 and a text in comments, and leaves a variable
    that it does not know as it stands.
    """
    lines = [line.strip() for line in text.splitlines()]
    if not any(lines):
        return "it is empty"
    if all(line.startswith("#") or not line for line in lines):
        return "cobbler says instead: " + " ".join(line.lstrip("# ") for line in lines if line)[:300]
    for line in lines:
        if line.startswith(BROKEN):
            return f"a part of it is missing: {line.lstrip('# ')}"
    return unfilled(lines)


def unfilled(lines: list[str]) -> str:
    """The first command in which cobbler left a variable as it was; scripts may have their own."""
    inside = False
    for line in lines:
        if line.startswith(SECTIONS):
            inside = True
        elif line.startswith("%end"):
            inside = False
        elif not inside and not line.startswith("#"):
            for name in UNFILLED.findall(HASH.sub("", line)):
                if name not in THEIRS:
                    return f"cobbler does not know ${name}, in the line: {line.split()[0]} ..."
    return ""
