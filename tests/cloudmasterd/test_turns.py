"""Workers take turns and let requests go first; neither keeps the other from getting on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from cloudmasterd.turns import Turns

LONG_S, SHORT_S = 600.0, 0.02
PATIENCE_S = 60


class Watch:
    """The time, and whether anybody but this test's own thread looked at it: who gives way does."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.looked = threading.Event()
        self._own = threading.get_ident()

    def __call__(self) -> float:
        if threading.get_ident() != self._own:
            self.looked.set()
        return time.monotonic() + self.ahead


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def work(turns: Turns) -> str:
    with turns.working():
        return "done"


def test_a_worker_waits_until_the_request_is_answered(pool: ThreadPoolExecutor) -> None:
    watch = Watch()
    turns = Turns(LONG_S, watch)
    with turns.asking():
        worker = pool.submit(work, turns)
        assert watch.looked.wait(PATIENCE_S)
        assert not worker.done()
    assert worker.result(PATIENCE_S) == "done"


def test_a_worker_waits_for_the_last_of_several_requests(pool: ThreadPoolExecutor) -> None:
    watch = Watch()
    turns = Turns(LONG_S, watch)
    with turns.asking():
        with turns.asking():
            worker = pool.submit(work, turns)
            assert watch.looked.wait(PATIENCE_S)
        assert not worker.done()
    assert worker.result(PATIENCE_S) == "done"


def test_a_request_that_takes_long_keeps_nobody_from_work(pool: ThreadPoolExecutor) -> None:
    turns = Turns(SHORT_S)
    with turns.asking():
        assert pool.submit(work, turns).result(PATIENCE_S) == "done"


def test_one_that_took_too_long_already_is_not_given_way_to_again(pool: ThreadPoolExecutor) -> None:
    watch = Watch()
    turns = Turns(LONG_S, watch)
    with turns.asking():
        watch.ahead += LONG_S
        assert pool.submit(work, turns).result(PATIENCE_S) == "done"


def test_requests_without_end_keep_nobody_from_work(pool: ThreadPoolExecutor) -> None:
    turns, stop, going = Turns(SHORT_S), threading.Event(), threading.Event()

    def ask_on() -> None:
        with ExitStack() as before:
            while not stop.is_set():
                with ExitStack() as now:
                    now.enter_context(turns.asking())
                    before.close()  # at every moment there is one
                    before.push(now.pop_all())
                going.set()

    asking = pool.submit(ask_on)
    try:
        assert going.wait(PATIENCE_S)
        for _ in range(3):
            assert pool.submit(work, turns).result(PATIENCE_S) == "done"
    finally:
        stop.set()
    asking.result(PATIENCE_S)


def test_one_works_at_a_time_and_who_waits_for_others_lets_the_next_one_in(pool: ThreadPoolExecutor) -> None:
    turns, back = Turns(), threading.Event()
    inside: list[str] = []

    def go_away() -> None:
        with turns.working():
            inside.append("first")
            with turns.away():
                assert back.wait(PATIENCE_S)
            inside.append("first again")

    with turns.working():
        first = pool.submit(go_away)
        assert not inside
    assert pool.submit(work, turns).result(PATIENCE_S) == "done"
    assert not first.done()
    back.set()
    first.result(PATIENCE_S)
    assert inside == ["first", "first again"]


def test_what_fails_while_away_leaves_the_turn_to_the_next() -> None:
    turns = Turns()
    with pytest.raises(OSError), turns.working(), turns.away():
        raise OSError("gone")
    with turns.asking(), pytest.raises(OSError), turns.asking():
        raise OSError("gone")
    assert work(turns) == "done"
