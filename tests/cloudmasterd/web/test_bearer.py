"""Tokens that programs show, and what they show in their place."""

from __future__ import annotations

import pytest

from cloudmasterd.errors import Unauthenticated
from cloudmasterd.web.bearer import bearer_of

TOKEN = "cmt_0123456789ab_" + "aB3-_" * 8 + "xyz"


def test_no_header_is_nobody() -> None:
    assert bearer_of({}) is None


@pytest.mark.parametrize("written", ["Bearer ", "bearer ", "BEARER   ", " Bearer "])
def test_the_scheme_is_read_as_others_write_it(written: str) -> None:
    assert bearer_of({"Authorization": written + TOKEN}) == TOKEN
    assert bearer_of({"Authorization": written + TOKEN + " "}) == TOKEN


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}", f"Bearer\t{TOKEN}",
     f"Bearer {TOKEN}, Bearer {TOKEN}", f"Bearer {TOKEN} {TOKEN}", f"Bearer {TOKEN},x", "Bearer =",
     "Bearer " + "a" * 513, "Bearer ä", "Bearer \x00", f'Bearer "{TOKEN}"'],
)  # fmt: skip
def test_what_is_no_token_is_told_without_being_repeated(given: str) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer TOKEN") as caught:
        bearer_of({"Authorization": given})
    assert TOKEN[17:] not in str(caught.value)
