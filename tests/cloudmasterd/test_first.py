"""The first admin: made once, known by a file that nobody else reads, and never locked out by a crash."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmasterd.accounts import FIRST_ADMIN
from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import StartError
from cloudmasterd.first import FirstPassword, ensure_first_admin
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Role
from cloudmasterd.store import Store
from tests.cloudmasterd.folk import OTHER, PASSWORD, WEAK

PATHS = ["cloudmasterd.db", "cloudmasterd.db-shm", "cloudmasterd.db-wal", "cloudmasterd.db.lock"]


class New:
    """A cloud master that nobody has ever signed in to."""

    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        self.path = folder / "cloudmasterd.db"
        self.store = Store(self.path, clock=clock)
        self.passwords = Passwords(clock, WEAK)
        self.first = FirstPassword(self.path)
        self.people = People(self.store, clock, self.passwords, first=self.first)

    def start(self) -> bool:
        return ensure_first_admin(self.people, self.first, SystemClock())

    def opens(self, password: str, name: str = FIRST_ADMIN) -> bool:
        return self.passwords.check(password, self.store.users.password_of(name))


@pytest.fixture
def new(tmp_path: Path) -> Iterator[New]:
    made = New(tmp_path)
    yield made
    made.store.close()


def test_the_first_start_makes_an_admin_and_says_the_password_in_a_file(
    new: New, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert new.start()
    (user,) = new.people.list_users()
    assert (user.name, user.role, user.password_changed_at) == (FIRST_ADMIN, Role.ADMIN, None)
    password = new.first.path.read_text()
    assert password.endswith("\n") and len(password) == 24
    assert new.opens(password.strip())
    assert new.first.path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in new.path.parent.iterdir()) == [*PATHS, "first-password"]
    assert password.strip() not in caplog.text


def test_another_start_makes_no_other(new: New) -> None:
    new.start()
    before = new.first.path.read_text()
    assert not new.start()
    assert new.first.path.read_text() == before
    assert len(new.people.list_users()) == 1


def test_no_two_cloud_masters_begin_with_one_password(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        new = New(tmp_path / name)
        new.start()
        made.append(new.first.path.read_text())
        new.store.close()
    assert made[0] != made[1]


def test_an_end_between_the_file_and_the_admin_locks_nobody_out(new: New) -> None:
    new.first.write("left by the start that broke off")
    assert new.start()
    assert new.opens(new.first.path.read_text().strip())


def test_the_file_goes_with_the_first_password(new: New) -> None:
    new.start()
    new.people.create_user("ann", Role.ADMIN, PASSWORD)
    new.people.set_password("ann", OTHER)
    assert new.first.path.exists(), "it is not the password in the file that was changed"
    new.people.set_password(FIRST_ADMIN, PASSWORD)
    assert not new.first.path.exists()
    assert not new.start()
    assert not new.first.path.exists()


def test_the_file_goes_with_the_first_admin(new: New) -> None:
    new.start()
    new.people.create_user("ann", Role.ADMIN, PASSWORD)
    new.people.delete_user(FIRST_ADMIN)
    assert not new.first.path.exists()


def test_an_end_between_a_change_and_the_end_of_the_file_leaves_no_file_for_good(new: New) -> None:
    new.start()
    left = new.first.path.read_text()
    new.people.set_password(FIRST_ADMIN, PASSWORD)
    new.first.write(left.strip())
    assert not new.start()
    assert not new.first.path.exists()


def test_where_the_file_cannot_be_written_there_is_no_admin_whom_nobody_knows(new: New) -> None:
    new.first.path.mkdir()
    with pytest.raises(StartError, match=r"cannot write the first admin's password to .*first-password"):
        new.start()
    assert new.people.list_users() == []


def test_a_file_that_cannot_be_removed_holds_no_change_up(new: New, caplog: pytest.LogCaptureFixture) -> None:
    new.start()
    new.first.path.unlink()
    new.first.path.mkdir()
    new.people.set_password(FIRST_ADMIN, OTHER)
    assert new.opens(OTHER)
    assert "is not needed any more, and cannot be removed" in caplog.text


def test_what_made_the_admin_is_on_the_record(new: New) -> None:
    new.start()
    (entry,) = new.store.audit.list()
    assert (entry.deed.who, entry.deed.action, entry.deed.target) == (
        "cloudmasterd",
        "createUser",
        "/api/v1/users/admin",
    )
