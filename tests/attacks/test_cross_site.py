"""Pages of other origins get nothing done in the name of who looks at them, in a real browser and without."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

import pytest

from cloudmasterd.web.openapi import document
from tests.attacks.town import FORM, SESSION, Town
from tests.integration.browser import Browser, chromium
from tests.integration.support import eventually

HTML = {"Accept": "text/html"}


def machine_of(town: Town) -> str:
    return next(m.name for m in town.cloud.nodes[0].machines if m.state == "running")


def state_of(town: Town, name: str) -> str:
    return str(town.ask("GET", f"/api/v1/machines/{name}", town.admin.bearer).json()["state"])


def users(town: Town) -> set[str]:
    found = town.ask("GET", "/api/v1/users", town.admin.bearer).json()["items"]
    return {user["name"] for user in found}


# ------------------------------------------------------------------------------------------ without a browser


@pytest.mark.parametrize("csrf", [None, "", "0" * 40, "of vera", "of the login"])
@pytest.mark.parametrize("path", ["/users", "/account/sessions/end", "/logout", "/enrolment"])
def test_a_form_without_the_sessions_own_token_does_nothing(
    town: Town, path: str, csrf: Optional[str]
) -> None:
    known = {"of vera": town.vera.csrf, "of the login": town.entry()[1]}
    fields = {"name": "forged", "role": "admin"}
    if csrf is not None:
        fields["csrf"] = known.get(csrf, csrf)
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    answer = town.ask("POST", path, {**town.admin.session, **HTML, "Content-Type": FORM}, body)
    assert answer.status == 403
    assert "forged" not in users(town)
    assert town.ask("GET", "/api/v1/whoami", town.admin.session).status == 200


@pytest.mark.parametrize(
    "said",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1.evil.example"},
    ],
    ids=str,
)
def test_a_request_of_another_site_does_nothing_even_with_the_token(town: Town, said: dict[str, str]) -> None:
    headers = {**town.admin.session, **HTML, "Content-Type": FORM, **said}
    body = f"csrf={town.admin.csrf}&name=forged&role=viewer".encode()
    assert town.ask("POST", "/users", headers, body).status == 403
    assert "forged" not in users(town)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"],
)
def test_json_in_the_clothes_of_a_form_is_not_taken(town: Town, kind: str) -> None:
    headers = {**town.admin.session, "X-CSRF-Token": town.admin.csrf}
    if kind:
        headers["Content-Type"] = kind
    answer = town.ask("POST", "/api/v1/users", headers, b'{"name": "forged", "role": "admin"}')
    assert answer.status == 415
    assert "forged" not in users(town)


def test_the_rest_interface_wants_the_token_of_a_session_too(town: Town) -> None:
    headers = {**town.admin.session, "Content-Type": "application/json"}
    body = b'{"name": "forged", "role": "admin"}'
    for csrf in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": town.vera.csrf}, {"X-Csrf": town.admin.csrf}):
        assert town.ask("POST", "/api/v1/users", {**headers, **csrf}, body).status == 403
    in_query = town.ask("POST", f"/api/v1/users?csrf={town.admin.csrf}", headers, body)
    assert in_query.status in (400, 403)
    assert "forged" not in users(town)


@pytest.mark.parametrize(
    "said",
    [{name: method} for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override") for method in
     ("DELETE", "POST", "PUT")],
    ids=str,
)  # fmt: skip
def test_no_header_makes_a_change_of_what_only_reads(town: Town, said: dict[str, str]) -> None:
    answer = town.ask("GET", "/api/v1/users/vera", {**town.admin.bearer, **said})
    assert (answer.status, answer.json()["name"]) == (200, "vera")
    in_query = town.ask("GET", "/api/v1/users/vera?_method=DELETE", town.admin.bearer)
    assert in_query.status == 400
    assert "vera" in users(town)


def test_reading_changes_nothing(town: Town) -> None:
    before = town.ask("GET", "/api/v1/audit?limit=1", town.admin.bearer).json()["items"][0]["id"]
    paths = [path for path, item in document()["paths"].items() if "get" in item and "{" not in path]
    machine, cloud = machine_of(town), town.cloud.names[0]
    pages = [f"/machines/{machine}/{page}" for page in ("delete", "poweroff", "reset", "change")]
    pages += [f"/clouds/{cloud}/rebuild", f"/clouds/{cloud}/change", "/users/vera/delete", "/logout"]
    for path in [*paths, *pages, "/", "/machines", "/account", "/enrolment"]:
        for method in ("GET", "HEAD", "OPTIONS"):
            assert town.ask(method, path, {**town.admin.session, "Accept": "*/*"}).status < 500, path
    assert state_of(town, machine) == "running"
    assert town.ask("GET", "/api/v1/whoami", town.admin.session).status == 200
    query = f"/api/v1/audit?after={before}&limit=100"
    done = [r for r in town.ask("GET", query, town.admin.bearer).json()["items"] if r["result"] == "done"]
    assert [record for record in done if record["who"] == "admin"] == []


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "get", "POST2"])
def test_an_odd_method_is_none(town: Town, method: str) -> None:
    head = f"{method} /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {town.vera.token}\r\n"
    answer = town.raw(f"{head}Connection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in (b"400", b"405", b"501")
    assert town.vera.token.encode() not in answer  # TRACE would give it back


# ------------------------------------------------------------------------------------------ in a real browser


class Evil:
    """A site of somebody else's, which shows whatever page the test gives it and remembers who came."""

    def __init__(self) -> None:
        self.page = ""
        self.asked: list[str] = []
        evil = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                evil.asked.append(self.path)
                data = evil.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                evil.asked.append(str(args))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()


@pytest.fixture(scope="module")
def evil() -> Iterator[Evil]:
    made = Evil()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def browser(town: Town) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("chromium is not installed: make setup-test installs it")
    made = Browser()
    try:
        made.take_cookie(town.cloud.url, SESSION, town.admin.cookie)
        yield made
    finally:
        made.close()


FORM_PAGE = """<!doctype html><title>evil</title><form id=f method=post action="{url}" enctype="{kind}">
{fields}</form><script>document.getElementById('f').submit()</script>"""
FETCH_PAGE = """<!doctype html><title>evil</title><p id=said>waiting</p><script>
fetch({url}, {options})
  .then(r => r.text().then(t => r.status + ' ' + r.type + ' ' + t.length), e => 'failed ' + e)
  .then(text => document.getElementById('said').textContent = 'said ' + text);</script>"""


def field(name: str, value: str) -> str:
    return f'<input name="{name}" value="{value}">'


# Another port of the same host is the same site to a browser, so that SameSite cookies do go along; another
# name of it is not.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("kind", [FORM, "text/plain", "multipart/form-data"])
def test_a_form_on_another_page_does_nothing(
    town: Town, browser: Browser, evil: Evil, host: str, kind: str
) -> None:
    machine = machine_of(town)
    for path, fields in (
        ("users", field("name", "forged") + field("role", "admin")),
        (f"machines/{machine}/poweroff", field("sure", "yes")),
        (
            "api/v1/users",
            "<input name='{&quot;name&quot;:&quot;forged&quot;,&quot;x&quot;:&quot;' value='&quot;}'>",
        ),
    ):
        evil.page = FORM_PAGE.format(url=town.cloud.url + path, kind=kind, fields=fields)
        browser.open(f"http://{host}:{evil.port}/form")
        eventually(lambda: browser.run("location.port") == str(town.port), "the form to be sent")
        if host == "127.0.0.1":  # the cookie went along: else it would be led to the login
            browser.wait_for_path(f"/{path}")
    assert "forged" not in users(town)
    assert state_of(town, machine) == "running"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("api/v1/users", {"method": "POST", "mode": "no-cors", "headers": {"Content-Type": "text/plain"}}),
        ("api/v1/users", {"method": "POST", "headers": {"Content-Type": "application/json"}}),
        ("api/v1/users/vera", {"method": "DELETE"}),
        ("api/v1/whoami", {"method": "GET"}),
        ("api/v1/whoami", {"method": "GET", "mode": "no-cors"}),
        ("", {"method": "GET", "headers": {"Accept": "text/html"}}),
    ],
    ids=str,
)
def test_a_script_on_another_page_changes_and_reads_nothing(
    town: Town, browser: Browser, evil: Evil, host: str, path: str, options: dict[str, Any]
) -> None:
    sent = {**options, "credentials": "include"}
    if options["method"] == "POST":
        sent["body"] = json.dumps({"name": "forged", "role": "admin"})
    evil.page = FETCH_PAGE.format(url=json.dumps(town.cloud.url + path), options=json.dumps(sent))
    browser.open(f"http://{host}:{evil.port}/fetch")
    eventually(lambda: "said" in browser.seen() and "waiting" not in browser.seen(), "the script to end")
    said = browser.seen()
    # blocked, or an answer that no script can look into
    assert "failed" in said or "0 opaque 0" in said, said
    assert "forged" not in users(town) and "vera" in users(town)


def test_another_page_cannot_sign_its_reader_in_as_somebody_else(
    town: Town, browser: Browser, evil: Evil
) -> None:
    fields = field("user", "wendy") + field("password", town.wendy.password) + field("csrf", town.entry()[1])
    evil.page = FORM_PAGE.format(url=town.cloud.url + "login", kind=FORM, fields=fields)
    for host in ("127.0.0.1", "localhost"):
        browser.open(f"http://{host}:{evil.port}/login")
        eventually(lambda: browser.run("location.port") == str(town.port), "the form to be sent")
        browser.wait_for_path("/login")
        browser.open(town.cloud.url + "api/v1/whoami")
        eventually(lambda: '"name":"admin"' in browser.seen(), "to be who one was")


def test_another_page_cannot_show_ours_in_a_frame(town: Town, browser: Browser, evil: Evil) -> None:
    evil.page = (
        f"<!doctype html><title>evil</title><iframe id=f src='{town.cloud.url}machines'></iframe><p>around"
    )
    browser.open(f"http://127.0.0.1:{evil.port}/frame")
    browser.wait_for("around")
    # of another origin either way: whether it is our page that is in there, the frame's own address tells
    frames = browser.frames()
    assert not any(url.startswith(town.cloud.url) for url in frames), frames
    for path in ("/", "/login", "/machines", "/account"):
        headers = town.ask("GET", path, {**town.admin.session, **HTML}).headers
        if path != "/login":
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
