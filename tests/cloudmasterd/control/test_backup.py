"""A backup holds all of a cloud master, appears whole or not at all, and is refused when a byte is wrong."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudmasterd.config import load_config
from cloudmasterd.control import archive
from cloudmasterd.control.archive import Manifest
from cloudmasterd.control.backup import write_backup
from cloudmasterd.control.places import Places, places
from cloudmasterd.errors import BackupError, StoreError
from cloudmasterd.store import Store
from cloudmasterd.store.copying import copy_database, look_at
from tests.cloudmasterd.control.conftest import write
from tests.fakes import FakeClock


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "master.tar.gz"


@pytest.fixture
def take(master: Places, target: Path, clock: FakeClock) -> Callable[..., Manifest]:
    target.parent.mkdir()

    def do(images: bool = False, force: bool = False) -> Manifest:
        return write_backup(master, target, clock, images=images, force=force)

    return do


def test_it_holds_everything_that_makes_the_master(take: Callable[..., Manifest], target: Path) -> None:
    manifest = take()
    assert sorted(entry.path for entry in manifest.entries) == [
        "etc/certmaster/certmaster.conf",
        "etc/cloudmasterd/cloudmasterd.conf",
        "etc/func/hosts",
        "etc/pki/certmaster/ca/certmaster.crt",
        "etc/pki/certmaster/ca/certmaster.key",
        "etc/pki/certmaster/ca/serial.txt",
        "var/lib/certmaster/replaced/old.cert",
        "var/lib/certmaster/tokens/one.json",
        "var/lib/certmaster/triggers/sign/post/tell",
        "var/lib/cloudmasterd/cloudmasterd.db",
        "var/lib/cloudmasterd/first-password",
        "var/lib/cloudmasterd/pki/master.key",
    ]
    assert archive.read(target) == archive.read_manifest(target) == manifest
    assert len(manifest.authority) == 64
    assert target.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in target.parent.iterdir()] == [target.name], "nothing else is left"


def test_images_come_along_when_they_are_asked_for(
    master: Places, take: Callable[..., Manifest], target: Path
) -> None:
    write(master.root / "var/lib/cloudmasterd/images/golden.img", "x" * 5000, 0o600)
    assert not [entry for entry in take().entries if entry.path.endswith(".img")]
    assert [entry.size for entry in take(images=True, force=True).entries if entry.path.endswith(".img")] == [
        5000
    ]


def test_the_secret_of_the_web_server_in_front_comes_along_wherever_it_is(
    master: Places, target: Path, clock: FakeClock
) -> None:
    conf = master.root / "etc/cloudmasterd/cloudmasterd.conf"
    conf.write_text("[main]\nbehind_proxy = yes\nproxy_secret_file = /srv/secret\n")
    write(master.root / "srv/secret", "s" * 32, 0o640)
    where = places(load_config(None, master.root), conf, master.root)
    target.parent.mkdir()
    manifest = write_backup(where, target, clock, images=False, force=False)
    assert [entry.mode for entry in manifest.entries if entry.path == "srv/secret"] == [0o640]


def test_an_older_file_goes_only_by_force(take: Callable[..., Manifest], target: Path) -> None:
    target.write_text("precious")
    with pytest.raises(BackupError, match="is there already"):
        take()
    assert target.read_text() == "precious"
    take(force=True)
    assert archive.read(target).schema > 0


def test_without_a_database_nothing_is_written(
    master: Places, take: Callable[..., Manifest], target: Path
) -> None:
    master.database.unlink()
    with pytest.raises(StoreError, match="there is no database"):
        take()
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(master: Places, tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(BackupError, match="cannot be written: No such file"):
        write_backup(master, tmp_path / "nowhere/b.tar.gz", clock, images=False, force=False)


def test_a_secret_that_others_could_read_is_kept_from_them(
    master: Places, take: Callable[..., Manifest]
) -> None:
    (master.func.ca_key).chmod(0o644)
    modes = {entry.path.rpartition("/")[2]: entry.mode for entry in take().entries}
    assert modes["certmaster.key"] == 0o600
    assert (modes["one.json"], modes["cloudmasterd.db"], modes["tell"]) == (0o600, 0o600, 0o755)


def test_a_copy_of_a_database_that_is_written_meanwhile_is_sound(master: Places, tmp_path: Path) -> None:
    store = Store(master.database)
    try:
        store.change_cloud("cloud1.example.org", notes="before")
        copy_database(master.database, tmp_path / "copy.db")
        store.change_cloud("cloud1.example.org", notes="after")
    finally:
        store.close()
    assert look_at(tmp_path / "copy.db").problem == ""
    copied = Store(tmp_path / "copy.db")
    assert copied.get_cloud("cloud1.example.org").notes == "before"
    copied.close()


def test_a_copy_comes_to_its_end_while_somebody_writes_all_the_time(master: Places, tmp_path: Path) -> None:
    store, ended = Store(master.database), threading.Event()

    def write_on() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            store.change_cloud("cloud1.example.org", notes=f"{number} " * 2000)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for number in range(5):
            copy_database(master.database, tmp_path / f"{number}.db")
    finally:
        ended.set()
        writer.join()
        store.close()
    assert {look_at(tmp_path / f"{number}.db").problem for number in range(5)} == {""}


def rewrite(file: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> None:
    """Write a backup anew with each member changed."""
    with tarfile.open(file) as tar:
        members = [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    with tarfile.open(file, "w:gz") as tar:
        for name, data in members:
            for new_name, new_data in change(name, data):
                info = tarfile.TarInfo(new_name)
                info.size = len(new_data)
                tar.addfile(info, io.BytesIO(new_data))


def in_manifest(**changes: Any) -> Callable[[str, bytes], list[tuple[str, bytes]]]:
    def change(name: str, data: bytes) -> list[tuple[str, bytes]]:
        return [
            (name, json.dumps({**json.loads(data), **changes}).encode() if name == "manifest.json" else data)
        ]

    return change


def moved(path: str) -> Callable[[str, bytes], list[tuple[str, bytes]]]:
    """One file of the manifest and of the archive under another path."""

    def change(name: str, data: bytes) -> list[tuple[str, bytes]]:
        if name == "manifest.json":
            return [(name, data.replace(b'"etc/func/hosts"', json.dumps(path).encode()))]
        return [(path if name == "etc/func/hosts" else name, data)]

    return change


BAD = {
    "a byte of a file changed": (
        lambda name, data: [(name, data[:-1] + b"?" if name.endswith(".key") else data)],
        "is damaged: etc/pki/certmaster/ca/certmaster.key",
    ),
    "a file is missing": (
        lambda name, data: [] if name.endswith("hosts") else [(name, data)],
        "is not whole: etc/func/hosts is missing",
    ),
    "a file is too many": (
        lambda name, data: [(name, data), *([("etc/shadow", b"x")] if name.endswith("hosts") else [])],
        "holds 'etc/shadow', which its list does not name",
    ),
    "no manifest": (lambda name, data: [(name + "x", data)], "does not begin with manifest.json"),
    "manifest is no JSON": (
        lambda name, data: [(name, b"{" if name == "manifest.json" else data)],
        "manifest.json cannot be understood",
    ),
    "manifest of a later form": (in_manifest(format=2), "in a form that this one does not know"),
    "manifest without a schema": (in_manifest(schema=None), "cannot be understood"),
    "a path that climbs": (moved("../etc/shadow"), "is no path below a root"),
    "a path from the top": (moved("/etc/shadow"), "is no path below a root"),
    "the same path twice": (moved("etc/certmaster/certmaster.conf"), "a path is named twice"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_a_whole_backup_is_refused(
    take: Callable[..., Manifest], target: Path, kind: str
) -> None:
    take()
    change, told = BAD[kind]
    rewrite(target, change)
    with pytest.raises(BackupError, match=told):
        archive.read(target)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", gzip.compress(b"hello"), b"\x1f\x8b\x08\x00"],
    ids=["empty", "text", "gzip", "stub"],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(data)
    with pytest.raises(BackupError, match=r"is no backup of a cloud master|begin with"):
        archive.read(file)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_backup_that_was_cut_off_is_refused(
    take: Callable[..., Manifest], target: Path, share: float
) -> None:
    take()
    data = target.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BackupError, match="damaged|not whole|no backup"):
        archive.read(target)
