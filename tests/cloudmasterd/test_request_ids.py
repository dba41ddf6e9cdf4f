"""Which ids of requests are taken, and how far one travels in the process."""

from __future__ import annotations

import threading

import pytest

from cloudmasterd import request_ids
from cloudmasterd.request_ids import REQUEST_MARK, current, is_usable, plain, working_for


@pytest.mark.parametrize("text", ["a", "req-17", "0" * 64, "A-b-9"])
def test_letters_digits_and_dashes_are_taken(text: str) -> None:
    assert is_usable(text)


@pytest.mark.parametrize(
    "text", ["", "a b", "a.b", "a\n", "ä", "0" * 65, f"a{REQUEST_MARK}1", "a\r\nHost: b"]
)
def test_whatever_else_is_not(text: str) -> None:
    assert not is_usable(text)


def test_an_id_is_current_for_the_block_and_not_beyond() -> None:
    assert current() == ""
    with working_for("outer"):
        with working_for(f"inner{REQUEST_MARK}mark"):
            assert current() == "inner"
        assert current() == "outer"
    assert current() == ""


def test_an_id_of_before_that_no_minion_would_take_is_left_out() -> None:
    with working_for("some.thing:else/1"):
        assert current() == ""
    assert plain(f"some.thing{REQUEST_MARK}x") == "some.thing"


def test_another_thread_has_its_own() -> None:
    seen: list[str] = []
    with working_for("mine"):
        thread = threading.Thread(target=lambda: seen.append(request_ids.current()))
        thread.start()
        thread.join()
    assert seen == [""]
