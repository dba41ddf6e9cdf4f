"""A cloud master's files below a root, as they lie after it ran, without any program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from cloudmasterd.config import load_config
from cloudmasterd.control.places import Places, places
from cloudmasterd.store import Store
from tests.blank import blank
from tests.certmaster.support import NOW
from tests.cloudmasterd.store.answers import NOON, ONE, create, full, machine, submit
from tests.fakes import FakeClock
from tests.ports import held_port

CLOUD = "cloud1.example.org"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def unused_port() -> Iterator[Callable[[], int]]:
    """Gives ports at which nobody answers to the end of the test, unless the test does."""
    with ExitStack() as held:
        yield lambda: held.enter_context(held_port())


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(scope="session")
def authority_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with an authority in it; its key takes a second to make."""
    root = tmp_path_factory.mktemp("authority")
    Authority(load_certmaster_config(root), "master.example.org", lambda: NOW).prepare()
    return root


@pytest.fixture
def make_master(
    authority_files: Path, tmp_path: Path, unused_port: Callable[[], int]
) -> Callable[[str], Places]:
    """make_master("a") is a cloud master below tmp_path/a that was stopped with a task in its line."""

    def make(name: str) -> Places:
        root = tmp_path / name
        for file in sorted((authority_files / "etc/pki/certmaster/ca").iterdir()):
            if not file.name.startswith("."):
                to = root / file.relative_to(authority_files)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(file.read_bytes())
                to.chmod(file.stat().st_mode & 0o777)
        port = unused_port()
        write(
            root / "etc/certmaster/certmaster.conf",
            f"[main]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n",
        )
        write(root / "etc/cloudmasterd/cloudmasterd.conf", f"[main]\nlisten_port = {unused_port()}\n", 0o640)
        write(root / "etc/func/hosts", f"127.0.0.1 {CLOUD}\n")
        write(root / "var/lib/certmaster/tokens/one.json", "{}", 0o600)
        write(root / "var/lib/certmaster/replaced/old.cert", "old")
        write(root / "var/lib/certmaster/triggers/sign/post/tell", "#!/bin/sh\n", 0o755)
        write(root / "var/lib/cloudmasterd/first-password", "abcde-fghij-kmnop-qrstu\n", 0o600)
        write(root / "var/lib/cloudmasterd/pki/master.key", "a key", 0o600)
        (root / "var/lib/cloudmasterd/pki").chmod(0o700)
        database = root / "var/lib/cloudmasterd/cloudmasterd.db"
        store = Store(blank(database))
        store.reconcile({ONE: full(machine(1))}, NOON)
        submit(store, create(7))
        store.close()
        return places(load_config(None, root), root / "etc/cloudmasterd/cloudmasterd.conf", root)

    return make


@pytest.fixture
def master(make_master: Callable[[str], Places]) -> Places:
    return make_master("master")
