"""Keys made once, an authority in a folder of its own, a certmaster on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca, config
from certmaster.authority import Authority
from tests.certmaster.support import NOW, Pair, running


@pytest.fixture(scope="session")
def keys() -> list[bytes]:
    return [ca.new_key() for _ in range(3)]


@pytest.fixture(scope="session")
def authority_pair() -> Pair:
    key = ca.new_key(ca.CA_KEY_BITS)
    return Pair(ca.make_ca("master.example.org-CA-KEY", key, 1, NOW), key)


@pytest.fixture(scope="session")
def other_pair(keys: list[bytes]) -> Pair:
    return Pair(ca.make_ca("other.example.org-CA-KEY", keys[2], 1, NOW), keys[2])


@pytest.fixture
def settings(tmp_path: Path) -> config.CertmasterConfig:
    return config.load_certmaster_config(tmp_path)


@pytest.fixture
def authority(settings: config.CertmasterConfig, authority_pair: Pair) -> Callable[..., Authority]:
    """authority(autosign=True) is an Authority in tmp_path that has its key already."""
    settings.cadir.mkdir(parents=True)
    (settings.cadir / "certmaster.key").write_bytes(authority_pair.key)
    (settings.cadir / "certmaster.crt").write_bytes(authority_pair.cert)

    def make(**changes: Any) -> Authority:
        return Authority(replace(settings, **changes), "master.example.org", lambda: NOW)

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """serve(authority, limits) starts a certmaster and returns its port."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(running(*args))
