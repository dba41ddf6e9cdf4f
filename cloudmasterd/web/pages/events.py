"""The page of what happened, the newest first."""

from __future__ import annotations

from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.event_rows import rows_of_events
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, form_field, list_url, text, whole_number

PAGE = 100
MAX_ID = 999_999_999
PARAMS = (
    form_field(Param("before", whole_number(1, MAX_ID))),
    form_field(Param("machine", text, default="")),
    form_field(Param("cloud", text, default="")),
)


class EventsPage:
    """The page /events."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One page of events; raises NotFound for a machine instance that is not there."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        store, query = self._site.store, asked.query
        machine = store.get_machine(query["machine"]) if query["machine"] else None
        events = store.events.newest(
            PAGE + 1,
            query["before"],
            machine=None if machine is None else machine.uuid,
            cloud=query["cloud"] or None,
        )
        older = None
        if len(events) > PAGE:
            older = list_url(asked.path, {**query, "before": events[PAGE - 1].id})
        about = [machine.name or machine.uuid] if machine is not None else []
        return self._templates.render(
            "events.mako",
            asked.who,
            section="/events",
            rows=rows_of_events(store, events[:PAGE]),
            older=older,
            about=" on ".join([*about, *filter(None, [query["cloud"]])]),
        )
