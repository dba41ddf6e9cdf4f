"""Reports of installing machines over real HTTP: what is taken, what is refused, and what is never told."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from cloudmasterd.model import Install, NewTask, Phase
from cloudmasterd.recipes import progress
from cloudmasterd.web import paths

TOKEN = "Zm9v_bar-" + "x" * 34
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PREFIX = f"/install/{TOKEN}"


@pytest.fixture
def task(world: Any) -> int:
    new = NewTask(
        kind="x", target="/x", cloud=None, machine=None, machine_name=None, arguments={},
        steps=progress.phase_steps("web1"), asked_by="ada", request_id="r",
        secret=progress.secret_of(TOKEN), report_token=TOKEN,
    )  # fmt: skip
    return int(world.store.tasks.submit(lambda room: new).id)


def said(world: Any, task: int) -> Install:
    found: Install = world.store.installs.get(task)
    return found


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/packages?text=12+of+900", None),
        ("POST", "/packages?text=12+of+900", None),
        ("POST", "/packages", b"text=12+of+900"),
        ("POST", "/packages", b"other=1&text=12%20of%20900"),
    ],
)
def test_a_phase_is_taken_by_get_and_post(world: Any, task: int, method: str, target: str, body: Any) -> None:
    answer = world.ask(method, PREFIX + target, FORM if body else {}, body)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert (said(world, task).reached, said(world, task).text) == (Phase.PACKAGES, "12 of 900")


def test_a_report_needs_no_accept_header_and_no_body(world: Any, task: int) -> None:
    assert world.ask("POST", f"{PREFIX}/booted", {"Accept": "image/png"}).status == 204
    assert said(world, task).reached is Phase.BOOTED


def test_a_form_that_nobody_can_read_still_reports_its_phase(world: Any, task: int) -> None:
    for number, body in enumerate([b"\xff\xfe", b"text=%ff%00", b"&".join([b"a=1"] * 5000), b"text=" * 9000]):
        phase = ("booted", "kickstart", "packages", "post")[number]
        assert world.ask("POST", f"{PREFIX}/{phase}", FORM, body).status == 204
        assert said(world, task).reached == phase
    assert len(said(world, task).text) <= 500


def test_text_is_cut_and_cleaned(world: Any, task: int) -> None:
    body = urlencode({"text": "\x1b[2J" + "<b>" * 9999}).encode()
    assert world.ask("POST", f"{PREFIX}/failed", FORM, body).status == 204
    failure = said(world, task).failure
    assert failure is not None and failure.startswith("[2J<b>") and len(failure) == 500


def test_head_reports_nothing(world: Any, task: int) -> None:
    assert world.ask("HEAD", f"{PREFIX}/done").status == 204
    assert said(world, task) == Install(task)
    assert world.ask("HEAD", "/install/wrong/done").status == 404


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/install/wrong/booted", 404),
        ("POST", "/install/wrong/booted", 404),
        ("GET", "/install/wrong/no-phase", 404),
        ("GET", f"{PREFIX}/no-phase", 400),
        ("GET", f"{PREFIX}/booted?words=x", 400),
        ("PUT", f"{PREFIX}/booted", 405),
        ("DELETE", f"{PREFIX}/booted", 405),
        ("GET", PREFIX, 404),
        ("GET", f"{PREFIX}/", 404),
        ("GET", f"{PREFIX}/booted/more", 404),
    ],
)
def test_what_is_no_report_is_refused(world: Any, task: int, method: str, target: str, status: int) -> None:
    answer = world.ask(method, target)
    assert answer.status == status
    assert answer.headers["cache-control"] == "no-store"
    assert said(world, task) == Install(task)


def test_the_token_is_in_no_answer_page_or_event(world: Any, task: int) -> None:
    world.ask("POST", f"{PREFIX}/packages", FORM, b"text=half")
    for target in (f"/tasks/{task}", f"/api/v1/tasks/{task}", "/api/v1/tasks?fields=steps,result", "/tasks",
                   "/", "/api/v1/events", "/events"):  # fmt: skip
        answer = world.get(target)
        assert answer.status == 200
        assert TOKEN.encode() not in answer.body


def test_the_token_is_in_no_log(
    world: Any, task: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.ask("POST", f"{PREFIX}/packages?text=half")
    assert "/install/.../packages?text=half" in caplog.text
    with sqlite3.connect(tmp_path / "db.sqlite") as raw:
        raw.execute("DROP TABLE install")
    assert world.ask("POST", f"{PREFIX}/packages").status == 503
    assert "/install/.../packages: 503: " in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"GET {PREFIX}/booted HTTP/1.1", "GET /install/.../booted HTTP/1.1"),
        (f"GET http://c{PREFIX} HTTP/1.1", "GET http://c/install/... HTTP/1.1"),
        (f"{PREFIX}?text=a", "/install/...?text=a"),
        ("/machines/install", "/machines/install"),
    ],
)
def test_a_path_in_a_log_has_no_token(text: str, shown: str) -> None:
    assert paths.shown(text) == shown
