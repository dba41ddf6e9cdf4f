"""The file a machine brings its one-time token in: read, sent as a proof, removed when it has served."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

from certmaster import proof
from certmaster.certdir import read_file, remove_file
from certmaster.errors import FileError, TokenNotTaken

log = logging.getLogger(__name__)

_OTHERS = 0o077


def read(path: Path) -> str:
    """The token, "" where there is no file; raises TokenNotTaken for what is no token, and FileError."""
    data = b"" if path == Path() else read_file(path)
    text = (data or b"").decode("latin-1").strip()
    if text and not proof.TOKEN.fullmatch(text):
        raise TokenNotTaken(
            f"{path} holds no token: one is of 43 letters, digits, - and _, alone in the file"
        )
    return text


def warn_of(path: Path, trusts_somebody: bool) -> None:
    """Say what is unsafe about a token that is there."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path != Path() else 0
    except OSError:
        return  # there is none; one that cannot be read is told of when it is read
    if mode & _OTHERS:
        log.warning("%s has mode %04o: anybody here may read the token; chmod 0600", path, mode)
    if path != Path() and not trusts_somebody:
        log.warning(
            "there is a token in %s but no ca_fingerprint: the first certmaster that answers is trusted", path
        )


def remove(path: Path) -> None:
    """Take a token away that has served; one that cannot be removed is told of, and harms nobody."""
    if path == Path() or not path.exists():
        return
    try:
        remove_file(path)
        log.info("%s is not needed any more and removed", path)
    except FileError as exc:
        log.warning("%s (it is not needed any more)", exc)
