"""Signing in and out with a browser: sessions, cookies, where it leads, and what it is refused for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from cloudmasterd.rights import Role
from cloudmasterd.web.proxy import proxy_at
from cloudmasterd.web.redirects import login_path, safe_next
from tests.cloudmasterd.web.people_site import ADMIN, JANE, LIMITS, VICTOR, Browser, Guarded, guarded
from tests.cloudmasterd.web.reading import Page

SESSION = "cloudmasterd_session"
ENTRY = "cloudmasterd_login"
SHARED = "a-secret-of-both-0123456789"
FROM_PROXY = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


@pytest.fixture
def site(small: Any) -> Iterator[Guarded]:
    with guarded(small) as made:
        yield made


@pytest.fixture
def behind(small: Any) -> Iterator[Guarded]:
    """The same behind a web server on this machine that speaks TLS and shares a secret."""
    with guarded(small, proxy_at(["127.0.0.1"], SHARED), Role.VIEWER) as made:
        yield made


def is_in(browser: Browser) -> bool:
    return bool(browser.get("/machines").status == 200)


def test_somebody_signs_in_and_is_where_they_wanted_to_be(site: Guarded) -> None:
    browser = site.browser()
    led = browser.get("/machines?state=off")
    assert (led.status, led.headers["location"]) == (303, "/login?next=/machines%3Fstate%3Doff")
    answer = browser.sign_in(*ADMIN, page=led.headers["location"])
    assert (answer.status, answer.headers["location"]) == (303, "/machines?state=off")
    assert answer.headers["cache-control"] == "no-store"
    page = browser.read("/machines?state=off")
    assert "Signed in as admin" in page.text and "/logout" in page.actions


def test_the_cookie_is_for_this_site_and_no_script(site: Guarded) -> None:
    browser = site.browser()
    answer = browser.sign_in(*ADMIN)
    name, *rest = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"{SESSION}=") and len(browser.cookies[SESSION]) == 43
    assert set(rest) == {"Path=/", "HttpOnly", "SameSite=Lax"}


def test_over_tls_the_cookie_goes_by_tls_alone(behind: Guarded) -> None:
    browser = behind.browser(**FROM_PROXY)
    page = browser.get("/login")
    assert page.headers["strict-transport-security"] == "max-age=31536000"
    assert page.headers["set-cookie"].startswith(f"__Host-{ENTRY}=")
    answer = browser.sign_in(*ADMIN)
    name, *rest = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"__Host-{SESSION}=") and "Secure" in rest and "Path=/" in rest
    assert is_in(browser)
    # a page that came without TLS could have planted the plain one
    plain = behind.browser(**FROM_PROXY)
    plain.cookies = {SESSION: browser.cookies[f"__Host-{SESSION}"]}
    assert not is_in(plain)


def test_without_tls_nothing_is_said_of_tls(site: Guarded) -> None:
    assert "strict-transport-security" not in site.browser().get("/login").headers


@pytest.mark.parametrize("name", ["admin", "nobody", "", "x" * 300, "ädmin", "admin\r\nX: y"])
def test_a_wrong_password_and_a_wrong_name_read_the_same(site: Guarded, name: str) -> None:
    answer = site.browser().sign_in(name, "wrong password")
    assert answer.status == 403
    page = Page(answer.text)
    assert "You are not signed in. This name and this password are not those of a user" in page.text
    assert page.form("/login").values["user"] == name.replace("\r\n", "\n")
    assert "wrong password" not in answer.text
    assert SESSION not in answer.headers.get("set-cookie", "")


def test_a_session_is_never_one_that_was_there_before(site: Guarded) -> None:
    victim = site.browser()
    planted = site.signed_in(VICTOR).cookies[SESSION]
    victim.cookies[SESSION] = planted
    page = victim.get("/login")
    assert page.status == 303  # signed in as Victor already: the form is not even there
    victim.cookies = {ENTRY: site.browser().get("/login").headers["set-cookie"].split("=")[1].split(";")[0]}
    victim.cookies[SESSION] = "x" * 43
    assert victim.sign_in(*JANE).status == 303
    assert victim.cookies[SESSION] not in (planted, "x" * 43)
    assert "Signed in as jane" in victim.read("/").text


def test_signing_in_anew_ends_the_session_before(site: Guarded) -> None:
    browser = site.browser()
    form = browser.read("/login").form("/login")
    assert browser.send(form, user=VICTOR[0], password=VICTOR[1]).status == 303
    before = dict(browser.cookies)
    assert browser.send(form, user=JANE[0], password=JANE[1]).status == 303
    assert browser.cookies[SESSION] != before[SESSION]
    browser.cookies = before
    assert not is_in(browser)
    assert site.people.list_sessions("victor") == []


def test_signing_out_ends_the_session_and_takes_the_cookie_back(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    kept = dict(browser.cookies)
    answer = browser.send(browser.read("/machines").form("/logout"))
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert SESSION not in browser.cookies and not is_in(browser)
    browser.cookies = kept
    assert not is_in(browser), "the cookie is good for nothing any more"


def test_another_site_cannot_sign_somebody_out(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    assert browser.post("/logout").status == 403
    assert browser.ask("POST", "/logout", b"", Sec_Fetch_Site="cross-site").status == 403
    assert browser.get("/logout").status == 405
    assert is_in(browser)


def test_a_session_ends_when_nobody_uses_it(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    site.world.clock.time += timedelta(seconds=LIMITS.idle_s - 10)
    assert is_in(browser)
    site.world.clock.time += timedelta(seconds=LIMITS.idle_s - 10)
    assert is_in(browser)
    site.world.clock.time += timedelta(seconds=LIMITS.idle_s + 10)
    led = browser.get("/machines")
    assert (led.status, led.headers["location"]) == (303, "/login?next=/machines")
    assert "This session has ended: sign in again." in browser.read("/login?next=/machines").text


def test_an_open_page_keeps_no_session_alive(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    for _ in range(4):
        site.world.clock.time += timedelta(seconds=LIMITS.idle_s / 3)
        last = browser.get("/machines", X_Unasked="1")
    assert last.status == 303


def test_a_session_ends_however_busy_it_is(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    for _ in range(LIMITS.max_s // LIMITS.idle_s + 1):
        assert is_in(browser)
        site.world.clock.time += timedelta(seconds=LIMITS.idle_s - 1)
    site.world.clock.time += timedelta(seconds=LIMITS.idle_s)
    assert not is_in(browser)


@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "x" * 4000, "a b", '"x"', "\\303", "%00" * 14])
def test_a_cookie_that_is_no_session_is_like_none(site: Guarded, cookie: str) -> None:
    browser = site.browser()
    browser.cookies = {SESSION: cookie}
    assert browser.get("/machines").status == 303
    assert browser.ask("GET", "/api/v1/machines", Accept="application/json").status == 401
    assert browser.get("/login").status == 200


def test_a_second_cookie_of_the_name_opens_nothing(site: Guarded) -> None:
    mine, theirs = (site.signed_in(who).cookies[SESSION] for who in (JANE, VICTOR))
    browser = site.browser(Cookie=f"{SESSION}={theirs}; {SESSION}={mine}")
    assert browser.get("/machines").status == 303
    assert "two cookies" in browser.read("/login").text
    again = site.browser(Cookie=f"{SESSION}={mine}; {SESSION}={mine}")
    assert is_in(again)


# --- the form of the login cannot be sent by others


def test_another_site_cannot_sign_somebody_in(site: Guarded) -> None:
    theirs = site.browser()
    form = theirs.read("/login").form("/login")
    browser = site.browser()
    answer = browser.send(form, user=VICTOR[0], password=VICTOR[1])
    assert answer.status == 403 and SESSION not in browser.cookies
    assert "or sends no cookies: allow them" in Page(answer.text).text
    browser.read("/login")
    answer = browser.send(form, user=VICTOR[0], password=VICTOR[1])
    assert answer.status == 403 and SESSION not in browser.cookies
    fresh = Page(answer.text).form("/login")
    assert fresh.values["user"] == VICTOR[0]
    assert browser.send(fresh, password=VICTOR[1]).status == 303


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_a_browser_that_says_it_is_another_site_is_refused(site: Guarded, headers: dict[str, str]) -> None:
    browser = site.browser()
    form = browser.read("/login").form("/login")
    browser.headers.update(headers)
    answer = browser.send(form, user=ADMIN[0], password=ADMIN[1])
    assert answer.status == 403 and SESSION not in browser.cookies


def test_an_old_form_serves_as_long_as_its_browser_was_given_one(site: Guarded) -> None:
    browser = site.browser()
    form = browser.read("/login").form("/login")
    browser.read("/login?next=/events")
    assert browser.send(form, user=JANE[0], password=JANE[1]).status == 303


# --- where it leads

ELSEWHERE = [
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "http://evil.example",
    "https:evil.example", "javascript:alert(1)", "evil.example", "", " /", "/\t/evil.example",
    "/\n/evil.example", "/%2fevil.example", "/%2Fevil.example", "/%5cevil.example", "/%252fevil.example",
    "/%09/evil.example", "/%0d%0a/evil.example", "/\r\nSet-Cookie: a=b", "/a b", "/é", "/\x00", "/\x7f",
    "/" + "a" * 3000, "/login", "/login?next=/x", "/logout", "?next=/", "#", "data:text/html,x", "/\u2028/x",
    "@evil.example", "/%00/evil.example",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE, ids=range(len(ELSEWHERE)))
def test_a_login_never_leads_elsewhere(site: Guarded, target: str) -> None:
    assert safe_next(target) == "/"
    browser = site.browser()
    page = browser.read(f"/login?next={quote(target, safe='')}")
    assert page.form("/login").values["next"] == "/"
    answer = browser.send(page.form("/login"), user=JANE[0], password=JANE[1], next=target)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    again = browser.get(f"/login?next={quote(target, safe='')}")
    assert (again.status, again.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "target",
    ["/", "/machines", "/machines?state=off&name=a%20b", "/machines/a%2Fb", "/tasks/7#log",
     "/machines/new?profile=RHEL%205", "/events?machine=x&cloud=y", "/a//b", "/loginx"],
)  # fmt: skip
def test_a_page_of_this_site_is_led_to(target: str) -> None:
    assert safe_next(target) == target
    assert login_path("/") == "/login"


def test_the_way_there_and_back_keeps_what_was_asked_for(site: Guarded) -> None:
    browser = site.browser()
    for target in ("/machines?name=a%26b&state=off", "/machines/web1%2Fx", "/events?cloud=%C3%A9"):
        led = browser.get(target).headers["location"]
        assert browser.read(led).form("/login").values["next"] == target


def test_what_a_form_was_to_do_is_not_done_after_a_login(site: Guarded) -> None:
    answer = site.browser().post("/machines/build1/start")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert site.world.store.tasks.list() == []


# --- those who guess


def test_who_guesses_is_told_how_long_to_wait_and_nobody_else_waits(site: Guarded) -> None:
    known = site.signed_in(JANE)
    browser = site.browser()
    for _ in range(40):
        answer = browser.sign_in("victor", "a guess, and another")
        if answer.status == 429:
            break
    assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
    assert "You are not signed in." in Page(answer.text).text and " s" in Page(answer.text).text
    assert is_in(known)


# --- over which connection


def test_a_password_over_plain_http_from_elsewhere_is_refused(behind: Guarded) -> None:
    browser = behind.browser(**{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"})
    page = browser.read("/login")
    assert page.forms == [] and "behind_proxy" in page.text and "SSH tunnel" in page.text
    answer = browser.post("/login", user=ADMIN[0], password=ADMIN[1], csrf="x", next="/")
    assert answer.status == 403 and SESSION not in browser.cookies
    assert behind.people.list_sessions("admin") == []


def test_whom_the_web_server_signed_in_needs_no_form(behind: Guarded) -> None:
    browser = behind.browser(**FROM_PROXY, **{"X-Remote-User": "Jane", "X-Proxy-Secret": SHARED})
    page = browser.read("/machines")
    assert "Signed in as jane" in page.text and "/logout" not in page.actions
    led = browser.get("/login?next=/events")
    assert (led.status, led.headers["location"]) == (303, "/events")
    form = browser.read("/account").form("/account/tokens")
    assert len(form.values["csrf"]) == 40
    assert browser.post("/account/tokens", title="x", role="viewer", scope="", days="").status == 403
    stranger = behind.browser(**FROM_PROXY, **{"X-Remote-User": "zoe", "X-Proxy-Secret": SHARED})
    assert "no user of that name here" in stranger.read("/account").text


def test_whom_the_web_server_knows_and_nobody_here_is_told_so(behind: Guarded) -> None:
    behind.people.change_user("jane", disabled=True)
    browser = behind.browser(**FROM_PROXY, **{"X-Remote-User": "jane", "X-Proxy-Secret": SHARED})
    led = browser.get("/machines")
    assert led.status == 303
    assert "disabled" in browser.read(led.headers["location"]).text


@pytest.mark.parametrize("secret", ["", "wrong", SHARED[:-1], SHARED.upper()])
def test_who_pretends_to_be_the_web_server_gets_nowhere(behind: Guarded, secret: str) -> None:
    browser = behind.browser(**{"X-Remote-User": "admin", "X-Proxy-Secret": secret})
    assert browser.get("/machines").status == 403


# --- what is kept where


def test_a_page_of_one_is_not_taken_for_that_of_another(site: Guarded) -> None:
    jane, victor = site.signed_in(JANE), site.signed_in(VICTOR)
    page = jane.get("/machines")
    assert page.headers["cache-control"] == "no-store" and "Cookie" in page.headers["vary"]
    tag = page.headers["etag"]
    assert jane.get("/machines", If_None_Match=tag).status == 304
    assert victor.get("/machines", If_None_Match=tag).status == 200
    again = site.signed_in(JANE)
    assert again.get("/machines", If_None_Match=tag).status == 200, (
        "its forms carry what is not hers any more"
    )


def test_no_answer_to_one_is_kept_for_another(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    for path in ("/", "/account", "/api/v1/machines", "/api/v1/whoami", "/nothing"):
        answer = browser.get(path, Accept="*/*")
        assert {"Cookie", "Authorization"} <= set(answer.headers["vary"].split(", ")), path
        assert answer.headers["cache-control"] in ("no-store", "no-cache"), path
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    style = next(link for link in browser.read("/").links if link.endswith(".css"))
    assert "vary" not in site.browser().get(style).headers, "which is everybody's"


def test_the_pages_hold_no_script_and_nobody_frames_them(site: Guarded) -> None:
    headers = site.browser().get("/login").headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy and "data:" not in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


# --- what a role sees


def test_a_viewer_sees_no_button_that_changes_something(site: Guarded) -> None:
    browser = site.signed_in(VICTOR)
    for path in ("/", "/machines", "/machines/build1", "/clouds/cloud1.example.org", "/images", "/profiles"):
        page = browser.read(path)
        assert [form.action for form in page.forms if form.method == "post"] == ["/logout"], path
        assert not [link for link in page.links if "/new" in link or link.endswith(("/change", "/delete"))]
        assert "/users" not in page.links and "/enrolment" not in page.links


def test_who_is_bound_to_tags_sees_the_buttons_of_theirs_alone(site: Guarded) -> None:
    browser = site.signed_in(JANE)
    assert "/machines/build1/start" not in browser.read("/machines/build1").actions
    assert "tagged team=web; this one is not" in browser.read("/machines/build1").text
    admin = site.signed_in()
    form = admin.read("/machines/build1/change").form("/machines/build1/change")
    assert admin.send(form, tags="team=web").status == 303
    assert "/machines/build1/start" in browser.read("/machines/build1").actions
    assert browser.read("/machines/new").form("/machines/new").values["tags"] == "team=web"


def test_what_it_takes_is_said(site: Guarded) -> None:
    answer = site.signed_in(VICTOR).get("/users")
    assert answer.status == 403
    assert "takes the role admin, and victor has viewer" in Page(answer.text).text


def test_an_admin_sees_where_everything_is(site: Guarded) -> None:
    assert {"/users", "/enrolment", "/audit", "/account"} <= set(site.signed_in().read("/").links)
