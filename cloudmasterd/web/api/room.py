"""What still fits over REST: flavors, capacity, and where a machine instance would go."""

from __future__ import annotations

from cloudmasterd.spec import parse_create
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, hashed_reply, json_bytes
from cloudmasterd.web.represent import capacity_json, flavor_json, list_json, placement_json
from cloudmasterd.web.site import Site

UNNAMED = "placement"


class Room:
    """The resources /api/v1/flavors, /api/v1/capacity and /api/v1/placements."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def flavors(self, asked: Asked) -> Reply:
        """The sizes that have names, in the order of the configuration."""
        items = [flavor_json(flavor) for flavor in self._site.flavors]
        return hashed_reply(list_json(items, None), asked.if_none_match)

    def capacity(self, asked: Asked) -> Reply:
        """How many more of each flavor fit."""
        return _told(capacity_json(self._site.machines.capacity()))

    def place(self, asked: Asked) -> Reply:
        """Where a machine instance would go, and why not elsewhere; makes nothing."""
        body = asked.body
        if isinstance(body, dict) and "name" not in body:
            # its name has no part in where it goes
            body = {"name": UNNAMED, **body}
        spec = parse_create(body, self._site.flavors)
        return _told(placement_json(self._site.machines.place(spec)))


def _told(value: object) -> Reply:
    return Reply(body=json_bytes(value), headers=(NO_STORE,))
