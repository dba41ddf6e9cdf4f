"""People on the audit record: who signed in, who could not, and whose rights changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cloudmasterd.rights import Role
from tests.cloudmasterd.web.people_site import ADMIN, JANE, VICTOR, Guarded, guarded
from tests.cloudmasterd.web.test_audit import fits, last, records

V1 = "/api/v1"


@pytest.fixture
def site(small: Any) -> Iterator[Guarded]:
    with guarded(small) as made:
        yield made


def test_signing_in_and_out_is_recorded_under_the_session(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    signed_in = last(site.world)
    fits(signed_in, who="jane", means="session", action="login", result="done", address="127.0.0.1")
    (session,) = site.people.list_sessions("jane")
    assert signed_in["credential"] == session.id
    browser.send(browser.read("/").form("/logout"))
    fits(last(site.world), who="jane", means="session", action="logout", credential=session.id)
    assert len(records(site.world)) == 2


def test_whoever_could_not_sign_in_is_nobody_known_and_the_account_is_told(site: Guarded) -> None:
    site.browser().sign_in(JANE[0], "a wrong password")
    fits(last(site.world), who="", means="none", action="login", result="refused", credential="")
    assert last(site.world)["detail"]["account"] == "jane"


def test_what_is_no_name_here_is_not_written_down_for_it_may_be_a_password(site: Guarded) -> None:
    site.browser().sign_in("my-s3cret-passw0rd", "jane")
    fits(last(site.world), who="", action="login", result="refused")
    assert "s3cret" not in json.dumps(records(site.world))


def test_a_page_that_asks_who_one_is_records_nothing(site: Guarded) -> None:
    site.browser().get("/")
    site.browser().read("/login")
    assert records(site.world) == []


def test_a_form_of_another_page_is_on_the_record_of_whose_session_it_would_have_used(site: Guarded) -> None:
    browser = site.signed_in(ADMIN)
    assert browser.post("/machines/build1/start", csrf="made up").status == 403
    fits(last(site.world), who="admin", means="session", action="startMachine", result="refused", status=403)


def test_what_a_role_does_not_allow_is_recorded_with_the_name(site: Guarded) -> None:
    _, secret = site.people.create_token("victor", "t", Role.VIEWER)
    answer = site.world.send("POST", V1 + "/machines/build1/start", Authorization=f"Bearer {secret}")
    assert answer.status == 403
    fits(last(site.world), who="victor", means="token", action="startMachine", result="refused")


def test_what_a_scope_does_not_allow_is_recorded_as_refused(site: Guarded) -> None:
    _, secret = site.people.create_token("jane", "t", Role.OPERATOR)
    answer = site.world.send("POST", V1 + "/machines/build1/start", Authorization=f"Bearer {secret}")
    assert answer.status == 403
    fits(
        last(site.world), who="jane", action="startMachine", target=V1 + "/machines/build1", result="refused"
    )


def test_a_revoked_token_is_nobody_known_and_its_id_is_told(site: Guarded) -> None:
    token, secret = site.people.create_token("jane", "t", Role.OPERATOR)
    site.people.revoke_token(token.id)
    assert site.world.get(V1 + "/machines", Authorization=f"Bearer {secret}").status == 401
    record = last(site.world)
    fits(record, who="", action="listMachines", result="refused", status=401)
    assert token.id in record["detail"]["error"]


def test_users_tokens_and_passwords_are_recorded_without_their_secrets(site: Guarded) -> None:
    _, admin = site.people.create_token("admin", "t", Role.ADMIN)
    made = []
    for method, path, body in [
        ("POST", "/users", {"name": "olga", "role": "viewer", "password": "s3cret words of olga"}),
        ("PATCH", "/users/olga", {"role": "operator", "scope": ["team=web"]}),
        ("PUT", "/users/olga/password", {"new": "s3cret words anew"}),
        ("POST", "/tokens", {"user": "olga", "title": "backups"}),
        ("DELETE", "/users/olga", None),
    ]:
        answer = site.world.send(method, V1 + path, body, Authorization=f"Bearer {admin}")
        assert answer.status < 300, answer.text
        made.append(answer.json().get("token", "cmt_") if answer.body else "cmt_")
    found = [(record["action"], record["target"]) for record in records(site.world)]
    assert [action for action, _ in found] == [
        "createUser", "changeUser", "setPassword", "createToken", "deleteUser",
    ]  # fmt: skip
    assert found[0][1] == found[1][1] == found[4][1] == V1 + "/users/olga"
    assert all(record["who"] == "admin" for record in records(site.world))
    written = json.dumps(records(site.world))
    assert "s3cret" not in written
    assert all(secret == "cmt_" or secret not in written for secret in made)


def test_a_page_for_ones_own_account_names_the_same_actions(site: Guarded) -> None:
    browser = site.signed_in(VICTOR)
    page = browser.read("/account")
    answer = browser.send(page.form("/account/tokens"), title="mine")
    assert answer.status < 400, answer.text
    fits(last(site.world), who="victor", action="createToken", result="done")


def test_a_record_cannot_be_spoiled_by_what_is_sent(site: Guarded) -> None:
    """A name, a reason or a path with markup or line ends is text in the record and on its page."""
    browser = site.signed_in(ADMIN)
    nasty = "<script>alert(1)</script>"
    site.world.send(
        "POST", V1 + "/machines/%3Cscript%3E/start", X_Audit_Reason=nasty, Authorization="Bearer cmt_x"
    )
    fits(last(site.world), result="refused", reason=nasty)
    page = browser.get("/audit").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
