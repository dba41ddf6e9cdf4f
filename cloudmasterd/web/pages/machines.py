"""The page of all machine instances, with a filter and pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

from cloudmasterd.model import MachineInstance, MachineState
from cloudmasterd.web.api.machines import CLOUD, CURSOR, STATE, check_clouds
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.pages.rows import rows_of
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, encode_cursor, form_field, list_url, text

PARAMS = (
    form_field(CURSOR),
    form_field(CLOUD),
    form_field(STATE),
    form_field(Param("name", text, default="")),
)
PAGE = 100
STRIDE = 1000


class MachinesPage:
    """The page /machines."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One page of machine instances, by name."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        store, query = self._site.store, asked.query
        check_clouds(store, query["cloud"])
        clouds = store.list_clouds()
        found = self._find(query, PAGE + 1)
        following = None
        if len(found) > PAGE:
            last = found[PAGE - 1]
            following = list_url(asked.path, query, encode_cursor("machines", [last.name, last.uuid]))
        filtered = bool(query["cloud"] or query["state"] or query["name"])
        return self._templates.render(
            "machines.mako",
            asked.who,
            section="/machines",
            rows=rows_of(found[:PAGE]),
            query=query,
            first=list_url(asked.path, query) if query["cursor"] else None,
            following=following,
            filtered=filtered,
            clouds=[cloud.name for cloud in clouds],
            unreachable={cloud.name for cloud in clouds if cloud.error is not None},
            states=list(MachineState),
            total=sum(cloud.machines for cloud in clouds),
        )

    def _find(self, query: Mapping[str, Any], limit: int) -> list[MachineInstance]:
        """Up to `limit` machine instances that fit the filter."""
        wanted = query["name"].casefold()
        found: list[MachineInstance] = []
        for machine in self._walk(query, STRIDE if wanted else limit):
            if wanted in machine.name.casefold():
                found.append(machine)
                if len(found) == limit:
                    break
        return found

    def _walk(self, query: Mapping[str, Any], stride: int) -> Iterator[MachineInstance]:
        after: Optional[tuple[str, str]] = query["cursor"]
        states = [MachineState(state) for state in query["state"]]
        while True:
            some = self._site.store.list_machines(
                clouds=query["cloud"], states=states, after=after, limit=stride
            )
            yield from some
            if len(some) < stride:
                return
            after = (some[-1].name, some[-1].uuid)
