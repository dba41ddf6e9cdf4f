"""The pages by which people sign in and out."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Optional

from cloudmasterd.errors import Forbidden, Invalid, TooManyAttempts, Unauthenticated
from cloudmasterd.rights import Means
from cloudmasterd.web import cookies, csrf
from cloudmasterd.web.exchange import HTML, NO_STORE, Asked, Reply
from cloudmasterd.web.figures import sentence
from cloudmasterd.web.pages.asking import and_headers, see_other
from cloudmasterd.web.pages.forms import Form, form_of
from cloudmasterd.web.pages.people_forms import as_typed
from cloudmasterd.web.proxy import refuse_open
from cloudmasterd.web.redirects import LOGIN, safe_next
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param

MAX_BYTES = 16 * 1024  # anybody may send this form, and a megabyte of it takes a second to read
LABELS = {"user": "User", "password": "Password"}
PARAMS = (Param("next", lambda texts: safe_next(texts[0]), default="/", repeatable=True),)
OLD_FORM = (
    "this browser was not given the form that it sent, or sends no cookies: allow them for this site, and "
    "sign in with the form as it stands here"
)


class LoginPage:
    """The pages /login and /logout."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form; who is signed in already is led on."""
        if asked.who.role is not None:
            return see_other(asked.query["next"])
        return self._page(asked, Form({"next": [asked.query["next"]]}), notice=sentence(asked.doubt))

    def submit(self, asked: Asked) -> Reply:
        """Sign in and lead on, with a new session; or tell what stands against it."""
        if len(asked.body) > MAX_BYTES:
            text = f"no name and password have {len(asked.body)} bytes: send the form of this page"
            raise Invalid(text, [("form", text)])
        form = form_of(asked.body, (*LABELS, "next", csrf.FIELD))
        try:
            refuse_open(asked.origin.private, "the password")
            if not _is_ours(asked, form):
                raise Forbidden(OLD_FORM)
            secret, _ = self._site.access.log_in(
                form.text("user"),
                as_typed(form, "password"),
                asked.client,
                asked.headers.get("User-Agent", ""),
            )
        except (Unauthenticated, Forbidden) as exc:
            return self._refused(asked, form, HTTPStatus.FORBIDDEN, str(exc))
        except TooManyAttempts as exc:
            wait = ("Retry-After", str(exc.retry_after_s))
            return self._refused(asked, form, HTTPStatus.TOO_MANY_REQUESTS, str(exc), wait)
        self._end_present(asked)
        led = see_other(safe_next(form.text("next")))
        return and_headers(led, cookies.given(cookies.SESSION, secret, asked.origin.tls))

    def log_out(self, asked: Asked) -> Reply:
        """End the session of this browser, and lead to the form."""
        form_of(asked.body, ())
        self._end_present(asked)
        return and_headers(see_other(LOGIN), cookies.taken(cookies.SESSION, asked.origin.tls))

    def _end_present(self, asked: Asked) -> None:
        secret = _secret_of(asked, cookies.SESSION)
        if secret is not None and asked.who.means is Means.SESSION:
            self._site.access.log_out(secret)

    def _refused(self, asked: Asked, form: Form, status: int, why: str, *headers: tuple[str, str]) -> Reply:
        typed = {name: form.values[name] for name in ("user", "next") if name in form.values}
        reply = self._page(asked, Form(typed, failed=sentence(why)), status)
        return and_headers(reply, *headers)

    def _page(self, asked: Asked, form: Form, status: int = 200, notice: str = "") -> Reply:
        """The form, bound to this browser by a cookie, so that no other site can sign somebody in here."""
        known = _secret_of(asked, cookies.ENTRY)
        entry = known or self._site.clock.new_token()
        body = self._templates.render(
            "login.mako",
            asked.who,
            section=LOGIN,
            form=form,
            labels=LABELS,
            notice=notice,
            to=safe_next(form.text("next")),
            entry=csrf.made_of(entry, "login"),
            private=asked.origin.private,
        )
        reply = Reply(status, body, HTML, headers=(NO_STORE,))
        if known:
            return reply
        return and_headers(reply, cookies.given(cookies.ENTRY, entry, asked.origin.tls))


def _secret_of(asked: Asked, cookie: str) -> Optional[str]:
    """The secret in a cookie, as far as there is one beyond doubt."""
    try:
        return cookies.read(asked.headers, cookie, asked.origin.tls)
    except Unauthenticated:
        return None


def _is_ours(asked: Asked, form: Form) -> bool:
    """Whether this browser was given the form."""
    entry = _secret_of(asked, cookies.ENTRY)
    if entry is None:
        return False
    return hmac.compare_digest(form.text(csrf.FIELD).encode(), csrf.made_of(entry, "login").encode())
