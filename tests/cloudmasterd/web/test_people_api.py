"""Users, tokens and sessions over REST, behind the real door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Optional

import pytest

from cloudmasterd.rights import Role
from cloudmasterd.web.proxy import proxy_at
from tests.cloudmasterd.web.people_site import ADMIN, JANE, VICTOR, Guarded, guarded
from tests.cloudmasterd.web.test_openapi import DOCUMENT, misfit, resolve

V1 = "/api/v1"
SECRET = "5ecret" * 8


@dataclass
class Program:
    """Sends JSON with a token, and holds each answer against the OpenAPI document."""

    site: Guarded
    secret: str = ""
    id: str = ""

    def __call__(self, method: str, path: str, value: Any = None, **headers: str) -> Any:
        if self.secret:
            headers["Authorization"] = f"Bearer {self.secret}"
        answer = self.site.world.send(method, V1 + path, value, **headers)
        assert_described(method, V1 + path, answer)
        return answer


def assert_described(method: str, target: str, answer: Any) -> None:
    path = target.partition("?")[0]
    found = [p for p in DOCUMENT["paths"] if p == path] or [p for p in DOCUMENT["paths"] if fits(p, path)]
    responses = DOCUMENT["paths"][found[0]][method.lower()]["responses"]
    assert str(answer.status) in responses, (method, path, answer.text)
    response = resolve(responses[str(answer.status)])
    if "content" in response:
        (media,) = response["content"]
        assert answer.headers["content-type"] == media
        assert misfit(answer.json(), response["content"][media]["schema"]) is None
    else:
        assert answer.body == b""
    assert answer.headers["cache-control"] == "no-store"


def fits(pattern: str, path: str) -> bool:
    parts, given = pattern.split("/"), path.split("/")
    return len(parts) == len(given) and all(p.startswith("{") or p == g for p, g in zip(parts, given))


@pytest.fixture
def site(small: Any) -> Iterator[Guarded]:
    with guarded(small) as made:
        yield made


def program(site: Guarded, user: str, role: Optional[Role] = None, **rights: Any) -> Program:
    role = role or site.people.get_user(user).role
    token, secret = site.people.create_token(user, "a program", role, **rights)
    return Program(site, secret, token.id)


@pytest.fixture
def admin(site: Guarded) -> Program:
    return program(site, "admin")


@pytest.fixture
def jane(site: Guarded) -> Program:
    return program(site, "jane")


@pytest.fixture
def victor(site: Guarded) -> Program:
    return program(site, "victor")


def test_one_is_told_who_one_is(site: Guarded, admin: Program, jane: Program, victor: Program) -> None:
    told = jane("GET", "/whoami").json()
    assert (told["name"], told["role"], told["means"], told["scopes"], told["token"], told["expires_at"]) == (
        "jane", "operator", "token", [["team=web"]], jane.id, None
    )  # fmt: skip
    assert {"createMachine", "setPassword"} <= set(told["may"])
    assert not {"createImage", "listUsers", "changeCloud"} & set(told["may"])
    assert "createMachine" not in victor("GET", "/whoami").json()["may"]
    assert {"listUsers", "createImage", "rebuildCloud"} <= set(admin("GET", "/whoami").json()["may"])


def test_what_one_is_told_one_may_do_is_what_one_may_do(site: Guarded, jane: Program, admin: Program) -> None:
    for who in (jane, admin):
        may = set(who("GET", "/whoami").json()["may"])
        for path, item in DOCUMENT["paths"].items():
            if "get" in item and "{" not in path and path.startswith(V1 + "/") and "enrolment" not in path:
                status = who.site.world.get(path, Authorization=f"Bearer {who.secret}").status
                assert (status != 403) is (item["get"]["operationId"] in may), (path, status)


def test_a_token_tells_until_when_it_is_good(site: Guarded) -> None:
    ends = site.world.clock.now() + timedelta(hours=1)
    short = program(site, "jane", Role.VIEWER, expires_at=ends, scope=["tier=1"])
    told = short("GET", "/whoami").json()
    assert (told["expires_at"], told["role"]) == ("2026-11-22T09:00:00.000Z", "viewer")
    assert told["scopes"] == [["team=web"], ["tier=1"]]


def test_users_are_made_read_changed_and_deleted(admin: Program) -> None:
    made = admin(
        "POST", "/users", {"name": "Ada", "role": "operator", "scope": ["team=web"], "title": "Ada L."}
    )
    assert (made.status, made.headers["location"]) == (201, "/api/v1/users/ada")
    assert made.json()["has_password"] is False
    assert admin("POST", "/users", {"name": "ada", "role": "viewer"}).status == 409
    changed = admin("PATCH", "/users/ada", {"role": "viewer", "scope": []}, If_Match=made.headers["etag"])
    assert (changed.status, changed.json()["role"], changed.json()["scope"]) == (200, "viewer", [])
    stale = admin("PATCH", "/users/ada", {"disabled": True}, If_Match=made.headers["etag"])
    assert (stale.status, admin("GET", "/users/ada").json()["disabled"]) == (412, False)
    assert admin("GET", "/users/ada").headers["etag"] == changed.headers["etag"]
    assert admin("DELETE", "/users/ada", If_Match='"x"').status == 412
    assert admin("DELETE", "/users/ada", If_Match=changed.headers["etag"]).status == 204
    assert admin("GET", "/users/ada").status == 404
    assert admin("PATCH", "/users/ada", {"title": "x"}).status == 404
    assert admin("DELETE", "/users/ada").status == 404


def test_users_are_listed_page_by_page(admin: Program) -> None:
    first = admin("GET", "/users?limit=2&fields=name").json()
    assert first["items"] == [{"name": "admin"}, {"name": "jane"}]
    rest = admin("GET", first["next"].removeprefix(V1)).json()
    assert (rest["items"], rest["next"]) == ([{"name": "victor"}], None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Ä", "role": "viewer"}, "name"),
        ({"name": "a" * 65, "role": "viewer"}, "name"),
        ({"name": "../x", "role": "viewer"}, "name"),
        ({"name": "ada"}, "role"),
        ({"name": "ada", "role": "root"}, "role"),
        ({"name": "ada", "role": "viewer", "scope": ["team"]}, "scope"),
        ({"name": "ada", "role": "viewer", "scope": "team=web"}, "scope"),
        ({"name": "ada", "role": "admin", "scope": ["team=web"]}, "scope"),
        ({"name": "ada", "role": "viewer", "password": "short"}, "password"),
        ({"name": "ada", "role": "viewer", "passwort": "x"}, "passwort"),
    ],
)
def test_a_user_that_cannot_be_is_told_why(admin: Program, body: Any, field: str) -> None:
    answer = admin("POST", "/users", body)
    assert (answer.status, [error["field"] for error in answer.json()["errors"]]) == (400, [field])


def test_the_last_admin_stays(admin: Program) -> None:
    for method, body in (("DELETE", None), ("PATCH", {"disabled": True}), ("PATCH", {"role": "viewer"})):
        answer = admin(method, "/users/admin", body)
        assert (answer.status, "the last admin" in answer.text) == (409, True)


OTHERS = [
    ("GET", "/users", None), ("GET", "/users/admin", None),
    ("POST", "/users", {"name": "eve", "role": "admin"}),
    ("PATCH", "/users/jane", {"role": "admin"}), ("PATCH", "/users/admin", {"disabled": True}),
    ("DELETE", "/users/admin", None), ("PUT", "/users/admin/password", {"new": "mine for ever now"}),
    ("DELETE", "/users/admin/sessions", None), ("GET", "/tokens?user=admin", None),
    ("GET", "/tokens?all", None),
    ("POST", "/tokens", {"title": "x", "user": "admin"}), ("GET", "/sessions?user=admin", None),
    ("GET", "/sessions?all=true", None), ("GET", "/users/nobody", None), ("GET", "/tokens?user=nobody", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), OTHERS)
def test_what_is_others_is_for_admins(
    site: Guarded, jane: Program, victor: Program, method: str, path: str, body: Any
) -> None:
    before = site.people.list_users()
    for who in (jane, victor):
        answer = who(method, path, body)
        assert answer.status == 403, (method, path, answer.text)
    assert site.people.list_users() == before
    assert len(site.people.list_tokens()) == 2


def test_an_admin_of_whom_a_token_is_less_is_no_admin_by_it(site: Guarded) -> None:
    less = program(site, "admin", Role.OPERATOR)
    assert less("GET", "/users").status == 403
    assert less("GET", "/users/jane").status == 403
    assert less("POST", "/tokens", {"title": "x", "role": "admin"}).status == 403
    assert less("GET", "/users/admin").status == 200


def test_ones_own_is_ones_own(jane: Program) -> None:
    assert jane("GET", "/users/jane").json()["title"] == "Jane, web team"
    assert [token["id"] for token in jane("GET", "/tokens").json()["items"]] == [jane.id]
    assert jane("GET", "/sessions?user=jane").json()["items"] == []


def test_a_token_is_shown_once_and_opens(site: Guarded, jane: Program) -> None:
    made = jane(
        "POST", "/tokens", {"title": "ci", "role": "operator", "scope": ["tier=1"], "expires_s": 3600}
    )
    told = made.json()
    assert (made.status, told["user"], told["role"], told["scope"]) == (201, "jane", "operator", ["tier=1"])
    assert told["expires_at"] == "2026-11-22T09:00:00.000Z"
    fresh = Program(site, told["token"])
    assert fresh("GET", "/whoami").json()["token"] == told["id"]
    listed = jane("GET", "/tokens")
    assert told["token"] not in listed.text and told["id"] in listed.text


def test_a_revoked_token_opens_nothing_and_stays_in_the_list(jane: Program) -> None:
    assert jane("DELETE", f"/tokens/{jane.id}").status == 204
    refused = jane("GET", "/whoami")
    assert (refused.status, "is revoked" in refused.text) == (401, True)
    assert refused.headers["www-authenticate"].startswith("Bearer ")


def test_tokens_of_others_are_not_there_but_for_admins(
    admin: Program, jane: Program, victor: Program
) -> None:
    theirs, none = victor("DELETE", f"/tokens/{jane.id}"), victor("DELETE", "/tokens/0123456789ab")
    assert theirs.status == none.status == 404
    assert theirs.json()["detail"].replace(jane.id, "") == none.json()["detail"].replace("0123456789ab", "")
    assert admin("GET", "/tokens?user=jane").json()["items"][0]["id"] == jane.id
    assert {token["user"] for token in admin("GET", "/tokens?all=true").json()["items"]} == {
        "admin", "jane", "victor",
    }  # fmt: skip
    assert admin("GET", "/tokens?user=nobody").status == 404
    assert admin("DELETE", f"/tokens/{jane.id}").status == 204
    assert jane("GET", "/whoami").status == 401


def test_an_admin_makes_tokens_for_programs_that_are_users(admin: Program) -> None:
    assert admin("POST", "/users", {"name": "backup", "role": "viewer"}).status == 201
    assert admin("POST", "/tokens", {"title": "t", "user": "backup"}).json()["user"] == "backup"
    more = admin("POST", "/tokens", {"title": "t", "user": "backup", "role": "operator"})
    assert (more.status, more.json()["errors"][0]["field"]) == (400, "role")
    assert admin("POST", "/tokens", {"title": "t", "user": "nobody"}).status == 404


def test_a_request_for_a_token_that_comes_twice_makes_one(jane: Program, victor: Program) -> None:
    first = jane("POST", "/tokens", {"title": "ci"}, Idempotency_Key="k1")
    again = jane("POST", "/tokens", {"title": "ci"}, Idempotency_Key="k1")
    assert (first.status, again.status) == (201, 409)
    assert first.json()["id"] in again.json()["detail"] and first.json()["token"] not in again.text
    assert victor("POST", "/tokens", {"title": "ci"}, Idempotency_Key="k1").status == 201
    assert len(jane("GET", "/tokens").json()["items"]) == 2


def test_a_token_does_not_get_further_by_another(site: Guarded) -> None:
    ends = site.world.clock.now() + timedelta(hours=1)
    short = program(site, "admin", Role.OPERATOR, expires_at=ends, scope=["team=web"])
    for body in ({"role": "admin"}, {"scope": []}, {"scope": ["team=db"]}, {"expires_s": 7200}):
        assert short("POST", "/tokens", {"title": "x", **body}).status == 403, body
    same = short("POST", "/tokens", {"title": "x", "role": "operator"})
    assert (same.json()["scope"], same.json()["expires_at"]) == (["team=web"], "2026-11-22T09:00:00.000Z")


def test_a_token_takes_away_nothing_that_may_do_more(site: Guarded) -> None:
    less, more = program(site, "admin", Role.VIEWER), program(site, "admin")
    session = site.signed_in().get("/")
    assert session.status == 200
    (open_,) = site.people.list_sessions("admin")
    assert less("DELETE", f"/tokens/{more.id}").status == 403
    assert less("DELETE", f"/sessions/{open_.id}").status == 403
    assert less("DELETE", "/users/admin/sessions").status == 403
    assert less("DELETE", f"/tokens/{less.id}").status == 204
    assert more("DELETE", "/users/admin/sessions").status == 204
    assert site.people.list_sessions() == []


def test_ones_own_password_takes_the_present_one(site: Guarded, jane: Program) -> None:
    path, new = "/users/jane/password", "a new horse and a staple"
    for present in (None, "", "wrong", ADMIN[1]):
        refused = jane("PUT", path, {"new": new, "present": present})
        assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "present")
    weak = jane("PUT", path, {"new": "short", "present": JANE[1]})
    assert (weak.status, weak.json()["errors"][0]["field"]) == (400, "password")
    done = jane("PUT", path, {"new": new, "present": JANE[1]})
    assert (done.status, done.json()) == (200, {"name": "jane", "password": None})
    site.signed_in(("jane", new))


def test_who_guesses_passwords_through_a_token_is_held_up(jane: Program) -> None:
    statuses = [
        jane("PUT", "/users/jane/password", {"new": "x" * 20, "present": f"guess {n}"}).status
        for n in range(40)
    ]
    assert statuses[-1] == 429
    assert set(statuses) == {400, 429}


def test_an_admin_lets_somebody_in_again(site: Guarded, admin: Program) -> None:
    browser = site.signed_in(VICTOR)
    told = admin("PUT", "/users/victor/password", {}).json()
    assert browser.get("/").status == 303  # signed out by it
    assert len(told["password"]) > 20
    site.signed_in(("victor", told["password"]))
    assert admin("PUT", "/users/nobody/password", {}).status == 404


def test_sessions_are_listed_and_ended(site: Guarded, admin: Program, jane: Program) -> None:
    janes, victors = site.signed_in(JANE), site.signed_in(VICTOR)
    assert {s["user"] for s in admin("GET", "/sessions?all=true").json()["items"]} == {"jane", "victor"}
    assert admin("GET", "/sessions").json()["items"] == []
    assert admin("GET", "/sessions?user=nobody").status == 404
    (of_victor,) = admin("GET", "/sessions?user=victor").json()["items"]
    assert (of_victor["present"], of_victor["address"]) == (False, "127.0.0.1")
    assert jane("DELETE", f"/sessions/{of_victor['id']}").status == 404
    assert admin("DELETE", f"/sessions/{of_victor['id']}").status == 204
    assert admin("DELETE", f"/sessions/{of_victor['id']}").status == 404
    assert (victors.get("/").status, janes.get("/").status) == (303, 200)
    assert jane("DELETE", "/users/jane/sessions").status == 204
    assert janes.get("/").status == 303


def test_a_session_knows_itself(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    told = json.loads(browser.get(V1 + "/whoami", Accept="application/json").text)
    (mine,) = json.loads(browser.get(V1 + "/sessions", Accept="application/json").text)["items"]
    assert (told["means"], told["session"], mine["present"]) == ("session", mine["id"], True)


def test_a_disabled_user_has_no_token_that_opens(admin: Program, jane: Program) -> None:
    assert admin("PATCH", "/users/jane", {"disabled": True}).status == 200
    refused = jane("GET", "/whoami")
    assert (refused.status, "disabled" in refused.text) == (401, True)
    admin("PATCH", "/users/jane", {"disabled": False})
    assert jane("GET", "/whoami").status == 200


def test_a_scope_that_is_changed_holds_for_tokens_at_once(admin: Program, jane: Program) -> None:
    assert admin("PATCH", "/users/jane", {"scope": ["team=db"]}).status == 200
    assert jane("GET", "/whoami").json()["scopes"] == [["team=db"]]


OPEN_LINE = proxy_at(["127.0.0.1"], SECRET)
SECRETS = [
    ("POST", "/tokens", {"title": "x"}),
    ("PUT", "/users/admin/password", {"present": ADMIN[1], "new": "a completely new one"}),
    ("PUT", "/users/jane/password", {}),
    ("POST", "/users", {"name": "ada", "role": "viewer", "password": "four other words here"}),
]


@pytest.mark.parametrize(("method", "path", "body"), SECRETS)
def test_secrets_do_not_go_over_plain_http(small: Any, method: str, path: str, body: Any) -> None:
    with guarded(small, OPEN_LINE) as site:
        admin = program(site, "admin")
        plain = {"X_Forwarded_For": "192.0.2.7", "X_Forwarded_Proto": "http"}
        refused = admin(method, path, body, **plain)
        assert (refused.status, "plain HTTP" in refused.text) == (403, True)
        assert admin("GET", "/whoami", **plain).status == 200
        assert admin(method, path, body, **{**plain, "X_Forwarded_Proto": "https"}).status in (200, 201)


def test_whom_the_web_server_signed_in_is_who_they_are_here(small: Any) -> None:
    with guarded(small, OPEN_LINE) as site:
        as_jane = {"X_Remote_User": "jane", "X_Proxy_Secret": SECRET, "Authorization": "Basic amFuZTp4"}
        told = Program(site)("GET", "/whoami", **as_jane).json()
        assert (told["name"], told["role"], told["means"]) == ("jane", "operator", "proxy")
        unknown = Program(site)("GET", "/whoami", **{**as_jane, "X_Remote_User": "eve"})
        assert (unknown.status, "who is no user here" in unknown.text) == (401, True)
        forged = Program(site)("GET", "/whoami", **{**as_jane, "X_Proxy_Secret": "guess"})
        assert (forged.status, "believed of the web server in front alone" in forged.text) == (403, True)
        assert site.world.get("/healthz", X_Remote_User="admin").status == 200  # and nobody in particular


def test_who_pretends_to_be_the_web_server_is_on_the_record(small: Any) -> None:
    with guarded(small, OPEN_LINE) as site:
        forged = {"X_Remote_User": "admin", "X_Proxy_Secret": "guess", "X_Forwarded_For": "192.0.2.7"}
        assert Program(site)("GET", "/whoami", **forged).status == 403
        (entry,) = site.world.store.audit.list()
        assert (entry.deed.who, entry.deed.address, entry.deed.action) == ("", "192.0.2.7", "whoAmI")
        assert (entry.deed.result, entry.deed.status) == ("refused", 403)
        assert "guess" not in str(entry.deed.detail)


def test_a_stranger_whom_the_web_server_lets_in_has_nothing_here(small: Any) -> None:
    with guarded(small, OPEN_LINE, Role.VIEWER) as site:
        eve = {"X_Remote_User": "eve", "X_Proxy_Secret": SECRET}
        ask = Program(site)
        assert ask("GET", "/whoami", **eve).json()["role"] == "viewer"
        assert ask("GET", "/tokens", **eve).json()["items"] == []
        assert ask("GET", "/sessions", **eve).json()["items"] == []
        assert ask("GET", "/users/eve", **eve).status == 404


def test_a_request_through_the_web_server_changes_nothing_without_csrf(small: Any) -> None:
    with guarded(small, OPEN_LINE) as site:
        jane = {"X_Remote_User": "jane", "X_Proxy_Secret": SECRET}
        refused = Program(site)("POST", "/tokens", {"title": "x"}, **jane)
        assert (refused.status, "X-CSRF-Token" in refused.text) == (403, True)
        assert site.people.list_tokens() == []


def test_what_is_used_is_noted_with_the_clients_own_address(small: Any) -> None:
    with guarded(small, OPEN_LINE) as site:
        jane = program(site, "jane")
        jane("GET", "/whoami", X_Forwarded_For="198.51.100.4, 192.0.2.7", X_Forwarded_Proto="https")
        (token,) = jane("GET", "/tokens", X_Forwarded_For="192.0.2.7").json()["items"]
        assert token["last_address"] == "192.0.2.7"
        assert datetime.fromisoformat(token["last_used_at"].replace("Z", "+00:00")) == site.world.clock.now()
