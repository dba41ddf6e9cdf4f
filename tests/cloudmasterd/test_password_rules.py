"""What a password has to be, and passwords that are made."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import Invalid
from cloudmasterd.password_rules import MAX_BYTES, MIN_CHARACTERS, check_new, generate, to_bytes
from tests.fakes import FakeClock


@pytest.mark.parametrize(
    "password",
    [
        "four words in a row",
        "correct horse battery staple",
        "zmdgq-xsepa-atn9p-zuuci",
        "пароль из слов",
        "😀😁😂🤣😃😄😅😆😉😊😋😎",
        "aB3$!aB3$!aB3$!",
        "one word!one",
        "x1y2z3" * 20,
    ],
)
def test_whatever_is_long_and_no_favourite_can_be_a_password(password: str) -> None:
    check_new(password, "ann")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "it has 0 characters; take 12 or more"),
        ("elevenchars", "it has 11 characters; take 12 or more"),
        ("ann.example@example.org", "the name of the user"),
        ("ANN.Example@example.ORG", "the name of the user"),
        ("password1234", "one of the commonest"),
        ("PassWord1234", "one of the commonest"),
        ("qwertyuiop123", "one of the commonest"),
        ("aaaaaaaaaaaaaaaa", "fewer than 5 different characters"),
        ("121212121212", "fewer than 5 different characters"),
        ("abcd" * 5, "fewer than 5 different characters"),
        ("four words " * 100, "longer than 1024 bytes"),
        ("é" * 600 + "abcde", "longer than 1024 bytes"),
        ("four words in a row\0", "the character U\\+0000, which nobody can type"),
        ("four words\0in a row", "the character U\\+0000"),
    ],
)
def test_an_unfit_password_is_refused_with_what_would_be_right(password: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason) as caught:
        check_new(password, "ann.example@example.org")
    assert caught.value.fields[0][0] == "password"
    assert len(password) < 5 or password not in str(caught.value), "an error is shown and logged"


def test_what_was_typed_on_another_keyboard_is_the_same_password() -> None:
    typed = "schöne Grüße an alle"
    assert to_bytes(unicodedata.normalize("NFD", typed)) == to_bytes(unicodedata.normalize("NFC", typed))


def test_a_generated_password_is_four_groups_fit_to_be_typed() -> None:
    made = {generate(SystemClock()) for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert [len(group) for group in password.split("-")] == [5, 5, 5, 5]
        assert not set(password) & set("l1o0 ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "what looks alike is not in it"
        check_new(password, "admin")


def test_every_character_of_a_generated_password_can_be_any_of_32() -> None:
    seen = [set() for _ in range(20)]
    for _ in range(1500):
        for place, letter in enumerate(generate(SystemClock()).replace("-", "")):
            seen[place].add(letter)
    assert all(len(letters) == 32 for letters in seen)


@given(st.text(max_size=1100))
def test_the_rules_answer_every_text(password: str) -> None:
    try:
        check_new(password, "ann")
    except Invalid as exc:
        assert str(exc).startswith("this password cannot be taken: it ")
    else:
        assert len(unicodedata.normalize("NFC", password)) >= MIN_CHARACTERS
        assert len(to_bytes(password)) <= MAX_BYTES


def test_half_a_character_is_no_crash() -> None:
    check_new("half a \ud800 character", "ann")
    assert generate(FakeClock()) == generate(FakeClock()), "all chance comes from the clock"
