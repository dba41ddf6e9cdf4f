"""A backup becomes the same cloud master elsewhere; what speaks against it is said before any change."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from certmaster import ca
from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from cloudmasterd.acting import Deed
from cloudmasterd.control import archive
from cloudmasterd.control.backup import write_backup
from cloudmasterd.control.places import ASIDE, Places
from cloudmasterd.control.restore import Restored, restore
from cloudmasterd.errors import BackupError, CloudError, ConfigError, StoreLocked, StoreTooNew
from cloudmasterd.model import Step, StepState, TaskState
from cloudmasterd.store import Store
from cloudmasterd.store.copying import KNOWN_VERSION
from tests.cloudmasterd.control.conftest import CLOUD, write
from tests.cloudmasterd.control.test_backup import in_manifest, moved, rewrite
from tests.cloudmasterd.store.answers import create, submit
from tests.fakes import FakeClock

Tree = dict[str, tuple[int, bytes]]


def tree(root: Path) -> Tree:
    """Every file below a root: its mode and content; locks and what SQLite keeps beside are left out."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode & 0o777, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm"))
    }


@pytest.fixture
def backup(master: Places, tmp_path: Path, clock: FakeClock) -> Path:
    file = tmp_path / "b.tar.gz"
    write_backup(master, file, clock, images=False, force=False)
    return file


@pytest.fixture
def again(backup: Path, clock: FakeClock) -> Callable[..., Restored]:
    def do(root: Path, force: bool = False, keep_tasks: bool = False) -> Restored:
        return restore(backup, root, clock, force=force, keep_tasks=keep_tasks)

    return do


def without_database(found: Tree) -> Tree:
    return {name: file for name, file in found.items() if not name.endswith(".db")}


def test_a_fresh_machine_becomes_the_same_master(
    master: Places, again: Callable[..., Restored], tmp_path: Path
) -> None:
    done = again(tmp_path / "fresh")
    assert without_database(tree(tmp_path / "fresh")) == without_database(tree(master.root))
    assert (tmp_path / "fresh/var/lib/cloudmasterd/pki").stat().st_mode & 0o777 == 0o700
    assert (done.aside, done.written) == ((), len(done.manifest.entries))
    store = Store(tmp_path / "fresh/var/lib/cloudmasterd/cloudmasterd.db")
    assert [cloud.name for cloud in store.list_clouds()] == [CLOUD]
    store.close()


def test_a_restore_is_on_the_record_behind_what_the_backup_knew(
    master: Places, tmp_path: Path, clock: FakeClock
) -> None:
    with closing(Store(master.database)) as store:
        store.audit.add(Deed("bob", "before"))
    file = tmp_path / "with-a-record.tar.gz"
    write_backup(master, file, clock, images=False, force=False)
    done = restore(file, tmp_path / "fresh", clock, force=False, keep_tasks=False)
    with closing(Store(tmp_path / "fresh/var/lib/cloudmasterd/cloudmasterd.db")) as store:
        entry, before = store.audit.list()
        assert store.audit.verify().whole
    assert (before.deed.action, entry.deed.action, entry.deed.means) == ("before", "restore", "local")
    assert entry.deed.who
    assert entry.deed.detail == {"backup_of": done.manifest.created_at, "ended_tasks": 1}


def test_the_first_password_and_the_certificate_of_a_fresh_master_make_room_for_the_old_ones(
    master: Places, again: Callable[..., Restored], tmp_path: Path
) -> None:
    home = tmp_path / "fresh/var/lib/cloudmasterd"
    write(home / "first-password", "of the fresh one\n", 0o600)
    write(home / "pki/other.key", "signed by an authority that is gone", 0o600)
    (home / "pki").chmod(0o700)
    done = again(tmp_path / "fresh", force=True)
    assert without_database(tree(home))["first-password"] == (0o600, b"abcde-fghij-kmnop-qrstu\n")
    assert [path.name for path in (home / "pki").iterdir()] == ["master.key"]
    assert (home / "pki").stat().st_mode & 0o777 == 0o700
    assert {path.name.partition(ASIDE)[0] for path in done.aside} == {"first-password", "pki"}


def test_a_first_password_that_the_backup_does_not_know_is_put_aside(
    master: Places, tmp_path: Path, clock: FakeClock
) -> None:
    (master.root / "var/lib/cloudmasterd/first-password").unlink()
    file = tmp_path / "later.tar.gz"
    write_backup(master, file, clock, images=False, force=False)
    fresh = write(tmp_path / "fresh/var/lib/cloudmasterd/first-password", "of the fresh one\n", 0o600)
    done = restore(file, tmp_path / "fresh", clock, force=False, keep_tasks=False)
    assert not fresh.exists()
    assert [path.read_text() for path in done.aside] == ["of the fresh one\n"]


def test_the_samples_of_the_packages_are_put_aside_and_not_lost(
    again: Callable[..., Restored], tmp_path: Path
) -> None:
    sample = write(tmp_path / "fresh/etc/cloudmasterd/cloudmasterd.conf", "# a sample\n[main]\n")
    done = again(tmp_path / "fresh")
    (aside,) = done.aside
    assert aside.read_text() == "# a sample\n[main]\n"
    assert aside.name.startswith(f"{sample.name}{ASIDE}")
    assert "listen_port" in sample.read_text()


def test_tasks_that_were_under_way_are_ended_and_say_why(
    again: Callable[..., Restored], tmp_path: Path
) -> None:
    assert again(tmp_path / "fresh").ended_tasks == 1
    store = Store(tmp_path / "fresh/var/lib/cloudmasterd/cloudmasterd.db")
    (task,) = store.tasks.list()
    assert task.state is TaskState.FAILED
    assert task.error is not None and "restored from a backup of 2026-01-02T03:04:05" in task.error
    store.close()


def test_tasks_go_on_when_they_are_to(again: Callable[..., Restored], tmp_path: Path) -> None:
    assert again(tmp_path / "fresh", keep_tasks=True).ended_tasks == 0
    store = Store(tmp_path / "fresh/var/lib/cloudmasterd/cloudmasterd.db")
    assert [task.state for task in store.tasks.list()] == [TaskState.WAITING]
    store.close()


@pytest.mark.parametrize(
    ("begun", "kept"), [("disk:0", True), ("install", False)], ids=["before", "while it installs"]
)
def test_an_installation_that_had_begun_does_not_go_on(
    master: Places, tmp_path: Path, clock: FakeClock, begun: str, kept: bool
) -> None:
    store = Store(master.database)
    steps = (Step("disk:0", "Make disk 1"), Step("install", "Have koan set it up"))
    task = submit(store, create(8, steps=steps))
    store.tasks.begin(task.id, clock.now(), operation="op-1")
    if begun == "install":
        store.tasks.end_step(task.id, 0, StepState.DONE, "", {}, clock.now(), then="op-2")
    store.close()
    file = tmp_path / "later.tar.gz"
    write_backup(master, file, clock, images=False, force=False)
    done = restore(file, tmp_path / "fresh", clock, force=False, keep_tasks=True)
    assert done.ended_tasks == (0 if kept else 1)
    restored = Store(tmp_path / "fresh/var/lib/cloudmasterd/cloudmasterd.db")
    assert restored.tasks.get(task.id).state is (TaskState.RUNNING if kept else TaskState.FAILED)
    restored.close()


def test_no_number_that_was_given_out_since_means_two_things(
    master: Places, again: Callable[..., Restored], tmp_path: Path
) -> None:
    store = Store(master.database)
    store.change_cloud(CLOUD, notes="after the backup")
    given_out = store.change_count
    store.close()
    again(tmp_path / "fresh")
    restored = Store(tmp_path / "fresh/var/lib/cloudmasterd/cloudmasterd.db")
    assert restored.change_count > given_out
    restored.close()


def test_data_that_is_there_is_refused_and_by_force_put_aside(
    master: Places, again: Callable[..., Restored]
) -> None:
    write(master.root / "var/lib/certmaster/certs/later.cert", "later")
    before = tree(master.root)
    with pytest.raises(BackupError, match="there is data of a cloud master here"):
        again(master.root)
    assert tree(master.root) == before
    aside = again(master.root, force=True).aside
    names = {path.name.partition(ASIDE)[0] for path in aside} - {"cloudmasterd.db-wal", "cloudmasterd.db-shm"}
    assert names == {
        "cloudmasterd.db", "first-password", "pki", "ca", "certs", "tokens", "replaced", "triggers"
    }  # fmt: skip
    assert not (master.root / "var/lib/certmaster/certs/later.cert").exists(), "it would be in force"
    (certs,) = [path for path in aside if path.name.startswith("certs")]
    assert (certs / "later.cert").read_text() == "later"


@pytest.mark.parametrize("lost", [False, True], ids=["here", "on a fresh machine"])
def test_who_was_revoked_since_stays_revoked_where_that_is_known(
    master: Places, tmp_path: Path, clock: FakeClock, lost: bool
) -> None:
    certs = load_certmaster_config(master.root)
    one = Authority(replace(certs, autosign=True), "master.example.org", lambda: datetime.now(timezone.utc))
    for number in (1, 2):
        one.enrol(ca.make_request(ca.new_key(), f"cloud{number}.example.org"))
    for none in (certs.replacedroot / "old.cert", certs.tokenroot / "one.json"):
        none.unlink()
    one.revoke("cloud1.example.org")
    file = tmp_path / "revoked.tar.gz"
    write_backup(master, file, clock, images=False, force=False)
    one.revoke("cloud2.example.org")
    root = tmp_path / "fresh" if lost else master.root
    restore(file, root, clock, force=True, keep_tasks=False)
    found = ca.read_crl((root / "etc/pki/certmaster/ca/certmaster.crl").read_bytes(), one.certificate())
    assert len(found.serials) == (1 if lost else 2)


def test_what_was_put_aside_is_in_no_later_backup(
    master: Places, again: Callable[..., Restored], tmp_path: Path, clock: FakeClock
) -> None:
    again(master.root, force=True)
    later = write_backup(master, tmp_path / "later.tar.gz", clock, images=True, force=False)
    assert [entry.path for entry in later.entries if ASIDE in entry.path] == []


def test_a_running_cloud_master_is_left_alone(master: Places, again: Callable[..., Restored]) -> None:
    before = tree(master.root)
    store = Store(master.database)
    try:
        with pytest.raises(StoreLocked, match="in use by another cloudmasterd"):
            again(master.root, force=True)
    finally:
        store.close()
    assert without_database(tree(master.root)) == without_database(before)


def test_a_running_certmaster_is_left_alone(
    master: Places, again: Callable[..., Restored], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", master.func.listen_port)):
        with pytest.raises(BackupError, match="systemctl stop cloudmasterd certmaster"):
            again(tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_images_that_the_catalogue_knows_stay_and_others_are_put_aside(
    master: Places, again: Callable[..., Restored]
) -> None:
    stranger = write(master.root / "var/lib/cloudmasterd/images/later.img", "later", 0o600)
    aside = again(master.root, force=True).aside
    assert [path.parent for path in aside if path.name.startswith("later.img")] == [stranger.parent]


def test_images_come_back_with_their_data(master: Places, tmp_path: Path, clock: FakeClock) -> None:
    write(master.root / "var/lib/cloudmasterd/images/golden.img", "x" * 5000, 0o600)
    file = tmp_path / "with-images.tar.gz"
    write_backup(master, file, clock, images=True, force=False)
    restore(file, tmp_path / "fresh", clock, force=False, keep_tasks=False)
    image = tmp_path / "fresh/var/lib/cloudmasterd/images/golden.img"
    assert (image.read_text(), image.stat().st_mode & 0o777) == ("x" * 5000, 0o600)


def in_database(file: Path, tmp_path: Path, sql: str) -> None:
    """Write a backup anew with its database changed, and checksums that fit."""
    changed = tmp_path / "changed.db"

    def change(name: str, data: bytes) -> list[tuple[str, bytes]]:
        if name.endswith(".db"):
            changed.write_bytes(data)
            with closing(sqlite3.connect(changed)) as raw:
                raw.executescript(sql)
            data = changed.read_bytes()
        return [(name, data)]

    rewrite(file, change)
    manifest = archive.read_manifest(file)
    path = manifest.database
    body = changed.read_bytes()
    entries = [
        {
            "path": entry.path, "kind": entry.kind.value, "mode": f"{entry.mode:04o}",
            "size": len(body) if entry.path == path else entry.size,
            "sha256": hashlib.sha256(body).hexdigest() if entry.path == path else entry.sha256,
        }
        for entry in manifest.entries
    ]  # fmt: skip
    rewrite(file, in_manifest(entries=entries))


def test_a_newer_schema_is_refused_untouched(
    backup: Path, again: Callable[..., Restored], tmp_path: Path
) -> None:
    rewrite(backup, in_manifest(schema=KNOWN_VERSION + 1, version="9.0.0"))
    with pytest.raises(StoreTooNew, match=r"written by cloudmasterd 9.0.0.*take a backup from before"):
        again(tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("PRAGMA user_version = 99; UPDATE meta SET value = '99' WHERE key = 'schema_version'", "version 99"),
        ("DROP TABLE meta", "not one of cloudmasterd's"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM cloud", "that are gone"),
    ],
    ids=["a newer one than the list says", "another program's", "rows without their parents"],
)
def test_a_database_that_cannot_be_used_is_refused(
    backup: Path, again: Callable[..., Restored], tmp_path: Path, sql: str, told: str
) -> None:
    in_database(backup, tmp_path, sql)
    with pytest.raises(CloudError, match=told):
        again(tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_a_file_for_another_place_is_refused(
    backup: Path, again: Callable[..., Restored], tmp_path: Path
) -> None:
    rewrite(backup, moved("etc/cron.d/evil"))
    with pytest.raises(BackupError, match="is no place for a file of the kind 'configuration'"):
        again(tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_a_configuration_that_this_version_does_not_take_is_refused(
    master: Places, tmp_path: Path, clock: FakeClock
) -> None:
    master.config_file.write_text("[main]\nfrom_the_future = 1\n")
    file = tmp_path / "odd.tar.gz"
    write_backup(master, file, clock, images=False, force=False)
    with pytest.raises(ConfigError, match="from_the_future"):
        restore(file, tmp_path / "fresh", clock, force=False, keep_tasks=False)


def test_a_restore_that_fails_half_way_leaves_all_as_it_was(
    master: Places, again: Callable[..., Restored], tmp_path: Path
) -> None:
    (master.root / "etc/func/hosts").unlink()
    (master.root / "etc/func/hosts").mkdir()  # cannot be read as a file, and is met late
    (master.root / "etc/func/hosts/x").write_text("")
    before = tree(master.root)
    with pytest.raises(BackupError, match=r"all is as it was before"):
        again(master.root, force=True)
    assert tree(master.root) == before
    assert [path for path in master.root.rglob("*") if ASIDE in path.name] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_directories_keep_the_owner_and_mode_they_had(master: Places, again: Callable[..., Restored]) -> None:
    folder = master.func.cadir
    os.chown(folder, 65534, 65534)
    folder.chmod(0o750)
    again(master.root, force=True)
    found = folder.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (65534, 65534, 0o750)
