"""Events over REST: a list that can be waited at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

from cloudmasterd.model import Event
from cloudmasterd.web.api.tasks import cloud_filter
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.problems import Busy
from cloudmasterd.web.represent import EVENT_FIELDS, event_json, list_json, only
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    Wrong,
    list_url,
    one_of,
    text,
    whole_number,
)
from cloudmasterd.web.waiting import MAX_EVENT_WAITS, MAX_WAIT_S, Waits

LATEST = "latest"

Found = tuple[Sequence[Event], int]
"""Events, and the id up to which all were looked at."""


def place(texts: list[str]) -> Union[int, str]:
    """Reads the id of an event, or `latest`."""
    given = texts[0]
    if given == LATEST:
        return given
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise Wrong(
            f"{given[:80]!r} is neither the id of an event nor 'latest': take 'after' of the page before"
        )
    return int(given)


LIST_PARAMS = (
    Param("after", place, default=0),
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    Param("wait", whole_number(0, MAX_WAIT_S), default=0),
    Param("machine", text),
    Param("cloud", text),
    Param("fields", one_of("a field of an event", EVENT_FIELDS), (), repeatable=True),
)


class Events:
    """The resource /api/v1/events."""

    def __init__(self, site: Site, waits: Waits) -> None:
        self._site = site
        self._waits = waits

    def list(self, asked: Asked) -> Reply:
        """The events behind `after`, oldest first; where there is none, those that come within `wait` s."""
        query, store = asked.query, self._site.store
        filters = {
            "machine": query["machine"],
            "cloud": cloud_filter(store, query["cloud"]),
        }
        after = store.events.latest if query["after"] == LATEST else query["after"]
        found, seen = self._look(after, query["limit"], filters)
        if not found and query["wait"]:
            found, seen = self._wait(query["wait"], seen, query["limit"], filters)
        more = len(found) > query["limit"]
        found = found[: query["limit"]]
        place = found[-1].id if more else seen
        shown = {name: value for name, value in query.items() if name not in ("wait", "after")}
        following = list_url(asked.path, {"after": str(place), **shown}) if more else None
        items = [only(event_json(event), query["fields"]) for event in found]
        body = json_bytes({**list_json(items, following), "after": place})
        return Reply(body=body, headers=(NO_STORE,))

    def _look(self, after: int, limit: int, filters: dict[str, Any]) -> Found:
        # the latest is read first: what comes in between is found now or is behind it
        latest = self._site.store.events.latest
        found = self._site.store.events.list(after=after, limit=limit + 1, **filters)
        return found, max([after, latest, *(event.id for event in found)])

    def _wait(self, seconds: int, seen: int, limit: int, filters: dict[str, Any]) -> Found:
        clock = self._site.clock
        found: Sequence[Event] = ()
        until = clock.monotonic() + seconds
        with self._waits.for_events() as free:
            if not free:
                raise Busy(f"{MAX_EVENT_WAITS} requests wait for events already: ask again in a few seconds")
            # an event that no filter lets through is no end of the wait
            while not found and self._waits.next_event(
                self._site.store.events, seen, until - clock.monotonic()
            ):
                found, seen = self._look(seen, limit, filters)
        return found, seen
