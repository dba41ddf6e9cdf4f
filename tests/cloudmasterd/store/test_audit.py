"""What is done in somebody's name is on the record with it, in one transaction; nothing else is."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cloudmasterd.acting import DONE, REFUSED, Deed, acting, become, beside, current, leave_out, tell
from cloudmasterd.errors import Conflict, NotFound, StoreError
from cloudmasterd.model import Author, NewTask
from cloudmasterd.record import NO_HASH, Entry, Filter, entry_object
from cloudmasterd.store import Store
from cloudmasterd.store.audit_rows import LONGEST, append, canonical, walk
from cloudmasterd.store.room import Room
from tests.cloudmasterd.store.answers import NOON, OFF, ONE, after, create, delta, full, machine, submit
from tests.fakes import FakeClock

BOB = Deed("bob", "changeCloud", f"/api/v1/clouds/{ONE}", "token", "0123456789ab", "192.0.2.7", "req-1")


@pytest.fixture(autouse=True)
def clouds(store: Store) -> None:
    store.reconcile({ONE: full(machine(1))}, NOON)


def recorded(store: Store) -> list[Deed]:
    return [entry.deed for entry in reversed(store.audit.list(limit=1000))]


def test_a_change_takes_its_record_along(store: Store):
    commits: list[str] = []
    store._writer.connection.raw.set_trace_callback(commits.append)
    with acting(BOB) as doing:
        store.change_cloud(ONE, notes="a new disk", tags={"rack": "7"}, by=Author("bob"))
    assert doing.recorded
    told = f"bob changed {ONE}: tag rack none -> 7; its notes"
    assert recorded(store) == [replace(BOB, detail={"changed": told})]
    assert [text for text in commits if text.startswith("COMMIT")] == ["COMMIT"]


def test_a_request_that_writes_twice_is_recorded_once(store: Store):
    with acting(BOB):
        store.change_cloud(ONE, notes="a")
        store.change_cloud(ONE, notes="b")
    assert len(recorded(store)) == 1


def test_what_changes_nothing_is_not_recorded_by_the_store(store: Store):
    with acting(BOB) as doing:
        store.change_cloud(ONE, notes="")
    assert (recorded(store), doing.recorded) == ([], False)


def test_what_nobody_asked_for_is_not_recorded(store: Store):
    store.change_cloud(ONE, notes="by a task")
    assert (recorded(store), current()) == ([], None)


def test_a_change_that_fails_leaves_no_record(store: Store):
    with acting(BOB) as doing, pytest.raises(NotFound):
        store.change_cloud("nowhere", notes="a")
    assert (recorded(store), doing.recorded) == ([], False)


def test_what_is_heard_meanwhile_is_not_what_was_asked_for(store: Store):
    """Somebody asks for a refresh: what others did is theirs, and the request is recorded when it ends."""
    with acting(BOB) as doing:
        store.sync_clouds({"cloud9": None})
        store.reconcile({ONE: full(machine(1, OFF))}, after(10))
        store.mark_unreachable({ONE: "no route"}, after(20))
    assert not doing.recorded
    assert [deed.who for deed in recorded(store)] == [ONE]


def test_a_submission_is_recorded_with_the_task_it_makes(store: Store):
    with acting(replace(BOB, action="createMachine", target="/api/v1/machines")):
        task = submit(store, create(5))
    (deed,) = recorded(store)
    assert (deed.target, deed.detail) == (task.target, {"task": task.id})


def test_the_same_request_asked_again_names_the_task_of_the_first(store: Store):
    for _ in range(2):
        with acting(BOB) as doing:
            store.tasks.submit(lambda room: create(5), key="k", request_hash="h")
    assert not doing.recorded
    assert doing.deed.detail == {"task": 1, "again": True}


def test_who_shares_a_commit_with_others_keeps_a_record_of_their_own(store: Store):
    def one(number: int) -> None:
        with acting(replace(BOB, who=f"user{number}", request_id=f"r-{number}")):
            if number % 3:
                submit(store, create(number))
            else:
                with pytest.raises(Conflict):
                    store.tasks.submit(_refuse)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(1, 31)))
    names = {f"user{number}" for number in range(1, 31) if number % 3}
    assert sorted(deed.who for deed in recorded(store)) == sorted(names)
    assert store.audit.verify().whole


def _refuse(room: Room) -> NewTask:
    raise Conflict("not now")


def test_a_commit_that_fails_leaves_neither_change_nor_record(store: Store, path: Path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ROLLBACK, 'disk'); END")
        with acting(BOB) as doing, pytest.raises(StoreError):
            store.change_cloud(ONE, notes="a")
        other.execute("DROP TRIGGER full")
    assert (recorded(store), doing.recorded, store.get_cloud(ONE).notes) == ([], False, "")
    with acting(BOB):
        store.change_cloud(ONE, notes="a")
    assert store.audit.verify().head.count == 1


def test_a_deed_that_brings_another_along_is_two_records(store: Store):
    with acting(replace(BOB, action="poweroffMachine")):
        with beside("cancelTask", "/api/v1/tasks/3/cancel"):
            tell(task=3)
            store.change_cloud(ONE, notes="a")
        store.change_cloud(ONE, notes="b")
    assert [(deed.who, deed.action, dict(deed.detail)) for deed in recorded(store)] == [
        ("bob", "cancelTask", {"task": 3}),
        ("bob", "poweroffMachine", {}),
    ]


def test_nobody_acting_means_nothing_to_tell(store: Store):
    tell(target="/x", more="words")
    become("eve", "session", "1")
    leave_out()
    with beside("cancelTask", "/x"):
        store.change_cloud(ONE, notes="a")
    assert (current(), recorded(store)) == (None, [])


def test_who_signs_in_is_on_the_record_under_their_name(store: Store):
    with acting(Deed("", "login", "/login", "none")):
        become("bob", "session", "0123456789ab")
        store.change_cloud(ONE, notes="a")
    (deed,) = recorded(store)
    assert (deed.who, deed.means, deed.credential) == ("bob", "session", "0123456789ab")


def test_a_part_of_a_whole_is_left_out(store: Store):
    with acting(BOB):
        leave_out()
        store.change_cloud(ONE, notes="a")
    assert recorded(store) == []


def test_what_others_did_is_recorded_as_seen_and_what_our_task_did_is_not(store: Store):
    store.tasks.submit(lambda room: replace(create(2), machine=machine(2).uuid))
    store.reconcile({ONE: delta(machine(1, OFF), machine(2))}, after(15))
    (deed,) = recorded(store)
    assert deed == Deed(
        ONE, "machine.changed", "/api/v1/machines/m1.example.org", "observed",
        detail={"changed": f"m1.example.org on {ONE}: state running -> off"},
    )  # fmt: skip
    store.reconcile({ONE: delta(machine(1, OFF))}, after(30))
    assert len(recorded(store)) == 1


def test_a_whole_host_that_goes_down_is_not_a_flood_of_records(store: Store):
    store.reconcile({ONE: full(*(machine(n) for n in range(1, 201)))}, after(10))
    before = len(recorded(store))
    store.reconcile({ONE: full(*(machine(n, OFF) for n in range(1, 201)))}, after(20))
    told = recorded(store)[before:]
    assert len(told) == 51
    assert told[-1].detail == {"more": 150}
    assert store.audit.verify().whole


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [4, 3, 2, 1]),
        (Filter(who="bob"), [3, 1]),
        (Filter(who="BOB"), []),
        (Filter(action="login"), [2]),
        (Filter(result="refused"), [2]),
        (Filter(request_id="r-3"), [3]),
        (Filter(target="/api/v1/machines/a"), [4, 1]),
        (Filter(target="/api/v1/machines/"), [4, 3, 1]),
        (Filter(target="/api/v1/machines/%"), []),
        (Filter(since=NOON + timedelta(days=3000)), []),
        (Filter(until=NOON - timedelta(days=3000)), []),
        (Filter(who="bob", target="/api/v1/machines/ab"), [3]),
    ],
)
def test_a_filter_finds_its_records_newest_first(store: Store, wanted: Filter, found: list[int]):
    for deed in (
        Deed("bob", "startMachine", "/api/v1/machines/a/start"),
        Deed("", "login", "/login", result=REFUSED, status=401),
        Deed("bob", "deleteMachine", "/api/v1/machines/ab", request_id="r-3"),
        Deed("eve", "deleteMachine", "/api/v1/machines/a"),
    ):
        store.audit.add(deed)
    assert [entry.id for entry in store.audit.list(wanted)] == found


def test_a_page_of_the_record_goes_on_where_the_one_before_ended(store: Store):
    for number in range(7):
        store.audit.add(Deed("bob", f"do{number}"))
    first = store.audit.list(limit=3)
    assert [entry.id for entry in first] == [7, 6, 5]
    assert [entry.id for entry in store.audit.list(before=first[-1].id, limit=3)] == [4, 3, 2]
    assert store.audit.list(limit=0) == store.audit.list(before=-5) == []


def test_the_time_of_a_record_can_be_asked_for(store: Store, clock: FakeClock):
    begin = clock.now()
    for number in range(4):
        store.audit.add(Deed("bob", f"do{number}"))
        clock.advance(60)
    wanted = Filter(since=begin + timedelta(seconds=60), until=begin + timedelta(seconds=180))
    assert [entry.deed.action for entry in store.audit.list(wanted)] == ["do2", "do1"]


def test_what_is_written_is_one_line_of_bounded_length(store: Store):
    nasty = "a\nb\x00c\x1b[31m\u2028\ud800" + "x" * 1000
    store.audit.add(Deed("bob", "do", reason=nasty, detail={"k\n": nasty, "n": 5}))
    (deed,) = recorded(store)
    assert deed.reason.startswith("a b\ufffdc [31m \ufffdxxx"), deed.reason[:20]
    assert len(deed.reason) == LONGEST == len(str(deed.detail["k"]))
    assert deed.detail["n"] == 5


def test_anybody_can_reckon_the_hash_from_what_is_exported(store: Store):
    for number in range(3):
        store.audit.add(Deed("bob", f"do{number}", reason="größer", detail={"b": "ü", "a": number}))
    before = NO_HASH
    with store._readers.borrow() as connection:
        for entry in walk(connection.raw):
            shown = json.loads(json.dumps(entry_object(entry)))
            own, previous = shown.pop("hash"), shown.pop("previous")
            text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
            assert previous == before
            assert own == hashlib.sha256((previous + text).encode()).hexdigest()
            before = own
    assert str(store.audit.head()) == f"3:{before}"


def test_the_record_outlives_a_restart_and_goes_on(store: Store, path: Path):
    store.audit.add(Deed("bob", "one"))
    store.close()
    again = Store(path)
    again.audit.add(Deed("bob", "two"))
    assert [entry.deed.action for entry in again.audit.list()] == ["two", "one"]
    assert again.audit.verify().whole
    again.close()


def test_another_program_writes_beside_the_daemon(store: Store, path: Path):
    store.audit.add(Deed("bob", "one"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        append(other, [Deed("root", "user.add", "/api/v1/users/eve")], NOON)
        other.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")
        append(other, [Deed("root", "user.delete")], NOON)
        other.execute("ROLLBACK")
    store.audit.add(Deed("bob", "two"))
    assert [deed.action for deed in recorded(store)] == ["one", "user.add", "two"]
    assert store.audit.verify().whole


@pytest.mark.parametrize(
    "sql", ["UPDATE audit SET who = 'eve'", "DELETE FROM audit", "DELETE FROM audit WHERE id = 1"]
)
def test_the_database_itself_refuses_to_change_a_record(store: Store, path: Path, sql: str):
    store.audit.add(Deed("bob", "one"))
    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError, match="is never"):
        other.execute(sql)


def test_a_record_of_what_cannot_be_done_again_waits_for_the_disk(store: Store):
    statements: list[str] = []
    store._writer.connection.raw.set_trace_callback(statements.append)
    store.audit.add(Deed("bob", "one"), durable=False)
    store.audit.add(Deed("bob", "two"), durable=True)
    assert [text for text in statements if text.startswith("PRAGMA")] in (
        ["PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"],
        ["PRAGMA synchronous = FULL"],
    )


def test_a_record_alone_is_no_news_to_whoever_follows_the_facts(store: Store):
    before = (store.change_count, store.write_count)
    store.audit.add(Deed("bob", "one", result=DONE))
    assert (store.change_count, store.write_count) == before


def test_canonical_json_has_one_form():
    assert canonical({"b": [1, None], "a": "ü"}) == '{"a":"\\u00fc","b":[1,null]}'


def test_an_entry_says_when(store: Store, clock: FakeClock):
    store.audit.add(Deed("bob", "one"))
    (entry,) = store.audit.list()
    assert isinstance(entry, Entry)
    assert datetime.fromisoformat(entry.at) == clock.now()
