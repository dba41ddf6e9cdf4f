"""What somebody else wrote is text on every page: nothing of it runs, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.attacks.harm import HARM
from tests.attacks.town import SESSION, Answer, Town
from tests.integration.browser import Browser, chromium
from tests.integration.support import eventually

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="chromium is not installed: make setup-test installs it"
)

# Before anything of a page runs: whatever calls alert and what the page's own policy had to stop is counted.
WATCH = """
window.ran = []; window.stopped = [];
for (const name of ['alert', 'confirm', 'prompt']) window[name] = x => { window.ran.push(String(x)); };
document.addEventListener('securitypolicyviolation',
                          e => window.stopped.push(e.violatedDirective + ' ' + e.blockedURI));
"""
# What none of our pages has: elements and attributes that only harm would bring in.
FOREIGN = """
[...document.querySelectorAll('*')].filter(
    e => ['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'IMG'].includes(e.tagName)
      || (e.tagName === 'SCRIPT' && !e.src.startsWith(location.origin + '/static/'))
      || [...e.attributes].some(a => a.name.startsWith('on') || a.name === 'srcdoc' || a.name === 'style'
                                  || (['href', 'action', 'formaction', 'src'].includes(a.name)
                                      && !/^(\\/(?!\\/)|#|\\?|https?:)/.test(a.value)))
).map(e => e.outerHTML.slice(0, 200))
"""
TYPED = "[...document.querySelectorAll('input, textarea')].map(e => e.value).join('\\n')"
NO_HARM = {"ran": [], "stopped": [], "foreign": []}
AGENT = "Mozilla/5.0 <script>alert(9)</script>"


def harm_on(browser: Browser) -> Any:
    """What ran on the page, what its policy stopped, and what it has that is none of ours."""
    return browser.run(f"({{ran: window.ran, stopped: window.stopped, foreign: {FOREIGN}}})")


def done(answer: Answer) -> Answer:
    assert answer.status < 400, answer
    return answer


@pytest.fixture(scope="module")
def spoiled(town: Town) -> list[str]:
    """Harm in everything that people may write; the paths where it should show."""
    admin = town.admin
    json_ = {"Content-Type": "application/json", **admin.bearer}

    def send(method: str, path: str, value: object, **headers: str) -> Answer:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return done(town.ask(method, path, {**json_, **named}, json.dumps(value).encode()))

    notes = "\n".join(HARM)
    tags = {f"key{i}": harm for i, harm in enumerate(HARM)}
    cloud = town.cloud.names[0]
    send("PATCH", f"/api/v1/clouds/{cloud}", {"notes": notes, "tags": tags})
    send("PATCH", f"/api/v1/clouds/{cloud}", {"maintenance": True, "maintenance_reason": HARM[0]},
         X_Audit_Reason=HARM[1])  # fmt: skip
    send("PATCH", f"/api/v1/clouds/{cloud}", {"maintenance": False})
    machines = done(town.ask("GET", "/api/v1/machines?limit=1000", admin.bearer)).json()["items"]
    harmful = [one for one in machines if one["name"] in {m.name for m in town.cloud.harmful}]
    assert len(harmful) == len(town.cloud.harmful)
    for one in harmful:
        send("PATCH", f"/api/v1/machines/{one['uuid']}", {"notes": notes, "tags": tags})
    image = {"name": "evil", "format": "raw", "sha256": "0" * 64, "size_bytes": 4, "notes": notes}
    send("POST", "/api/v1/images", image)
    # one whose content is not what was announced has an error to show
    octets = {"Content-Type": "application/octet-stream", **admin.bearer}
    assert town.ask("PUT", "/api/v1/images/evil/data?offset=0", octets, b"evil").status == 409
    send("POST", "/api/v1/users", {"name": "mallory", "role": "viewer", "title": HARM[0], "scope": [
        f"team={HARM[1]}"]})  # fmt: skip
    send("POST", "/api/v1/tokens", {"title": HARM[2], "role": "viewer"})
    town.signed_in(admin, User_Agent=AGENT)
    town.log_in(HARM[0], "a wrong password")
    send("POST", "/api/v1/profiles/refresh", {})
    tasks = []
    for one in harmful[:3]:
        target = f"/api/v1/machines/{one['uuid']}/start"
        tasks.append(done(town.ask("POST", target, {**admin.bearer, "Prefer": "wait=50"})).json()["id"])
    of_machines = [f"/machines/{quote(one['name'], safe='')}" for one in harmful]
    of_one = [f"{of_machines[0]}/{page}" for page in ("change", "delete", "poweroff", "reset")]
    return [
        "/", "/machines", "/machines?q=%3Cscript%3Ealert(10)%3C/script%3E", f"/clouds/{cloud}",
        f"/clouds/{cloud}/change", f"/clouds/{cloud}/rebuild", f"/clouds/{cloud}/remove",
        "/tasks", "/events", "/images", "/profiles",
        "/users", "/users/mallory", "/users/mallory/delete", "/account", "/audit", "/enrolment",
        "/machines/new", *of_machines, *of_one, *(f"/tasks/{number}" for number in tasks),
        "/%3Cscript%3Ealert(11)%3C%2Fscript%3E", "/machines/%22%3E%3Csvg%20onload=alert(12)%3E",
        "/tasks?state=%3Cscript%3Ealert(13)%3C/script%3E", "/events?machine=%22%3E%3Cimg%20src=x%3E",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def browser(town: Town) -> Iterator[Browser]:
    made = Browser()
    try:
        made.take_cookie(town.cloud.url, SESSION, town.admin.cookie)
        made.before_each_page(WATCH)
        yield made
    finally:
        made.close()


def test_the_watch_sees_what_it_is_to_see(browser: Browser, town: Town) -> None:
    browser.open(town.cloud.url)
    browser.wait_for("Cloud instances")
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"alert(1)\">')")
    eventually(lambda: browser.run("window.stopped.length"), "the policy to stop it")
    assert browser.run(FOREIGN) != []
    assert browser.run("window.ran") == []
    browser.run("alert(2)")
    assert browser.run("window.ran") == ["2"]


def test_nothing_that_somebody_wrote_runs_on_any_page(
    browser: Browser, town: Town, spoiled: list[str]
) -> None:
    shown = ""
    for path in spoiled:
        browser.open(town.cloud.url.rstrip("/") + path)
        eventually(browser.path, f"the page {path}")
        assert harm_on(browser) == NO_HARM, path
        shown += f"{browser.seen()}\n{browser.run(TYPED)}"
    # it was there, and is text
    for harm in (*HARM, AGENT):
        assert harm in shown, harm


def test_what_a_page_fetches_again_by_itself_does_not_run_either(
    browser: Browser, town: Town, spoiled: list[str]
) -> None:
    browser.open(town.cloud.url + "machines")
    browser.wait_for(HARM[1])
    uuid = next(one.uuid for one in town.cloud.harmful if one.name == HARM[1])
    changed = json.dumps({"tags": {"fresh": HARM[1]}}).encode()
    headers = {"Content-Type": "application/json", **town.admin.bearer}
    assert town.ask("PATCH", f"/api/v1/machines/{uuid}", headers, changed).status == 200
    assert town.ask("POST", f"/api/v1/machines/{uuid}/start", {**headers, "Prefer": "wait=50"}).status < 500
    eventually(lambda: "fresh" in browser.seen() or "running" in browser.seen(), "the page to change")
    assert harm_on(browser) == NO_HARM


def test_what_a_cloud_instance_says_went_wrong_does_not_run(browser: Browser, town: Town) -> None:
    """libvirt quotes the configuration it cannot read, and that goes all the way to the page."""
    name = town.cloud.names[0]
    file = town.cloud.root_of(name) / "node.xml"
    sound = file.read_text(encoding="utf-8")
    try:
        file.write_text(f"<node><memory {HARM[1]}", encoding="utf-8")
        town.cloud.end(name)
        town.cloud.start_minion(name)
        town.ask("POST", f"/api/v1/clouds/{name}/refresh", town.admin.bearer)
        error = str(town.ask("GET", f"/api/v1/clouds/{name}", town.admin.bearer).json()["error"])
        assert HARM[1] in error
        for path in ("/", f"/clouds/{name}", "/events", "/machines"):
            browser.open(town.cloud.url.rstrip("/") + path)
            eventually(browser.path, f"the page {path}")
            assert harm_on(browser) == NO_HARM, path
            assert path in ("/machines", "/events") or HARM[1] in browser.seen(), path
    finally:
        file.write_text(sound, encoding="utf-8")
        town.cloud.end(name)
        town.cloud.start_minion(name)
        town.ask("POST", f"/api/v1/clouds/{name}/refresh", town.admin.bearer)
