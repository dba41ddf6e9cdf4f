"""Every route with every kind of caller, against the real door over a real store: who gets in, who does not.

What is expected is worked out from the role of a route and from the tables below, and nowhere else. A route
that is new is in the matrix as soon as it is in the table of URLs; when it changes something on behalf of
operators it is taken to be bound to tags until somebody says otherwise here.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Callable, Optional
from urllib.parse import urlencode

import pytest

from cloudmasterd.rights import Role
from cloudmasterd.web.body import Body
from cloudmasterd.web.csrf import made_of
from cloudmasterd.web.exchange import HTML
from cloudmasterd.web.front import SAFE
from cloudmasterd.web.router import Route
from tests.cloudmasterd.web.people_site import FORM, Guarded, guarded
from tests.cloudmasterd.web.test_openapi import routes

pytestmark = pytest.mark.slow  # all routes with all kinds of callers

MACHINE = "jboss1.example.org"
PASSWORD = "four words are enough"
ANEW = "something else each time"  # for a form that changes nothing when nothing differs

# what answers anybody; nothing may be added to it without a reason
OPEN = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/static/{asset}"),
    ("GET", "/login"), ("POST", "/login"),
    ("GET", "/install/{token}/{phase}"), ("POST", "/install/{token}/{phase}"),
}  # fmt: skip

# what operators may do whatever tags they are bound to: it changes nothing that carries any
SHARED = {
    ("POST", "/api/v1/clouds/{cloud}/refresh"), ("POST", "/clouds/{cloud}/refresh"),
    ("POST", "/api/v1/profiles/refresh"), ("POST", "/profiles/refresh"),
}  # fmt: skip

# what viewers may ask for of their own, and admins of others' too: the user of the path is somebody else
OTHERS = {
    ("GET", "/api/v1/users/{user}"), ("PUT", "/api/v1/users/{user}/password"),
    ("DELETE", "/api/v1/users/{user}/sessions"),
}  # fmt: skip

# what takes more than a credential, of everybody: the login what its own page gave the browser, and the page
# of an account no token
FOR_ITS_PAGE = {("POST", "/login")}
FOR_THOSE_SIGNED_IN = {
    ("POST", "/account/password"), ("POST", "/account/tokens"), ("POST", "/account/tokens/{token}/revoke"),
    ("POST", "/account/sessions/end"), ("POST", "/account/sessions/{session}/end"),
}  # fmt: skip

# Bodies that get as far as the rights: what is wrong in a body is told before.
JSON_BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/api/v1/machines"): {"name": "new1", "memory_mb": 512},
    ("PATCH", "/api/v1/machines/{machine}"): {"notes": "x"},
    ("POST", "/api/v1/placements"): {"memory_mb": 512},
    ("POST", "/api/v1/images"): {"name": "x", "format": "raw", "sha256": "0" * 64, "size_bytes": 1},
}
FORMS: Mapping[str, Mapping[str, str]] = {
    "/machines/new": {"name": "new2", "memory_mb": "512", "source": "blank", "networks": "default"},
    "/machines/{machine}/change": {"name": MACHINE, "memory_mb": "512", "vcpus": "1", "tags": "team=web",
                                   "notes": ANEW},
    "/machines/{machine}/delete": {"name": MACHINE},
    **{f"/machines/{{machine}}/{verb}": {"confirm": "yes"} for verb in ("poweroff", "reset", "reboot")},
}  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """Somebody at the door: which role they hold there, None for nobody."""

    role: Optional[Role]
    headers: Callable[[Guarded], Mapping[str, str]] = field(default=lambda site: {})
    bound: bool = False  # to tags that the machine instance in the path does not carry
    forgeable: bool = False  # by another site: what may change something is refused
    signed_in: bool = False


def token(user: str, role: Role, **rights: Any) -> Callable[[Guarded], Mapping[str, str]]:
    def headers(site: Guarded) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {site.people.create_token(user, 'matrix', role, **rights)[1]}"}

    return headers


def revoked(site: Guarded) -> Mapping[str, str]:
    made, secret = site.people.create_token("root", "matrix", Role.ADMIN)
    site.people.revoke_token(made.id)
    return {"Authorization": f"Bearer {secret}"}


def expired(site: Guarded) -> Mapping[str, str]:
    ends = site.world.clock.now() + timedelta(seconds=60)
    _, secret = site.people.create_token("root", "matrix", Role.ADMIN, expires_at=ends)
    site.world.clock.time += timedelta(seconds=61)
    return {"Authorization": f"Bearer {secret}"}


def of_disabled(site: Guarded) -> Mapping[str, str]:
    site.people.change_user("gone", disabled=False)
    headers = token("gone", Role.ADMIN)(site)
    site.people.change_user("gone", disabled=True)
    return headers


def of_demoted(site: Guarded) -> Mapping[str, str]:
    site.people.change_user("ex", role=Role.ADMIN)
    headers = token("ex", Role.ADMIN)(site)
    site.people.change_user("ex", role=Role.OPERATOR)
    return headers


def of_nobody(site: Guarded) -> Mapping[str, str]:
    return {"Authorization": "Bearer cmt_0123456789ab_" + "x" * 43}


def session(user: str, csrf: bool) -> Callable[[Guarded], Mapping[str, str]]:
    def headers(site: Guarded) -> Mapping[str, str]:
        secret, _ = site.access.log_in(user, PASSWORD, "127.0.0.1", "matrix")
        cookie = {"Cookie": f"cloudmasterd_session={secret}"}
        if not csrf:
            return cookie
        return {**cookie, "X-CSRF-Token": made_of(secret, "session")}

    return headers


DB = ["team=db"]

CALLERS: Mapping[str, Caller] = {
    "anonymous": Caller(None),
    "viewer": Caller(Role.VIEWER, token("vera", Role.VIEWER)),
    "operator": Caller(Role.OPERATOR, token("otto", Role.OPERATOR)),
    "admin": Caller(Role.ADMIN, token("root", Role.ADMIN)),
    "operator of another team": Caller(Role.OPERATOR, token("dora", Role.OPERATOR), bound=True),
    "token of another team": Caller(Role.OPERATOR, token("otto", Role.OPERATOR, scope=DB), bound=True),
    "viewer token of an admin": Caller(Role.VIEWER, token("root", Role.VIEWER)),
    "admin token of one who is an operator now": Caller(Role.OPERATOR, of_demoted),
    "revoked token": Caller(None, revoked),
    "expired token": Caller(None, expired),
    "token of nobody": Caller(None, of_nobody),
    "token of a disabled user": Caller(None, of_disabled),
    "session without csrf": Caller(Role.ADMIN, session("root", csrf=False), forgeable=True, signed_in=True),
    "session with csrf": Caller(Role.ADMIN, session("root", csrf=True), signed_in=True),
    "session of a viewer": Caller(Role.VIEWER, session("vera", csrf=True), signed_in=True),
    "session of another team": Caller(Role.OPERATOR, session("dora", csrf=True), bound=True, signed_in=True),
    "session that ended": Caller(None, lambda site: {"Cookie": "cloudmasterd_session=" + "x" * 43}),
}

IN, UNKNOWN, REFUSED = "let in", "not known", "refused"


def expected(route: Route, caller: Caller) -> str:
    """What a caller gets of a route."""
    place = (route.method, route.path)
    if route.role is None:
        return REFUSED if place in FOR_ITS_PAGE else IN
    if caller.role is None:
        return UNKNOWN
    takes = Role.ADMIN if place in OTHERS else route.role
    unsafe = route.method not in SAFE
    if not caller.role.includes(takes) or (caller.forgeable and unsafe):
        return REFUSED
    if place in FOR_THOSE_SIGNED_IN and not caller.signed_in:
        return REFUSED
    if caller.bound and unsafe and takes is Role.OPERATOR and place not in SHARED:
        return REFUSED
    return IN


def got(route: Route, answer: Any) -> str:
    """What that was, of an answer."""
    # who signs out is led to the login as well, and their cookie is taken
    led = answer.headers.get("location", "") if "set-cookie" not in answer.headers else ""
    if route.role is not None and (answer.status == 401 or led.startswith("/login?") or led == "/login"):
        return UNKNOWN
    return REFUSED if answer.status == 403 else IN


@pytest.fixture
def site(small: Any) -> Iterator[Any]:
    small.send("POST", "/api/v1/machines", {"name": "busy1", "memory_mb": 512})  # task 1
    with guarded(small) as made:
        people = made.people
        for name, role, scope in (
            ("root", Role.ADMIN, []), ("otto", Role.OPERATOR, []), ("vera", Role.VIEWER, []),
            ("dora", Role.OPERATOR, DB), ("gone", Role.ADMIN, []), ("ex", Role.ADMIN, []),
        ):  # fmt: skip
            people.create_user(name, role, PASSWORD, scope)
        found = small.store.get_machine(MACHINE)
        small.store.change_machine(found.uuid, tags={"team": "web"})
        yield made


def target_of(route: Route) -> str:
    """A path that a route answers: of what is there, where that shows who may do what with it."""
    names = {"machine": MACHINE, "task": "1", "cloud": "none", "phase": "booted", "asset": "none.css"}
    return re.sub(r"{(\w+)}", lambda found: names.get(found[1], "none"), route.path)


def ask(site: Guarded, route: Route, headers: Mapping[str, str], method: str = "") -> Any:
    """Send what gets as far as the rights."""
    named = {"Accept": "text/html" if route.media == HTML else "*/*", **headers}
    body: Optional[bytes] = None
    if route.body is Body.JSON:
        body = json.dumps(JSON_BODIES.get((route.method, route.path), {})).encode()
        named["Content-Type"] = "application/json"
    elif route.body is Body.FORM:
        values = FORMS.get(route.path, {})
        anew = site.world.clock.new_id()
        body = urlencode({k: anew if v == ANEW else v for k, v in values.items()}).encode()
        named["Content-Type"] = FORM
    elif route.body is Body.BYTES:
        body, named["Content-Type"] = b"x", "application/octet-stream"
    return site.world.ask(method or route.method, target_of(route), named, body)


ROUTES = sorted(routes(), key=lambda route: (route.path, route.method))
IDS = [f"{route.method} {route.path}" for route in ROUTES]


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_who_gets_in(site: Guarded, route: Route) -> None:
    wrong = {}
    for name, caller in CALLERS.items():
        answer = ask(site, route, caller.headers(site))
        assert answer.status < 500 or answer.status == 503, (name, answer.status, answer.text)
        if got(route, answer) != expected(route, caller):
            wrong[name] = (expected(route, caller), answer.status, answer.headers, answer.text[:300])
    assert wrong == {}


def test_who_gets_the_head_of_it(site: Guarded) -> None:
    for name in ("anonymous", "viewer", "revoked token", "session with csrf"):
        for route in [route for route in ROUTES if route.method == "GET"]:
            caller = CALLERS[name]
            answer = ask(site, route, caller.headers(site), "HEAD")
            assert got(route, answer) == expected(route, caller), (name, route.path, answer.status)
            assert answer.body == b""


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "BREW"])
def test_whom_nobody_knows_is_not_told_which_methods_there_are(site: Guarded, method: str) -> None:
    for name in ("anonymous", "revoked token"):
        for route in ROUTES:
            answer = ask(site, route, CALLERS[name].headers(site), method)
            assert answer.status in (303, 401) and "allow" not in answer.headers, (name, route.path)


def test_what_answers_anybody_is_known() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.role is None} == OPEN


def test_every_table_speaks_of_routes_that_there_are() -> None:
    there = {(route.method, route.path) for route in ROUTES}
    assert there >= OPEN | SHARED | OTHERS | set(JSON_BODIES)
    assert {path for _, path in there} >= set(FORMS)


LINES = {
    "a trailing slash": "GET /api/v1/machines/ HTTP/1.1",
    "two slashes": "GET //api/v1/machines HTTP/1.1",
    "a slash more": "GET /api//v1/machines HTTP/1.1",
    "a dot": "GET /./api/v1/machines HTTP/1.1",
    "up from what is open": "GET /static/../api/v1/machines HTTP/1.1",
    "up, encoded": "GET /static/%2e%2e/api/v1/machines HTTP/1.1",
    "up, encoded with its slash": "GET /static/..%2fapi%2fv1%2fmachines HTTP/1.1",
    "up, encoded twice": "GET /static/%252e%252e%252fapi/v1/machines HTTP/1.1",
    "a backslash": "GET /static/..\\..\\api\\v1\\machines HTTP/1.1",
    "an encoded slash": "GET /api%2Fv1%2Fmachines HTTP/1.1",
    "an encoded letter": "GET /api/v1/%6dachines HTTP/1.1",
    "capital letters": "GET /API/V1/MACHINES HTTP/1.1",
    "an encoded question mark": "GET /healthz%3f/../api/v1/machines HTTP/1.1",
    "a parameter of a path": "GET /healthz;/../api/v1/machines HTTP/1.1",
    "a null": "GET /api/v1/machines%00 HTTP/1.1",
    "a null before what is open": "GET /api/v1/machines%00/healthz HTTP/1.1",
    "a name that ends like what is open": "GET /api/v1/machines/healthz HTTP/1.1",
    "below what is open": "GET /healthz/machines HTTP/1.1",
    "an absolute target": "GET http://x/api/v1/machines HTTP/1.1",
    "an absolute target without a host": "GET http:///api/v1/machines HTTP/1.1",
    "an absolute target of another kind": "GET gopher://x/api/v1/machines HTTP/1.1",
    "an absolute target with a name": "GET http://admin:x@x/api/v1/machines HTTP/1.1",
    "two schemes": "GET http://x/http://x/api/v1/machines HTTP/1.1",
    "a fragment": "GET /healthz#/../../api/v1/machines HTTP/1.1",
    "no slash": "GET api/v1/machines HTTP/1.1",
    "a star": "OPTIONS * HTTP/1.1",
    "an authority": "CONNECT x:80 HTTP/1.1",
    "another method by a header": "GET /api/v1/machines HTTP/1.1\r\nX-HTTP-Method-Override: OPTIONS",
    "another path by a header": "GET /api/v1/machines HTTP/1.1\r\nX-Original-URL: /healthz",
    "another path by a header of IIS": "GET /api/v1/machines HTTP/1.1\r\nX-Rewrite-URL: /healthz",
    "a name in a header": "GET /api/v1/machines HTTP/1.1\r\nX-Remote-User: root",
    "a name in a header with underscores": "GET /api/v1/machines HTTP/1.1\r\nX_Remote_User: root",
    "a name as CGI has it": "GET /api/v1/machines HTTP/1.1\r\nRemote-User: root",
    "a near address in a header": "GET /api/v1/machines HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1",
    "an old version": "GET /api/v1/machines HTTP/1.0",
    "the oldest version": "GET /api/v1/machines",
    "a path that is not there": "GET /nothing HTTP/1.1",
    "a form of the interface": "POST /api/v1/machines HTTP/1.1",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_no_way_of_writing_a_request_gets_in(site: Guarded, line: str) -> None:
    """Whatever line a caller without a credential finds, they hear of a login, or that it is no request."""
    with closing(socket.create_connection(("127.0.0.1", site.world.port), timeout=90)) as sock:
        sock.sendall(f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = b""
        while some := sock.recv(65536):
            answer += some
    status = int(answer.split(b" ", 2)[1])
    assert status in (303, 400, 401, 403, 404, 405, 505), answer
    for told in (MACHINE.encode(), b"Allow:", b"cloud1.example.org", b"busy1"):
        assert told not in answer
