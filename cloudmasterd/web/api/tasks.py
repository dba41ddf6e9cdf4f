"""Tasks over REST: list, one, and one cancelled."""

from __future__ import annotations

import re
from typing import Optional

from cloudmasterd.errors import Invalid, NotFound
from cloudmasterd.model import ENDED_STATES, Task, TaskState
from cloudmasterd.web.api.listing import page
from cloudmasterd.web.api.machines import check_clouds
from cloudmasterd.web.asking import asker_of, patience_of
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, hashed_reply, json_bytes
from cloudmasterd.web.represent import TASK_FIELDS, task_json
from cloudmasterd.web.site import Reads, Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    cursor,
    one_of,
    text,
    whole_number,
)
from cloudmasterd.web.waiting import Waits

STATES = [state.value for state in TaskState]
LIST_FIELDS = tuple(name for name in TASK_FIELDS if name != "log")  # the log is read with its task alone
LEAN_FIELDS = tuple(name for name in LIST_FIELDS if name != "steps")

CURSOR = Param("cursor", cursor("tasks", 1))
STATE = Param("state", one_of("a state of a task", STATES), (), repeatable=True)
MACHINE = Param("machine", text)
CLOUD = Param("cloud", text)

LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    CURSOR,
    STATE,
    MACHINE,
    CLOUD,
    Param("fields", one_of("a field of a task in a list", LIST_FIELDS), LEAN_FIELDS, repeatable=True),
)

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def task_id(name: str) -> int:
    """The number of a task out of a path; raises NotFound."""
    if _NUMBER.fullmatch(name) is None:
        raise NotFound(
            f"there is no task {name[:80]!r}: the id of a task is a number, as in /api/v1/tasks/17"
        )
    return int(name)


def cloud_filter(store: Reads, wanted: Optional[str]) -> Optional[str]:
    """The cloud instance that a filter names; raises Invalid for one that is not there."""
    if wanted is not None:
        check_clouds(store, [wanted])
    return wanted


class Tasks:
    """The resource /api/v1/tasks."""

    def __init__(self, site: Site, waits: Waits) -> None:
        self._site = site
        self._waits = waits

    def list(self, asked: Asked) -> Reply:
        """One page of the tasks, newest first, without steps unless `fields` asks for them."""
        store, query = self._site.store, asked.query
        found = store.tasks.list(
            states=[TaskState(state) for state in query["state"]],
            machine=query["machine"],
            cloud=cloud_filter(store, query["cloud"]),
            before=_before(query["cursor"]),
            limit=query["limit"] + 1,
        )
        shown = {**query, "fields": () if query["fields"] == LEAN_FIELDS else query["fields"]}
        listed = page(asked, found, "tasks", task_json, lambda task: [str(task.id)], shown)
        return hashed_reply(listed, asked.if_none_match)

    def get(self, asked: Asked) -> Reply:
        """One task; with `Prefer: wait=N`, once it has ended or the time is over."""
        task = self._site.store.tasks.get(task_id(asked.names["task"]))
        patience = patience_of(asked)
        if patience is None or task.state in ENDED_STATES:
            return hashed_reply(task_json(task), asked.if_none_match)
        task, waited = self._waits.for_task(self._site.machines, task, patience)
        applied = (("Preference-Applied", f"wait={patience}"),) if waited else ()
        return _told(task, *applied)

    def cancel(self, asked: Asked) -> Reply:
        """Ask a task to end before its next step; 202, because one that runs ends a little later."""
        asker = asker_of(asked, self._site.clock)
        task = self._site.machines.cancel(task_id(asked.names["task"]), asker)
        return _told(task, status=200 if task.state in ENDED_STATES else 202)


def _told(task: Task, *headers: tuple[str, str], status: int = 200) -> Reply:
    return Reply(status, json_bytes(task_json(task)), headers=(NO_STORE, *headers))


def _before(place: Optional[tuple[str, ...]]) -> Optional[int]:
    if place is None:
        return None
    if _NUMBER.fullmatch(place[0]) is None:
        wrong = "not a cursor of this list: take it from 'next' of the page before, or leave it out"
        raise Invalid(f"cursor: {wrong}", [("cursor", wrong)])
    return int(place[0])
