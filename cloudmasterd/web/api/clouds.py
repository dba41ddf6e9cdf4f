"""Cloud instances over REST: list, one, and one asked anew."""

from __future__ import annotations

from threading import BoundedSemaphore

from cloudmasterd.model import CloudInstance, CloudState
from cloudmasterd.spec import parse_cloud_change
from cloudmasterd.web.api.listing import page
from cloudmasterd.web.asking import asker_of, author_of, version_of
from cloudmasterd.web.exchange import (
    NO_STORE,
    Asked,
    Reply,
    json_bytes,
    json_reply,
    list_etag,
    matches,
    not_modified,
    tagged_reply,
)
from cloudmasterd.web.problems import Busy
from cloudmasterd.web.represent import CLOUD_FIELDS, cloud_etag, cloud_json, resources_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    cursor,
    flag,
    one_of,
    whole_number,
)

LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    Param("cursor", cursor("clouds", 1)),
    Param("state", one_of("a state of a cloud instance", [s.value for s in CloudState]), (), repeatable=True),
    Param("fields", one_of("a field of a cloud instance", CLOUD_FIELDS), (), repeatable=True),
)

REMOVE_PARAMS = (Param("force", flag, default=False),)

MAX_REFRESHES = 12
"""At once: a refresh holds a worker thread until the cloud instance answers or its deadline passes."""


class Clouds:
    """The resource /api/v1/clouds."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._refreshing = BoundedSemaphore(MAX_REFRESHES)

    def list(self, asked: Asked) -> Reply:
        """One page of the cloud instances, by name."""
        store = self._site.store
        etag = list_etag(store.change_count, asked.path, asked.raw_query)
        if matches(asked.if_none_match, etag):
            return not_modified(etag)
        after = asked.query["cursor"]
        found = store.list_clouds(
            states=[CloudState(state) for state in asked.query["state"]],
            after=after[0] if after else None,
            limit=asked.query["limit"] + 1,
        )
        return json_reply(page(asked, found, "clouds", cloud_json, lambda cloud: [cloud.name]), etag)

    def get(self, asked: Asked) -> Reply:
        """One cloud instance."""
        cloud = self._site.store.get_cloud(asked.names["cloud"])
        return tagged_reply(cloud_json(cloud), cloud_etag(cloud), asked.if_none_match)

    def change(self, asked: Asked) -> Reply:
        """Maintenance, reserve, tags and notes of one cloud instance; done at once."""
        name = asked.names["cloud"]
        change = parse_cloud_change(asked.body)
        before = self._site.store.get_cloud(name)
        revision = version_of(asked, cloud_etag(before), before.revision)
        by = author_of(asked)
        cloud = self._site.store.change_cloud(name, **vars(change), revision=revision, by=by)
        return json_reply(cloud_json(cloud), cloud_etag(cloud))

    def remove(self, asked: Asked) -> Reply:
        """Take one out for good; done at once."""
        name = asked.names["cloud"]
        before = self._site.store.get_cloud(name)
        revision = version_of(asked, cloud_etag(before), before.revision)
        asker = asker_of(asked, self._site.clock)
        self._site.removals.remove(name, asker, force=asked.query["force"], revision=revision)
        return Reply(204, headers=(NO_STORE,))

    def resources(self, asked: Asked) -> Reply:
        """What one cloud instance has to give to machine instances, as last heard; nobody is asked."""
        name = asked.names["cloud"]
        found = resources_json(name, self._site.machines.resources(name), self._site.clock.now())
        return Reply(body=json_bytes(found), headers=(NO_STORE,))

    def refresh(self, asked: Asked) -> Reply:
        """Ask one cloud instance now; what it answers is in the store and in the response."""
        cloud = self.refresh_now(asked.names["cloud"])
        return json_reply(cloud_json(cloud), cloud_etag(cloud))

    def refresh_now(self, name: str) -> CloudInstance:
        """Ask one cloud instance now; raises Busy, NotFound or FabricError."""
        if not self._refreshing.acquire(blocking=False):
            raise Busy(
                f"{MAX_REFRESHES} cloud instances are being asked right now: try again in a few seconds"
            )
        try:
            cloud = self._site.fleet.refresh_cloud(name)
            self._site.machines.learn_resources(name)
            return cloud
        finally:
            self._refreshing.release()
