"""Who gets where: roles of routes, and what those are told whom nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

import pytest

from cloudmasterd.errors import Unauthenticated
from cloudmasterd.rights import ANONYMOUS, Identity, Role
from cloudmasterd.web.front import Front, Incoming
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import Waits


@dataclass
class Says:
    """A door that takes everybody for the same."""

    who: Identity = ANONYMOUS
    error: Optional[Exception] = None

    def identify(self, headers: Mapping[str, str], address: str) -> Identity:
        if self.error is not None:
            raise self.error
        return self.who


@pytest.fixture
def front(small: Any) -> Any:
    def make(door: Any) -> Front:
        site = Site(small.store, small.fleet, small.clock, "x", 15, list)
        return Front(site if door is None else replace(site, door=door), Waits())

    return make


def ask(front: Front, method: str, target: str, accept: str = "application/json") -> Any:
    return front.answer(Incoming(method, target, accept))


NOBODY_KNOWN = [None, Says(), Says(error=Unauthenticated("this token was revoked"))]


@pytest.mark.parametrize("door", NOBODY_KNOWN, ids=["no door", "nobody", "revoked"])
@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/api/v1/machines"), ("GET", "/api/v1/nothing"), ("BREW", "/api/v1/machines"),
     ("OPTIONS", "/api/v1/machines"), ("POST", "/api/v1/machines/build1/start"),
     ("GET", "/api/v1/clouds/none")],
)  # fmt: skip
def test_nobody_is_told_what_there_is(front: Any, door: Any, method: str, target: str) -> None:
    reply = ask(front(door), method, target)
    assert reply.status == 401
    assert ("WWW-Authenticate", 'Bearer realm="cloudmasterd"') in reply.headers


@pytest.mark.parametrize("door", NOBODY_KNOWN, ids=["no door", "nobody", "revoked"])
def test_health_and_style_answer_everybody(front: Any, door: Any) -> None:
    made = front(door)
    assert ask(made, "GET", "/healthz").status == 200
    style = next(r for r in made.routes if r.path == "/static/{asset}")
    assert style.role is None


def test_a_credential_that_is_no_good_is_told_why(front: Any) -> None:
    reply = ask(front(NOBODY_KNOWN[2]), "GET", "/api/v1/machines")
    assert b"this token was revoked" in reply.body


def test_what_is_kept_for_some_is_not_handed_to_others(front: Any) -> None:
    door = Says(Identity("eve", Role.VIEWER))
    made = front(door)
    assert ask(made, "GET", "/api/v1/machines").status == 200
    door.who = ANONYMOUS
    assert ask(made, "GET", "/api/v1/machines").status == 401


@pytest.mark.parametrize("role", list(Role))
def test_a_role_gets_as_far_as_it_goes(front: Any, role: Role) -> None:
    made = front(Says(Identity("eve", role)))
    for method, target, needs in [
        ("GET", "/api/v1/machines/jboss1.example.org", Role.VIEWER),
        ("POST", "/api/v1/clouds/cloud9.example.org/refresh", Role.OPERATOR),
        ("PATCH", "/api/v1/clouds/cloud1.example.org", Role.ADMIN),
    ]:
        reply = ask(made, method, target)
        assert (reply.status == 403) is not role.includes(needs), (method, target, reply)
        if reply.status == 403:
            assert f"takes the role {needs.value}, and eve has {role.value}".encode() in reply.body


def test_a_page_leads_to_the_login_and_back(front: Any) -> None:
    made = front(Says())
    for target, where in [
        ("/", "/login"),
        ("/machines?state=off&q=a%26b", "/login?next=/machines%3Fstate%3Doff%26q%3Da%2526b"),
        ("/nothing", "/login?next=/nothing"),
    ]:
        reply = ask(made, "GET", target, "text/html")
        assert (reply.status, dict(reply.headers)["Location"]) == (303, where)
    assert dict(ask(made, "POST", "/machines/new", "text/html").headers)["Location"] == "/login"


def test_every_route_for_anybody_is_known(front: Any) -> None:
    open_to_all = {(r.method, r.path) for r in front(None).routes if r.role is None}
    assert open_to_all == {
        ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/static/{asset}"),
        ("GET", "/install/{token}/{phase}"), ("POST", "/install/{token}/{phase}"),
        ("GET", "/login"), ("POST", "/login"),
    }  # fmt: skip
