"""What people do with their own password, sessions and API tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cloudmasterd.rights import Role
from cloudmasterd.web.proxy import proxy_at
from tests.cloudmasterd.web.people_site import JANE, VICTOR, Guarded, guarded
from tests.cloudmasterd.web.reading import Page

NEW = "another four words here"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
def site(small: Any) -> Iterator[Guarded]:
    with guarded(small) as made:
        yield made


def change(browser: Any, present: str, new: str, again: str) -> Any:
    form = browser.read("/account").form("/account/password")
    return browser.send(form, present=present, new=new, again=again)


def test_the_page_says_who_one_is(site: Guarded) -> None:
    text = site.signed_in(JANE).read("/account").text
    assert "Jane, web team" in text and "operator" in text and "team=web" in text
    assert "the one you were given" in text


def test_a_password_is_changed_by_who_knows_it_and_other_browsers_are_signed_out(site: Guarded) -> None:
    here, elsewhere = site.signed_in(JANE), site.signed_in(JANE)
    answer = change(here, JANE[1], NEW, NEW)
    assert (answer.status, answer.headers["location"]) == (303, "/account?done=password")
    assert "Your password is changed." in here.read("/account?done=password").text
    assert elsewhere.get("/account").status == 303
    assert site.browser().sign_in(*JANE).status == 403
    assert site.browser().sign_in("jane", NEW).status == 303


@pytest.mark.parametrize(
    ("present", "new", "again", "field", "words"),
    [
        ("not my password", NEW, NEW, "present", "not your present password"),
        ("", NEW, NEW, "present", "not your present password"),
        (JANE[1], NEW, NEW + " ", "again", "not the same"),
        (JANE[1], "short", "short", "new", "12"),
        (JANE[1], "jane", "jane", "new", ""),
        (JANE[1], "password1234", "password1234", "new", "commonest"),
        (JANE[1], "", "", "new", "12"),
    ],
)
def test_a_password_that_cannot_be_is_told_at_its_field(
    site: Guarded, present: str, new: str, again: str, field: str, words: str
) -> None:
    browser = site.signed_in(JANE)
    answer = change(browser, present, new, again)
    assert answer.status == 400
    page = Page(answer.text)
    assert words in page.error(field) and "It was not changed." in page.text
    assert [value for value in (present, new) if len(value) > 5 and value in answer.text] == []
    assert site.browser().sign_in(*JANE).status == 303


def test_who_guesses_the_present_password_is_held_up(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    for _ in range(40):
        answer = change(browser, "a guess", NEW, NEW)
        if answer.status == 429:
            break
    assert answer.status == 429
    assert site.people.list_sessions("jane"), "the session itself goes on"


def test_a_password_ends_with_its_blanks(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    padded = f"  {NEW} "
    assert change(browser, JANE[1], padded, padded).status == 303
    assert site.browser().sign_in("jane", NEW).status == 403
    assert site.browser().sign_in("jane", padded).status == 303


def test_sessions_are_listed_and_ended_one_by_one(site: Guarded) -> None:
    there = site.signed_in(JANE, User_Agent=FIREFOX)
    here = site.signed_in(JANE)
    page = here.read("/account")
    assert "Firefox on Linux" in page.text and "127.0.0.1" in page.text and "this one" in page.text
    other = next(s.id for s in site.people.list_sessions("jane") if "Firefox" in s.agent)
    answer = here.send(page.form(f"/account/sessions/{other}/end"))
    assert (answer.status, answer.headers["location"]) == (303, "/account?done=ended")
    assert there.get("/account").status == 303 and here.get("/account").status == 200


def test_ones_own_session_can_be_ended_there(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    (session,) = site.people.list_sessions("jane")
    answer = browser.send(browser.read("/account").form(f"/account/sessions/{session.id}/end"))
    assert answer.headers["location"] == "/login" and browser.get("/account").status == 303


def test_one_signs_out_everywhere_at_once(site: Guarded) -> None:
    browsers = [site.signed_in(JANE) for _ in range(3)]
    victor = site.signed_in(VICTOR)
    answer = browsers[0].send(browsers[0].read("/account").form("/account/sessions/end"))
    assert answer.headers["location"] == "/login"
    assert [browser.get("/account").status for browser in browsers] == [303, 303, 303]
    assert victor.get("/account").status == 200


def test_nobody_ends_what_is_not_theirs(site: Guarded) -> None:
    victor, jane = site.signed_in(VICTOR), site.signed_in(JANE)
    form = victor.read("/account").form("/account/password")
    (session,) = site.people.list_sessions("jane")
    token, _ = site.people.create_token("jane", "hers", Role.VIEWER)
    for path in (f"/account/sessions/{session.id}/end", f"/account/tokens/{token.id}/revoke",
                 "/account/sessions/none/end", "/account/tokens/none/revoke"):  # fmt: skip
        assert victor.post(path, csrf=form.values["csrf"]).status == 404
    assert jane.get("/account").status == 200
    assert site.people.get_token(token.id).revoked_at is None


def make(browser: Any, **typed: str) -> Any:
    form = browser.read("/account").form("/account/tokens")
    return browser.send(form, **{"title": "nightly backup", **typed})


def test_a_token_is_made_shown_once_and_works(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    answer = make(browser, role="operator", scope="team=web", days="30")
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    found = re.search(r"cmt_[0-9a-zA-Z_-]+", answer.text)
    assert found is not None
    assert found[0] not in browser.get("/account").text
    machines = site.world.get("/api/v1/machines", Authorization=f"Bearer {found[0]}")
    assert machines.status == 200
    (token,) = site.people.list_tokens("jane")
    assert (token.title, token.role, token.scope) == ("nightly backup", Role.OPERATOR, {"team=web"})
    assert token.expires_at == site.world.clock.now() + timedelta(days=30)


def test_a_token_is_revoked_for_good(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    token, secret = site.people.create_token("jane", "old", Role.VIEWER)
    answer = browser.send(browser.read("/account").form(f"/account/tokens/{token.id}/revoke"))
    assert answer.headers["location"] == "/account?done=revoked"
    assert site.world.get("/api/v1/machines", Authorization=f"Bearer {secret}").status == 401
    page = browser.read("/account")
    assert "revoked" in page.text and f"/account/tokens/{token.id}/revoke" not in page.actions


@pytest.mark.parametrize(
    ("typed", "field"),
    [({"title": ""}, "title"), ({"title": "x" * 200}, "title"), ({"role": "root"}, "role"),
     ({"role": "admin"}, "role"), ({"scope": "web"}, "scope"), ({"days": "7000"}, "days"),
     ({"days": "-1"}, "days")],
    ids=str,
)  # fmt: skip
def test_a_token_that_cannot_be_is_told_at_its_field(
    site: Guarded, typed: dict[str, str], field: str
) -> None:
    answer = make(site.signed_in(JANE), **typed)
    assert answer.status == 400
    page = Page(answer.text)
    assert "No token was made." in page.text and f"e-{field}" in page.texts
    assert site.people.list_tokens("jane") == []


def test_one_is_offered_no_more_than_one_has(site: Guarded) -> None:
    form = site.signed_in(VICTOR).get("/account").text
    assert 'value="viewer"' in form and 'value="operator"' not in form and 'value="admin"' not in form


def test_a_token_changes_nothing_here(site: Guarded) -> None:
    other, _ = site.people.create_token("jane", "hers", Role.OPERATOR)
    _, secret = site.people.create_token("jane", "little", Role.VIEWER)
    person = site.signed_in(JANE)
    (session,) = site.people.list_sessions("jane")
    browser = site.browser(Authorization=f"Bearer {secret}")
    assert "/account/tokens" not in browser.read("/account").actions
    for path in (f"/account/tokens/{other.id}/revoke", f"/account/sessions/{session.id}/end",
                 "/account/sessions/end"):  # fmt: skip
        assert browser.post(path).status == 403
    assert browser.post("/account/tokens", title="x", role="viewer", scope="", days="").status == 403
    assert browser.post("/account/password", present=JANE[1], new=NEW, again=NEW).status == 403
    assert len(site.people.list_tokens("jane")) == 2 and person.get("/account").status == 200
    assert site.people.get_token(other.id).revoked_at is None


def test_secrets_do_not_go_over_plain_http(small: Any) -> None:
    with guarded(small, proxy_at(["127.0.0.1"])) as site:
        tls = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        browser = site.signed_in(JANE, **tls)
        cookies = {"cloudmasterd_session": browser.cookies["__Host-cloudmasterd_session"]}
        plain = site.browser(**{**tls, "X-Forwarded-Proto": "http"})
        plain.cookies = cookies
        assert make(plain).status == 403
        assert change(plain, JANE[1], NEW, NEW).status == 403
        assert site.people.list_tokens("jane") == []


def test_what_somebody_calls_things_stays_text(site: Guarded) -> None:
    bad = "<script>alert(1)</script>"
    site.people.create_token("jane", bad, Role.VIEWER)
    browser = site.signed_in(JANE, User_Agent=f"<b>{bad}</b>")
    answer = browser.get("/account")
    Page(answer.text)
    assert bad not in answer.text and "&lt;script&gt;" in answer.text
