"""Nobody gets more rights than they were given: by no field, token, tag, form, nor by a key of another's."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest

from cloudmasterd.rights import Role
from tests.attacks.town import Answer, Person, Town

HTML = {"Accept": "text/html"}


def send(town: Town, who: Person, method: str, path: str, value: Any = None, **headers: str) -> Answer:
    named = {**who.bearer, **{name.replace("_", "-"): text for name, text in headers.items()}}
    body: Optional[bytes] = None
    if value is not None:
        named["Content-Type"] = "application/json"
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return town.ask(method, path, named, body)


def role_of(town: Town, name: str) -> str:
    return str(send(town, town.admin, "GET", f"/api/v1/users/{name}").json()["role"])


def new_machine(town: Town, name: str, tags: dict[str, str], who: Optional[Person] = None) -> Answer:
    spec = {"name": name, "memory_mb": 64, "disks": [{"size_gb": 1}], "tags": tags, "start": False}
    return send(town, who or town.admin, "POST", "/api/v1/machines", spec, Prefer="wait=50")


@pytest.fixture(scope="module")
def ours(town: Town) -> str:
    """A machine instance of wendy's team."""
    assert new_machine(town, "ours.example.org", {"team": "web"}).json()["state"] == "done"
    return "ours.example.org"


@pytest.fixture(scope="module")
def theirs(town: Town) -> str:
    """One of another team's."""
    assert new_machine(town, "theirs.example.org", {"team": "db"}).json()["state"] == "done"
    return "theirs.example.org"


# ------------------------------------------------------------------------------------------------ users


@pytest.mark.parametrize("who", ["vera", "olga", "wendy"])
@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        ("PATCH", "/api/v1/users/{me}", {"role": "admin"}),
        ("PATCH", "/api/v1/users/{me}", {"scope": []}),
        ("PATCH", "/api/v1/users/{me}", {"title": "The Boss"}),
        ("PATCH", "/api/v1/users/admin", {"disabled": True}),
        ("POST", "/api/v1/users", {"name": "mine", "role": "admin"}),
        ("DELETE", "/api/v1/users/admin", None),
        ("PUT", "/api/v1/users/admin/password", {"new": "mine from now on, all of it"}),
        ("PUT", "/api/v1/users/{me}/password", {"new": "mine from now on, all of it"}),
        ("DELETE", "/api/v1/users/admin/sessions", None),
        ("GET", "/api/v1/users/admin", None),
        ("GET", "/api/v1/users", None),
        ("GET", "/api/v1/tokens?all=true", None),
        ("GET", "/api/v1/tokens?user=admin", None),
        ("GET", "/api/v1/sessions?user=admin", None),
        ("POST", "/api/v1/tokens", {"title": "x", "user": "admin", "role": "viewer"}),
        ("POST", "/api/v1/tokens", {"title": "x", "role": "admin"}),
        ("GET", "/api/v1/audit", None),
        ("GET", "/api/v1/enrolments", None),
        ("POST", "/api/v1/enrolment-tokens", {"name": "cloud9.example.org"}),
        ("DELETE", "/api/v1/clouds/cloud1.example.org?force=true", None),
        ("PATCH", "/api/v1/clouds/cloud1.example.org", {"notes": "mine"}),
    ],
)
def test_what_is_an_admins_is_nobody_elses(town: Town, who: str, method: str, path: str, value: Any) -> None:
    answer = send(town, town.people[who], method, path.format(me=who), value)
    # 400: one's own password takes the present one
    assert answer.status == (400 if value and "new" in value and "{me}" in path else 403), answer.body
    assert role_of(town, who) == town.people[who].role.value


@pytest.mark.parametrize(
    "field", ["role", "scope", "user", "id", "name", "revision", "password", "csrf", "means"]
)
def test_a_field_that_is_not_there_is_not_filled_in(town: Town, field: str, ours: str) -> None:
    more = {field: "admin"}
    for method, path, value in (
        (
            "POST",
            "/api/v1/machines",
            {"name": "more.example.org", "memory_mb": 64, "disks": [{"size_gb": 1}]},
        ),
        ("PATCH", f"/api/v1/machines/{ours}", {"notes": "x"}),
        ("POST", "/api/v1/placements", {"memory_mb": 64, "disks": [{"size_gb": 1}]}),
        ("POST", "/api/v1/images", {"name": "more", "format": "raw", "sha256": "0" * 64, "size_bytes": 1}),
    ):
        if field == "name":
            continue
        answer = send(town, town.olga, method, path, {**value, **more})
        assert (answer.status, answer.json()["errors"][0]["field"]) == (400, field)
    for extra in (
        "asked_by",
        "uuid",
        "managed",
        "secret_hash",
        "disabled",
        "created_at",
        "__class__",
        "__proto__",
    ):
        assert send(town, town.olga, "PATCH", f"/api/v1/machines/{ours}", {extra: "admin"}).status == 400
        assert send(town, town.olga, "POST", "/api/v1/tokens", {"title": "x", extra: "admin"}).status == 400


def test_a_form_with_more_fields_than_it_has_is_refused(town: Town) -> None:
    for more in ({"user": "admin"}, {"who": "admin"}, {"id": "1"}):
        answer = town.form(
            "/account/tokens", {"title": "x", "role": "viewer", "days": "30", **more}, town.olga
        )
        assert answer.status == 400
    for role in ("admin", "Admin", "root", "operator\0", ""):
        answer = town.form("/account/tokens", {"title": "x", "role": role, "days": "30"}, town.olga)
        assert answer.status in (400, 403), role
    listed = send(town, town.olga, "GET", "/api/v1/tokens").json()["items"]
    assert {token["role"] for token in listed} == {"operator"}


# ----------------------------------------------------------------------------------------------- tokens


def token(town: Town, who: Person, **wanted: Any) -> Person:
    answer = send(town, who, "POST", "/api/v1/tokens", {"title": "less", **wanted})
    assert answer.status == 201, answer.body
    return Person(who.name, "", answer.json()["token"], Role(answer.json()["role"]))


def test_a_token_makes_none_that_is_more_than_itself(town: Town) -> None:
    viewer = token(town, town.admin, role="viewer")
    assert send(town, viewer, "POST", "/api/v1/tokens", {"title": "x", "role": "operator"}).status == 403
    bound = token(town, town.olga, role="operator", scope=["team=web"])
    for scope in ([], ["team=db"], ["team=web", "team=db"]):
        wanted = {"title": "x", "role": "operator", "scope": scope}
        assert send(town, bound, "POST", "/api/v1/tokens", wanted).status == 403, scope
    short = token(town, town.olga, role="operator", expires_s=600)
    for expires_s in (601, 10**8):
        wanted = {"title": "x", "role": "viewer", "expires_s": expires_s}
        assert send(town, short, "POST", "/api/v1/tokens", wanted).status == 403
    # what was made without a word of it ends as soon
    child = send(town, short, "POST", "/api/v1/tokens", {"title": "x"}).json()
    assert child["expires_at"] is not None


def test_a_weak_token_takes_nothing_from_its_strong_owner_by_way_of_a_page(town: Town) -> None:
    owner = town.make("owner", Role.ADMIN)
    weak = token(town, owner, role="viewer")
    strong = owner.token.split("_")[1]
    kind = {**HTML, "Content-Type": "application/x-www-form-urlencoded"}
    for path in (f"/account/tokens/{strong}/revoke", "/account/sessions/end", "/account/tokens", "/logout"):
        town.ask("POST", path, {**weak.bearer, **kind}, b"")
    assert send(town, owner, "GET", "/api/v1/whoami").status == 200
    assert town.ask("GET", "/api/v1/whoami", owner.session).status == 200
    assert send(town, weak, "DELETE", f"/api/v1/tokens/{strong}").status == 403
    assert send(town, weak, "DELETE", "/api/v1/users/owner/sessions").status == 403


def test_a_viewers_token_of_an_operator_changes_nothing(town: Town, ours: str) -> None:
    weak = token(town, town.olga, role="viewer")
    for method, path in (("POST", f"/api/v1/machines/{ours}/start"), ("DELETE", f"/api/v1/machines/{ours}")):
        assert send(town, weak, method, path).status == 403


# ----------------------------------------------------------------------------------------------- scopes


@pytest.mark.parametrize(
    "tags",
    [{}, {"team": "db"}, {"Team": "web"}, {"team": "WEB"}, {"team": "web "}, {"team": " web"}, {"team": ""},
     {"team": "web2"}, {"team=web": "x"}, {"xteam": "web"}, {"team": "w\u0435b"}, {"team": "db=web"}],
    ids=str,
)  # fmt: skip
def test_what_is_made_carries_the_tag_and_nothing_that_looks_like_it(
    town: Town, tags: dict[str, str]
) -> None:
    answer = new_machine(town, "look-alike.example.org", tags, town.wendy)
    assert answer.status in (400, 403), answer.body
    assert send(town, town.admin, "GET", "/api/v1/machines/look-alike.example.org").status == 404


def test_a_tag_that_is_given_twice_is_not_read_in_two_ways(town: Town) -> None:
    twice = b'{"name": "twice.example.org", "memory_mb": 64, "disks": [{"size_gb": 1}], "start": false, '
    for tags in (b'"tags": {"team": "web"}, "tags": {}}', b'"tags": {"team": "web", "team": "db"}}'):
        assert send(town, town.wendy, "POST", "/api/v1/machines", twice + tags).status == 400


def test_what_is_anothers_stays_untouched(town: Town, theirs: str) -> None:
    path = f"/api/v1/machines/{theirs}"
    uuid = send(town, town.wendy, "GET", path).json()["uuid"]  # to see it is theirs
    for name in (theirs, uuid, theirs.upper()):
        for method, more, value in (
            ("POST", "/start", None), ("POST", "/poweroff?force=true", None), ("DELETE", "?force=true", None),
            ("DELETE", "?keep_disks=true", None), ("POST", "/adopt", None), ("PATCH", "", {"notes": "mine"}),
            ("PATCH", "", {"tags": {"team": "web"}}), ("PATCH", "", {"memory_mb": 128}), ("PATCH", "", {}),
        ):  # fmt: skip
            answer = send(town, town.wendy, method, f"/api/v1/machines/{name}{more}", value)
            assert answer.status in ((400, 403) if value == {} else (403, 404)), (method, more, answer.body)
    fields = {"name": theirs}
    for form in ("start", "delete", "change", "adopt"):
        assert town.form(f"/machines/{theirs}/{form}", fields, town.wendy).status in (400, 403, 404), form
    found = send(town, town.admin, "GET", path).json()
    assert (found["state"], found["tags"], found["notes"]) == ("off", {"team": "db"}, "")


def test_what_is_ones_own_is_not_handed_over_nor_let_go(town: Town, ours: str) -> None:
    path = f"/api/v1/machines/{ours}"
    for tags in ({}, {"team": "db"}, {"team": "WEB"}):
        assert send(town, town.wendy, "PATCH", path, {"tags": tags}).status == 403
    assert send(town, town.wendy, "PATCH", path, {"tags": {"team": "web", "note": "x"}}).status == 200
    assert send(town, town.admin, "GET", path).json()["tags"] == {"team": "web", "note": "x"}


def test_a_task_of_another_team_is_not_cancelled(town: Town, theirs: str) -> None:
    task = send(town, town.admin, "POST", f"/api/v1/machines/{theirs}/start").json()
    answer = send(town, town.wendy, "POST", f"/api/v1/tasks/{task['id']}/cancel")
    assert answer.status in (403, 409)  # 409: it has ended meanwhile, and would have been refused before
    assert send(town, town.admin, "GET", f"/api/v1/tasks/{task['id']}").json()["cancel_asked"] is False


def test_what_carries_no_tags_is_for_nobody_who_is_bound_to_them(town: Town) -> None:
    image = {"name": "nobodys", "format": "raw", "sha256": "0" * 64, "size_bytes": 1}
    assert send(town, town.wendy, "POST", "/api/v1/images", image).status == 403
    assert send(town, town.olga, "POST", "/api/v1/images", image).status == 201
    assert send(town, town.wendy, "DELETE", "/api/v1/images/nobodys").status == 403
    octets = {**town.wendy.bearer, "Content-Type": "application/octet-stream"}
    assert town.ask("PUT", "/api/v1/images/nobodys/data?offset=0", octets, b"x").status == 403


# ------------------------------------------------------------------------------------------ idempotency


def test_the_key_of_another_gives_nothing_of_theirs(town: Town) -> None:
    key = "one-key-for-all"
    spec = {"name": "keyed.example.org", "memory_mb": 64, "disks": [{"size_gb": 1}], "start": False,
            "tags": {"team": "db"}}  # fmt: skip
    first = send(town, town.olga, "POST", "/api/v1/machines", spec, Idempotency_Key=key, Prefer="wait=50")
    assert first.status in (200, 202)
    for who in (town.wendy, town.vera):
        answer = send(town, who, "POST", "/api/v1/machines", spec, Idempotency_Key=key)
        assert answer.status == 403 and "idempotency-replayed" not in answer.headers
    other = send(town, town.admin, "POST", "/api/v1/machines", spec, Idempotency_Key=key)
    assert other.status == 409 and "idempotency-replayed" not in other.headers  # there is one of that name
    again = send(town, town.olga, "POST", "/api/v1/machines", spec, Idempotency_Key=key)
    assert again.headers["idempotency-replayed"] == "true" and again.json()["id"] == first.json()["id"]


def test_a_key_replays_nothing_to_who_may_not_do_it_any_more(town: Town) -> None:
    person = town.make("once", Role.OPERATOR, session=False)
    spec = {"name": "once.example.org", "memory_mb": 64, "disks": [{"size_gb": 1}], "start": False}
    sent = {"Idempotency_Key": "mine-alone", "Prefer": "wait=50"}
    assert send(town, person, "POST", "/api/v1/machines", spec, **sent).status in (200, 202)
    assert send(town, town.admin, "PATCH", "/api/v1/users/once", {"role": "viewer"}).status == 200
    assert send(town, person, "POST", "/api/v1/machines", spec, **sent).status == 403


def test_the_last_admin_is_not_taken_away(town: Town) -> None:
    admins = [u["name"] for u in send(town, town.admin, "GET", "/api/v1/users").json()["items"]
              if u["role"] == "admin" and u["name"] != "admin"]  # fmt: skip
    for name in admins:
        assert send(town, town.admin, "DELETE", f"/api/v1/users/{name}").status == 204
    for method, value in (("DELETE", None), ("PATCH", {"role": "viewer"}), ("PATCH", {"disabled": True})):
        assert send(town, town.admin, method, "/api/v1/users/admin", value).status == 409
    assert send(town, town.admin, "GET", "/api/v1/whoami").json()["role"] == "admin"
