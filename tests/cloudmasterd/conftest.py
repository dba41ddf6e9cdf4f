"""Cloud masters over real stores and minions that are played, for the tests of their use cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.cloudmasterd.folk import Folk
from tests.cloudmasterd.works import Works


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Works]]:
    """Builds cloud masters, with settings of `Works`; each has a folder of its own."""
    made: list[Works] = []

    def make(**settings: Any) -> Works:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Works(folder, **settings))
        return made[-1]

    yield make
    for works in made:
        works.close()


@pytest.fixture
def works(make: Callable[..., Works]) -> Works:
    """A cloud master with the settings that are usual."""
    return make()


@pytest.fixture
def folk(tmp_path: Path) -> Iterator[Folk]:
    """An admin, people and the way in."""
    opened = Folk(tmp_path)
    yield opened
    opened.close()
