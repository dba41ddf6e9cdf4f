"""A host of libvirt's test driver, whose koan is one of the test's own."""

from __future__ import annotations

from tests.func.minion.machine.conftest import cloud as cloud
