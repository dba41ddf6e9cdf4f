"""What a decision about a new task may look at: one state of the database, that of its own transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from cloudmasterd.model import CloudInstance, Image, MachineInstance, MemoryPolicy
from cloudmasterd.store import reading
from cloudmasterd.store.connection import OneConnection
from cloudmasterd.store.images import find_image
from cloudmasterd.store.values import clean

_GROUPS = """
    SELECT cloud, anti_affinity, machine_name FROM task
    WHERE ended_at IS NULL AND cloud IS NOT NULL AND anti_affinity <> '[]'
    UNION ALL SELECT s.cloud, m.anti_affinity, s.name FROM machine m JOIN sighting s ON s.uuid = m.uuid
    WHERE m.anti_affinity <> '[]'"""
# two statements in one, because SQLite reads all tasks for an OR of the two
_NAMING = """
    SELECT id FROM task WHERE ended_at IS NULL AND machine_name = ?1
    UNION ALL SELECT id FROM task
    WHERE ended_at IS NULL AND machine_name IS NOT NULL AND json_extract(arguments, '$.name') = ?1
    ORDER BY id DESC LIMIT 1"""


class Room:
    """The cloud instances and what is taken on them, read when it is asked for.

    Good only while the function it was given to runs: what it says holds until the task is written.
    """

    def __init__(self, connection: OneConnection, policy: MemoryPolicy) -> None:
        self._lent: Optional[OneConnection] = connection
        self._policy = policy
        # what is asked of each cloud instance is read once for all of them: there may be hundreds
        self._clouds: Optional[tuple[CloudInstance, ...]] = None
        self._members: Optional[dict[str, dict[str, str]]] = None
        self._pending: Optional[dict[str, int]] = None

    @property
    def clouds(self) -> Sequence[CloudInstance]:
        """Every cloud instance by name; free_memory_mb has reservations taken off."""
        if self._clouds is None:
            self._clouds = tuple(reading.list_clouds(self._connection, self._policy, (), None, None))
        return self._clouds

    def names_of_up(self) -> Sequence[str]:
        """The names of the cloud instances that are up and in service, sorted."""
        return reading.names_of_up(self._connection)

    def get_machine(self, name_or_uuid: str) -> MachineInstance:
        """The machine instance as the store shows it; NotFound, Conflict when several carry the name."""
        return reading.get_machine(self._connection, name_or_uuid)

    def has_name(self, name: str) -> Optional[MachineInstance]:
        """A machine instance of that name, if any."""
        found = reading.machines_named(self._connection, name)
        return found[0] if found else None

    def task_naming(self, name: str) -> Optional[int]:
        """The unfinished task that will give this name or take it away, if any.

        It works on a machine instance of that name, or has it as the new `name` among its arguments.
        """
        found = self._all(_NAMING, clean(name))
        return int(found[0][0]) if found else None

    def find_image(self, name: str) -> Optional[Image]:
        """The image of that name in the catalogue, if any."""
        return find_image(self._connection, name)

    def busy(self, uuid: str) -> Optional[int]:
        """The id of the unfinished task that works on the machine instance, if any."""
        found = self._all("SELECT id FROM task WHERE ended_at IS NULL AND machine = ?", clean(uuid).lower())
        return int(found[0][0]) if found else None

    def machines_on(self, cloud: str) -> Sequence[MachineInstance]:
        """The machine instances that live on a cloud instance, by name."""
        return reading.list_machines(self._connection, [cloud], (), None, None)

    def busy_with(self, cloud: str) -> Sequence[int]:
        """The ids of the unfinished tasks that work on the cloud instance, or on what lives there."""
        found = self._all(
            "SELECT id FROM task WHERE ended_at IS NULL AND cloud = ? ORDER BY id", clean(cloud)
        )
        return [int(task) for (task,) in found]

    def placed_groups(self, cloud: str) -> frozenset[str]:
        """The anti-affinity groups of which the cloud instance has, or is about to get, a member."""
        return frozenset(self.group_members(cloud))

    def group_members(self, cloud: str) -> Mapping[str, str]:
        """The same, with the name of a member of each group."""
        if self._members is None:
            self._members = {}
            for where, groups, name in self._all(_GROUPS):
                self._members.setdefault(where, {}).update(dict.fromkeys(json.loads(groups), name or ""))
        return self._members.get(clean(cloud), {})

    def pending(self, cloud: str) -> int:
        """How many reservations for machine instances not yet active the cloud instance has."""
        if self._pending is None:
            self._pending = dict(self._all("SELECT name, pending FROM cloud"))
        return self._pending.get(clean(cloud), 0)

    def close(self) -> None:
        """From now on every question is an error: the answer would be of another transaction."""
        self._lent = self._members = self._pending = None

    @property
    def _connection(self) -> OneConnection:
        if self._lent is None:
            raise RuntimeError("a Room is good only inside the decision it was made for")
        return self._lent

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.raw.execute(sql, values).fetchall()
