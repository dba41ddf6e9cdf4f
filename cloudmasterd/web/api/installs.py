"""Where installing machines report: outside the REST interface, and without a login."""

from __future__ import annotations

from urllib.parse import parse_qsl

from cloudmasterd.web.exchange import NO_STORE, Asked, Reply
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import Param

MAX_FORM = 16 * 1024  # bytes of a form that are looked at
MAX_FIELDS = 20

REPORT_PARAMS = (Param("text", lambda texts: texts[0], default=""),)


class Reports:
    """The address /install/{token}/{phase}. Who calls it is a script: what can be understood is taken."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def take(self, asked: Asked) -> Reply:
        """Take down a phase, with the `text` of the query or the form; HEAD says only whether it would be."""
        token = asked.names["token"]
        if asked.method == "HEAD":
            self._site.installs.check(token)
        else:
            said = asked.query["text"] or _text_of(asked.body or b"")
            self._site.installs.report(token, asked.names["phase"], said)
        return Reply(204, headers=(NO_STORE,))


def _text_of(form: bytes) -> str:
    try:
        text = form[:MAX_FORM].decode("utf-8", "replace")
        pairs = parse_qsl(text, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        return ""  # no form that anybody fills in: the phase counts
    return next((value for name, value in pairs if name == "text"), "")
