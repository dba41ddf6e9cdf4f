"""A machine that can be replaced, one a test file, as new for each test."""

from __future__ import annotations

import pytest

from tests.cobbler.bench import Bench
from tests.cobbler.replaceable import F8, F42, RHEL5, Replaceable


@pytest.fixture(scope="module")
def dressed(cobbler: Bench) -> Replaceable:
    """The machine, and the profiles that the README names, with one of today."""
    cobbler.register(F8, distro={"arch": "i386"}, kernel_options="quiet")
    cobbler.register(RHEL5)
    cobbler.register(F42)
    return Replaceable(cobbler)


@pytest.fixture
def machine(dressed: Replaceable) -> Replaceable:
    dressed.reset()
    return dressed
