"""Who does what just now, as the audit record is to have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Optional, Union

DONE = "done"  # it was carried out, or taken up as a task
REFUSED = "refused"  # whoever asked may not
FAILED = "failed"  # it could not be done: the request was wrong, or something stood against it

RESULTS = (DONE, REFUSED, FAILED)

OBSERVED = "observed"  # the means of cloud instances: they show what others did there
LOCAL = "local"  # the means of commands on the cloud master itself

Detail = Mapping[str, Union[str, int, bool]]


@dataclass(frozen=True)
class Deed:
    """Something that somebody did, or tried. No secrets and no bodies in it: it is kept for good.

    `who` is the name of a user, or of the cloud instance where something was observed; `means` how they
    showed it: session, token, proxy, none, LOCAL or OBSERVED; `credential` the public id of that token or
    session. `action` is an operationId of the OpenAPI document, the kind of an event, or a command; `target`
    the path in the REST interface. `detail` says in a few words what changed, or what stood against it.
    """

    who: str
    action: str
    target: str = ""
    means: str = LOCAL
    credential: str = ""
    address: str = ""
    request_id: str = ""
    result: str = DONE
    status: Optional[int] = None  # of the HTTP answer; None where there was none yet
    reason: str = ""  # why, where whoever did it said so
    detail: Detail = field(default_factory=dict)


class Acting:
    """A request that may change something, while it is answered in one thread.

    The first write that changes something takes the record along in its transaction: `recorded` then.
    """

    def __init__(self, deed: Deed) -> None:
        self.deed = deed
        self.recorded = False


_now: ContextVar[Optional[Acting]] = ContextVar("acting", default=None)


def current() -> Optional[Acting]:
    """What is being done in this thread for somebody; None where nobody asked."""
    return _now.get()


@contextmanager
def acting(deed: Deed) -> Iterator[Acting]:
    """Do the block as this deed; what it changes goes on the record."""
    doing = Acting(deed)
    token = _now.set(doing)
    try:
        yield doing
    finally:
        _now.reset(token)


@contextmanager
def beside(action: str, target: str) -> Iterator[None]:
    """Do the block as a deed of its own by the same person: one that the deed under way brings with it."""
    doing = _now.get()
    if doing is None:
        yield
        return
    with acting(replace(doing.deed, action=action, target=target, detail={})):
        yield


def tell(*, target: Optional[str] = None, **detail: Union[str, int, bool]) -> None:
    """Say more of the deed under way, before it is on the record: what it is done to, what changes."""
    doing = _now.get()
    if doing is not None:
        more = {**doing.deed.detail, **detail}
        doing.deed = replace(doing.deed, target=doing.deed.target if target is None else target, detail=more)


def become(who: str, means: str, credential: str) -> None:
    """Say who does it, where that turns out in the middle: somebody signs in."""
    doing = _now.get()
    if doing is not None:
        doing.deed = replace(doing.deed, who=who, means=means, credential=credential)


def because(reason: str) -> None:
    """Say why it is done, where whoever asked said so in another place than a header; empty says nothing."""
    doing = _now.get()
    if doing is not None and reason:
        doing.deed = replace(doing.deed, reason=reason)


def leave_out() -> None:
    """The deed under way is a part of another one that is on the record as a whole."""
    doing = _now.get()
    if doing is not None:
        doing.recorded = True
