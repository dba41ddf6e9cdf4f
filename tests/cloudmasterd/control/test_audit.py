"""cloudmasterctl audit: what is listed, exported and verified, with and without a cloud master that runs."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloudmasterd.acting import Deed
from cloudmasterd.control.cli import main
from cloudmasterd.control.places import Places
from cloudmasterd.store import Store
from tests.cloudmasterd.store.test_audit_verify import tamper


@dataclass
class Master:
    """A cloud master's files with five records, and what a command said of them."""

    root: Path
    database: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, code: int = 0) -> str:
        found = main(["--root", str(self.root), "audit", *arguments])
        said = self.capsys.readouterr()
        assert found == code, said.out + said.err
        return said.out if code in (0, 1) and said.out else said.err


@pytest.fixture
def master(
    make_master: Callable[[str], Places], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Master:
    make_master("a")
    made = Master(tmp_path / "a", tmp_path / "a/var/lib/cloudmasterd/cloudmasterd.db", capsys)
    with closing(Store(made.database)) as store:
        for number in range(1, 6):
            store.audit.add(
                Deed("bob" if number % 2 else "eve", f"do{number}", f"/api/v1/machines/m{number}",
                     request_id=f"r-{number}", reason="=cmd" if number == 3 else "", detail={"task": number})
            )  # fmt: skip
    return made


@pytest.fixture(params=["stopped", "running"])
def either(request: pytest.FixtureRequest, master: Master) -> Iterator[Master]:
    """The same, stopped or with the database open in another process's stead."""
    if request.param == "stopped":
        yield master
        return
    with closing(Store(master.database)):
        yield master


def test_the_last_records_are_listed_the_newest_last(either: Master) -> None:
    lines = either("list", "-n", "2").splitlines()
    assert [line.split()[0] for line in lines] == ["4", "5"]
    assert "bob" in lines[1] and "do5" in lines[1] and "task=5" in lines[1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["--who", "eve"], ["2", "4"]), (["--action", "do3"], ["3"]), (["--request-id", "r-1"], ["1"]),
        (["--target", "/api/v1/machines/m5"], ["5"]), (["--result", "refused"], []),
        (["--since", "2126-01-01"], []), (["--until", "2126-01-01T00:00Z", "--who", "eve"], ["2", "4"]),
    ],
)  # fmt: skip
def test_what_is_listed_can_be_chosen(master: Master, wanted: list[str], found: list[str]) -> None:
    assert [line.split()[0] for line in master("list", *wanted).splitlines()] == found


def test_json_lines_come_out_as_they_are_kept_and_can_be_verified_alone(
    either: Master, tmp_path: Path
) -> None:
    items = [json.loads(line) for line in either("export").splitlines()]
    assert [item["id"] for item in items] == [1, 2, 3, 4, 5]
    file = tmp_path / "export.jsonl"
    either("export", "--file", str(file), "--since", "2020-01-01")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "records 1 to 5" in either("verify", "--export", str(file))
    file.write_text(file.read_text().replace('"eve"', '"ann"', 1))
    assert "record 2 was changed" in either("verify", "--export", str(file), code=1)


def test_a_part_of_the_record_is_verified_from_where_it_begins(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "part.jsonl"
    lines = master("export").splitlines(keepends=True)
    file.write_text("".join(lines[2:]))
    assert "records 3 to 5" in master("verify", "--export", str(file))
    head = master("verify").split("head: ")[1].split()[0]
    assert "records 3 to 5" in master("verify", "--export", str(file), "--head", head)
    file.write_text("".join([lines[0], *lines[3:]]))
    assert "removed: 2 to 3" in master("verify", "--export", str(file), code=1)
    file.write_text("".join(lines[:3]))
    assert "record 5 was noted" in master("verify", "--export", str(file), "--head", head, code=1)


def test_csv_is_for_spreadsheets_and_runs_nothing_there(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "audit.csv"
    master("export", "--format", "csv", "--file", str(file))
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["who"] for row in rows] == ["bob", "eve", "bob", "eve", "bob"]
    assert rows[2]["reason"] == "'=cmd"


def test_no_file_is_written_over(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("mine")
    assert "name a new file" in master("export", "--file", str(file), code=1)
    assert file.read_text() == "mine"


def test_a_whole_record_is_said_to_be_whole_with_its_head(either: Master) -> None:
    said = either("verify")
    assert "is whole: records 1 to 5" in said
    head = said.split("head: ")[1].split()[0]
    assert head.startswith("5:")
    assert either("verify", "--head", head) == said


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE audit SET who = 'ann' WHERE id = 3", "record 3 was changed"),
        ("UPDATE audit SET reason = CAST(x'ff' AS TEXT) WHERE id = 3", "record 3 was changed"),
        ("DELETE FROM audit WHERE id = 3", "removed: 3, before record 4"),
        ("DELETE FROM audit WHERE id > 3", "cut off: 4 to 5, at the end"),
        ("UPDATE audit SET id = 9 WHERE id = 5", "removed: 5 to 8, before record 9"),
    ],
)
def test_what_was_tampered_with_is_named_and_the_exit_code_says_so(
    either: Master, sql: str, told: str
) -> None:
    tamper(either.database, sql)
    said = either("verify", code=1)
    assert "NOT whole" in said and told in said


def test_a_record_written_anew_is_found_by_the_head_that_was_noted(master: Master) -> None:
    head = master("verify").split("head: ")[1].split()[0]
    with closing(sqlite3.connect(master.database)) as raw:
        raw.execute("DROP TRIGGER audit_keeps")
        raw.execute("DELETE FROM audit")
        raw.execute("DELETE FROM meta WHERE key = 'audit_head'")
        raw.commit()
    with closing(Store(master.database)) as store:
        for number in range(5):
            store.audit.add(Deed("ann", f"harmless{number}"))
    assert "is whole" in master("verify")
    assert "record 5 is not the one that was noted" in master("verify", "--head", head, code=1)


@pytest.mark.parametrize(
    "arguments",
    [["verify", "--head", "5"], ["verify", "--head", "5:" + "g" * 64], ["list", "-n", "0"],
     ["list", "-n", "x"],
     ["list", "--since", "yesterday"], ["export", "--format", "xml"], []],
)  # fmt: skip
def test_wrong_arguments_are_told(master: Master, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(master.root), "audit", *arguments])
    assert ended.value.code == 2


@pytest.mark.parametrize("text", ["not json\n", "[]\n", '{"id": 1}\n', '{"id": "x"}\n'])
def test_a_file_that_is_no_export_is_told(master: Master, tmp_path: Path, text: str) -> None:
    file = tmp_path / "other"
    file.write_text(text)
    assert "line 1 is no record" in master("verify", "--export", str(file), code=1)


def test_a_file_without_records_or_that_is_not_there_is_told(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "empty"
    assert "cannot read" in master("verify", "--export", str(file), code=1)
    file.write_text("")
    assert "there is no record in it" in master("verify", "--export", str(file), code=1)


def test_no_database_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc/cloudmasterd").mkdir(parents=True)
    (tmp_path / "etc/cloudmasterd/cloudmasterd.conf").write_text("[main]\n")
    (tmp_path / "var/lib/cloudmasterd").mkdir(parents=True)
    assert main(["--root", str(tmp_path), "audit", "verify"]) == 1
    assert "there is no database" in capsys.readouterr().err
