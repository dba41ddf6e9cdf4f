"""Events in words and links, as the pages show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloudmasterd.errors import NotFound
from cloudmasterd.model import Event
from cloudmasterd.web import paths
from cloudmasterd.web.site import Reads


@dataclass(frozen=True)
class EventRow:
    """An event, and (path, words) of the pages of what it is about."""

    event: Event
    links: tuple[tuple[str, str], ...]


def rows_of_events(store: Reads, events: Iterable[Event], links: bool = True) -> list[EventRow]:
    """Events as rows in the order given; what is gone has no link."""
    there: dict[str, bool] = {}
    return [EventRow(event, _links(store, event, there) if links else ()) for event in events]


def _links(store: Reads, event: Event, there: dict[str, bool]) -> tuple[tuple[str, str], ...]:
    found = []
    if event.machine is not None and _is_there(store, event.machine, there):
        found.append((f"/machines/{paths.segment(event.machine)}", event.machine_name or event.machine))
    if event.cloud is not None:
        found.append((paths.cloud_path(event.cloud), event.cloud))
    if event.task is not None:
        found.append((paths.task_path(event.task), f"task {event.task}"))
    return tuple(found)


def _is_there(store: Reads, uuid: str, there: dict[str, bool]) -> bool:
    if uuid not in there:
        try:
            store.get_machine(uuid)
            there[uuid] = True
        except NotFound:
            there[uuid] = False
    return there[uuid]
