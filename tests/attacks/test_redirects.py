"""A login leads to a page of this site, whatever stands behind ?next=; a real browser says what it reads."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest

from tests.attacks.town import SESSION, Town
from tests.integration.browser import Browser, chromium

TRICKS = (
    "https://evil.example/",
    "http://evil.example",
    "//evil.example/",
    "///evil.example/",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "/%5cevil.example",
    "/%2fevil.example",
    "/%2f%2fevil.example",
    "%2f%2fevil.example",
    "/%252fevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "https:evil.example",
    "https:/evil.example",
    "http:\\\\evil.example",
    "//evil.example@127.0.0.1/",
    "//127.0.0.1@evil.example/",
    "@evil.example",
    ".evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "//evil%E3%80%82example",
    "//\u3002evil.example",
    "/\u2028/evil.example",
    "/\x00/evil.example",
    "/\x0b/evil.example",
    "?next=//evil.example",
    "#//evil.example",
    "/login?next=//evil.example",
    "/logout",
    "/;@evil.example",
    "//[::1]/",
    "/\u00ad/evil.example",
    "/\r\nSet-Cookie: x=y",
    "/\r\nLocation: https://evil.example/",
    "/%0d%0aSet-Cookie:%20x=y",
    "",
)
GOOD = ("/", "/machines", "/machines?state=running&q=a%20b", "/clouds/cloud1.example.org", "/tasks/1")


@pytest.fixture(scope="module")
def led_to(town: Town) -> dict[str, str]:
    """Where somebody is led who is signed in already, which is decided as after a login."""
    found = {}
    for trick in (*TRICKS, *GOOD):
        target = f"/login?next={quote(trick, safe='')}"
        answer = town.ask("GET", target, {**town.vera.session, "Accept": "text/html"})
        assert answer.status in (303, 400), trick  # 400: what is no text at all
        assert not any(value.startswith("x=y") for _, value in answer.all_headers), trick
        found[trick] = answer.headers.get("location", "/")
    return found


def test_good_ways_are_kept(led_to: dict[str, str]) -> None:
    assert {way: led_to[way] for way in GOOD} == {way: way for way in GOOD}


@pytest.mark.skipif(chromium() is None, reason="chromium is not installed: make setup-test installs it")
def test_no_trick_leads_a_browser_elsewhere(town: Town, led_to: dict[str, str]) -> None:
    browser = Browser()
    try:
        browser.take_cookie(town.cloud.url, SESSION, town.vera.cookie)
        browser.open(town.cloud.url)
        browser.wait_for_path("/")
        for trick in TRICKS:
            read = browser.run(f"new URL({json.dumps(led_to[trick])}, location.href).origin + '/'")
            assert read == town.cloud.url, (trick, led_to[trick])
        # the page itself, for the few that a URL can carry in more than one way
        for trick in ("//evil.example/", "/\\evil.example", "/%5cevil.example", "/\t/evil.example"):
            browser.open(f"{town.cloud.url}login?{urlencode({'next': trick})}")
            browser.wait_for_path("/")
            assert browser.run("location.origin + '/'") == town.cloud.url
    finally:
        browser.close()


@pytest.mark.parametrize(
    "trick", ["//evil.example/", "/\\evil.example", "/\r\nSet-Cookie: x=y", "https://evil.example"]
)
def test_the_form_leads_nowhere_else_either(town: Town, trick: str) -> None:
    answer = town.log_in("vera", town.vera.password, trick)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert answer.cookie("x") is None


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "/%0d%0aSet-Cookie:%20x=y", "/machines%0d%0aLocation:%20https://evil.example/",
     "/%E3%80%82", "/machines?q=%0d%0aX-Evil:%201", "//evil.example/..;/machines"],
)  # fmt: skip
def test_being_led_to_the_login_writes_no_header_of_its_own(town: Town, target: str) -> None:
    answer = town.ask("GET", target, {"Accept": "text/html"})
    assert answer.status in (303, 400)
    assert answer.headers.get("location", "/login").startswith("/login")
    assert "x-evil" not in answer.headers and answer.cookie("x") is None


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1@evil.example", "evil.example:80#", "[::1]", "a" * 300, "x/y", "-"]
)
def test_a_forged_host_is_written_nowhere(town: Town, host: str) -> None:
    cookie, _ = town.entry()
    for path in ("/", "/login", "/machines", "/api/v1/machines", "/account", "/enrolment", "/nothing"):
        for known in ({}, town.admin.session):
            more = {"X-Forwarded-Host": host, "Forwarded": f"host={host}", "Accept": "text/html, */*;q=0.1"}
            answer = town.ask("GET", path, {**known, **more, "Host": host})
            assert answer.status < 500
            written = answer.body.decode() + str(answer.all_headers)
            assert host not in written or len(host) < 2, (path, written[written.find(host) - 80 :][:200])
