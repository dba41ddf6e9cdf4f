"""Whether somebody listens already, for those who have to wait for it."""

from __future__ import annotations

import socket
from pathlib import Path


def listens(path: Path) -> bool:
    """Whether a Unix socket takes connections; its file is there a moment before it does."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True
