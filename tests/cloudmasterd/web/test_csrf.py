"""Other sites cannot make a browser change anything in the name of who is signed in there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.web.front import Front, Incoming
from cloudmasterd.web.templating import FOLDER
from cloudmasterd.web.waiting import Waits
from tests.cloudmasterd.web.reading import Page

SECRET = "of-this-session-0123456789"
FORM = "application/x-www-form-urlencoded"
START = "/machines/build1/start"


class Says:
    """A door that takes everybody for the same."""

    def __init__(self, who: Identity) -> None:
        self.who = who

    def identify(self, headers: Any, address: str) -> Identity:
        return self.who


@pytest.fixture
def front(small: Any) -> Front:
    return made(small, Identity("eve", Role.ADMIN, Means.SESSION, "ab12", csrf=SECRET))


def made(world: Any, who: Identity) -> Front:
    return Front(replace(world.site, door=Says(who)), Waits())


def ask(front: Front, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    accept = named.pop("Accept", "text/html")
    return front.answer(Incoming(method, path, accept, headers=named, read=lambda: body))


def form(**values: str) -> tuple[bytes, dict[str, str]]:
    return urlencode(values).encode(), {"Content_Type": FORM}


WRONG: list[dict[str, str]] = [
    {},
    {"csrf": ""},
    {"csrf": SECRET[:-1]},
    {"csrf": SECRET + "x"},
    {"csrf": SECRET.upper()},
    {"csrf": "é"},
    {"CSRF": SECRET},
]


@pytest.mark.parametrize("values", WRONG, ids=str)
def test_a_form_without_what_the_session_gives_is_refused(
    front: Front, small: Any, values: dict[str, str]
) -> None:
    body, headers = form(**values)
    answer = ask(front, "POST", START, body, **headers)
    assert answer.status == 403
    assert "That page has to be loaded again" in Page(answer.body.decode()).text
    assert small.store.tasks.list() == []


def test_a_form_with_it_is_taken(front: Front, small: Any) -> None:
    body, headers = form(csrf=SECRET)
    assert ask(front, "POST", START, body, **headers).status == 303
    assert [task.asked_by for task in small.store.tasks.list()] == ["eve"]


def test_the_header_does_as_well(front: Front) -> None:
    answer = ask(front, "POST", START, Accept="application/json, text/html", X_CSRF_Token=SECRET)
    assert answer.status == 303


def test_the_interface_for_programs_wants_the_header_of_a_session(front: Front, small: Any) -> None:
    path = "/api/v1" + START
    for given in ({}, {"X_CSRF_Token": "another"}):
        answer = ask(front, "POST", path, Accept="application/json", **given)
        assert answer.status == 403 and b"problem:stale-page" in answer.body
        assert b"X-CSRF-Token" in answer.body and SECRET.encode() not in answer.body
    body = b'{"csrf": "%s"}' % SECRET.encode()
    refused = ask(
        front, "PATCH", "/api/v1/machines/build1", body, Accept="*/*", Content_Type="application/json"
    )
    assert refused.status == 403
    assert ask(front, "POST", path, Accept="application/json", X_CSRF_Token=SECRET).status == 202


def test_a_token_of_a_program_needs_none(small: Any) -> None:
    front = made(small, Identity("robot", Role.ADMIN, Means.TOKEN, "cd34"))
    assert ask(front, "POST", "/api/v1" + START, Accept="application/json").status == 202


def test_who_may_not_is_told_that_first(small: Any) -> None:
    front = made(small, Identity("eve", Role.VIEWER, Means.SESSION, "ab12", csrf=SECRET))
    answer = ask(front, "POST", START)
    assert answer.status == 403 and b"takes the role operator" in answer.body


def test_a_form_of_too_many_fields_is_told_as_such_and_does_nothing(front: Front, small: Any) -> None:
    body = "&".join(["x=1"] * 2000 + [f"csrf={SECRET}"]).encode()
    assert ask(front, "POST", START, body, Content_Type=FORM).status in (400, 403)
    assert small.store.tasks.list() == []


def test_reading_needs_none(front: Front) -> None:
    assert ask(front, "GET", "/machines").status == 200


def test_pages_carry_it_in_every_form_that_changes_something(front: Front) -> None:
    looked_at = 0
    for path in ("/", "/machines/new", "/machines/build1", "/machines/build1/delete",
                 "/machines/build1/change", "/clouds/cloud1.example.org",
                 "/clouds/cloud1.example.org/change"):  # fmt: skip
        for sheet in Page(ask(front, "GET", path).body.decode()).forms:
            if sheet.method == "post":
                assert sheet.values["csrf"] == SECRET, (path, sheet)
                looked_at += 1
    assert looked_at >= 8


POSTS = re.compile(r"<form[^\n]*method=[\"']?post[^\n]*", re.IGNORECASE)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.mako")), ids=lambda path: path.name)
def test_no_template_has_a_form_without_it(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    forms = POSTS.findall(text)
    assert [line for line in forms if "${fields.csrf(" not in line] == []
    assert len(forms) == text.lower().count('post"') + text.lower().count("post'")
