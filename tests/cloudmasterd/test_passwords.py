"""Passwords are kept as scrypt hashes, and checking one takes as much work whoever asks."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import TooManyAttempts
from cloudmasterd.passwords import AT_ONCE, STRANGERS, Cost, Passwords
from tests.cloudmasterd.folk import OTHER, PASSWORD, WEAK
from tests.fakes import FakeClock


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(FakeClock(), WEAK)


def test_the_text_that_is_kept_says_how_it_was_made(passwords: Passwords) -> None:
    phc = passwords.hash(PASSWORD)
    nothing, name, cost, salt, key = phc.split("$")
    assert (nothing, name, cost) == ("", "scrypt", "ln=2,r=1,p=1")
    expected = hashlib.scrypt(PASSWORD.encode(), salt=base64.b64decode(salt + "=="), n=4, r=1, p=1, dklen=32)
    assert base64.b64decode(key + "=") == expected, "anybody's scrypt says the same"
    assert PASSWORD not in phc


def test_the_usual_cost_is_what_owasp_asks_for_in_32_megabytes() -> None:
    phc = Passwords(SystemClock()).hash(PASSWORD)
    assert phc.startswith("$scrypt$ln=15,r=8,p=3$")
    assert Passwords(FakeClock(), WEAK).check(PASSWORD, phc), "the cost is in the text, not in the program"


def test_only_the_password_itself_is_right(passwords: Passwords) -> None:
    phc = passwords.hash(PASSWORD)
    assert passwords.check(PASSWORD, phc)
    for wrong in (OTHER, "", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper(), PASSWORD + "x" * 2000):
        assert not passwords.check(wrong, phc)


@given(st.text(st.characters(exclude_characters="\0"), max_size=40), st.text(max_size=40))
def test_a_password_is_right_exactly_where_it_is_the_same_text(one: str, two: str) -> None:
    passwords = Passwords(SystemClock(), WEAK)
    phc = passwords.hash(one)
    assert passwords.check(one, phc)
    assert passwords.check(two, phc) == (_typed(one) == _typed(two))


def _typed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("more", ["\0", "\0\0\0", "\0" * 40])
def test_what_scrypt_fills_passwords_up_with_is_no_part_of_them(passwords: Passwords, more: str) -> None:
    for password in (PASSWORD, ""):
        phc = passwords.hash(password)
        before = passwords.runs
        assert not passwords.check(password + more, phc)
        assert passwords.runs == before + 1, "after as much work"


@pytest.mark.parametrize("cost", [Cost(15, 1, 1), Cost(1, 1, 16), Cost(10, 8, 16), Cost(12, 64, 1)])
def test_every_sound_cost_can_be_run(cost: Cost) -> None:
    passwords = Passwords(FakeClock(), cost)
    assert passwords.check(PASSWORD, passwords.hash(PASSWORD))


def test_two_users_with_one_password_do_not_show(passwords: Passwords) -> None:
    assert passwords.hash(PASSWORD) != passwords.hash(PASSWORD)


@pytest.mark.parametrize("phc", [None, "", "x", "$scrypt$ln=15,r=8,p=3$", "$argon2id$v=19$m=1$aaaa$bbbb"])
def test_where_there_is_no_password_none_is_right_and_it_takes_the_same_work(
    passwords: Passwords, phc: Optional[str]
) -> None:
    before = passwords.runs
    assert not passwords.check(PASSWORD, phc)
    assert passwords.runs == before + 1


UNSOUND = [
    "ln=40,r=8,p=1", "ln=20,r=32,p=1", "ln=18,r=16,p=1", "ln=15,r=99,p=1", "ln=15,r=8,p=99", "ln=0,r=8,p=1",
    "ln=2,r=0,p=1", "ln=2,r=1,p=0", "ln=17,r=1,p=1",
]  # fmt: skip


@pytest.mark.parametrize("cost", UNSOUND)
def test_a_spoiled_database_cannot_make_us_work_for_hours(passwords: Passwords, cost: str, caplog) -> None:
    spoiled = passwords.hash(PASSWORD).replace("ln=2,r=1,p=1", cost)
    with caplog.at_level(logging.ERROR):
        assert not passwords.check(PASSWORD, spoiled)
    assert passwords.is_weak(spoiled)
    assert "set it anew" in caplog.text
    assert spoiled.split("$")[-1] not in caplog.text


def test_a_password_kept_with_less_work_than_is_usual_now_is_weak() -> None:
    clock = FakeClock()
    old = Passwords(clock, Cost(2, 1, 1)).hash(PASSWORD)
    assert Passwords(clock, Cost(3, 1, 1)).is_weak(old)
    assert not Passwords(clock, Cost(2, 1, 1)).is_weak(old)
    assert not Passwords(clock, Cost(1, 1, 1)).is_weak(old), "no work is ever taken away"


def test_at_most_two_are_checked_at_once_and_few_wait() -> None:
    passwords = Passwords(SystemClock(), Cost(14, 8, 1), patience_s=30)
    crowd, refused = 24, []
    gate = threading.Barrier(crowd)

    def one() -> None:
        gate.wait(30)
        try:
            passwords.check(PASSWORD, None)
        except TooManyAttempts as exc:
            refused.append(exc)

    with ThreadPoolExecutor(crowd) as pool:
        for done in [pool.submit(one) for _ in range(crowd)]:
            done.result(60)
    assert passwords.runs >= STRANGERS
    assert passwords.runs + len(refused) == crowd
    assert refused, "no thread waits for the rest"
    assert refused[0].retry_after_s > 0
    assert not passwords.check(PASSWORD, None), "everybody who was in the line has left it"


def test_a_crowd_of_strangers_takes_no_place_of_those_who_are_known() -> None:
    passwords = Passwords(SystemClock(), Cost(14, 8, 1), patience_s=30)
    over = threading.Event()

    def crowd() -> None:
        while not over.is_set():
            with suppress(TooManyAttempts):
                passwords.check(OTHER, None)

    with ThreadPoolExecutor(2 * STRANGERS) as pool:
        strangers = [pool.submit(crowd) for _ in range(2 * STRANGERS)]
        try:
            phc = passwords.hash(PASSWORD)
            assert all(passwords.check(PASSWORD, phc, known=True) for _ in range(5))
        finally:
            over.set()
        for one in strangers:
            one.result(60)


def test_nobody_waits_for_ever() -> None:
    passwords = Passwords(SystemClock(), WEAK, patience_s=0.01)
    with ExitStack() as busy:
        for _ in range(AT_ONCE):  # as many are checked as may, for as long as this block takes
            busy.enter_context(passwords._slot(passwords._strangers))
        with pytest.raises(TooManyAttempts, match="try again in 5 s"):
            passwords.check(PASSWORD, None)
    assert not passwords.check(PASSWORD, None), "they are done"


@pytest.mark.slow
def test_the_clock_does_not_tell_an_unknown_user_from_a_wrong_password() -> None:
    passwords = Passwords(SystemClock(), Cost(12, 8, 1))
    phc = passwords.hash(PASSWORD)
    known, unknown = [], []
    for _ in range(60):
        for times, kept in ((known, phc), (unknown, None)):
            began = time.thread_time()  # of the processor: what others do with it meanwhile is not counted
            passwords.check(OTHER, kept)
            times.append(time.thread_time() - began)
    # The least of many is the work itself: what a busy machine adds to some of them is in neither.
    ratio = min(known) / min(unknown)
    assert 0.7 < ratio < 1.4, f"{min(known)} and {min(unknown)} s"
