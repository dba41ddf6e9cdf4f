"""Fixtures of the tests of the module `machine`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.func.minion.machine.support import NODE, Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    cloud = Cloud(tmp_path, f"test://{node}")
    cloud.connection.networkLookupByName("idle").destroy()
    cloud.connection.storagePoolLookupByName("cold").destroy()
    yield cloud
    cloud.module.close()
