"""Where somebody is led who has signed in: a page of this site, and nowhere else."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

HOME = "/"
LOGIN = "/login"
MAX_LENGTH = 2048

# Printable ASCII. Browsers take \ for /, and drop tabs and line ends, before they look where a URL leads.
_SOUND = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_DROPPED = re.compile(r"[\x00-\x20\x7f]")
_NOWHERE = (LOGIN, "/logout")


def safe_next(text: str) -> str:
    """The path, with its query, that a login leads to; HOME for everything that might lead elsewhere."""
    if len(text) > MAX_LENGTH:
        return HOME
    # what is decoded once more on the way, by whomever, must not lead away either
    once = unquote(text)
    decoded = (_DROPPED.sub("", form) for form in (once, unquote(once)))
    if not _SOUND.fullmatch(text) or not all(_SOUND.match(form) for form in decoded):
        return HOME
    return HOME if re.split(r"[?#]", text)[0] in _NOWHERE else text


def login_path(target: str) -> str:
    """Where somebody signs in who is to see `target` afterwards."""
    return LOGIN if target == HOME else f"{LOGIN}?next={quote(target, safe='/')}"
