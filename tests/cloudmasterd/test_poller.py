"""Who is due when, and that the threads which see to it survive whatever comes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cherrypy.process.wspbus import Bus
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.errors import CloudUnreachable, StoreError
from cloudmasterd.fleet import Fleet
from cloudmasterd.model import CloudState
from cloudmasterd.poller import HEALTHY_WORKERS, Chore, Poller, Schedule
from cloudmasterd.store import Store
from tests.blank import blank
from tests.fakes import FakeClock, FakeFabric, FakeMinion, wait_for

DOWN = CloudUnreachable("cloud2 did not answer")


def schedule(*names: str, lean: float = 0.0) -> Schedule:
    plan = Schedule(15, 300, FakeClock(lean).jitter)
    plan.know(names, 0.0)
    return plan


def delays_of_failures(plan: Schedule, count: int) -> list[float]:
    delays = []
    for _ in range(count):
        plan.failed("a", 1000.0)
        delays.append(plan.due_at("a") - 1000.0)
    return delays


def test_new_cloud_instances_are_due_at_once() -> None:
    assert schedule("a").take_due(0.0, suspects=False) == ["a"]


def test_the_first_round_is_spread_but_never_over_more_than_an_interval() -> None:
    names = [f"c{number}" for number in range(200)]
    plan = schedule(*names)
    assert len(plan.take_due(1.0, suspects=False)) == 51
    assert len(plan.take_due(4.0, suspects=False)) == 149
    many = schedule(*(f"c{number}" for number in range(5000)))
    assert len(many.take_due(15.0, suspects=False)) == 5000


def test_a_cloud_instance_being_refreshed_is_not_due() -> None:
    plan = schedule("a")
    plan.take_due(0.0, suspects=False)
    assert plan.take_due(100.0, suspects=False) == []


@pytest.mark.parametrize(("lean", "due"), [(0.0, 15.0), (1.0, 16.5), (-1.0, 13.5)])
def test_after_an_answer_it_is_due_an_interval_later_give_or_take_a_tenth(lean: float, due: float) -> None:
    plan = schedule("a", lean=lean)
    plan.take_due(0.0, suspects=False)
    plan.succeeded("a", 0.0)
    assert plan.due_at("a") == pytest.approx(due)


def test_from_the_third_failure_on_the_delay_doubles_up_to_the_longest() -> None:
    assert delays_of_failures(schedule("a"), 8) == [15, 15, 30, 60, 120, 240, 300, 300]


def test_years_of_failures_overflow_nothing() -> None:
    assert delays_of_failures(schedule("a"), 5000)[-1] == 300


def test_one_answer_closes_the_breaker() -> None:
    plan = schedule("a")
    delays_of_failures(plan, 6)
    assert plan.succeeded("a", 0.0)
    assert plan.due_at("a") == 15
    assert delays_of_failures(plan, 2) == [15, 15]


def test_a_failed_refresh_that_was_asked_for_begins_the_count_anew() -> None:
    plan = schedule("a")
    delays_of_failures(plan, 6)
    plan.failed("a", 0.0, asked_for=True)
    assert plan.due_at("a") == 15


def test_those_that_failed_are_taken_apart_from_the_others() -> None:
    plan = schedule("a", "b")
    plan.failed("b", 0.0)
    assert plan.take_due(100.0, suspects=False) == ["a"]
    assert plan.take_due(100.0, suspects=True) == ["b"]


def test_only_the_first_failure_and_the_first_answer_after_it_are_news() -> None:
    plan = schedule("a")
    assert [plan.failed("a", 0.0), plan.failed("a", 0.0)] == [True, False]
    assert [plan.succeeded("a", 0.0), plan.succeeded("a", 0.0)] == [True, False]


def test_what_was_taken_and_left_undone_is_due_again_after_the_interval() -> None:
    plan = schedule("a", "b")
    plan.take_due(0.02, suspects=False)
    plan.succeeded("b", 0.0)
    plan.give_back(["a", "b", "gone"], 10.0)
    assert (plan.due_at("a"), plan.due_at("b")) == (25, 15)


def test_forgotten_cloud_instances_are_due_no_more_and_outcomes_of_strangers_change_nothing() -> None:
    plan = schedule("a", "b")
    plan.know(["b"], 0.0)
    assert not plan.failed("a", 0.0) and not plan.succeeded("a", 0.0)
    assert plan.take_due(1.0, suspects=False) == ["b"]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40), st.floats(-1, 1))
def test_whatever_happens_it_is_due_within_the_longest_delay(events: list, lean: float) -> None:
    plan = schedule("a", lean=lean)
    for ok, asked_for in events:
        if ok:
            plan.succeeded("a", 50.0)
        else:
            plan.failed("a", 50.0, asked_for=asked_for)
        assert 50 + 15 * 0.9 - 0.001 <= plan.due_at("a") <= 50 + 300 * 1.1 + 0.001


class Engine:
    """A poller over three cloud instances, with a clock set by hand and a quick tick."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.fabric = FakeFabric(cloud1=FakeMinion(), cloud2=FakeMinion(), cloud3=FakeMinion())
        self.store = Store(blank(folder / "db"))
        self.fleet = Fleet(self.store, self.fabric, self.clock)
        self.poller = Poller(Bus(), self.fleet, self.clock, interval_s=15, breaker_max_s=300, tick_s=0.01)

    def asked(self, name: str) -> int:
        minion = self.fabric.minions[name]
        assert isinstance(minion, FakeMinion)
        return len(minion.cursors)

    def start(self) -> None:
        """Start, and let pass over what the first round is spread."""
        self.poller.start()
        wait_for(
            lambda: not any("looked for" in problem for problem in self.poller.problems()), "a discovery"
        )
        self.pass_time(1)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.poller.problems() == [], "a finished first round")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    engine.fabric.close()
    engine.poller.stop()
    engine.fleet.close()
    engine.store.close()


def test_before_the_first_round_it_says_what_is_missing(engine: Engine) -> None:
    assert engine.poller.problems() == [
        "the poller does not run: see the log of cloudmasterd, and start it again",
        "the cloud instances have not been looked for yet",
    ]


def test_after_the_start_everything_is_asked_and_nothing_is_wrong(engine: Engine) -> None:
    engine.start()
    engine.wait_until_ready()
    assert {cloud.state for cloud in engine.store.list_clouds()} == {CloudState.UP}


def test_an_unfinished_first_round_says_how_many_are_to_go(engine: Engine) -> None:
    engine.fabric.hung["cloud1"] = threading.Event()
    engine.start()
    wait_for(lambda: "the first round is not finished: 1 cloud instances to go" in engine.poller.problems())
    engine.fabric.hung["cloud1"].set()
    engine.wait_until_ready()


def test_each_is_asked_again_when_the_interval_is_over(engine: Engine) -> None:
    engine.start()
    engine.wait_until_ready()
    engine.pass_time(15.1)
    wait_for(lambda: engine.asked("cloud1") == 2 and engine.asked("cloud3") == 2, "the second round")


def test_a_new_cloud_instance_is_asked_as_soon_as_it_is_discovered(engine: Engine) -> None:
    engine.start()
    engine.wait_until_ready()
    engine.fabric.minions["cloud4"] = FakeMinion()
    engine.pass_time(15)
    wait_for(lambda: engine.asked("cloud4") == 1, "the question to the new one")


def test_hung_cloud_instances_hold_no_one_up(engine: Engine) -> None:
    engine.start()
    engine.wait_until_ready()
    engine.fabric.hung["cloud2"] = threading.Event()
    for round_number in range(2, 5):
        # In small steps: an answer that is noted after a leap in time is due only an interval after it.
        wait_for(
            lambda n=round_number: (
                engine.pass_time(1) or min(engine.asked("cloud1"), engine.asked("cloud3")) >= n
            ),
            f"round {round_number} of the others",
        )
    assert engine.asked("cloud2") == 1


def test_it_tells_once_that_one_fell_silent_and_once_that_it_is_back(engine: Engine, caplog) -> None:
    caplog.set_level(logging.INFO, "cloudmasterd.poller")
    engine.start()
    engine.wait_until_ready()
    engine.fabric.down["cloud2"] = DOWN
    for count in (2, 3):
        wait_for(
            lambda n=count: (
                engine.pass_time(1) or sum("cloud2" in group for group in engine.fabric.asked) >= n
            ),
            "a question",
        )
    del engine.fabric.down["cloud2"]
    wait_for(lambda: engine.pass_time(16) or "cloud2 answers again" in caplog.messages, "the recovery")
    assert [m for m in caplog.messages if "cloud2" in m] == [
        "cloud2 did not answer",
        "cloud2 answers again",
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("the disk is full"), "discovering cloud instances failed: the disk is full"),
        (ZeroDivisionError(), "discovering cloud instances failed unexpectedly: see the log of cloudmasterd"),
    ],
)
def test_a_failure_is_reported_and_survived(engine: Engine, monkeypatch, caplog, error, told: str) -> None:
    def fail() -> list[str]:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(engine.fleet, "discover", fail)
        engine.poller.start()
        wait_for(lambda: told in engine.poller.problems(), "the report")
    engine.pass_time(16)
    wait_for(lambda: told not in engine.poller.problems(), "the end of the report")
    engine.pass_time(1)
    engine.wait_until_ready()
    assert caplog.messages.count(told) == 1


def test_more_hung_batches_than_workers_leave_the_poller_alive(engine: Engine) -> None:
    gate = threading.Event()
    engine.poller.start()
    for number in range(HEALTHY_WORKERS + 2):
        engine.fabric.hung[f"slow{number}"] = gate
        engine.fabric.minions[f"slow{number}"] = FakeMinion()
        engine.pass_time(16)
    gate.set()
    wait_for(lambda: engine.pass_time(1) or engine.poller.problems() == [], "a finished round")


def test_it_stops_within_a_second_or_so_though_a_call_hangs(engine: Engine) -> None:
    engine.fabric.hung["cloud1"] = threading.Event()
    engine.poller.start()
    assert engine.fabric.waiting.acquire(timeout=60)
    stopper = threading.Thread(target=engine.poller.stop)
    stopper.start()
    wait_for(lambda: engine.pass_time(0.1) or not stopper.is_alive(), "the stop")
    assert "the poller does not run" in engine.poller.problems()[0]
    assert [t.name for t in threading.enumerate() if t.name == "poller"] == []


def test_it_can_be_started_again(engine: Engine) -> None:
    engine.poller.start()
    engine.poller.stop()
    engine.start()
    engine.wait_until_ready()


def test_a_chore_is_begun_at_once_and_again_each_time_it_is_due(engine: Engine) -> None:
    done: list[float] = []
    chore = Chore("looking for profiles", lambda: done.append(engine.clock.monotonic()), 60)
    poller = Poller(
        Bus(), engine.fleet, engine.clock, interval_s=15, breaker_max_s=300, tick_s=0.01, chores=[chore]
    )
    poller.start()
    try:
        wait_for(lambda: done == [0.0], "the first time")
        engine.clock.advance(59)
        wait_for(lambda: engine.asked("cloud1") > 0, "a look at the clouds")
        assert done == [0.0]
        engine.clock.advance(1)
        wait_for(lambda: done == [0.0, 60.0], "the second time")
    finally:
        poller.stop()


def test_a_chore_that_fails_is_told_and_done_again(engine: Engine) -> None:
    errors = [StoreError("the disk is full")]

    def work() -> None:
        if errors:
            raise errors[0]

    poller = Poller(
        Bus(), engine.fleet, engine.clock, interval_s=15, breaker_max_s=300, tick_s=0.01,
        chores=[Chore("looking for profiles", work, 60)],
    )  # fmt: skip
    poller.start()
    try:
        told = "looking for profiles failed: the disk is full"
        wait_for(lambda: told in poller.problems(), "the report")
        errors.clear()
        wait_for(lambda: engine.clock.advance(60) or told not in poller.problems(), "the end of the report")
    finally:
        poller.stop()
