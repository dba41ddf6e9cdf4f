"""The page of one cloud instance: its figures, its machine instances, and a button that asks it now."""

from __future__ import annotations

import logging

from cloudmasterd.errors import FabricError
from cloudmasterd.web import paths
from cloudmasterd.web.api.clouds import Clouds
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import see_other
from cloudmasterd.web.pages.attention import notes_of
from cloudmasterd.web.pages.event_rows import rows_of_events
from cloudmasterd.web.pages.forms import form_of
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.pages.rows import rows_of
from cloudmasterd.web.pages.task_rows import rows_of_tasks
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates

log = logging.getLogger(__name__)

SHOWN = 200
RECENT = 8


class CloudPage:
    """The page /clouds/{cloud}."""

    def __init__(self, site: Site, templates: Templates, clouds: Clouds) -> None:
        self._site = site
        self._templates = templates
        self._clouds = clouds
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """One cloud instance; raises NotFound."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        store = self._site.store
        cloud = store.get_cloud(asked.names["cloud"])
        machines = store.list_machines(clouds=(cloud.name,), limit=SHOWN + 1)
        return self._templates.render(
            "cloud.mako",
            asked.who,
            section="/",
            cloud=cloud,
            notes=notes_of(cloud, self._site.clock.now()),
            rows=rows_of(machines[:SHOWN]),
            more=len(machines) > SHOWN,
            tasks=rows_of_tasks(store.tasks.list(cloud=cloud.name, limit=RECENT)),
            events=rows_of_events(store, store.events.newest(RECENT, cloud=cloud.name)),
        )

    def refresh(self, asked: Asked) -> Reply:
        """Ask the cloud instance and lead back to its page, which shows what came of it."""
        form_of(asked.body, ())
        name = asked.names["cloud"]
        try:
            self._clouds.refresh_now(name)
        except FabricError as exc:
            # the page tells the reader: the store has learned it
            log.info("%s was asked from its page: %s", name, exc)
        return see_other(paths.cloud_path(name))
