"""Read a secret that an administrator has put into a file."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from cloudmasterd.errors import ConfigError

# 16 random bytes are 24 characters in base64 and 32 in hexadecimal.
LEAST_CHARACTERS = 24
_SECRET = re.compile(rf"[!-~]{{{LEAST_CHARACTERS},1024}}")
_HOW = "`openssl rand -hex 32` prints one that is good"


def read_secret(file: Path) -> str:
    """The secret in a file, its only line; raises ConfigError, whose text has nothing of the secret.

    What everybody can read is no secret, so others than the file's owner and group may have no right to it.
    It goes into a header: printable, without a blank.
    """
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            data = opened.read(2048)
    except FileNotFoundError as exc:
        raise ConfigError(f"{file}: there is no such file; put a secret there: {_HOW}") from exc
    except OSError as exc:
        raise ConfigError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    if mode & stat.S_IRWXO:
        raise ConfigError(
            f"{file} has mode {mode:04o}: everybody on this machine may know the secret in it. Put another"
            f" one there ({_HOW}) and make it 0600, or 0640 with the daemon's group"
        )
    text = data.decode("ascii", "replace").rstrip("\r\n")
    if not text:
        raise ConfigError(f"{file} is empty; put a secret there: {_HOW}")
    if not _SECRET.fullmatch(text):
        raise ConfigError(
            f"{file} does not hold one line of {LEAST_CHARACTERS} to 1024 printable characters without a"
            f" blank; put another secret there: {_HOW}"
        )
    return text
