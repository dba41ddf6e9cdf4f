"""A database of an older cloudmasterd comes along with everything in it, or stays as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cloudmasterd.errors import StoreError, StoreTooNew
from cloudmasterd.model import CloudInstance, CloudState, MachineInstance, MachineState
from cloudmasterd.store import Store
from cloudmasterd.store.migrate import migrate
from cloudmasterd.store.schema import MIGRATIONS, Migration
from cloudmasterd.store.tables import TABLES
from cloudmasterd.store.values import time_from_text
from tests.cloudmasterd.store.answers import (
    NOON,
    ONE,
    THREE,
    TWO,
    after,
    create,
    delta,
    free_mb,
    full,
    look,
    machine,
    submit,
    uuid_of,
    where,
)  # fmt: skip

LATEST = MIGRATIONS[-1].version
V1, V2 = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("v1.sql", "v2.sql"))


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(script)
    return path


@pytest.fixture
def old(path: Path) -> Path:
    return make(path, V1)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return [f"version {raw.execute('PRAGMA user_version').fetchone()[0]}", *raw.iterdump()]


def test_the_first_migration_makes_what_version_1_was(old: Path, tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "made.db", isolation_level=None)) as raw:
        migrate(raw, tmp_path / "made.db", MIGRATIONS[:1])
    shape = "SELECT type, name, replace(replace(sql, char(10), ''), ' ', '') FROM sqlite_master ORDER BY 1, 2"
    assert look(tmp_path / "made.db", shape) == look(old, shape)


def test_a_version_1_database_loses_nothing(old: Path):
    store = Store(old)
    assert store.change_count > 41
    seen = time_from_text("2026-01-02T03:04:05.000006+00:00")
    assert store.get_cloud(ONE) == CloudInstance(
        ONE, CloudState.UP, "x86_64", 16, 65536, 3276, 65536 - 3276 - 2048 - 128, 40123, 2, 1,
        {"rack": "a"}, seen, None, None, time_from_text("2027-01-01T00:00:00+00:00"), store.change_count,
    )  # fmt: skip
    two, three, four = store.list_clouds(after=ONE)
    assert (two.state, two.error) == (CloudState.UNREACHABLE, "[Errno 111] Connection refused")
    assert two.unreachable_since == time_from_text("2026-01-02T03:01:00+00:00")
    assert (two.machines, two.running) == (1, 0)
    assert two.free_memory_mb == 32768 - 1638 - 4096 - 128
    assert (three.state, three.cpus, three.machines) == (CloudState.MAINTENANCE, 4, 0)
    assert (four.state, four.memory_mb, four.revision) == (CloudState.NEW, None, 1)
    assert store.list_machines() == [
        MachineInstance(
            "café", uuid_of(2), ONE, MachineState.OFF, 512, 512, 1, image="golden", observed_at=seen,
            revision=17,
        ),
        MachineInstance(
            "jboss1.example.org", uuid_of(1), ONE, MachineState.RUNNING, 1024, 2048, 2, True, True,
            "GenomeCloud-RHEL5U2-x86_64", None, {"team": "web"}, "the 'old' one", seen, 39,
        ),
        MachineInstance(
            "jboss1.example.org", uuid_of(3), TWO, MachineState.PAUSED, 4096, 4096, 4,
            observed_at=two.observed_at, revision=5,
        ),
    ]  # fmt: skip
    store.close()


def test_the_first_two_migrations_make_what_version_2_was(path: Path, tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "made.db", isolation_level=None)) as raw:
        migrate(raw, tmp_path / "made.db", MIGRATIONS[:2])
    shape = "SELECT type, name, replace(replace(sql, char(10), ''), ' ', '') FROM sqlite_master ORDER BY 1, 2"
    assert look(tmp_path / "made.db", shape) == look(make(path, V2), shape)


def test_a_version_2_database_loses_nothing(path: Path):
    store = Store(make(path, V2))
    assert store.change_count == 5
    assert store.list_clouds() == [
        CloudInstance(
            ONE, CloudState.UP, "x86_64", 16, 65536, 3276, free_mb(2048), 40123, 2, 1, {}, NOON, None, None,
            time_from_text("2027-01-01T00:00:00+00:00"), 3,
        ),
        CloudInstance(
            TWO, CloudState.UNREACHABLE, "x86_64", 16, 65536, 3276, free_mb(1024), 40123, 1, 0, {}, NOON,
            "[Errno 111] Connection refused", after(20), None, 5,
        ),
        CloudInstance(
            THREE, CloudState.MAINTENANCE, "x86_64", 16, 65536, 3276, free_mb(), 40123, 0, 0, {"rack": "a"},
            after(15), None, None, None, 4,
        ),
        CloudInstance("cloud4.example.org", CloudState.NEW, certificate_expires_at=after(86400), revision=2),
    ]  # fmt: skip
    assert [(m.name, m.cloud, m.state.value, m.managed) for m in store.list_machines()] == [
        ("café", ONE, "off", False),
        ("m1.example.org", ONE, "running", True),
        ("m3.example.org", TWO, "paused", False),
    ]
    assert store.get_machine(uuid_of(1)).notes == "the 'old' one"
    assert store.list_cursors() == {ONE: "7", TWO: None, THREE: "1", "cloud4.example.org": None}
    assert (store.tasks.list(), store.events.list(), store.events.latest) == ([], [], 0)
    store.close()


def test_a_migrated_version_2_database_goes_on_working(path: Path):
    store = Store(make(path, V2))
    submit(store, create(7))
    assert store.get_cloud(ONE).free_memory_mb == free_mb(2048, 1024)
    store.reconcile({ONE: delta(machine(7)), THREE: full(machine(5))}, after(60))
    assert store.get_cloud(ONE).free_memory_mb == free_mb(2048, 1024)
    assert store.get_machine(uuid_of(5)).image == "golden"
    assert [event.kind for event in store.events.list()] == ["machine.appeared"] * 2, (
        "none of it is new to us"
    )
    store.change_cloud(THREE, maintenance=False)
    assert store.get_cloud(THREE).state is CloudState.UP
    store.close()


def test_a_migrated_database_goes_on_working(old: Path):
    store = Store(old)
    assert set(store.list_cursors().values()) == {None}, "so every cloud instance is asked for everything"
    store.reconcile({ONE: full(machine(1), cursor="7"), TWO: full(machine(2))}, NOON)
    store.reconcile({ONE: delta(machine(9), cursor="8")}, NOON)
    assert where(store) == {"m1.example.org": ONE, "m2.example.org": TWO, "m9.example.org": ONE}
    assert store.get_machine(uuid_of(1)).notes == "the 'old' one"
    assert store.get_machine(uuid_of(2)).image == "golden"
    assert store.get_cloud("cloud3.example.org").state is CloudState.MAINTENANCE
    store.close()


def test_a_database_without_people_has_none_after_its_migration(path: Path):
    store = Store(make(path, V2))
    key = store.web_key
    store.close()
    for table in ("user", "token", "session", "audit"):
        assert look(path, f"SELECT count(*) FROM {table}") == [(0,)]
    assert len(key) == 43
    store = Store(path)
    assert store.web_key == key, "what pages proved with it goes on being proved"
    store.close()


def test_what_was_on_its_way_before_a_migration_still_is(path: Path):
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        migrate(raw, path, MIGRATIONS[:7])
        raw.execute("INSERT INTO cloud (name, reachability) VALUES (?, 'up')", (ONE,))
        for number, state in ((1, "running"), (2, "off"), (3, None)):
            uuid, name = uuid_of(number), f"m{number}.example.org"
            raw.execute("INSERT INTO machine (uuid) VALUES (?)", (uuid,))
            if state is not None:
                raw.execute(
                    "INSERT INTO sighting (cloud, uuid, name, state, memory_mb, max_memory_mb, vcpus,"
                    " autostart, appeared, shown) VALUES (?, ?, ?, ?, 512, 512, 1, 0, 0, 1)",
                    (ONE, uuid, name, state),
                )
            raw.execute(
                "INSERT INTO task (id, kind, state, target, cloud, machine, machine_name, arguments,"
                " anti_affinity, asked_by, request_id, request_hash, created_at, revision)"
                " VALUES (?, 'machine.create', 'running', '', ?, ?, ?, '{}', '[]', '', '', '', ?, 1)",
                (number, ONE, uuid, name, NOON.isoformat()),
            )
            raw.execute("INSERT INTO reservation VALUES (?, ?, ?, ?, 512)", (number, ONE, uuid, name))
    with closing(Store(path)) as store:
        assert store.tasks.look(lambda room: room.pending(ONE)) == 2
        assert store.tasks.look(lambda room: room.task_naming("m2.example.org")) == 2


def test_a_copy_is_kept_of_a_database_before_its_migration(old: Path):
    before = dump(old)
    Store(old).close()
    copy = old.with_name("cloudmasterd.db.v1.bak")
    assert dump(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [name for name in old.parent.iterdir() if ".part" in name.name] == []


def test_a_copy_of_version_2_can_be_put_back(path: Path):
    before = dump(make(path, V2))
    Store(path).close()
    assert dump(path.with_name("cloudmasterd.db.v2.bak")) == before


def test_a_new_or_current_database_leaves_no_copy(path: Path):
    Store(path).close()
    Store(path).close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["cloudmasterd.db", "cloudmasterd.db.lock"]


@pytest.mark.parametrize("script", [V1, V2], ids=["version 1", "version 2"])
def test_new_and_migrated_databases_have_one_shape(path: Path, tmp_path: Path, script: str):
    new, old = tmp_path / "new.db", make(path, script)
    Store(new).close()
    Store(old).close()
    for sql in (
        "SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2",
        "SELECT m.name, c.* FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY 1, 2",
        "PRAGMA user_version",
        "SELECT value FROM meta WHERE key = 'schema_version'",
    ):
        assert look(new, sql) == look(old, sql)


def test_the_tables_are_as_sqlobject_sees_them(path: Path):
    Store(path).close()
    for table in TABLES:
        told = {table.sqlmeta.idName} | {column.dbName for column in table.sqlmeta.columnList}
        assert told == {row[1] for row in look(path, f"PRAGMA table_info({table.sqlmeta.table})")}
    named = {table.sqlmeta.table for table in TABLES}
    there = {name for (name,) in look(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert named == there - {"sqlite_sequence"}


BROKEN = [
    ("no such table: nowhere", ("DELETE FROM machine", "UPDATE nowhere SET a = 1")),
    ("refer to rows of cloud", ("DELETE FROM cloud", "ALTER TABLE machine ADD COLUMN new TEXT")),
]


@pytest.mark.parametrize(("reason", "statements"), BROKEN, ids=[reason for reason, _ in BROKEN])
def test_a_migration_that_fails_leaves_the_database_as_it_was(
    old: Path, reason: str, statements: tuple[str, ...]
):
    before = dump(old)
    with closing(sqlite3.connect(old, isolation_level=None)) as raw:
        with pytest.raises(StoreError, match="version 2 and was left as it was") as caught:
            migrate(raw, old, (MIGRATIONS[0], Migration(2, statements)))
        assert raw.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert reason in str(caught.value)
    assert dump(old) == before
    Store(old).close()


def test_the_steps_before_a_failing_one_stay_done(old: Path):
    with (
        closing(sqlite3.connect(old, isolation_level=None)) as raw,
        pytest.raises(StoreError, match=f"version {LATEST + 1}"),
    ):
        migrate(raw, old, (*MIGRATIONS, Migration(LATEST + 1, ("nonsense",))))
    assert look(old, "PRAGMA user_version") == [(LATEST,)]
    Store(old).close()


def test_without_a_copy_there_is_no_migration(old: Path):
    before = dump(old)
    (old.parent / "cloudmasterd.db.v1.bak.part").mkdir()
    with pytest.raises(StoreError, match="cannot be copied to .*v1.bak before it"):
        Store(old)
    assert dump(old) == before


def test_a_database_of_a_newer_cloudmasterd_is_refused_untouched(path: Path):
    Store(path).close()
    look(path, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    look(path, "PRAGMA user_version = 99")
    before = dump(path)
    with pytest.raises(StoreTooNew) as caught:
        Store(path)
    assert str(caught.value) == (
        f"{path} has schema version 99, this cloudmasterd knows versions up to {LATEST}: install the"
        " cloudmasterd that wrote it or a newer one, or put back a backup from before the upgrade with"
        " `cloudmasterctl restore` (docs/operations.md, Downgrade)"
    )
    assert dump(path) == before


def test_the_newest_copy_that_an_older_program_can_use_is_named(path: Path):
    Store(make(path, V2)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        with pytest.raises(StoreTooNew, match=f"put back {path}.v2.bak "):
            migrate(raw, path, MIGRATIONS[:2])


def test_a_copy_that_was_put_back_is_brought_along_again(path: Path):
    Store(make(path, V2)).close()
    copy = path.with_name("cloudmasterd.db.v2.bak")
    path.write_bytes(copy.read_bytes())
    Store(path).close()
    assert look(path, "PRAGMA user_version") == [(LATEST,)]


def test_only_the_newest_copies_are_kept(old: Path):
    for version in (1, 2, 3, 4):
        with closing(sqlite3.connect(old, isolation_level=None)) as raw:
            migrate(raw, old, MIGRATIONS[: version + 1])
    assert sorted(file.name for file in old.parent.glob("*.bak")) == [
        f"cloudmasterd.db.v{version}.bak" for version in (2, 3, 4)
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE bookmarks (url TEXT)",
        "PRAGMA user_version = 2",
        "CREATE TABLE meta (key TEXT, value TEXT)",
        "CREATE TABLE meta AS SELECT 'schema_version' AS key, '1' AS value",
    ],
)
def test_a_database_of_another_program_is_refused_untouched(path: Path, sql: str):
    look(path, sql)
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not one of cloudmasterd's"):
        Store(path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o644
