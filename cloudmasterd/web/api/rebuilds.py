"""The rebuilding of cloud instances over REST."""

from __future__ import annotations

from cloudmasterd import acting
from cloudmasterd.rebuild_spec import parse_rebuild
from cloudmasterd.web.asking import answer_task, asker_of, version_of
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.represent import cloud_etag
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import Waits


class Rebuilds:
    """The resource /api/v1/clouds/{cloud}/rebuild."""

    def __init__(self, site: Site, waits: Waits) -> None:
        self._site = site
        self._waits = waits

    def rebuild(self, asked: Asked) -> Reply:
        """A cloud instance is installed anew, as a task."""
        spec = parse_rebuild(asked.body)
        acting.because(spec.reason)
        asker = asker_of(asked, self._site.clock)
        name = asked.names["cloud"]
        cloud = self._site.store.get_cloud(name)
        revision = version_of(asked, cloud_etag(cloud), cloud.revision)
        task = self._site.rebuilds.rebuild(name, spec, asker, revision=revision)
        return answer_task(self._site, self._waits, asked, task, asker)
