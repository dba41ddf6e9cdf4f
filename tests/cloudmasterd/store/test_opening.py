"""A database is opened by one cloud master at a time, or it is said why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudmasterd.errors import StoreError, StoreLocked
from cloudmasterd.store import Store
from cloudmasterd.store.schema import MIGRATIONS
from tests.cloudmasterd.store.answers import NOON, ONE, full, look, machine, where

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may do what the mode of a file forbids, so be somebody else meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that an account without privileges can reach, which pytest's own it cannot."""
    folder = Path(tempfile.mkdtemp(prefix="cloudmasterd-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_second_cloud_master_is_told_which_process_has_the_database(path: Path):
    store = Store(path)
    with pytest.raises(StoreLocked) as caught:
        Store(path)
    assert str(caught.value) == (
        f"{path} is in use by another cloudmasterd, process {os.getpid()} (lock file {path}.lock); stop that"
        " one first, or give this one a database of its own"
    )
    store.reconcile({ONE: full(machine(1))}, NOON)
    store.close()
    store = Store(path)
    assert where(store) == {"m1.example.org": ONE}
    store.close()


def test_a_cloud_master_in_another_process_is_refused(path: Path):
    store = Store(path)
    code = "import sys, pathlib; from cloudmasterd.store import Store; Store(pathlib.Path(sys.argv[1]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ended.returncode == 1
    assert f"StoreLocked: {path} is in use by another cloudmasterd, process {os.getpid()}" in ended.stderr
    store.close()


def test_a_symbolic_link_is_no_way_round_the_lock(path: Path):
    store = Store(path)
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(StoreLocked):
        Store(link)
    store.close()


def test_a_store_that_could_not_be_opened_leaves_no_lock(path: Path):
    path.write_bytes(b"x" * 4096)
    for _ in range(2):
        with pytest.raises(StoreError, match="not a database"):
            Store(path)
    path.unlink()
    Store(path).close()


def test_only_the_owner_may_read_any_of_the_files(path: Path):
    store = Store(path)
    store.reconcile({ONE: full(machine(1))}, NOON)
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == [path.name + end for end in ("", "-shm", "-wal", ".lock")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    store.close()
    path.chmod(0o644)
    Store(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_missing_folder_is_named_and_not_made(tmp_path: Path):
    with pytest.raises(StoreError, match=f"there is no folder {tmp_path}/nowhere; make it"):
        Store(tmp_path / "nowhere" / "cloudmasterd.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_or_a_loop_in_the_place_of_the_database_is_an_error(tmp_path: Path):
    with pytest.raises(StoreError, match="it is no file"):
        Store(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError, match="cannot use the database|cannot open"):
        Store(tmp_path / "a" / "x.db")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="there is no folder"):
        Store(tmp_path / "file" / "x.db")


def test_an_unwritable_folder_is_a_clear_error(open_folder: Path):
    open_folder.chmod(0o555)
    with (
        without_privileges(),
        pytest.raises(StoreError, match="Permission denied; the account cloudmasterd runs"),
    ):
        Store(open_folder / "cloudmasterd.db")


def test_a_database_of_another_account_is_a_clear_error(open_folder: Path):
    database = open_folder / "cloudmasterd.db"
    Store(database).close()
    open_folder.chmod(0o777)
    database.chmod(0o000)
    (open_folder / "cloudmasterd.db.lock").chmod(0o666)
    with without_privileges(), pytest.raises(StoreError, match="cannot (open|use)"):
        Store(database)


@pytest.mark.parametrize(
    "content", [b"hello, I am a text file\n" * 99, os.urandom(8192)], ids=["text", "noise"]
)
def test_a_file_that_is_no_database_is_refused_untouched(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"cannot open {path}: file is not a database; it is no SQLite file: move it away, or name another"
        " file as the database"
    )
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_database(path: Path):
    path.touch(0o644)
    Store(path).close()
    assert look(path, "PRAGMA user_version") == [(MIGRATIONS[-1].version,)]


def test_a_damaged_database_is_noticed_when_it_is_opened(path: Path):
    store = Store(path)
    store.reconcile({ONE: full(*map(machine, range(500)))}, NOON)
    store.close()
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096 * 10)
    with pytest.raises(StoreError, match="damaged|malformed"):
        Store(path)


def test_a_clean_restart_goes_on_counting_and_one_after_a_crash_skips_ahead(path: Path):
    store = Store(path)
    store.reconcile({ONE: full(machine(1))}, NOON)
    count = store.change_count
    store.close()
    store = Store(path)
    assert store.change_count == count
    store.close()
    # what a process that was killed, or a power cut, leaves behind
    path.with_name(path.name + ".lock").write_text("4711\n")
    store = Store(path)
    assert store.change_count > count + 100_000
    count = store.change_count
    store.close()
    store = Store(path)
    assert store.change_count == count
    store.close()


def test_a_start_that_fails_after_a_crash_does_not_pass_for_a_clean_one(path: Path):
    Store(path).close()
    lock = path.with_name(path.name + ".lock")
    lock.write_text("4711\n")
    away = path.rename(path.with_name("away"))
    path.write_bytes(b"no database, but long enough to look like one" * 99)
    with pytest.raises(StoreError):
        Store(path)
    away.replace(path)
    store = Store(path)
    assert store.change_count > 100_000
    store.close()
