"""Databases with their tables and nothing in them: one is made, and copied for each test with a store."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from cloudmasterd.store.migrate import migrate
from cloudmasterd.store.opening import open_database


def blank(path: Path) -> Path:
    """Put one at `path` where there is none yet; making all tables takes longer than most tests do."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(_made())
    return path


@cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        with open_database(path) as connection:
            migrate(connection.raw, path)
        return path.read_bytes()
