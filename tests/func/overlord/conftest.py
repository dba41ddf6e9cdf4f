"""Fixtures of the overlord's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest

from certmaster.config import load_certmaster_config
from func.config import load_overlord_config
from func.overlord.fanout import Fanout
from tests.func.overlord.farm import Authority, Farm, write_root
from tests.func.overlord.historic import HistoricMinion


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("master.example.org-CA-KEY", tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("other.example.org-CA-KEY", tmp_path_factory.mktemp("theirs"))


@pytest.fixture
def farm(authority: Authority) -> Iterator[Farm]:
    farm = Farm(authority)
    yield farm
    farm.stop()


MakeFanout = Callable[..., Fanout]


@pytest.fixture
def overlord(farm: Farm, tmp_path: Path) -> Iterator[MakeFanout]:
    """Makes a Fanout that knows the minions named."""
    made: list[Fanout] = []

    def make(*minions: str, addresses: Optional[dict[str, str]] = None, **options: object) -> Fanout:
        root = write_root(tmp_path, farm, list(minions), addresses)
        fanout = Fanout(load_overlord_config(root), load_certmaster_config(root), **options)  # type: ignore
        made.append(fanout)
        return fanout

    yield make
    for fanout in made:
        fanout.close()


@pytest.fixture
def historic(farm: Farm, tmp_path: Path) -> dict[str, HistoricMinion]:
    """Two minions with Func 0.30's modules and files of their own."""
    minions = {
        name: HistoricMinion(tmp_path / "machines" / name)
        for name in ("cloud1.example.org", "cloud2.example.org")
    }
    farm.answer = lambda name, method, args: minions[name].answer(method, args)
    return minions
