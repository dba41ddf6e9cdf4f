"""Machines to install into, the repository that they install from, and a cloud of two of them.

What a module needs is done once, by fixtures that build on each other and write down what they saw; tests
look at that, or at a machine that no later step of the same module changes in what they look at.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import Built, run_tool
from tests.packaging.machines import support
from tests.packaging.machines.machine import CannotBoot, Machine
from tests.packaging.machines.tree import CannotBeMade, tree, why_not

Boot = Callable[[str], Machine]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def lower() -> Path:
    """The tree below all machines; skips where there can be none."""
    if why_not():
        pytest.skip(why_not())
    try:
        return tree()
    except CannotBeMade as exc:
        pytest.skip(f"no tree to boot: {exc}")


@pytest.fixture(scope="session")
def stand_in(lower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package by which Debian has what packages made for Fedora ask for."""
    folder = tmp_path_factory.mktemp("stand-in")
    defines = {"_topdir": str(folder), "_rpmdir": str(folder), "pyabi": support.python_of(lower)}
    for name in ("cryptography", "markupsafe", "setuptools"):
        defines[name] = support.version_in(lower, f"python3-{name}")
    options = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
    spec = Path(__file__).parents[1] / "stand-in.spec"
    subprocess.run(["rpmbuild", "-bb", "--quiet", *options, str(spec)], check=True, capture_output=True)
    (package,) = folder.glob("noarch/*.rpm")
    return package


@pytest.fixture(scope="session")
def newer(built: Built, lower: Path) -> Iterator[Path]:
    """A repository that has a second build besides, whose database has one more migration."""
    with tempfile.TemporaryDirectory(prefix="rpm-") as name:
        folder = Path(name)
        shutil.copytree(built.source, folder / "source", symlinks=True)
        support.add_a_migration(folder / "source")
        made = Built(folder / "source", built.folder).build(
            "rpms", folder, "--release", "2", "--no-check", "--only", "cloudmasterd"
        )
        for package in (*built.rpms.iterdir(), *built.srpms.iterdir()):
            target = made if package.parent == built.rpms else folder / "out/srpms"
            if not (target / package.name).exists():
                shutil.copy(package, target)
        run_tool("repo.py", "--work", str(folder / "work"), "--out", str(folder / "out"))
        yield folder / "out/repo"


@pytest.fixture(scope="module")
def shared(built: Built, stand_in: Path) -> Iterator[Path]:
    """The folder that all machines of a module see as /srv/shared; the repository in it is theirs alone."""
    with tempfile.TemporaryDirectory(prefix="shared-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(stand_in, folder / "stand-in.rpm")
        support.publish(built.repo, folder)
        yield folder


@pytest.fixture(scope="module")
def boot(lower: Path, shared: Path) -> Iterator[Boot]:
    """Boot a machine by its name: fresh, with nothing of ours but the repository."""
    made: list[Machine] = []

    def booted(name: str) -> Machine:
        try:
            machine = Machine(lower, name, support.ADDRESSES, shared)
        except CannotBoot as exc:
            pytest.skip(f"no machine can be booted here: {exc}")
        made.append(machine)
        machine.run("rpm -i --quiet /srv/shared/stand-in.rpm")
        machine.run("mkdir -p /srv/cloudmasterd && ln -s /srv/shared/repo /srv/cloudmasterd/repo")
        machine.run("rpm -i /srv/shared/repo/packages/cloudmasterd-release-*.noarch.rpm")
        return machine

    yield booted
    for machine in made:
        machine.close()
