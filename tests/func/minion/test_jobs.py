"""Asynchronous calls: how they run, how they stand, and what is left of them after an hour or a crash."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from func.minion import job_context
from func.minion.job_files import KEEP_S, JobFiles
from func.minion.jobs import Jobs
from func.minion.registry import Registry
from tests.func.minion.helpers import wait_for


class Clock:
    def __init__(self, now: float = 1299012345.678901) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def ended(jobs: Jobs, job_id: str) -> list[Any]:
    wait_for(lambda: jobs.status(job_id)[0] != 0, f"{job_id} ends")
    return jobs.status(job_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


def test_a_job_runs_and_gives_its_value(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder, Clock()))
    go = threading.Event()
    job_id = jobs.begin("test.echo", lambda: go.wait(60) and {"a": [1, None, b"\0\xff"], "b": 1.5})
    assert job_id == "1299012345.678901-minion"
    assert jobs.status(job_id) == [0, -1]
    go.set()
    assert ended(jobs, job_id) == [1, {"a": [1, None, b"\0\xff"], "b": 1.5}]


def test_an_error_is_a_result(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder))
    error = ["REMOTE_ERROR", "exceptions.ValueError", "no", "..."]
    assert ended(jobs, jobs.begin("test.explode", lambda: error)) == [1, error]


@pytest.mark.parametrize(("value", "kind"), [(2**40, "OverflowError"), (object(), "TypeError")])
def test_a_value_that_cannot_be_sent_is_an_error(folder: Path, value: Any, kind: str) -> None:
    jobs = Jobs(JobFiles(folder))
    code, data = ended(jobs, jobs.begin("test.bigint", lambda: value))
    assert (code, data[:2]) == (1, ["REMOTE_ERROR", f"exceptions.{kind}"])


@pytest.mark.parametrize(
    "job_id",
    ["1299012345.678901-minion", "", "x", "../../etc/passwd", "1-minion/../x", None, 17, ["1-minion"],
     "1299012345.678901-minion\n"],
)  # fmt: skip
def test_what_is_no_job_here_is_lost(folder: Path, job_id: Any) -> None:
    jobs = Jobs(JobFiles(folder))
    assert jobs.status(job_id) == [2, 0]
    assert jobs.progress(job_id) == [0, 0]
    assert "is known here" in jobs.tail(job_id)[1]


def test_a_thousand_jobs_at_one_moment_have_ids_of_their_own(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder, Clock()), at_once=2)
    with ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(lambda _: jobs.begin("test.ping", lambda: 1), range(1000)))
    assert len(set(ids)) == 1000
    # Another process, with the same clock, gives none of them out again.
    assert Jobs(JobFiles(folder, Clock())).begin("test.ping", lambda: 1) not in ids


def test_only_so_many_run_at_once_and_the_others_in_their_order(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder), at_once=3)
    may_end = [threading.Event() for _ in range(20)]
    running: set[int] = set()

    def work(number: int) -> int:
        running.add(number)
        assert may_end[number].wait(60)
        running.discard(number)
        return number

    ids = [jobs.begin("test.work", lambda number=number: work(number)) for number in range(20)]
    for number, job_id in enumerate(ids):
        expected = set(range(number, min(number + 3, 20)))
        wait_for(lambda expected=expected: running == expected, f"{expected} to run")
        may_end[number].set()
        assert ended(jobs, job_id) == [1, number]


def test_a_call_that_ends_beyond_all_rules_takes_no_place_from_others(folder: Path) -> None:
    class Others:
        def wire_methods(self) -> dict[str, Callable[..., Any]]:
            return {"run": self.run}

        def run(self) -> None:
            raise asyncio.CancelledError

        def close(self) -> None:
            """Nothing is held."""

    registry, jobs = Registry({"others": Others()}), Jobs(JobFiles(folder), at_once=1)
    job_id = jobs.begin("others.run", lambda: registry.call("others.run", ()))
    assert ended(jobs, job_id)[1][:2] == ["REMOTE_ERROR", "asyncio.exceptions.CancelledError"]
    assert ended(jobs, jobs.begin("test.echo", lambda: "alive")) == [1, "alive"]


def test_no_thread_waits_for_work(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder))
    for _ in range(50):
        ended(jobs, jobs.begin("test.ping", lambda: 1))
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "job"], "all threads end")


def test_what_ended_is_known_to_the_next_process(folder: Path) -> None:
    job_id = (jobs := Jobs(JobFiles(folder))).begin("test.echo", lambda: ["bücher", b"\0"])
    ended(jobs, job_id)
    assert Jobs(JobFiles(folder)).status(job_id) == [1, ["bücher", b"\0"]]
    assert (folder / f"{job_id}.json").stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0


def test_what_was_under_way_when_the_process_ended_is_lost_and_says_how_far_it_came(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder), at_once=1)
    hold, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        hold.wait(60)

    running, waiting = jobs.begin("test.sleep", work), jobs.begin("test.sleep", work)
    assert begun.wait(60)
    after = Jobs(JobFiles(folder))
    code, why = after.status(running)
    assert (code, why[:2]) == (2, ["REMOTE_ERROR", "func.minion.codes.JobLost"])
    assert "test.sleep: funcd ended while this call ran" in why[2]
    code, why = after.status(waiting)
    assert code == 2
    assert "nothing of it was done" in why[2]
    hold.set()


def test_closing_begins_nothing_more_and_waits_for_what_runs(folder: Path) -> None:
    jobs = Jobs(JobFiles(folder), at_once=1)
    begun, release = threading.Event(), threading.Event()
    running = jobs.begin("test.work", lambda: begun.set() or release.wait(60) and 7)
    waiting = jobs.begin("test.work", lambda: pytest.fail("it was closed before"))
    assert begun.wait(60)
    threading.Timer(0.1, release.set).start()
    jobs.close(60)
    after = Jobs(JobFiles(folder))
    assert after.status(running) == [1, 7]
    assert after.status(waiting)[0] == 2


def test_an_hour_after_its_end_a_job_is_forgotten(folder: Path) -> None:
    clock = Clock()
    files = JobFiles(folder, clock)
    jobs = Jobs(files, clock=clock)
    old = jobs.begin("test.ping", lambda: 1)
    ended(jobs, old)
    go = threading.Event()
    long = jobs.begin("test.long", lambda: go.wait(60) and 2)
    clock.now += KEEP_S - 1
    files.prune(lambda job_id: job_id == long)
    assert jobs.status(old) == [1, 1]
    clock.now += 2
    files.prune(lambda job_id: job_id == long)
    assert jobs.status(old) == [2, 0]
    assert jobs.status(long) == [0, -1]  # it runs for longer than an hour
    go.set()
    assert ended(jobs, long) == [1, True] or ended(jobs, long) == [1, 2]
    files.prune(lambda job_id: False)
    assert jobs.status(long)[0] == 1  # the hour begins at its end
    clock.now += KEEP_S + 1
    files.prune(lambda job_id: False)
    assert list(folder.iterdir()) == []


def test_of_too_many_jobs_the_oldest_go(folder: Path) -> None:
    files = JobFiles(folder, keep_count=3)
    jobs = Jobs(files)
    ids = [jobs.begin("test.ping", lambda: 1) for _ in range(6)]
    for job_id in ids:
        ended(jobs, job_id)
    files.prune(lambda job_id: False)
    assert [jobs.status(job_id)[0] for job_id in ids] == [2, 2, 2, 1, 1, 1]


def test_a_job_says_how_far_it_is_and_what_it_does(folder: Path, tmp_path: Path) -> None:
    jobs = Jobs(JobFiles(folder))
    said, go = threading.Event(), threading.Event()

    def work() -> int:
        job = job_context.current()
        assert job is not None
        for number in range(60):
            job.say(f"line {number}")
        job_context.report_progress(3, 10)
        said.set()
        go.wait(60)
        return 1

    job_id = jobs.begin("x.work", work)
    assert said.wait(60)
    assert jobs.progress(job_id) == [3, 10]
    out, err = jobs.tail(job_id)
    assert out.splitlines() == [f"line {number}" for number in range(10, 60)]
    assert err == ""
    go.set()
    ended(jobs, job_id)
    after = Jobs(JobFiles(folder))
    assert after.progress(job_id) == [3, 10]
    assert after.tail(job_id)[0].endswith("line 59\n")


def test_a_job_may_show_the_log_of_a_program(folder: Path, tmp_path: Path) -> None:
    jobs = Jobs(JobFiles(folder))
    log = tmp_path / "koan.log"

    def work() -> int:
        job_context.current().follow(log)  # type: ignore[union-attr]
        log.write_text("koan says so\n")
        return 0

    job_id = jobs.begin("virt.install", work)
    ended(jobs, job_id)
    assert jobs.tail(job_id) == ["koan says so\n", ""]


def test_outside_of_a_job_there_is_none() -> None:
    job_context.report_progress(1, 2)
    assert job_context.current() is None


def test_a_record_nobody_can_read_is_told_and_lost(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    (folder / "5-minion.json").write_text('{"job_id": ')
    assert Jobs(JobFiles(folder)).status("5-minion") == [2, 0]
    assert "5-minion.json" in caplog.text


def test_what_a_crash_left_goes_too(folder: Path) -> None:
    folder.mkdir()
    (folder / "5-minion.json").write_text('{"job_id": ')
    (folder / "6.5-minion").mkdir()
    (folder / "notes").write_text("somebody's")
    JobFiles(folder).prune(lambda job_id: False)
    assert [path.name for path in folder.iterdir()] == ["notes"]


def test_a_result_without_room_on_the_disk_is_known_as_long_as_the_process_lives(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs(JobFiles(folder))

    def work() -> str:
        (folder / "away").mkdir()
        for path in folder.glob("*.json"):
            path.rename(folder / "away" / path.name)
            path.mkdir()  # no file can take its place any more
        return "value"

    job_id = jobs.begin("x.y", work)
    wait_for(lambda: "it is known until funcd ends" in caplog.text, "the failure is told")
    (folder / f"{job_id}.json").rmdir()
    (folder / "away" / f"{job_id}.json").rename(folder / f"{job_id}.json")
    assert ended(jobs, job_id) == [1, "value"]
