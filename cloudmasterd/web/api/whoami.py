"""Who asks, over REST, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from cloudmasterd.accounts import ApiToken
from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.openapi_rights import allowed
from cloudmasterd.web.represent_people import whoami_json
from cloudmasterd.web.site import Site


class WhoAmI:
    """The resource /api/v1/whoami; `paths` are those of the OpenAPI document."""

    def __init__(self, site: Site, paths: Mapping[str, Any]) -> None:
        self._site = site
        self._paths = paths

    def get(self, asked: Asked) -> Reply:
        """Name, role, scopes, by what it is known, and the operations that are open to it."""
        who = asked.who
        may = allowed(self._paths, who.role or Role.VIEWER, bool(who.scopes))
        told = whoami_json(who, own_token(self._site, who), may)
        return Reply(body=json_bytes(told), headers=(NO_STORE,))


def own_token(site: Site, who: Identity) -> Optional[ApiToken]:
    """The token that somebody came with; None for who signed in."""
    return site.people.get_token(who.credential) if who.means is Means.TOKEN else None
