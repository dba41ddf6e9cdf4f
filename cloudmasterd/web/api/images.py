"""Images over REST: announced, sent in chunks, listed and deleted."""

from __future__ import annotations

from cloudmasterd import acting
from cloudmasterd.model import ImageState
from cloudmasterd.web import paths
from cloudmasterd.web.api.listing import page
from cloudmasterd.web.exchange import (
    NO_STORE,
    Asked,
    Reply,
    json_reply,
    list_etag,
    matches,
    not_modified,
    tagged_reply,
)
from cloudmasterd.web.represent import IMAGE_FIELDS, image_etag, image_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    cursor,
    one_of,
    whole_number,
)

LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    Param("cursor", cursor("images", 1)),
    Param("fields", one_of("a field of an image", IMAGE_FIELDS), (), repeatable=True),
)
DATA_PARAMS = (Param("offset", whole_number(0, 2**42), default=0),)


class Images:
    """The resource /api/v1/images."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """One page of the images, by name."""
        etag = list_etag(self._site.store.change_count, asked.path, asked.raw_query)
        if matches(asked.if_none_match, etag):
            return not_modified(etag)
        after = asked.query["cursor"]
        found = self._site.images.list(after=after[0] if after else None, limit=asked.query["limit"] + 1)
        return json_reply(page(asked, found, "images", image_json, lambda image: [image.name]), etag)

    def get(self, asked: Asked) -> Reply:
        """One image."""
        image = self._site.images.get(asked.names["image"])
        return tagged_reply(image_json(image), image_etag(image), asked.if_none_match)

    def create(self, asked: Asked) -> Reply:
        """Announce an image; its data follows."""
        image = self._site.images.create(asked.body, asked.who.scopes)
        told = json_reply(image_json(image), image_etag(image), status=201)
        where = f"/api/v1/images/{paths.segment(image.name)}"
        return Reply(201, told.body, etag=told.etag, headers=(NO_STORE, ("Location", where)))

    def receive(self, asked: Asked) -> Reply:
        """A chunk of its data; the last one is answered when all of it was checked."""
        image = self._site.images.receive(
            asked.names["image"], asked.query["offset"], asked.body, asked.who.scopes
        )
        if image.state is ImageState.UPLOADING and asked.query["offset"]:
            acting.leave_out()  # the first piece is on the record, and the last one
        return json_reply(image_json(image), image_etag(image))

    def delete(self, asked: Asked) -> Reply:
        """The end of an image; machine instances that were cloned from it stay."""
        self._site.images.delete(asked.names["image"], asked.who.scopes)
        return Reply(204, headers=(NO_STORE,))
