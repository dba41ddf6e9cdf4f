"""Machine instances over REST: list and one."""

from __future__ import annotations

from collections.abc import Sequence

from cloudmasterd.errors import Invalid, NotFound
from cloudmasterd.model import MachineState
from cloudmasterd.web.api.listing import page
from cloudmasterd.web.exchange import Asked, Reply, json_reply, list_etag, matches, not_modified, tagged_reply
from cloudmasterd.web.represent import MACHINE_FIELDS, machine_etag, machine_json
from cloudmasterd.web.site import Reads, Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    cursor,
    names_in,
    nearest,
    one_of,
    whole_number,
)

CURSOR = Param("cursor", cursor("machines", 2))
CLOUD = Param("cloud", names_in, (), repeatable=True)
STATE = Param(
    "state", one_of("a state of a machine instance", [s.value for s in MachineState]), (), repeatable=True
)

LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    CURSOR,
    CLOUD,
    STATE,
    Param("fields", one_of("a field of a machine instance", MACHINE_FIELDS), (), repeatable=True),
)


def check_clouds(store: Reads, names: Sequence[str]) -> None:
    """Raises Invalid for a filter by a cloud instance that is not there: an empty list would hide a typo."""
    for name in names:
        try:
            store.get_cloud(name)
        except NotFound as exc:
            near = nearest("a cloud instance", name, [cloud.name for cloud in store.list_clouds(limit=500)])
            raise Invalid(f"cloud: {near}", [("cloud", str(near))]) from exc


class Machines:
    """The resource /api/v1/machines."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """One page of the machine instances, by name and uuid."""
        store = self._site.store
        etag = list_etag(store.change_count, asked.path, asked.raw_query)
        if matches(asked.if_none_match, etag):
            return not_modified(etag)
        query = asked.query
        check_clouds(store, query["cloud"])
        after = query["cursor"]
        found = store.list_machines(
            clouds=query["cloud"],
            states=[MachineState(state) for state in query["state"]],
            after=(after[0], after[1]) if after else None,
            limit=query["limit"] + 1,
        )
        return json_reply(page(asked, found, "machines", machine_json, lambda m: [m.name, m.uuid]), etag)

    def get(self, asked: Asked) -> Reply:
        """One machine instance, by name or uuid."""
        machine = self._site.store.get_machine(asked.names["machine"])
        return tagged_reply(machine_json(machine), machine_etag(machine), asked.if_none_match)
