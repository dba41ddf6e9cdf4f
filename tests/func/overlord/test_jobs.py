"""Asynchronous calls: what is asked of whom, and the code it makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from func.errors import CallError, MinionUnreachable, RemoteFault, XMLRPCFault
from func.overlord.fanout import Result
from func.overlord.job_book import JobBook
from func.overlord.jobs import (
    FINISHED,
    LOST,
    PARTIAL,
    REMOTE_ERROR,
    RUNNING,
    Calls,
    Jobs,
    Standing,
    job_name,
)

A, B = "cloud1.example.org", "cloud2.example.org"
GONE = MinionUnreachable("[Errno 111] Connection refused")


class Minions:
    """Answers what it is told to, by minion, and writes down what it was asked."""

    def __init__(self) -> None:
        self.says: dict[str, Any] = {}
        self.asked: list[dict[str, tuple[str, tuple[Any, ...]]]] = []

    def __call__(self, calls: Calls) -> Iterator[list[Result]]:
        self.asked.append(dict(calls))
        for minion in calls:
            said = self.says[minion]
            failed = isinstance(said, CallError)
            yield [Result(minion, None if failed else said, said if failed else None)]


@pytest.fixture
def minions() -> Minions:
    return Minions()


@pytest.fixture
def book(tmp_path: Path) -> JobBook:
    return JobBook(tmp_path / "jobs.db")


@pytest.fixture
def jobs(book: JobBook, minions: Minions) -> Jobs:
    return Jobs(book, minions)


def start(jobs: Jobs, minions: Minions, a: Any = "1.5-minion", b: Any = "2.5-minion") -> str:
    minions.says = {A: a, B: b}
    return jobs.start("*", "test.sleep", ["5"], [A, B], 60)


def status(jobs: Jobs, minions: Minions, job_id: str, a: Any, b: Any) -> Standing:
    minions.says = {A: a, B: b}
    return jobs.status(job_id)


def test_each_minion_is_asked_once_to_begin(jobs: Jobs, minions: Minions) -> None:
    job_id = start(jobs, minions)
    assert minions.asked == [{A: ("async.test.sleep", ("5",)), B: ("async.test.sleep", ("5",))}]
    assert job_id.startswith("*-test-sleep-")
    assert jobs.minion_jobs(job_id) == {A: "1.5-minion", B: "2.5-minion"}


def test_those_that_run_are_left_out_until_they_end(jobs: Jobs, minions: Minions) -> None:
    job_id = start(jobs, minions)
    assert status(jobs, minions, job_id, [0, -1], [0, -1]) == Standing(PARTIAL, {})
    assert status(jobs, minions, job_id, [1, 42], [0, -1]) == Standing(PARTIAL, {A: 42})
    assert status(jobs, minions, job_id, None, [1, "done"]) == Standing(FINISHED, {A: 42, B: "done"})


def test_only_those_that_have_not_ended_are_asked(jobs: Jobs, minions: Minions) -> None:
    job_id = start(jobs, minions)
    for a, b in (([1, 42], [0, -1]), (None, [0, -1]), (None, [1, 1]), (None, None)):
        status(jobs, minions, job_id, a, b)
    asked = [sorted(calls) for calls in minions.asked[1:]]
    assert asked == [[A, B], [B], [B]]
    assert minions.asked[1][A] == ("jobs.job_status", ("1.5-minion",))


def test_a_minion_that_did_not_take_it_has_ended_with_its_error(jobs: Jobs, minions: Minions) -> None:
    job_id = start(jobs, minions, a=GONE)
    standing = status(jobs, minions, job_id, None, [1, 1])
    assert standing.code == FINISHED
    assert standing.values[A][:3] == ["REMOTE_ERROR", "socket.error", "[Errno 111] Connection refused"]
    assert standing.values[B] == 1


@pytest.mark.parametrize(
    "said",
    [RemoteFault("codes.InvalidMethodException", "no such method"), XMLRPCFault(1, "denied"), 7, "", [1]],
    ids=repr,
)
def test_what_is_no_id_of_a_job_ends_it_there(jobs: Jobs, minions: Minions, said: Any) -> None:
    job_id = start(jobs, minions, a=said)
    standing = status(jobs, minions, job_id, None, [1, 1])
    assert (standing.code, standing.values[A][0]) == (FINISHED, "REMOTE_ERROR")


def test_a_minion_that_is_away_is_asked_again(jobs: Jobs, minions: Minions) -> None:
    job_id = start(jobs, minions)
    away = status(jobs, minions, job_id, GONE, [0, -1])
    assert away == Standing(PARTIAL, {})
    away = status(jobs, minions, job_id, GONE, [1, 1])
    assert away.code == REMOTE_ERROR
    assert away.values == {A: ["REMOTE_ERROR", "socket.error", "[Errno 111] Connection refused", ""], B: 1}
    assert status(jobs, minions, job_id, [1, 42], None) == Standing(FINISHED, {A: 42, B: 1})


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ([2, 0], ["REMOTE_ERROR", "lost job"]),
        ([2, ["REMOTE_ERROR", "codes.JobLost", "funcd ended"]], ["REMOTE_ERROR", "codes.JobLost"]),
        ([4, ["REMOTE_ERROR", "x"]], ["REMOTE_ERROR", "x"]),
        ([1, ["REMOTE_ERROR", "x"]], ["REMOTE_ERROR", "x"]),
        (RemoteFault("codes.ModuleNotFound", "no jobs"), ["REMOTE_ERROR", "codes.ModuleNotFound"]),
        (XMLRPCFault(1, "denied"), ["REMOTE_ERROR", "xmlrpclib.Fault"]),
        ("what", ["REMOTE_ERROR", "xmlrpclib.ProtocolError"]),
        ([1], ["REMOTE_ERROR", "xmlrpclib.ProtocolError"]),
        ([9, 9], ["REMOTE_ERROR", "xmlrpclib.ProtocolError"]),
    ],
    ids=str,
)
def test_an_answer_that_will_not_change_is_final(
    jobs: Jobs, minions: Minions, said: Any, value: list[str]
) -> None:
    job_id = start(jobs, minions)
    standing = status(jobs, minions, job_id, said, [1, 1])
    assert standing.code == FINISHED
    assert standing.values[A][:2] == value
    assert status(jobs, minions, job_id, None, None) == standing


def test_a_job_nobody_knows_is_lost(jobs: Jobs) -> None:
    assert jobs.status("*-test-ping-1.0") == Standing(LOST, {})
    assert jobs.minion_jobs("*-test-ping-1.0") == {}


def test_a_job_that_is_being_sent_runs(book: JobBook, minions: Minions) -> None:
    job_id = book.begin("*-test-sleep", [A, B], 60)
    assert Jobs(book, minions).status(job_id) == Standing(RUNNING, {})
    assert Jobs(book, minions).open_ids() == {job_id: RUNNING}


def test_what_a_killed_overlord_never_sent_ends_as_lost(book: JobBook, minions: Minions) -> None:
    job_id = book.begin("*-test-sleep", [A, B], -1)
    book.enter(job_id, {A: "1.5-minion"}, {})
    minions.says = {A: [1, 42]}
    standing = Jobs(book, minions).status(job_id)
    assert standing.code == FINISHED
    assert (standing.values[A], standing.values[B][1]) == (42, "lost job")


def test_open_ids_ask_nobody(jobs: Jobs, minions: Minions) -> None:
    first, second = start(jobs, minions), start(jobs, minions)
    status(jobs, minions, first, [1, 1], [1, 1])
    asked = len(minions.asked)
    assert jobs.open_ids() == {first: FINISHED, second: PARTIAL}
    assert len(minions.asked) == asked


def follow(book: JobBook, minions: Minions, job_id: str, answers: list[Any]) -> list[int]:
    """The codes seen while the minions answer one after the other; a look takes ten seconds."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 10
        minions.says = {A: answers.pop(0), B: [1, 1]}

    minions.says = {A: answers.pop(0), B: [1, 1]}
    jobs = Jobs(book, minions, monotonic=lambda: now[0], sleep=sleep)
    return [standing.code for standing in jobs.follow(job_id, patience_s=30)]


@pytest.mark.parametrize(
    ("answers", "codes"),
    [
        ([[0, -1], [0, -1], [1, 1]], [PARTIAL, PARTIAL, FINISHED]),
        ([GONE, GONE, [0, -1], GONE, [1, 1]], [4, 4, PARTIAL, 4, FINISHED]),
        ([GONE, GONE, GONE, GONE, GONE], [4, 4, 4, 4]),
    ],
    ids=["runs and ends", "restarts", "never comes back"],
)
def test_a_job_is_followed_until_it_ends_or_patience_does(
    book: JobBook, jobs: Jobs, minions: Minions, answers: list[Any], codes: list[int]
) -> None:
    assert follow(book, minions, start(jobs, minions), answers) == codes


def test_following_a_lost_job_ends_at_once(jobs: Jobs) -> None:
    assert [standing.code for standing in jobs.follow("nobody-knows-it-1")] == [LOST]


@pytest.mark.parametrize(
    ("spec", "method", "name"),
    [
        ("*", "test.ping", "*-test-ping"),
        ("web-1;@db", "my-mod.a-b", "web_1;@db-my_mod-a_b"),
        ("*", "config.files.echo", "*-config-files.echo"),
    ],
)
def test_the_parts_of_an_id_have_no_dashes(spec: str, method: str, name: str) -> None:
    assert job_name(spec, method) == name


def test_what_somebody_else_saw_end_is_not_asked_again(book: JobBook, minions: Minions) -> None:
    job_id = start(Jobs(book, minions), minions)
    status(Jobs(book, minions), minions, job_id, [1, 42], [1, 43])
    minions.says = {}
    assert Jobs(book, minions).status(job_id) == Standing(FINISHED, {A: 42, B: 43})
