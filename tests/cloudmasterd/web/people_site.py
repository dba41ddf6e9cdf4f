"""A site with the real door over a real store, and a browser that keeps cookies and sends forms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie
from typing import Any, Optional
from urllib.parse import urlencode

import cherrypy

from cloudmasterd.access import Access
from cloudmasterd.accounts import SessionLimits
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Role
from cloudmasterd.web.door import Entrance
from cloudmasterd.web.proxy import NO_PROXY, Proxy
from cloudmasterd.web.server import application
from tests.cloudmasterd.web.conftest import QUICK
from tests.cloudmasterd.web.reading import Page, Sheet

ADMIN = ("admin", "four words are enough")
JANE = ("jane", "a horse and a staple")
VICTOR = ("victor", "only to look around")
LIMITS = SessionLimits(idle_s=600, max_s=3600)
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Guarded:
    """A cloud master under test that asks who somebody is; its people are in its store."""

    world: Any
    people: People
    access: Access

    def browser(self, **headers: str) -> Browser:
        return Browser(self.world, {name.replace("_", "-"): value for name, value in headers.items()})

    def signed_in(self, who: tuple[str, str] = ADMIN, **headers: str) -> Browser:
        browser = self.browser(**headers)
        answer = browser.sign_in(*who)
        assert answer.status == 303, answer.text
        return browser


@contextmanager
def guarded(
    world: Any, proxy: Proxy = NO_PROXY, remote_user_role: Optional[Role] = None
) -> Iterator[Guarded]:
    """The site of a world behind the real door, with an admin, an operator of team=web and a viewer."""
    passwords = Passwords(world.clock, QUICK)
    people = People(world.store, world.clock, passwords, limits=LIMITS)
    people.create_user(ADMIN[0], Role.ADMIN, ADMIN[1])
    people.create_user(JANE[0], Role.OPERATOR, JANE[1], ["team=web"], "Jane, web team")
    people.create_user(VICTOR[0], Role.VIEWER, VICTOR[1])
    access = Access(world.store, world.clock, passwords, limits=LIMITS, remote_user_role=remote_user_role)
    door = Entrance(access, proxy, world.store.web_key)
    site = replace(world.site, people=people, access=access, door=door, proxy=proxy)
    before = cherrypy.tree.apps[""]
    cherrypy.tree.mount(application(site, world.waits), "")
    try:
        yield Guarded(world, people, access)
    finally:
        cherrypy.tree.apps[""] = before


@dataclass
class Browser:
    """Keeps cookies as a browser does, and says what browsers say of where a request comes from."""

    world: Any
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, target: str, body: Optional[bytes] = None, **headers: str) -> Any:
        named = {"Accept": HTML, "Sec-Fetch-Site": "same-origin", **self.headers}
        named.update({name.replace("_", "-"): value for name, value in headers.items()})
        if self.cookies:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.world.ask(method, target, named, body)
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            self.cookies.pop(name, None)
            if morsel["max-age"] != "0":
                self.cookies[name] = morsel.value
        return answer

    def get(self, target: str, **headers: str) -> Any:
        return self.ask("GET", target, **headers)

    def read(self, target: str) -> Page:
        answer = self.get(target)
        assert answer.status == 200, (answer.status, answer.headers, answer.text)
        return Page(answer.text)

    def post(self, path: str, **values: str) -> Any:
        return self.ask("POST", path, urlencode(values).encode(), Content_Type=FORM)

    def send(self, form: Sheet, **typed: Optional[str]) -> Any:
        """Send a form with some fields typed anew; None: a box that is not ticked."""
        assert set(typed) <= form.names, f"{set(typed) - form.names} not in {form.names}"
        values = {name: value for name, value in {**form.values, **typed}.items() if value is not None}
        return self.post(form.action, **values)

    def sign_in(self, user: str, password: str, page: str = "/login") -> Any:
        return self.send(self.read(page).form("/login"), user=user, password=password)
