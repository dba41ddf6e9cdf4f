"""Guessing is held up; nobody is held up for good by what others do."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloudmasterd.errors import TooManyAttempts
from cloudmasterd.throttle import (
    FORGOTTEN_S,
    FREE_OF_ACCOUNT,
    FREE_OF_ADDRESS,
    FREE_OF_PAIR,
    LONGEST_WAIT_S,
    MOST_KEPT,
    Throttle,
    network_of,
)
from tests.cloudmasterd.folk import ELSEWHERE, HERE, THERE
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def throttle(clock: FakeClock) -> Throttle:
    return Throttle(clock)


def fail(throttle: Throttle, clock: FakeClock, times: int, account: str = "ann", address: str = HERE) -> int:
    """Fail so many times, waiting for as long as is asked; the longest wait there was."""
    longest = 0
    for _ in range(times):
        try:
            throttle.admit(account, address)
        except TooManyAttempts as exc:
            longest = max(longest, exc.retry_after_s)
            clock.advance(exc.retry_after_s)
            throttle.admit(account, address)
    return longest


def wait_of(throttle: Throttle, account: str = "ann", address: str = HERE) -> int:
    """How long one has to wait there now; asking is no try."""
    try:
        throttle.take_back(throttle.admit(account, address))
    except TooManyAttempts as exc:
        return exc.retry_after_s
    return 0


def test_a_few_slips_cost_nothing(throttle: Throttle, clock: FakeClock) -> None:
    assert fail(throttle, clock, FREE_OF_PAIR) == 0


def test_each_more_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(
    throttle: Throttle, clock: FakeClock
) -> None:
    fail(throttle, clock, FREE_OF_PAIR)
    waits = []
    for _ in range(14):
        waits.append(wait_of(throttle))
        clock.advance(waits[-1])
        throttle.admit("ann", HERE)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]


def test_tries_that_are_not_let_through_do_not_make_the_wait_longer(
    throttle: Throttle, clock: FakeClock
) -> None:
    fail(throttle, clock, FREE_OF_PAIR + 4)
    before = wait_of(throttle)
    for _ in range(1000):
        with pytest.raises(TooManyAttempts):
            throttle.admit("ann", HERE)
    assert wait_of(throttle) == before


def test_the_text_says_how_long_and_does_not_depend_on_there_being_such_a_user(
    throttle: Throttle, clock: FakeClock
) -> None:
    fail(throttle, clock, FREE_OF_PAIR)
    with pytest.raises(TooManyAttempts, match="too many wrong passwords .*: try again in 1 s") as caught:
        throttle.admit("ann", HERE)
    assert caught.value.retry_after_s == 1


def test_tries_at_the_same_moment_count_before_they_are_answered(throttle: Throttle) -> None:
    admitted = 0
    with pytest.raises(TooManyAttempts):
        while True:
            throttle.admit("ann", HERE)
            admitted += 1
    assert admitted == FREE_OF_PAIR


def test_one_address_cannot_go_through_many_names(throttle: Throttle) -> None:
    for number in range(FREE_OF_ADDRESS):
        throttle.admit(f"user{number}", HERE)
    assert wait_of(throttle, "one-more") == 1
    assert wait_of(throttle, "one-more", THERE) == 0


def test_who_signs_in_well_with_one_name_gets_no_tries_with_another(throttle: Throttle) -> None:
    for number in range(FREE_OF_ADDRESS * 3):
        throttle.succeeded(throttle.admit("mallory", HERE))
        if wait_of(throttle, f"user{number}") == 0:
            throttle.admit(f"user{number}", HERE)
    assert wait_of(throttle, "admin") > 0


def test_an_account_is_held_up_for_networks_that_failed(throttle: Throttle) -> None:
    for number in range(FREE_OF_ACCOUNT):
        throttle.admit("ann", f"10.0.0.{number}")
    assert wait_of(throttle, "ann", "10.0.0.1") > 0
    assert wait_of(throttle, "bob", "10.0.0.1") == 0


def test_others_failures_do_not_hold_up_who_signed_in_from_there_before(
    throttle: Throttle, clock: FakeClock
) -> None:
    throttle.succeeded(throttle.admit("ann", HERE))
    for number in range(200):
        fail(throttle, clock, 1, "ann", f"10.1.{number}.1")
    fail(throttle, clock, FREE_OF_ADDRESS + 5, "bob", HERE)
    assert wait_of(throttle, "ann", HERE) == 0


def test_others_failures_do_not_hold_up_a_network_that_never_failed(
    throttle: Throttle, clock: FakeClock
) -> None:
    for number in range(200):
        fail(throttle, clock, 1, "ann", f"10.1.{number}.1")
    assert wait_of(throttle, "ann", ELSEWHERE) == 0
    throttle.admit("ann", ELSEWHERE)
    assert wait_of(throttle, "ann", ELSEWHERE) > 0, "one try, and no more"


def test_who_knows_the_address_still_has_to_guess_slowly(throttle: Throttle, clock: FakeClock) -> None:
    throttle.succeeded(throttle.admit("ann", HERE))
    assert fail(throttle, clock, 30, "ann", HERE) == LONGEST_WAIT_S


def test_failures_are_forgotten_some_day(throttle: Throttle, clock: FakeClock) -> None:
    fail(throttle, clock, 40)
    clock.advance(FORGOTTEN_S)
    assert fail(throttle, clock, FREE_OF_PAIR) == 0


def test_the_right_password_clears_the_slips_before_it(throttle: Throttle) -> None:
    for _ in range(3):
        for _ in range(FREE_OF_PAIR - 1):
            throttle.admit("ann", HERE)
        throttle.succeeded(throttle.admit("ann", HERE))
    assert wait_of(throttle) == 0


def test_a_flood_of_names_does_not_fill_the_memory(throttle: Throttle, clock: FakeClock) -> None:
    for number in range(MOST_KEPT + 50):
        throttle.admit(f"user{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        throttle.know(f"user{number}", HERE)
    assert len(throttle._by_account._kept) == MOST_KEPT
    assert len(throttle._known) == MOST_KEPT


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unix socket", "unix socket", True),
    ],
)
def test_an_ipv6_network_counts_as_one_place(one: str, two: str, same: bool) -> None:
    assert (network_of(one) == network_of(two)) is same


class Siege(RuleBasedStateMachine):
    """Whoever tries whatever from wherever: no wait is above the longest, nobody is locked out for good."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.throttle = Throttle(self.clock)
        self.throttle.succeeded(self.throttle.admit("ann", HERE))

    @rule(account=st.sampled_from(["ann", "bob"]), network=st.integers(1, 4), times=st.integers(1, 60))
    def attack(self, account: str, network: int, times: int) -> None:
        for _ in range(times):
            try:
                self.throttle.admit(account, f"10.0.0.{network}")
            except TooManyAttempts as exc:
                assert 0 < exc.retry_after_s <= LONGEST_WAIT_S
                self.clock.advance(exc.retry_after_s)

    @rule(seconds=st.integers(0, 2 * FORGOTTEN_S))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def ann_gets_in_where_she_was_before(self) -> None:
        assert wait_of(self.throttle, "ann", HERE) == 0

    @invariant()
    def a_fresh_place_has_a_try(self) -> None:
        assert wait_of(self.throttle, "ann", THERE) == 0


Siege.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestSiege = Siege.TestCase
