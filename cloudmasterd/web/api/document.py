"""The OpenAPI document over HTTP."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

from cloudmasterd.web.exchange import Asked, Reply, json_bytes, json_reply, matches, not_modified
from cloudmasterd.web.openapi import document


class Document:
    """The resource /api/v1/openapi.json."""

    def get(self, asked: Asked) -> Reply:
        """The document that describes this interface."""
        value, etag = _told()
        if matches(asked.if_none_match, etag):
            return not_modified(etag)
        return json_reply(value, etag)


@cache  # it is the same for every site; most never ask for it
def _told() -> tuple[dict[str, Any], str]:
    value = document()
    return value, f'"d{zlib.crc32(json_bytes(value)):08x}"'
