"""The page of the audit record: who did what, and whether the record is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from cloudmasterd.acting import DONE, FAILED, LOCAL, OBSERVED, REFUSED, RESULTS
from cloudmasterd.record import Entry
from cloudmasterd.web.api.audit import FILTERS, MAX_ID, wanted_of
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import form_page
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, form_field, list_url, whole_number

PATH = "/audit"
PAGE = 100
VERIFIED = 2000  # of the latest records, looked at for each page: 20 ms, a little more where all is busy
PARAMS = (form_field(Param("before", whole_number(1, MAX_ID))), *map(form_field, FILTERS))

_MARKS = {DONE: "", REFUSED: "bad", FAILED: "warn"}
_MEANS = {
    "session": "in a browser",
    "token": "with a token",
    "proxy": "through the web server in front",
    "none": "not signed in",
    LOCAL: "on the cloud master itself",
    OBSERVED: "seen on the cloud instance, done by others",
}


@dataclass(frozen=True)
class AuditRow:
    """A record in words. `page` is that of what it was done to, where it has one."""

    entry: Entry
    who: str
    how: str
    page: Optional[str]
    detail: tuple[tuple[str, str], ...]


class AuditPage:
    """The page /audit."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """One page of the record, the newest first."""
        query, record = asked.query, self._site.store.audit
        found = record.list(wanted_of(query), query["before"], PAGE + 1)
        older = None
        if len(found) > PAGE:
            older = list_url(PATH, {**query, "before": found[PAGE - 1].id})
        filters = {name: value for name, value in query.items() if name != "before"}
        body = self._templates.render(
            "audit.mako",
            asked.who,
            section=PATH,
            rows=[_row(entry) for entry in found[:PAGE]],
            query={name: "" if value is None else str(value) for name, value in query.items()},
            results=RESULTS,
            marks=_MARKS,
            filtered=any(value is not None for value in filters.values()),
            older=older,
            newest=None if query["before"] is None else list_url(PATH, filters),
            export=list_url("/api/v1/audit", {**filters, "format": "csv", "limit": 1000}),
            verdict=record.verify(VERIFIED),
        )
        return form_page(body)


def _row(entry: Entry) -> AuditRow:
    deed = entry.deed
    how = [_MEANS.get(deed.means, deed.means), deed.address, deed.credential]
    return AuditRow(
        entry,
        deed.who or "nobody known",
        ", ".join(filter(None, how)),
        _page_of(deed.target),
        tuple((name, _shown(value)) for name, value in sorted(deed.detail.items())),
    )


def _shown(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


# What has a page of its own: the beginning of its path in the REST interface, and that of its page.
_PAGES: Mapping[str, str] = {
    "/api/v1/clouds/": "/clouds/",
    "/api/v1/machines/": "/machines/",
    "/api/v1/tasks/": "/tasks/",
    "/api/v1/users/": "/users/",
}


def _page_of(target: str) -> Optional[str]:
    for api, page in _PAGES.items():
        name = target[len(api) :].partition("/")[0]
        if target.startswith(api) and name:
            return page + name
    return None
