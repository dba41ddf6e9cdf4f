"""Somebody signs in and out in a real browser: by mouse, by keyboard, on a phone, without scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from demo.cloud import Cloud
from tests.integration.browser import Browser, chromium
from tests.integration.signing_in import sign_in, sign_out
from tests.integration.support import ask, eventually

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="chromium is not installed: make setup-test installs it"
)

CLOUD1 = "cloud1.example.org"
WHERE = "location.pathname + location.search"


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    try:
        yield made
    finally:
        made.close()


def enter(browser: Browser, user: str, password: str) -> None:
    browser.write("user", user)
    browser.write("password", password)
    browser.click("Sign in")


def test_one_signs_in_sees_what_one_wanted_and_signs_out(browser: Browser, cloud: Cloud) -> None:
    browser.open(f"{cloud.url}clouds/{CLOUD1}?")
    browser.wait_for_path("/login")
    enter(browser, "admin", cloud.admin.password())
    browser.wait_for_path(f"/clouds/{CLOUD1}")
    browser.wait_for("Sign out")
    assert browser.run("document.cookie") == "", "no script can read what opens the door"
    browser.click("Sign out")
    browser.wait_for_path("/login")
    browser.open(f"{cloud.url}machines")
    browser.wait_for_path("/login")
    browser.run("history.back()")
    browser.wait_for_path("/login")


def test_a_wrong_password_is_told_and_the_name_stays(browser: Browser, cloud: Cloud) -> None:
    browser.open(f"{cloud.url}login?next=/events")
    enter(browser, "admin", "this is not it at all")
    browser.wait_for("You are not signed in.")
    assert browser.run("document.activeElement.id") == "errors"
    assert browser.run("document.querySelector('[name=user]').value") == "admin"
    assert browser.run("document.querySelector('[name=password]').value") == ""
    browser.write("password", cloud.admin.password())
    browser.click("Sign in")
    browser.wait_for_path("/events")


def test_an_open_page_leads_to_the_login_when_its_session_ends_elsewhere(
    browser: Browser, cloud: Cloud
) -> None:
    session = sign_in(browser, cloud)
    browser.open(f"{cloud.url}machines?state=running")
    browser.wait_for("Machine instances")
    sign_out(cloud, session)
    browser.wait_for_path("/login")
    browser.wait_for("This session has ended")
    enter(browser, "admin", cloud.admin.password())
    browser.wait_for_path("/machines")
    assert browser.run(WHERE) == "/machines?state=running"


def test_what_was_typed_outlasts_the_session(browser: Browser, cloud: Cloud) -> None:
    session = sign_in(browser, cloud)
    browser.open(f"{cloud.url}machines/new")
    browser.write("name", "typed.example.org")
    browser.wait_for("It would go to")
    sign_out(cloud, session)
    browser.write("memory_mb", "600")
    browser.wait_for("Your session has ended. Sign in again in another tab")
    assert browser.path() == "/machines/new"
    sign_in(browser, cloud)
    browser.write("flavor", "")
    # the preview is answered again: the form carries what the new session gives it
    eventually(lambda: browser.run("document.getElementById('notice').hidden") is True, "the notice to go")
    browser.write("memory_mb", "9000 GB")
    browser.click("Create it")
    browser.wait_for("It was not created.")
    assert browser.run("document.querySelector('[name=name]').value") == "typed.example.org"


def test_the_login_page_goes_on_when_one_has_signed_in_in_another_tab(browser: Browser, cloud: Cloud) -> None:
    browser.open(f"{cloud.url}login?next=/tasks")
    browser.wait_for("Sign in")
    sign_in(browser, cloud)
    # what the browser says when somebody comes back to a tab
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait_for_path("/tasks")


def test_the_keyboard_is_enough(browser: Browser, cloud: Cloud) -> None:
    browser._page("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.open(f"{cloud.url}login")
    browser.wait_for("Sign in")
    eventually(lambda: browser.run("document.activeElement.name") == "user", "the focus on the name")
    browser.type("admin")
    browser.press("Tab")
    browser.type(cloud.admin.password())
    browser.press("Enter")
    browser.wait_for_path("/")
    browser.wait_for("Sign out")
    for _ in range(40):
        browser.press("Tab")
        if browser.run("document.activeElement.innerText") == "Sign out":
            break
    assert browser.run("document.activeElement.innerText") == "Sign out"
    browser.press("Enter")
    browser.wait_for_path("/login")


def test_a_page_is_not_that_of_one_with_the_figures_of_another(browser: Browser, cloud: Cloud) -> None:
    somebody = {"name": "victor", "role": "viewer", "password": "only to look around"}
    made = ask(
        cloud, "POST", "/api/v1/users", body=json.dumps(somebody).encode(),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert made.status == 201, made.body
    sign_in(browser, cloud)
    browser.open(f"{cloud.url}machines")
    browser.wait_for("Create a machine")
    sign_in(browser, cloud, "victor", "only to look around")
    browser.wait_for("victor")
    assert "admin" not in browser.seen() and "Create a machine" not in browser.seen()


@pytest.mark.parametrize(
    "page", ["account", "users", "users/admin", "users/admin/delete", "audit", "enrolment"]
)
def test_the_pages_for_admins_fit_a_phone(browser: Browser, cloud: Cloud, page: str) -> None:
    sign_in(browser, cloud)
    browser.narrow()
    browser.open(f"{cloud.url}{page}")
    browser.wait_for("admin")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert "Sign out" in browser.seen()


def test_the_login_fits_a_phone(browser: Browser, cloud: Cloud) -> None:
    browser.narrow()
    browser.open(f"{cloud.url}login")
    browser.wait_for("Sign in")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    height = "document.querySelector('form[action=\"/login\"] button').getBoundingClientRect().bottom"
    assert browser.run(height) < 844, "the button is there without scrolling"


def focused(browser: Browser) -> list[str]:
    """What has the focus, by name; works without scripts too."""
    nodes = browser._page("Accessibility.getFullAXTree")["nodes"]
    return [
        node.get("name", {}).get("value", "")
        for node in nodes
        for told in node.get("properties", [])
        if told["name"] == "focused" and told["value"].get("value")
    ]


def test_it_all_works_without_scripts(browser: Browser, cloud: Cloud) -> None:
    browser.without_scripts()
    browser._page("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.open(f"{cloud.url}users")
    eventually(lambda: "User" in focused(browser), "the form of the login to have the focus by itself")
    browser.type("admin")
    browser.press("Tab")
    browser.type(cloud.admin.password())
    browser.press("Enter")
    eventually(lambda: "Let somebody in" in browser.text(), "the page of users")
