"""What an overlord remembers of asynchronous calls, and for how long."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from func.errors import JobBookError
from func.overlord.job_book import KEPT_S, Call, JobBook, book_file

MINIONS = ["cloud1.example.org", "cloud2.example.org"]


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_500_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var/lib/func/jobs.db"


@pytest.fixture
def book(path: Path, clock: Hands) -> JobBook:
    return JobBook(path, clock)


def test_a_job_is_known_by_its_name_and_the_time(book: JobBook) -> None:
    job_id = book.begin("*-test-ping", MINIONS, 60)
    assert job_id == "*-test-ping-1500000000.25"
    job = book.find(job_id)
    assert job is not None
    assert job.calls == (Call(MINIONS[0]), Call(MINIONS[1]))
    assert job.sent_by == 1_500_000_060.25


def test_two_jobs_of_one_moment_have_two_ids(book: JobBook) -> None:
    ids = {book.begin("*-test-ping", MINIONS, 60) for _ in range(5)}
    assert len(ids) == 5
    assert {job.job_id for job in book.list_jobs()} == ids


@pytest.mark.parametrize(
    "value",
    [None, 0, "", [], {"a": [1, "b"]}, b"\x00\xff", 2.5, True, datetime(2026, 1, 2, 3, 4, 5), "ä <&>"],
    ids=repr,
)
def test_every_value_of_the_wire_is_kept_as_it_came(book: JobBook, value: Any) -> None:
    job_id = book.begin("a-b-c", MINIONS, 60)
    book.enter(job_id, {MINIONS[0]: "1-minion"}, {MINIONS[1]: value})
    job = book.find(job_id)
    assert job is not None
    assert job.calls == (Call(MINIONS[0], "1-minion"), Call(MINIONS[1], None, True, value))


def test_a_value_that_cannot_be_kept_is_an_error_in_its_place(book: JobBook) -> None:
    job_id = book.begin("a-b-c", MINIONS, 60)
    book.enter(job_id, {}, {MINIONS[0]: 1 << 40})
    job = book.find(job_id)
    assert job is not None
    assert job.calls[0].value[:2] == ["REMOTE_ERROR", "xmlrpclib.ProtocolError"]


def test_the_first_value_of_a_minion_stays(book: JobBook) -> None:
    job_id = book.begin("a-b-c", MINIONS, 60)
    book.enter(job_id, {}, {MINIONS[0]: "first"})
    book.enter(job_id, {}, {MINIONS[0]: "second"})
    job = book.find(job_id)
    assert job is not None
    assert job.calls[0].value == "first"


def test_a_job_is_forgotten_an_hour_after_it_was_last_heard_of(book: JobBook, clock: Hands) -> None:
    old = book.begin("a-b-old", MINIONS, 60)
    clock.now += KEPT_S - 1
    book.enter(old, {MINIONS[0]: "1-minion"}, {})
    clock.now += KEPT_S
    assert book.find(old) is not None
    clock.now += 1
    assert book.find(old) is None
    assert book.list_jobs() == []


def test_what_is_forgotten_leaves_the_file(book: JobBook, path: Path, clock: Hands) -> None:
    book.begin("a-b-old", MINIONS, 60)
    clock.now += KEPT_S + 1
    book.begin("a-b-new", MINIONS, 60)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT COUNT(*) FROM calls").fetchone()
    connection.close()
    assert rows == (2,)


def test_nobody_else_may_read_it(book: JobBook, path: Path) -> None:
    before = os.umask(0)
    try:
        book.begin("a-b-c", MINIONS, 60)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert book_file(Path("/root")).name == f"overlord-jobs-{os.getuid()}.db"


def test_looking_makes_no_file(book: JobBook, path: Path) -> None:
    assert book.find("x") is None
    assert book.list_jobs() == []
    assert not path.exists()


def test_threads_share_it_and_lose_nothing(path: Path) -> None:
    ids: list[str] = []

    def work(number: int) -> None:
        for _ in range(10):
            book = JobBook(path)
            job_id = book.begin(f"a-b-{number}", MINIONS, 60)
            book.enter(job_id, {MINIONS[0]: "1-minion"}, {MINIONS[1]: number})
            ids.append(job_id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    jobs = {job.job_id: job for job in JobBook(path).list_jobs()}
    assert sorted(jobs) == sorted(ids)
    assert len(ids) == 60
    assert all(job.calls[0].minion_job and job.calls[1].ended for job in jobs.values())


def test_another_process_reads_it(book: JobBook, path: Path) -> None:
    now = JobBook(path)
    job_id = now.begin("a-b-c", MINIONS, 60)
    code = (
        "import sys; from pathlib import Path; from func.overlord.job_book import JobBook;"
        "print([job.job_id for job in JobBook(Path(sys.argv[1])).list_jobs()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.stdout == f"[{job_id!r}]\n"


def test_a_file_that_is_something_else_is_said_to_be(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all, but long enough to be one" * 10)
    with pytest.raises(JobBookError, match=r"jobs.db: file is not a database; .* may be removed"):
        JobBook(path).begin("a-b-c", MINIONS, 60)


def test_a_file_of_another_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(JobBookError, match="another version of func"):
        JobBook(path).list_jobs()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(JobBookError, match="asynchronous calls are remembered there"):
        JobBook(tmp_path / "var/lib/jobs.db").begin("a-b-c", MINIONS, 60)
