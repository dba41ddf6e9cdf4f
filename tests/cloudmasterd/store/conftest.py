"""A store on a real file, and short ways to say what cloud instances answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmasterd.store import Store
from tests.blank import blank
from tests.fakes import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cloudmasterd.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(path: Path, clock: FakeClock) -> Iterator[Store]:
    opened = Store(blank(path), clock=clock)
    yield opened
    opened.close()
