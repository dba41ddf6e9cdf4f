"""What a shell does to people beside a cloud master that runs: both go on, and neither undoes the other."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from cloudmasterd.accounts import ApiToken, User
from cloudmasterd.errors import NotFound, StoreError
from cloudmasterd.rights import Role
from cloudmasterd.store import Store
from cloudmasterd.store.beside import open_beside
from tests.cloudmasterd.store.answers import NOON, ONE, look
from tests.fakes import FakeClock

PHC = "$scrypt$ln=2,r=1,p=1$AAAA$AAAAAAAAAAAAAAAA"


def user(name: str, role: Role = Role.VIEWER) -> User:
    return User(name, role, NOON)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_each_sees_what_the_other_did(store: Store, path: Path, clock: FakeClock) -> None:
    with open_beside(path, clock) as beside:
        beside.users.add(user("ann"), PHC)
        assert store.users.get("ann").name == "ann"
        store.users.add(user("bob"), PHC)
        assert [one.name for one in beside.users.list()] == ["ann", "bob"]
        beside.tokens.add(ApiToken("0" * 12, "bob", "x", Role.VIEWER, NOON), "secret")
        store.users.delete("bob")
        assert beside.tokens.find("secret") is None
        with pytest.raises(NotFound):
            beside.tokens.add(ApiToken("1" * 12, "bob", "x", Role.VIEWER, NOON), "other")


def test_numbers_of_changes_never_go_back(path: Path, clock: FakeClock) -> None:
    store = Store(path, clock=clock)
    seen = [store.change_count]
    with open_beside(path, clock) as beside:
        for number in range(3):
            store.sync_clouds({f"cloud{number}.example.org": None})
            seen.append(store.change_count)
            beside.users.add(user(f"u{number}"), PHC)
            seen.append(int(look(path, "SELECT value FROM meta WHERE key = 'change_count'")[0][0]))
    store.close()
    store = Store(path, clock=clock)
    seen.append(store.change_count)
    store.close()
    assert seen == sorted(seen)


def test_no_revision_of_a_user_means_two_things(store: Store, path: Path, clock: FakeClock) -> None:
    revisions = [store.users.add(user("ann"), PHC).revision]
    with open_beside(path, clock) as beside:
        for number in range(4):
            one = (store.users, beside.users)[number % 2]
            revisions.append(one.set_password("ann", PHC, NOON).revision)
    assert len(set(revisions)) == 5
    assert revisions == sorted(revisions)


def test_it_works_on_a_database_that_no_cloud_master_has_open(path: Path, clock: FakeClock) -> None:
    Store(path, clock=clock).close()
    before = files(path.parent)
    with open_beside(path, clock) as beside:
        beside.users.add(user("ann"), PHC)
    assert files(path.parent) == before, "nothing stays that the daemon could not write"
    with closing(Store(path, clock=clock)) as store:
        assert store.users.get("ann").role is Role.VIEWER


def test_both_write_at_the_same_time_and_nothing_is_lost(store: Store, path: Path, clock: FakeClock) -> None:
    def from_a_shell() -> None:
        for number in range(20):
            with open_beside(path, clock) as beside:
                beside.users.add(user(f"shell{number}"), PHC)

    shell = threading.Thread(target=from_a_shell)
    shell.start()
    for number in range(20):
        store.users.add(user(f"daemon{number}"), PHC)
    shell.join(60)
    assert len(store.users.list()) == 40


def test_what_a_shell_does_is_of_no_effect_on_what_the_daemon_keeps(
    store: Store, path: Path, clock: FakeClock
) -> None:
    store.sync_clouds({ONE: None})
    with open_beside(path, clock) as beside:
        beside.users.add(user("ann"), PHC)
    assert store.get_cloud(ONE).name == ONE
    assert store.events.list() == []


def test_without_a_database_it_says_how_there_comes_one(path: Path, clock: FakeClock) -> None:
    with pytest.raises(StoreError, match=r"there is no database .*: start cloudmasterd once"):
        with open_beside(path, clock):
            raise AssertionError("not reached")
    assert not path.exists()


def test_an_older_database_is_left_to_the_daemon(path: Path, clock: FakeClock) -> None:
    script = (Path(__file__).parent / "v2.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(script)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"has schema version 2, not \d+: start cloudmasterd once"):
        with open_beside(path, clock):
            raise AssertionError("not reached")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path, clock: FakeClock) -> None:
    path.write_text("these are not the rows you are looking for" * 100)
    with pytest.raises(StoreError, match="not a database"):
        with open_beside(path, clock):
            raise AssertionError("not reached")
