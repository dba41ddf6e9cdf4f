"""The page of enrolment: how a cloud instance gets in, the tokens there are, and who waits at the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from cloudmasterd.enrolment import EnrolmentToken, KnownToken, WaitingRequest
from cloudmasterd.errors import CertmasterUnreachable, CloudError, Conflict, NotFound
from cloudmasterd.web import figures
from cloudmasterd.web.api.enrolment import command_of, read_wanted
from cloudmasterd.web.asking import mark_of
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import asker_of, form_page, see_other
from cloudmasterd.web.pages.forms import Form, form_of, number
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates

PATH = "/enrolment"
LABELS = {"name": "Name", "expires_s": "Good for", "replace": "Replace"}
TIMES = (("3600", "1 hour"), ("14400", "4 hours"), ("86400", "1 day"), ("604800", "7 days"))
FIRST = Form({"expires_s": [TIMES[0][0]]})
KINDS = {"open": "ok", "claimed": "busy", "used": "off", "expired": "off"}


@dataclass(frozen=True)
class Door:
    """What certmaster says of tokens and waiting requests; `error` where it says nothing."""

    tokens: Sequence[KnownToken] = ()
    waiting: Sequence[WaitingRequest] = ()
    fingerprint: str = ""
    error: str = ""


class EnrolmentPage:
    """The page /enrolment."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The form, the tokens and the waiting requests."""
        return self._page(asked, FIRST)

    def create(self, asked: Asked) -> Reply:
        """Make a token and show it, once: the page must not be kept, and sent again it makes none."""
        form = form_of(asked.body, (*LABELS, "key"))
        try:
            wanted = read_wanted(
                {
                    "name": form.text("name"),
                    "expires_s": number(form.text("expires_s")),
                    "replace": form.has("replace"),
                }
            )
            made = self._site.enrolment.new_token(**wanted, mark=mark_of(asker_of(asked, form)))
        except CloudError as exc:
            return self._page(asked, form.refused(exc, {}, LABELS), status_of(exc))
        return self._page(asked, FIRST, made=made)

    def delete(self, asked: Asked) -> Reply:
        """Take a token back, and lead back to the page."""
        form_of(asked.body, ())
        self._site.enrolment.delete_token(asked.names["token"])
        return see_other(PATH)

    def sign(self, asked: Asked) -> Reply:
        """Sign the request whose key the page showed, and lead back to it."""
        return self._decide(asked, self._site.enrolment.sign)

    def reject(self, asked: Asked) -> Reply:
        """Reject it, and lead back to the page."""
        return self._decide(asked, self._site.enrolment.reject)

    def _decide(self, asked: Asked, act: Callable[[str, str, str], None]) -> Reply:
        form = form_of(asked.body, ("key_fingerprint",))
        try:
            act(asked.names["name"], form.text("key_fingerprint"), asked.who.name)
        except (Conflict, NotFound) as exc:
            # Another key waits there by now, or somebody else was quicker: the page shows what is so.
            form = replace(FIRST, failed=figures.sentence(str(exc)))
            return self._page(asked, form, status_of(exc), failed_title="Nothing was decided.")
        return see_other(PATH)

    def _page(
        self,
        asked: Asked,
        form: Form,
        status: int = 200,
        made: Optional[EnrolmentToken] = None,
        failed_title: str = "No token was made.",
    ) -> Reply:
        enrolment = self._site.enrolment
        body = self._templates.render(
            "enrolment.mako",
            asked.who,
            section=PATH,
            form=form,
            labels=LABELS,
            failed_title=failed_title,
            times=TIMES,
            kinds=KINDS,
            key=self._site.clock.new_id(),
            door=self._door(),
            made=made,
            command="" if made is None else command_of(enrolment.metadata(made), " \\\n    "),
            master=enrolment.master,
        )
        return form_page(body, status)

    def _door(self) -> Door:
        enrolment = self._site.enrolment
        try:
            return Door(enrolment.list_tokens(), enrolment.list_waiting(), enrolment.authority())
        except CertmasterUnreachable as exc:
            return Door(error=figures.sentence(str(exc)))
