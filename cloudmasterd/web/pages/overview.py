"""The first page: what there is, what is free, what needs attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from cloudmasterd.model import CloudInstance, TaskState
from cloudmasterd.placement import Capacity, FlavorRoom
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.attention import notes
from cloudmasterd.web.pages.event_rows import rows_of_events
from cloudmasterd.web.pages.live import LiveTag
from cloudmasterd.web.pages.task_rows import StepRow, TaskRow, row_of, steps_of
from cloudmasterd.web.site import Site, TaskReads
from cloudmasterd.web.templating import Templates

SHOWN_FLAVOR = "small"
UNDER_WAY = 50
RECENT = 8


@dataclass(frozen=True)
class Summary:
    """The figures on top; `known` are the cloud instances whose memory is known."""

    clouds: int
    known: int
    free_mb: int
    total_mb: int
    machines: int
    running: int


def summarise(clouds: Sequence[CloudInstance]) -> Summary:
    """Add up all cloud instances; an overcommitted one takes nothing from what is free on the others."""
    known = [cloud for cloud in clouds if cloud.memory_mb is not None]
    return Summary(
        clouds=len(clouds),
        known=len(known),
        free_mb=sum(max(0, cloud.free_memory_mb or 0) for cloud in known),
        total_mb=sum(cloud.memory_mb or 0 for cloud in known),
        machines=sum(cloud.machines for cloud in clouds),
        running=sum(cloud.running for cloud in clouds),
    )


@dataclass(frozen=True)
class Room:
    """How many more machine instances fit: the flavor on top, and all flavors with the numbers behind it."""

    flavor: str
    total: int
    without_largest: Optional[int]
    largest: Optional[str]
    rows: tuple[FlavorRoom, ...]
    uncounted: Mapping[str, str]  # cloud instances that take nothing now, and why


def room_of(capacity: Capacity) -> Optional[Room]:
    """What still fits, by the flavor named small or else the first one; None where there is no flavor."""
    if not capacity.flavors:
        return None
    first = next((room for room in capacity.flavors if room.flavor.name == SHOWN_FLAVOR), capacity.flavors[0])
    largest = None if capacity.largest is None else capacity.largest.cloud
    return Room(
        first.flavor.name, first.total, first.without_largest, largest, capacity.flavors, capacity.uncounted
    )


def under_way(tasks: TaskReads) -> list[tuple[TaskRow, list[StepRow]]]:
    """The tasks that have not ended, the oldest first, with their steps."""
    pending = tasks.list(states=(TaskState.WAITING, TaskState.RUNNING), limit=UNDER_WAY)
    pending.sort(key=lambda task: (task.state is TaskState.WAITING, task.id))
    return [(row_of(task), steps_of(task)) for task in pending]


class OverviewPage:
    """The page /."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates
        self._live = LiveTag(site)

    def show(self, asked: Asked) -> Reply:
        """All cloud instances at a glance."""
        return self._live.answer(asked, lambda: self._page(asked))

    def _page(self, asked: Asked) -> bytes:
        store = self._site.store
        clouds = store.list_clouds()
        attention = notes(clouds, self._site.clock.now())
        return self._templates.render(
            "overview.mako" if clouds else "empty.mako",
            asked.who,
            section="/",
            clouds=clouds,
            summary=summarise(clouds),
            notes=attention,
            concerned=len({note.cloud for note in attention}),
            room=room_of(self._site.machines.capacity()) if clouds else None,
            tasks=under_way(store.tasks),
            events=rows_of_events(store, store.events.newest(RECENT)),
        )
