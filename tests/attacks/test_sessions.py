"""A session is its owner's alone: nobody plants one, keeps one, or is shown what was another's."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest

from cloudmasterd.rights import Role
from tests.attacks.town import ENTRY, FORM, SESSION, Answer, Person, Town

HTML = {"Accept": "text/html"}
PLANTED = "A" * 43


def whoami(town: Town, cookie: str, name: str = SESSION) -> int:
    return town.ask("GET", "/api/v1/whoami", {"Cookie": f"{name}={cookie}"}).status


def change(town: Town, method: str, path: str, value: Any = None, who: Optional[Person] = None) -> Answer:
    headers = dict((who or town.admin).bearer)
    body = None
    if value is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(value).encode()
    return town.ask(method, path, headers, body)


# --------------------------------------------------------------------------------------------------- fixation


@pytest.mark.parametrize(
    "planted",
    [
        f"{SESSION}={PLANTED}",
        f"__Host-{SESSION}={PLANTED}",
        f"__Secure-{SESSION}={PLANTED}",
        f"{SESSION.upper()}={PLANTED}",
        f"{SESSION}={PLANTED}; {SESSION}={PLANTED}",
        f'{SESSION}="{PLANTED}"',
        f"{SESSION}.evil={PLANTED}",
        f"{SESSION}={PLANTED}, {SESSION}={PLANTED}",
    ],
)
def test_a_cookie_that_was_there_before_the_login_is_no_session_after_it(town: Town, planted: str) -> None:
    entry, csrf = town.entry(Cookie=planted)
    sent = f"user=vera&password={town.vera.password.replace(' ', '+')}&csrf={csrf}&next=/".encode()
    headers = {"Cookie": f"{planted}; {ENTRY}={entry}", "Content-Type": FORM, **HTML}
    answer = town.ask("POST", "/login", headers, sent)
    given = answer.cookie(SESSION)
    assert answer.status == 303 and given is not None and given != PLANTED
    assert (whoami(town, given), whoami(town, PLANTED)) == (200, 401)


def test_the_session_of_somebody_else_does_not_become_that_of_who_signs_in_over_it(town: Town) -> None:
    attacker = town.signed_in(town.wendy)
    entry, csrf = town.entry()
    sent = f"user=vera&password={town.vera.password.replace(' ', '+')}&csrf={csrf}&next=/".encode()
    cookie = f"{SESSION}={attacker.cookie}; {ENTRY}={entry}"
    answer = town.ask("POST", "/login", {"Cookie": cookie, "Content-Type": FORM, **HTML}, sent)
    if answer.status == 303:  # else the form of nobody's is refused in a session
        assert answer.cookie(SESSION) not in (None, attacker.cookie)
    left = town.ask("GET", "/api/v1/whoami", {"Cookie": f"{SESSION}={attacker.cookie}"})
    assert left.status == 401 or left.json()["name"] == "wendy"


def test_of_two_cookies_the_one_that_somebody_tossed_in_is_not_taken(town: Town) -> None:
    mine, theirs = town.vera.cookie, town.wendy.cookie
    for both in (f"{SESSION}={theirs}; {SESSION}={mine}", f"{SESSION}={mine}; {SESSION}={theirs}"):
        assert town.ask("GET", "/api/v1/whoami", {"Cookie": both}).status == 401
    for name in (f" {SESSION}", f"{SESSION} ", f"x; {SESSION}"):
        # what is written oddly is the same cookie, or none; never another's
        answer = town.ask("GET", "/api/v1/whoami", {"Cookie": f"{SESSION}={mine}; {name}={theirs}"})
        assert answer.status == 401 or answer.json()["name"] == "vera"
    twice = f"Cookie: {SESSION}={mine}\r\nCookie: {SESSION}={theirs}"
    raw = town.raw(f"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\n{twice}\r\nConnection: close\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("cookie", "statuses"),
    [
        (f"{SESSION}=" + "A" * 30_000, (401,)),
        ("; ".join(f"c{i}=x" for i in range(3000)), (401,)),
        (f"{SESSION}=" + "%00" * 20, (401,)),
        (f"{SESSION}=" + "A" * 60_000, (413, 431)),
        (";" * 20_000, (401,)),
        ("=" * 20_000, (401,)),
    ],
    ids=["long", "many", "encoded", "longer than a head", "semicolons", "equals"],
)
def test_an_odd_or_oversized_cookie_is_refused_or_nobodys(
    town: Town, cookie: str, statuses: tuple[int, ...]
) -> None:
    sent = f"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    status = int(town.raw(sent.encode()).split(b" ", 2)[1])
    assert status in statuses


# ----------------------------------------------------------------------------------------------- what ends it


def patch(value: object) -> Any:
    return lambda town, name: change(town, "PATCH", f"/api/v1/users/{name}", value)


def password(town: Town, name: str) -> Answer:
    return change(town, "PUT", f"/api/v1/users/{name}/password", {"new": "quite another long secret"})


def delete(town: Town, name: str) -> Answer:
    return change(town, "DELETE", f"/api/v1/users/{name}")


def sign_out(town: Town, name: str) -> Answer:
    return change(town, "DELETE", f"/api/v1/users/{name}/sessions")


@pytest.mark.parametrize(
    ("name", "act", "token_lives"),
    [
        ("ends-1", password, True),
        ("ends-2", patch({"role": "viewer"}), True),
        ("ends-3", patch({"disabled": True}), False),
        ("ends-4", delete, False),
        ("ends-5", sign_out, True),
    ],
)
def test_what_takes_rights_away_ends_the_session_at_once(
    town: Town, name: str, act: Any, token_lives: bool
) -> None:
    person = town.make(name, Role.OPERATOR)
    assert whoami(town, person.cookie) == 200
    assert act(town, name).status in (200, 204)
    assert whoami(town, person.cookie) == 401
    page = town.ask("GET", "/machines", {**person.session, **HTML})
    assert (page.status, page.headers["location"]) == (303, "/login?next=/machines")
    # the form that was open in that browser does nothing either
    assert town.form("/account/sessions/end", {}, person).status in (303, 401, 403)
    token = town.ask("GET", "/api/v1/whoami", person.bearer)
    assert token.status == (200 if token_lives else 401)
    if name == "ends-2":
        assert token.json()["role"] == "viewer"  # the token was an operator's: less of its user is less of it


def test_a_session_that_was_signed_out_is_dead_though_its_cookie_is_kept(town: Town) -> None:
    person = town.signed_in(town.vera)
    assert town.form("/logout", {}, person).status == 303
    assert whoami(town, person.cookie) == 401
    assert town.ask("GET", "/account", {**person.session, **HTML}).status == 303


def test_a_secret_of_one_kind_is_none_of_another(town: Town) -> None:
    secret = town.vera.token.split("_", 2)[2]
    assert whoami(town, secret) == 401
    assert whoami(town, town.vera.token) == 401
    for bearer in (town.vera.cookie, f"cmt_{town.vera.cookie}", town.vera.csrf, town.vera.token[:-1]):
        assert town.ask("GET", "/api/v1/whoami", {"Authorization": f"Bearer {bearer}"}).status == 401
    # and a wrong token is not made good by a right cookie
    both = {**town.vera.session, "Authorization": "Bearer cmt_000000000000_" + "A" * 43}
    assert town.ask("GET", "/api/v1/whoami", both).status == 401


# ----------------------------------------------------------------------------------------------------- caches


def test_nothing_of_one_is_kept_for_another(town: Town) -> None:
    for path in ("/", "/machines", "/account", "/api/v1/whoami", "/api/v1/machines", "/users", "/audit"):
        answer = town.ask("GET", path, {**town.admin.session, "Accept": "text/html, */*;q=0.1"})
        assert answer.status == 200, path
        kept = answer.headers["cache-control"]
        assert "no-store" in kept or ("no-cache" in kept and "public" not in kept), path
        assert {"authorization", "cookie"} <= {
            one.strip().lower() for one in answer.headers["vary"].split(",")
        }


@pytest.mark.parametrize(
    "path", ["/", "/machines", "/account", "/users", "/audit", "/api/v1/users", "/api/v1/machines"]
)
def test_the_tag_of_what_one_saw_tells_another_nothing(town: Town, path: str) -> None:
    seen = town.ask("GET", path, {**town.admin.session, "Accept": "text/html, */*;q=0.1"})
    tags = [seen.headers[name] for name in ("etag",) if name in seen.headers] + ["*"]
    for tag in tags:
        headers = {"If-None-Match": tag, "Accept": "application/json"}
        assert town.ask("GET", path, headers).status == 401
        other = town.ask("GET", path, {**headers, "Accept": "text/html, */*;q=0.1", **town.vera.session})
        if path in ("/users", "/audit", "/api/v1/users"):
            assert other.status == 403
        elif path == "/account":
            assert other.status == 200 and "vera" in other.text and town.admin.csrf not in other.text


def test_a_page_of_one_has_nothing_of_anothers_session(town: Town) -> None:
    for path in ("/", "/machines", f"/clouds/{town.cloud.names[0]}", "/account"):
        for person in (town.admin, town.vera, town.admin):
            text = town.ask("GET", path, {**person.session, **HTML}).text
            other = town.vera if person is town.admin else town.admin
            assert other.csrf not in text and other.cookie not in text, path
            assert person.cookie not in text, path  # nor its own: that is for no script
            assert person.csrf in text, path
