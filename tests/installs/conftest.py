"""A cobbler with a profile whose installer is up within seconds, and a host to install on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cobbler.bench import Bench
from tests.installs import guest
from tests.installs.host import Host, missing

PROFILE, TREE = "Quick-x86_64", "http://cobbler.example.org/cobbler/pub/tree/"
KICKSTART = f"# the kickstart of $name\nurl --url={TREE}\nreboot\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def quick(cobbler: Bench) -> Bench:
    """The cobbler with that profile."""
    if missing():
        pytest.skip(f"needs {', '.join(missing())}: make setup-test")
    try:
        with tempfile.TemporaryDirectory(prefix="tree-") as folder:
            tree = guest.tree(Path(folder) / "tree")
            done = cobbler.run(["cp", "-r", tree, "/var/www/cobbler/pub/tree"])
    except guest.CannotBeMade as exc:
        pytest.skip(f"no guest to install: {exc}")
    assert done.returncode == 0, done.stderr
    # koan sets autostart by itself, at qemu:///system, which is not where a session's machines are.
    cobbler.register(
        PROFILE, KICKSTART, kernel_options="console=ttyS0", virt_auto_boot=False, virt_file_size=1
    )
    return cobbler


@pytest.fixture(scope="module")
def host(quick: Bench) -> Iterator[Host]:
    made = Host(quick)
    yield made
    made.close()
