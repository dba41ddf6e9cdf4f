"""A lane: calls that hang cost their callers a limit and nobody else anything."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from func.errors import HostError
from func.minion.lane import Lane
from tests.func.minion.helpers import wait_for


def test_the_value_and_the_error_come_to_the_caller() -> None:
    lane = Lane("libvirt", 5)
    assert lane.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        lane.run(lambda: 1 // 0)
    assert lane.run(lambda: 8) == 8
    lane.close()


def test_an_error_that_is_a_timeout_of_the_work_itself_is_passed_on() -> None:
    def work() -> None:
        raise TimeoutError("of its own")

    lane = Lane("libvirt", 5)
    with pytest.raises(TimeoutError, match="of its own"):
        lane.run(work)
    lane.close()


def test_a_hanging_call_is_given_up_and_the_next_ones_fail_at_once() -> None:
    lane, release = Lane("libvirt", 1.0), threading.Event()
    with pytest.raises(HostError, match="libvirt has not answered for \\d+ s; what was asked may yet happen"):
        lane.run(lambda: release.wait(120))
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(HostError, match="nothing was done"):
            lane.run(lambda: None)
    assert time.monotonic() - began < 30, "each would have waited 1 s"
    release.set()
    wait_for(lambda: lane._busy_since is None, "it is free again")
    assert lane.run(lambda: "back") == "back"
    lane.close()


def test_work_that_was_given_up_before_it_began_is_never_done() -> None:
    lane, release, begun = Lane("libvirt", 0.2), threading.Event(), threading.Event()
    done: list[str] = []

    def hang() -> None:
        begun.set()
        release.wait(60)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lane.run, hang)
        assert begun.wait(60)
        second = pool.submit(lane.run, lambda: done.append("a machine was stopped"))
        with pytest.raises(HostError, match="may yet happen"):
            first.result(60)
        with pytest.raises(HostError, match="nothing was done"):
            second.result(60)
        release.set()
        wait_for(lambda: lane._busy_since is None, "it is free again")
        lane.run(lambda: None)
    assert done == []
    lane.close()
