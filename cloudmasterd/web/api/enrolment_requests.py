"""Requests for a certificate over REST: who waits to become a cloud instance, signed or rejected."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from cloudmasterd.enrolment import WaitingRequest
from cloudmasterd.times import time_text
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.represent import list_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import Param, Wrong

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def fingerprint(texts: list[str]) -> str:
    """Reads the fingerprint of a key."""
    plain = texts[0].replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise Wrong("write the key_fingerprint of the request: 64 hexadecimal digits")
    return plain


SEEN = (Param("key_fingerprint", fingerprint, default=""),)
"""The key that whoever decides has seen; where another one waits by now, nothing is done."""


class EnrolmentRequests:
    """The resource /api/v1/enrolments; nothing of it is kept here, certmaster is asked each time."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """All that wait, by name."""
        now = self._site.clock.now()
        items = [request_json(one, now) for one in self._site.enrolment.list_waiting()]
        return Reply(body=json_bytes(list_json(items, None)), headers=(NO_STORE,))

    def sign(self, asked: Asked) -> Reply:
        """Let it in."""
        self._site.enrolment.sign(asked.names["name"], asked.query["key_fingerprint"], asked.who.name)
        return Reply(204, headers=(NO_STORE,))

    def reject(self, asked: Asked) -> Reply:
        """Send it away; the same key waits no more."""
        self._site.enrolment.reject(asked.names["name"], asked.query["key_fingerprint"], asked.who.name)
        return Reply(204, headers=(NO_STORE,))


def request_json(one: WaitingRequest, now: datetime) -> dict[str, Any]:
    """A request that waits."""
    return {
        "name": one.name,
        "address": one.address or None,
        "key_fingerprint": one.key_fingerprint or None,
        "since": time_text(one.since),
        "age_s": max(0, round((now - one.since).total_seconds())),
    }
