"""What admins do with users in the browser: let in, change, give another password, keep out, delete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cloudmasterd.rights import Role
from tests.cloudmasterd.web.people_site import ADMIN, JANE, VICTOR, Browser, Guarded, guarded
from tests.cloudmasterd.web.reading import Page

PASSWORD = re.compile(r"<pre><code>([a-z2-9]{5}(?:-[a-z2-9]{5}){3})</code></pre>")


@pytest.fixture
def site(small: Any) -> Iterator[Guarded]:
    with guarded(small) as made:
        yield made


@pytest.fixture
def admin(site: Guarded) -> Browser:
    return site.signed_in()


def shown(answer: Any) -> str:
    """The password that a page shows once."""
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store", answer.text
    found = PASSWORD.search(answer.text)
    assert found is not None
    return found[1]


def test_all_users_are_there_with_what_they_may_do(admin: Browser) -> None:
    page = admin.read("/users")
    for words in ("admin", "jane Jane, web team", "operator", "team=web", "victor", "viewer", "nothing"):
        assert words in page.text
    assert {"/users/admin", "/users/jane", "/users/victor"} <= set(page.links)


def test_somebody_is_let_in_with_a_password_shown_once(site: Guarded, admin: Browser) -> None:
    form = admin.read("/users").form("/users")
    answer = admin.send(form, name="Zoe@example.org", title="Zoe", role="operator", scope="team=db\nteam=web")
    password = shown(answer)
    assert password not in admin.get("/users").text
    user = site.people.get_user("zoe@example.org")
    assert (user.role, user.scope, user.title) == (Role.OPERATOR, {"team=db", "team=web"}, "Zoe")
    assert site.browser().sign_in("zoe@example.org", password).status == 303


def test_somebody_may_come_through_the_web_server_alone(site: Guarded, admin: Browser) -> None:
    answer = admin.send(admin.read("/users").form("/users"), name="zoe", password=None)
    assert (answer.status, answer.headers["location"]) == (303, "/users/zoe")
    assert "through the web server" in admin.read("/users/zoe").text
    assert site.browser().sign_in("zoe", "").status == 403


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [({"name": ""}, 400, "Name"), ({"name": "a b"}, 400, "Name"), ({"name": "../x"}, 400, "Name"),
     ({"name": "jane"}, 409, "there is a user jane already"), ({"name": "zoe", "role": "root"}, 400, "Role"),
     ({"name": "zoe", "scope": "web"}, 400, "Bound to tags"),
     ({"name": "zoe", "role": "admin", "scope": "team=web"}, 400, "Bound to tags")],
    ids=str,
)  # fmt: skip
def test_who_cannot_be_let_in_is_told_why(
    site: Guarded, admin: Browser, typed: dict[str, str], status: int, words: str
) -> None:
    before = site.people.list_users()
    answer = admin.send(admin.read("/users").form("/users"), **typed)
    assert answer.status == status
    text = Page(answer.text).text
    assert "No user was made." in text and words.lower() in text.lower()
    assert site.people.list_users() == before


def test_a_user_is_changed_and_their_session_ends_with_their_role(site: Guarded, admin: Browser) -> None:
    jane = site.signed_in(JANE)
    form = admin.read("/users/jane").form("/users/jane/change")
    assert form.values["scope"] == "team=web" and form.values["title"] == "Jane, web team"
    answer = admin.send(form, role="viewer", scope="", title="Jane")
    assert answer.headers["location"] == "/users/jane?done=changed"
    assert "It is changed." in admin.read("/users/jane?done=changed").text
    assert jane.get("/machines").status == 303
    user = site.people.get_user("jane")
    assert (user.role, user.scope, user.title) == (Role.VIEWER, frozenset(), "Jane")


def test_two_admins_do_not_overwrite_each_other(site: Guarded, admin: Browser) -> None:
    form = admin.read("/users/jane").form("/users/jane/change")
    site.people.change_user("jane", title="changed meanwhile")
    answer = admin.send(form, title="mine")
    assert answer.status == 412
    page = Page(answer.text)
    assert "changed since this form was opened" in page.text
    assert admin.send(page.form("/users/jane/change")).status == 303
    assert site.people.get_user("jane").title == "mine"


def test_who_is_kept_out_gets_no_further(site: Guarded, admin: Browser) -> None:
    jane = site.signed_in(JANE)
    _, secret = site.people.create_token("jane", "hers", Role.VIEWER)
    form = admin.read("/users/jane").form("/users/jane/change")
    assert admin.send(form, disabled="yes").status == 303
    assert jane.get("/machines").status == 303
    assert site.browser().sign_in(*JANE).status == 403
    assert site.world.get("/api/v1/machines", Authorization=f"Bearer {secret}").status == 401
    assert "disabled" in admin.read("/users").text
    form = admin.read("/users/jane").form("/users/jane/change")
    assert form.values["disabled"] == "yes"
    assert admin.send(form, disabled=None).status == 303
    assert site.browser().sign_in(*JANE).status == 303


def test_a_lost_password_is_replaced(site: Guarded, admin: Browser) -> None:
    jane = site.signed_in(JANE)
    password = shown(admin.send(admin.read("/users/jane").form("/users/jane/password")))
    assert jane.get("/machines").status == 303
    assert site.browser().sign_in(*JANE).status == 403
    assert site.browser().sign_in("jane", password).status == 303


def test_an_admin_who_replaces_their_own_stays_signed_in(admin: Browser) -> None:
    shown(admin.send(admin.read("/users/admin").form("/users/admin/password")))
    assert admin.get("/users").status == 200


def test_somebody_is_signed_out_everywhere(site: Guarded, admin: Browser) -> None:
    browsers = [site.signed_in(JANE) for _ in range(2)]
    assert admin.send(admin.read("/users/jane").form("/users/jane/sessions/end")).status == 303
    assert [browser.get("/machines").status for browser in browsers] == [303, 303]
    assert "signed in nowhere" in admin.read("/users/jane?done=ended").text


def test_a_token_of_somebody_is_revoked(site: Guarded, admin: Browser) -> None:
    token, secret = site.people.create_token("jane", "hers", Role.VIEWER)
    mine, _ = site.people.create_token("victor", "his", Role.VIEWER)
    path = f"/users/jane/tokens/{token.id}/revoke"
    assert admin.send(admin.read("/users/jane").form(path)).status == 303
    assert site.world.get("/api/v1/machines", Authorization=f"Bearer {secret}").status == 401
    csrf = admin.read("/users").form("/users").values["csrf"]
    assert admin.post(f"/users/jane/tokens/{mine.id}/revoke", csrf=csrf).status == 404


def test_a_user_is_deleted_after_being_asked_once_more(site: Guarded, admin: Browser) -> None:
    site.people.create_token("jane", "hers", Role.VIEWER)
    page = admin.read("/users/jane")
    assert "/users/jane/delete" in page.links
    csrf = page.form("/users/jane/change").values["csrf"]
    assert "Delete jane?" in Page(admin.post("/users/jane/delete", csrf=csrf).text).text
    assert site.people.get_user("jane").name == "jane"
    page = admin.read("/users/jane/delete")
    assert "1 API token goes" in page.text
    answer = admin.send(page.form("/users/jane/delete"))
    assert (answer.status, answer.headers["location"]) == (303, "/users")
    assert "jane" not in admin.read("/users").links
    assert admin.get("/users/jane").status == 404


def test_the_last_admin_stays(site: Guarded, admin: Browser) -> None:
    form = admin.read("/users/admin").form("/users/admin/change")
    for typed in ({"role": "operator"}, {"disabled": "yes"}):
        answer = admin.send(form, **typed)
        assert answer.status == 409 and "the last admin" in answer.text
    answer = admin.send(admin.read("/users/admin/delete").form("/users/admin/delete"))
    assert answer.status == 409 and "the last admin" in answer.text
    assert site.browser().sign_in(*ADMIN).status == 303


@pytest.mark.parametrize("who", [JANE, VICTOR], ids=["operator", "viewer"])
def test_nobody_else_gets_there(site: Guarded, who: tuple[str, str]) -> None:
    browser = site.signed_in(who)
    csrf = browser.read("/account").form("/account/password").values["csrf"]
    for path in ("/users", "/users/jane", "/users/jane/delete", "/users/nobody"):
        assert browser.get(path).status == 403
    for path in ("/users", "/users/admin/password", "/users/admin/change", "/users/victor/delete",
                 "/users/admin/sessions/end"):  # fmt: skip
        assert browser.post(path, csrf=csrf, name="x", role="admin").status == 403
    assert len(site.people.list_users()) == 3


def test_what_a_user_is_called_stays_text(site: Guarded, admin: Browser) -> None:
    bad = "<img src=x onerror=alert(1)>"
    site.people.change_user("jane", title=bad)
    for path in ("/users", "/users/jane"):
        answer = admin.get(path)
        Page(answer.text)
        assert bad not in answer.text and "&lt;img" in answer.text


def test_many_users_come_in_pages(site: Guarded, admin: Browser) -> None:
    for number in range(205):
        site.people.create_user(f"user{number:03}", Role.VIEWER)
    first = admin.read("/users")
    (following,) = [link for link in first.links if link.startswith("/users?after=")]
    second = admin.read(following)
    names = [link for page in (first, second) for link in page.links if link.startswith("/users/")]
    assert len(names) == len(set(names)) == 208
