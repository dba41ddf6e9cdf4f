"""Profiles over REST: what the cobbler server was last heard to have, and a question to it now."""

from __future__ import annotations

from threading import BoundedSemaphore

from cloudmasterd.model import Catalogue
from cloudmasterd.web.api.listing import page
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
from cloudmasterd.web.represent import PROFILE_FIELDS, catalogue_json, profile_etag, profile_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    cursor,
    one_of,
    whole_number,
)

ARCHES = (
    "i386", "x86_64", "aarch64", "arm", "ia64", "ppc", "ppc64", "ppc64el", "ppc64le", "s390", "s390x",
)  # fmt: skip
"""cobbler's own words."""

CURSOR = Param("cursor", cursor("profiles", 1))
ARCH = Param("arch", one_of("an architecture of cobbler", ARCHES), (), repeatable=True)
LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    CURSOR,
    ARCH,
    Param("fields", one_of("a field of a profile", PROFILE_FIELDS), (), repeatable=True),
)

MAX_REFRESHES = 2
"""At once: a refresh holds a worker thread until the cobbler server answers or its deadline passes."""


class Profiles:
    """The resource /api/v1/profiles."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._refreshing = BoundedSemaphore(MAX_REFRESHES)

    def list(self, asked: Asked) -> Reply:
        """One page of the profiles, by name, and where they are from."""
        etag = list_etag(self._site.store.change_count, asked.path, asked.raw_query)
        if matches(asked.if_none_match, etag):
            return not_modified(etag)
        about, after = self._site.profiles.about(), asked.query["cursor"]
        found = self._site.profiles.list(
            arches=asked.query["arch"], after=after[0] if after else None, limit=asked.query["limit"] + 1
        )
        told = page(asked, found, "profiles", lambda p: profile_json(p, about.fetched_at), lambda p: [p.name])
        return json_reply({**told, "catalogue": catalogue_json(about)}, etag)

    def get(self, asked: Asked) -> Reply:
        """One profile."""
        profile = self._site.profiles.get(asked.names["profile"])
        observed_at = self._site.profiles.about().fetched_at
        return tagged_reply(profile_json(profile, observed_at), profile_etag(profile), asked.if_none_match)

    def refresh(self, asked: Asked) -> Reply:
        """Ask the cobbler server now; what it answers is in the store."""
        return Reply(body=json_bytes(catalogue_json(self.refresh_now())), headers=(NO_STORE,))

    def refresh_now(self) -> Catalogue:
        """Ask the cobbler server now; raises Busy, Conflict or CobblerError."""
        if not self._refreshing.acquire(blocking=False):
            raise Busy("the cobbler server is being asked right now: try again in a few seconds")
        try:
            return self._site.profiles.refresh()
        finally:
            self._refreshing.release()
