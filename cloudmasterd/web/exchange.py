"""A request and a response as the resources and pages see them: values, free of any server."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from cloudmasterd import __version__
from cloudmasterd.rights import ANONYMOUS, Identity
from cloudmasterd.web.proxy import Origin

JSON = "application/json"
HTML = "text/html"
PROBLEM = "application/problem+json"

REVALIDATE = ("Cache-Control", "no-cache")
NO_STORE = ("Cache-Control", "no-store")


@dataclass(frozen=True)
class Asked:
    """A request that has found its route: names out of the path, checked query parameters, the body's value.

    `headers` has those of the request under their usual names (`If-Match`); `body` is a JSON value, or
    the bytes of a form; `client` is the address of whoever sent the request, behind a web server in front
    too, `origin` says how it came from there, and `who` they are.
    """

    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    raw_query: str = ""
    if_none_match: Optional[str] = None
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    request_id: str = ""
    client: str = ""
    who: Identity = ANONYMOUS
    doubt: str = ""  # what was wrong with the credential of whom nobody knows
    origin: Origin = Origin("")  # noqa: RUF009  frozen


@dataclass(frozen=True)
class Reply:
    """A response: everything but what all responses carry."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    etag: Optional[str] = None
    headers: tuple[tuple[str, str], ...] = ()


def list_etag(change_count: int, path: str, raw_query: str) -> str:
    """The weak tag of a list: it stands still while no fact changes, whatever the age of the figures."""
    # the version is in it because a newer cloudmasterd may show the same facts in another shape
    query = zlib.crc32(f"{__version__} {path}?{raw_query}".encode("utf-8", "surrogatepass"))
    return f'W/"{change_count:x}-{query:08x}"'


def matches(if_none_match: Optional[str], etag: Optional[str]) -> bool:
    """Whether an If-None-Match header names this tag (RFC 9110, weak comparison)."""
    if not if_none_match or etag is None:
        return False
    if if_none_match.strip() == "*":
        return True
    plain = etag[2:] if etag.startswith("W/") else etag
    return any(tag.strip().replace("W/", "", 1) == plain for tag in if_none_match.split(","))


def not_modified(etag: str, cache: tuple[str, str] = REVALIDATE) -> Reply:
    """304 for a client that has this already."""
    return Reply(status=304, etag=etag, headers=(cache,))


def json_bytes(value: Any) -> bytes:
    """A JSON document in UTF-8, with a line end for people at a terminal."""
    # surrogates cannot come out of the store, but one would cost the whole list
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def hashed_reply(value: Any, if_none_match: Optional[str]) -> Reply:
    """A JSON response whose tag comes from its bytes; 304 for a client that has them already."""
    body = json_bytes(value)
    etag = f'"{hashlib.blake2b(body, digest_size=10).hexdigest()}"'
    if matches(if_none_match, etag):
        return not_modified(etag)
    return Reply(body=body, etag=etag, headers=(REVALIDATE,))


def tagged_reply(value: Any, etag: str, if_none_match: Optional[str]) -> Reply:
    """A JSON response with the tag of what it shows; 304 for a client that has it already."""
    return not_modified(etag) if matches(if_none_match, etag) else json_reply(value, etag)


def json_reply(value: Any, etag: Optional[str] = None, status: int = 200) -> Reply:
    """A JSON response that a client may keep as long as it asks whether it still holds."""
    return Reply(status=status, body=json_bytes(value), etag=etag, headers=(REVALIDATE,))
