"""Sign in at a cloud master as a browser does, form and cookies and all, without one."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from demo.cloud import Cloud
from tests.integration.browser import Browser
from tests.integration.support import ask

FORM = "application/x-www-form-urlencoded"
SESSION = "cloudmasterd_session"


def session_of(cloud: Cloud, user: str = "admin", password: str = "") -> str:
    """The cookie of a new session; of the first admin, with the first password, when nobody is named."""
    page = ask(cloud, "GET", "/login", accept="text/html", signed_in=False)
    entry = SimpleCookie(page.headers["set-cookie"])["cloudmasterd_login"].value
    found = re.search(r'name="csrf" value="(\w+)"', page.body.decode())
    assert found is not None
    sent = {"user": user, "password": password or cloud.admin.password(), "csrf": found[1], "next": "/"}
    headers = {"Content-Type": FORM, "Cookie": f"cloudmasterd_login={entry}"}
    answer = ask(
        cloud, "POST", "/login", accept="text/html", body=urlencode(sent).encode(), headers=headers,
        signed_in=False,
    )  # fmt: skip
    assert answer.status == 303, answer.body.decode()
    return SimpleCookie(answer.headers["set-cookie"])[SESSION].value


def sign_out(cloud: Cloud, session: str) -> None:
    """End a session, as another tab of its browser does."""
    cookie = {"Cookie": f"{SESSION}={session}"}
    page = ask(cloud, "GET", "/account", accept="text/html", headers=cookie, signed_in=False)
    found = re.search(r'name="csrf" value="(\w+)"', page.body.decode())
    assert page.status == 200 and found is not None
    answer = ask(
        cloud, "POST", "/logout", accept="text/html", body=urlencode({"csrf": found[1]}).encode(),
        headers={"Content-Type": FORM, **cookie}, signed_in=False,
    )  # fmt: skip
    assert (answer.status, answer.headers["location"]) == (303, "/login")


def sign_in(browser: Browser, cloud: Cloud, user: str = "admin", password: str = "") -> str:
    """Make a browser one in which somebody has signed in, by default the first admin; the session."""
    session = session_of(cloud, user, password)
    browser.take_cookie(cloud.url, SESSION, session)
    return session
