"""Packages built once for all tests of this folder, from the checkout as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = ("rpmbuild", "rpmsign", "createrepo_c", "gpg", "dnf", "rpm2cpio", "cpio", "checkmodule")
# rpm's Python needs the distribution's own interpreter, as make has it.
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


@dataclass(frozen=True)
class Built:
    """A copy of the checkout, and the packages that were made of it."""

    source: Path
    folder: Path

    @property
    def rpms(self) -> Path:
        """Where the packages are, unsigned."""
        return self.folder / "out/rpms"

    @property
    def srpms(self) -> Path:
        """Where the source packages are, unsigned."""
        return self.folder / "out/srpms"

    @property
    def repo(self) -> Path:
        """The signed repository."""
        return self.folder / "out/repo"

    def rpm(self, name: str) -> Path:
        """The package of that name."""
        found = [path for path in self.rpms.glob(f"{name}-*.rpm") if path.name[len(name) + 1].isdigit()]
        assert len(found) == 1, found
        return found[0]

    def build(self, what: str, folder: Path, *options: str) -> Path:
        """Build once more, elsewhere; the folder of what was made."""
        # The same test key, because the public half is in one of the packages.
        if not (folder / "work/gnupg").exists():
            shutil.copytree(
                self.folder / "work/gnupg", folder / "work/gnupg", ignore=shutil.ignore_patterns("S.*")
            )
            (folder / "work/gnupg").chmod(0o700)
        run_tool("build.py", what, *places(self.source, folder), *options)
        return folder / "out" / what


def places(source: Path, folder: Path) -> list[str]:
    """The options of build.py that say where everything is."""
    return [
        "--root", str(source), "--work", str(folder / "work"), "--out", str(folder / "out"),
        "--cache", str(CHECKOUT / "build/rpm-cache"), "--check-python", sys.executable,
    ]  # fmt: skip


def run_tool(name: str, *arguments: str) -> str:
    """What a program of tools/rpm printed; fails with it where the program does."""
    done = subprocess.run(
        [PYTHON, str(CHECKOUT / "tools/rpm" / name), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    """The packages and their repository."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make setup-rpm installs them")
    # Not below pytest's own directory: the socket of gpg's agent must fit into 107 bytes.
    with tempfile.TemporaryDirectory(prefix="rpm-") as name:
        folder = Path(name)
        left_out = shutil.ignore_patterns(".*", "build", "dist", "var", "__pycache__", "*.egg-info")
        shutil.copytree(CHECKOUT, folder / "source", ignore=left_out, symlinks=True)
        run_tool("build.py", "rpms", *places(folder / "source", folder))
        run_tool("repo.py", "--work", str(folder / "work"), "--out", str(folder / "out"))
        yield Built(folder / "source", folder)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """An empty folder with a short path, for a second build."""
    with tempfile.TemporaryDirectory(prefix="rpm-") as name:
        yield Path(name)
