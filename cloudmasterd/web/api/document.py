"""The OpenAPI document over HTTP."""

from __future__ import annotations

import zlib

from cloudmasterd.web.exchange import Asked, Reply, json_bytes, json_reply, matches, not_modified
from cloudmasterd.web.openapi import document


class Document:
    """The resource /api/v1/openapi.json."""

    def __init__(self) -> None:
        self._value = document()
        self._etag = f'"d{zlib.crc32(json_bytes(self._value)):08x}"'

    def get(self, asked: Asked) -> Reply:
        """The document that describes this interface."""
        if matches(asked.if_none_match, self._etag):
            return not_modified(self._etag)
        return json_reply(self._value, self._etag)
