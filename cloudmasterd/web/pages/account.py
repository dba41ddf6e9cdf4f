"""The page of who is signed in: password, sessions and API tokens of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Optional

from cloudmasterd.accounts import ApiToken, User
from cloudmasterd.errors import CloudError, Forbidden, Invalid, NotFound, Unauthenticated
from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.web import cookies
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import and_headers, form_page, see_other
from cloudmasterd.web.pages.forms import Form, form_of
from cloudmasterd.web.pages.people_forms import ROLES, as_typed, role_of, scope_of
from cloudmasterd.web.pages.people_rows import rows_of_sessions, rows_of_tokens
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.proxy import refuse_open
from cloudmasterd.web.redirects import LOGIN
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, text

PATH = "/account"
LABELS = {
    "present": "Present password",
    "new": "New password",
    "again": "New password, once more",
    "title": "What it is for",
    "role": "Role",
    "scope": "Bound to tags",
    "days": "Good for",
}
PASSWORD_FIELDS = ("present", "new", "again")
TOKEN_FIELDS = ("title", "role", "scope", "days")
DAYS = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked"))
FIRST = Form({"days": ["90"], "role": [Role.VIEWER.value]})
SAID = {
    "password": "Your password is changed. Your other sessions have ended; your API tokens stay.",
    "ended": "That browser is signed out.",
    "revoked": "The token is revoked: it is good for nothing from now on.",
}
PARAMS = (Param("done", text, default=""),)


@dataclass(frozen=True)
class Told:
    """What the page has to tell beside what is always there: a token, shown this once, or a failed form."""

    token: Optional[ApiToken] = None
    secret: str = ""
    form: Form = FIRST
    failed: str = ""  # what did not come of the form
    done: str = ""


class AccountPage:
    """The page /account."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """What there is of the reader's own."""
        return self._page(asked, Told(done=SAID.get(asked.query["done"], "")))

    def change_password(self, asked: Asked) -> Reply:
        """Another password for who knows the present one; all other sessions end."""
        form = form_of(asked.body, PASSWORD_FIELDS)
        _refuse_programs(asked)
        try:
            refuse_open(asked.origin.private, "both passwords")
            present, new, again = (as_typed(form, name) for name in PASSWORD_FIELDS)
            if new != again:
                want = "it is not the same as the one above it: type it twice alike"
                raise Invalid(f"again: {want}", [("again", want)])
            self._check(asked, present)
            keep = asked.who.credential if asked.who.means is Means.SESSION else ""
            self._site.people.set_password(asked.who.name, new, keep_session=keep)
        except CloudError as exc:
            wrong = Form().refused(exc, {"password": "new"}, LABELS)
            told = Told(form=Form(FIRST.values, wrong.wrong, wrong.failed), failed="It was not changed.")
            return self._page(asked, told, status_of(exc))
        return see_other(f"{PATH}?done=password")

    def _check(self, asked: Asked, present: str) -> None:
        try:
            self._site.access.check_password(asked.who.name, present, asked.client)
        except Unauthenticated as exc:
            wrong = "this is not your present password"
            raise Invalid(wrong, [("present", wrong)]) from exc

    def end_session(self, asked: Asked) -> Reply:
        """Sign out one browser of the reader's; raises NotFound for one of somebody else."""
        form_of(asked.body, ())
        _refuse_programs(asked)
        wanted = asked.names["session"]
        if wanted not in {session.id for session in self._site.people.list_sessions(asked.who.name)}:
            raise NotFound("you have no such session: it has ended, or was never yours")
        self._site.people.end_session(wanted)
        return see_other(LOGIN if wanted == asked.who.credential else f"{PATH}?done=ended")

    def end_sessions(self, asked: Asked) -> Reply:
        """Sign out everywhere, here too."""
        form_of(asked.body, ())
        _refuse_programs(asked)
        self._site.people.end_sessions(asked.who.name)
        return and_headers(see_other(LOGIN), cookies.taken(cookies.SESSION, asked.origin.tls))

    def create_token(self, asked: Asked) -> Reply:
        """Make a token and show it, once."""
        form = form_of(asked.body, TOKEN_FIELDS)
        _refuse_programs(asked)
        try:
            refuse_open(asked.origin.private, "the token")
            days = _days(form)
            token, secret = self._site.people.create_token(
                asked.who.name,
                form.text("title"),
                role_of(form),
                scope_of(form),
                None if days is None else self._site.clock.now() + timedelta(days=days),
            )
        except CloudError as exc:
            told = Told(form=form.refused(exc, {"expires_at": "days"}, LABELS), failed="No token was made.")
            return self._page(asked, told, status_of(exc))
        return self._page(asked, Told(token, secret))

    def revoke_token(self, asked: Asked) -> Reply:
        """Let a token of the reader's be good for nothing; raises NotFound for one of somebody else."""
        form_of(asked.body, ())
        _refuse_programs(asked)
        token = self._site.people.get_token(asked.names["token"])
        if token.user != asked.who.name:
            raise NotFound("you have no such token: your page /account lists those you have")
        self._site.people.revoke_token(token.id)
        return see_other(f"{PATH}?done=revoked")

    def _page(self, asked: Asked, told: Told, status: int = 200) -> Reply:
        who, people = asked.who, self._site.people
        user = self._find(who)
        tokens = people.list_tokens(user.name) if user is not None else []
        sessions = people.list_sessions(user.name) if user is not None else []
        body = self._templates.render(
            "account.mako",
            who,
            section=PATH,
            user=user,
            person=who.means is not Means.TOKEN,
            told=told,
            form=told.form,
            labels=LABELS,
            roles_offered=[row for row in ROLES if who.may(Role(row[0]))],
            days=DAYS,
            tokens=rows_of_tokens(tokens, self._site.clock.now()),
            sessions=rows_of_sessions(sessions, who.credential),
        )
        return form_page(body, status)

    def _find(self, who: Identity) -> Optional[User]:
        """The user; None for whom the web server in front knows, and nobody here."""
        try:
            return self._site.people.get_user(who.name)
        except NotFound:
            return None


def _refuse_programs(asked: Asked) -> None:
    """Raises Forbidden for who comes with a token: what a token may take or give is for the REST interface,
    which holds it against what that token may."""
    if asked.who.means is Means.TOKEN:
        raise Forbidden("this page is for people: sign in, or use /api/v1/tokens and /api/v1/sessions")


def _days(form: Form) -> Optional[int]:
    """For how many days a token is good; None: for ever."""
    given = form.text("days")
    if given not in {days for days, _ in DAYS}:
        want = f"one of {', '.join(words for _, words in DAYS)}"
        raise Invalid(f"days: {want}", [("days", want)])
    return int(given) if given else None
