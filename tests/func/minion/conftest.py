"""Fixtures of the minion's tests: an authority, real servers, libvirt's test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from func.minion.server import Limits
from tests.func.minion.helpers import NODE, Authority, Identity, Running, echo


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "own", "master.example.org-CA-KEY")


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "foreign", "master.example.org-CA-KEY")


@pytest.fixture(scope="session")
def minion_identity(authority: Authority) -> Identity:
    return authority.issue("cloud1.example.org")


@pytest.fixture(scope="session")
def peer_identity(authority: Authority) -> Identity:
    return authority.issue("peer.example.org")


@pytest.fixture
def serve(minion_identity: Identity) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(dispatch: Any = echo, **limits: Any) -> Running:
        started.append(Running(minion_identity, dispatch, Limits(**limits)))
        return started[-1]

    yield start
    for running in started:
        running.end()


@pytest.fixture
def node_uri(tmp_path: Path) -> str:
    pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")
    path = tmp_path / "node.xml"
    path.write_text(NODE)
    return f"test://{path}"
