"""Signing in and out with a browser: sessions, cookies, where it leads, and what it is refused for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cloudmasterd.web.people_site import ADMIN, Guarded, guarded

SESSION = "cloudmasterd_session"
ENTRY = "cloudmasterd_login"


@pytest.fixture
def site(small: Any) -> Iterator[Guarded]:
    with guarded(small) as made:
        yield made


def test_somebody_signs_in_and_is_where_they_wanted_to_be(site: Guarded) -> None:
    browser = site.browser()
    led = browser.get("/machines?state=off")
    assert (led.status, led.headers["location"]) == (303, "/login?next=/machines%3Fstate%3Doff")
    answer = browser.sign_in(*ADMIN, page=led.headers["location"])
    assert (answer.status, answer.headers["location"]) == (303, "/machines?state=off")
    assert answer.headers["cache-control"] == "no-store"
    page = browser.read("/machines?state=off")
    assert "Signed in as admin" in page.text and "/logout" in page.actions
