"""Fixtures of the tests of the command `func`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.func.overlord.cli.support import DOWN, NAMES
from tests.func.overlord.farm import Farm, write_root


@pytest.fixture
def root(farm: Farm, tmp_path: Path) -> str:
    """Two minions that answer and one that is down."""
    farm.answer = lambda name, method, args: args or {"virt.freemem": 14245, "test.ping": 1}[method]
    write_root(tmp_path, farm, [*NAMES, DOWN], {DOWN: "127.0.0.77"})
    return str(tmp_path)
