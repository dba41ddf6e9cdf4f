"""Put requests on the audit record: what changes something, what is refused, what fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Callable, Optional

from cloudmasterd import acting, request_ids
from cloudmasterd.acting import DONE, FAILED, REFUSED, Acting, Deed, Detail
from cloudmasterd.clock import Clock
from cloudmasterd.errors import CloudError, Invalid, StoreError
from cloudmasterd.rights import Identity
from cloudmasterd.web import known_fields, paths
from cloudmasterd.web.actions import Action, action_of, is_recorded
from cloudmasterd.web.exchange import Reply
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.refusals import Refusals
from cloudmasterd.web.router import Route, Router
from cloudmasterd.web.site import AuditRecord

log = logging.getLogger(__name__)

REASON = "X-Audit-Reason"
REFUSING = (401, 403, 429)

LONGEST_ERROR = 300
MOST_FIELDS = 10


@dataclass(frozen=True)
class Sender:
    """Who sent a request, and what it says of itself."""

    who: Identity
    address: str
    request_id: str
    reason: str = ""


class Recorder:
    """Writes down what a request comes to, unless the store did so with what it changed."""

    def __init__(self, record: AuditRecord, router: Router, clock: Clock) -> None:
        self._record = record
        self._router = router
        self._refusals = Refusals(clock)

    def answer(
        self, route: Route, names: Mapping[str, str], sender: Sender, pass_on: Callable[[], Reply]
    ) -> Reply:
        """What `pass_on` gives or raises; what is changed meanwhile is on the record in the sender's name."""
        action = action_of(route, names, sender.who.name)
        watched = is_recorded(route, action.name)
        status, detail = 500, dict[str, str]()  # of a bug
        with request_ids.working_for(sender.request_id), acting.acting(_deed(sender, *action)) as doing:
            doing.recorded = not watched
            try:
                reply = pass_on()
                status = reply.status
                return reply
            except CloudError as exc:
                status, detail = status_of(exc), _said(exc)
                raise
            finally:
                if watched or status in REFUSING:
                    self._close(doing, status, detail)

    def turn_away(self, error: CloudError, method: str, path: str, sender: Sender) -> None:
        """Write down that somebody was refused before the request came to where it leads."""
        if status_of(error) not in REFUSING:
            return
        try:
            action = action_of(*self._router.find(method, path), sender.who.name)
        except CloudError:  # there is no such thing, which whom nobody knows is not told
            action = Action(method, path)
        self._close(Acting(_deed(sender, *action)), status_of(error), _said(error))

    def _close(self, doing: Acting, status: int, detail: Detail) -> None:
        result = REFUSED if status in REFUSING else DONE if status < 400 else FAILED
        if doing.recorded and result == DONE:
            return
        more: Optional[Detail] = {}
        if result == REFUSED:
            more = self._refusals.admit(doing.deed.address)
        if more is None:
            return
        told = {**doing.deed.detail, **detail, **more}
        deed = replace(doing.deed, result=result, status=status, detail=told)
        try:
            # done, and not written down with a change of the store: it was changed elsewhere
            self._record.add(deed, durable=result == DONE)
        except StoreError as exc:
            log.error("%s %s of %s is not on the audit record: %s", deed.action, result, deed.who, exc)


def reason_of(headers: Mapping[str, str]) -> str:
    """Why somebody does it, in the words of the header REASON; empty where it is absent."""
    given = headers.get(REASON, "")
    try:
        return given.encode("latin-1").decode("utf-8")  # the server takes every header for Latin-1
    except UnicodeError:
        return given


def _deed(sender: Sender, action: str, target: str) -> Deed:
    who = sender.who
    return Deed(
        who=who.name,
        action=action,
        target=paths.shown(target),
        means=who.means.value,
        credential=who.credential,
        address=sender.address,
        request_id=sender.request_id,
        reason=sender.reason,
    )


def _said(error: CloudError) -> dict[str, str]:
    """What stood against it; of what somebody sent only the names of fields there are."""
    if isinstance(error, Invalid):
        names = (known_fields.shown(name) for name, _ in error.fields)
        return {"wrong": ", ".join(islice(dict.fromkeys(names), MOST_FIELDS))}
    return {"error": paths.shown(str(error))[:LONGEST_ERROR]}
