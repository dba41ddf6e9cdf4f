"""The id of a request: which are taken from clients, and under which one things are done just now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_MARK = "~"
"""Between a request id and what tells a request from the same one asked again; stands in no request id."""

# It goes into the audit logs of minions, and Func's header takes no more than this.
_USABLE = re.compile(r"[A-Za-z0-9-]{1,64}")

_now: ContextVar[str] = ContextVar("request_id", default="")


def is_usable(request_id: str) -> bool:
    """Whether an id that a client gave can be kept: 1 to 64 letters, digits and dashes."""
    return _USABLE.fullmatch(request_id) is not None


def plain(request_id: str) -> str:
    """The id as its client knows it, of one that may carry a mark."""
    return request_id.partition(REQUEST_MARK)[0]


def current() -> str:
    """The id of the request for which things are done in this thread; empty where nobody asked."""
    return _now.get()


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """Do the block for that request: what is asked of cloud instances meanwhile carries its id."""
    wanted = plain(request_id)
    token = _now.set(wanted if is_usable(wanted) else "")
    try:
        yield
    finally:
        _now.reset(token)
