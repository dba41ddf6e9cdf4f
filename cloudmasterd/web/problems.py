"""Turn errors into problem documents (RFC 9457): the one table from error classes to HTTP statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from cloudmasterd.errors import (
    CertmasterUnreachable,
    CloudError,
    CloudRefused,
    CloudUnreachable,
    CobblerError,
    CobblerUnreachable,
    Conflict,
    FabricError,
    Forbidden,
    Invalid,
    NotFound,
    StaleVersion,
    StoreError,
    TooManyAttempts,
    Unauthenticated,
    Unsupported,
)


class NoSuchPath(NotFound):
    """No route has this path."""


class WrongMethod(CloudError):
    """The path is there, the method is not; `allow` are those that are."""

    def __init__(self, text: str, allow: Sequence[str]) -> None:
        super().__init__(text)
        self.allow = tuple(allow)


class NotAcceptable(CloudError):
    """The client accepts nothing that this path can answer with."""


class UnsupportedMedia(CloudError):
    """The body is of a kind that this path does not read; `accept` is the one it reads."""

    def __init__(self, text: str, accept: str) -> None:
        super().__init__(text)
        self.accept = accept


class LengthRequired(CloudError):
    """The body came without its length."""


class BodyTooSlow(CloudError):
    """The body was not all there in time."""


class StalePage(CloudError):
    """A form does not carry what the pages of this session give it: load its page again."""


class CrossSite(CloudError):
    """A browser sent the request on behalf of another site."""


class Busy(CloudError):
    """Too much of the same is under way; ask again a little later."""


STATUSES: tuple[tuple[type[CloudError], int], ...] = (
    (WrongMethod, 405),
    (NotAcceptable, 406),
    (UnsupportedMedia, 415),
    (LengthRequired, 411),
    (BodyTooSlow, 408),
    (CrossSite, 403),
    (StalePage, 403),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (TooManyAttempts, 429),
    (Busy, 503),
    (Invalid, 400),
    (NotFound, 404),
    (StaleVersion, 412),
    (Conflict, 409),
    (CloudUnreachable, 504),
    (CloudRefused, 502),
    (Unsupported, 501),
    (FabricError, 502),
    (CobblerUnreachable, 504),
    (CobblerError, 502),
    (CertmasterUnreachable, 503),
    (StoreError, 503),
    (CloudError, 500),
)
"""First match wins: the narrower class stands above the wider."""

RETRY_AFTER_S = 5


@dataclass(frozen=True)
class Problem:
    """What a client is told of an error; `errors` are (field, what would be right)."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"
    errors: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> bytes:
        """The problem document."""
        return problem_bytes(self.status, self.title, self.detail, self.type, self.errors)


def status_of(error: CloudError) -> int:
    """The HTTP status that tells a client of this error."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def problem_of(error: CloudError) -> Problem:
    """The problem that tells a client of this error; never more than the error's own text."""
    status = status_of(error)
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, WrongMethod):
        headers = (("Allow", ", ".join(error.allow)),)
    elif isinstance(error, UnsupportedMedia):
        headers = (("Accept", error.accept),)
    elif isinstance(error, Unauthenticated):
        headers = (("WWW-Authenticate", 'Bearer realm="cloudmasterd"'),)
    elif isinstance(error, TooManyAttempts):
        headers = (("Retry-After", str(error.retry_after_s)),)
    elif isinstance(error, Busy):
        headers = (("Retry-After", str(RETRY_AFTER_S)),)
    return Problem(
        status=status,
        title=HTTPStatus(status).phrase,
        detail=str(error),
        type="urn:cloudmasterd:problem:" + _dashed(type(error).__name__),
        errors=tuple(getattr(error, "fields", ())),  # of Invalid, and of conflicts that have several reasons
        headers=headers,
    )


def problem_bytes(
    status: int,
    title: str,
    detail: str,
    type_: str = "about:blank",
    errors: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A problem document in UTF-8."""
    document = {
        "type": type_,
        "title": title,
        "status": status,
        "detail": detail,
        "errors": [{"field": field, "message": message} for field, message in errors],
    }
    # a lone surrogate in a text must not turn an error into another one
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _dashed(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
