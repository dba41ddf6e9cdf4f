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


class Room:
    """The cloud instances and what is taken on them, read when it is asked for.

    Good only while the function it was given to runs: what it says holds until the task is written.
    """

    def __init__(self, connection: OneConnection, policy: MemoryPolicy) -> None:
        self._lent: Optional[OneConnection] = connection
        self._policy = policy
        self._clouds: Optional[tuple[CloudInstance, ...]] = None

    @property
    def clouds(self) -> Sequence[CloudInstance]:
        """Every cloud instance by name; free_memory_mb has reservations taken off."""
        if self._clouds is None:
            self._clouds = tuple(reading.list_clouds(self._connection, self._policy, (), None, None))
        return self._clouds

    def get_machine(self, name_or_uuid: str) -> MachineInstance:
        """The machine instance as the store shows it; NotFound, Conflict when several carry the name."""
        return reading.get_machine(self._connection, name_or_uuid)

    def has_name(self, name: str) -> Optional[MachineInstance]:
        """A machine instance of that name, if any."""
        found = reading.machines_named(self._connection, name)
        return found[0] if found else None

    @property
    def reserved_names(self) -> Mapping[str, int]:
        """Names that unfinished tasks will give or take away, and the task of each.

        They are the names of the machine instances they work on, and the new ones (`name` among their
        arguments) of those that rename.
        """
        named: dict[str, int] = {}
        for task_id, name, arguments in self._all(
            "SELECT id, machine_name, arguments FROM task WHERE ended_at IS NULL AND machine_name IS NOT NULL"
        ):
            named[name] = task_id
            new = json.loads(arguments).get("name")
            if isinstance(new, str):
                named[new] = task_id
        return named

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
        members: dict[str, str] = {}
        for groups, name in self._all(
            "SELECT anti_affinity, machine_name FROM task WHERE ended_at IS NULL AND cloud = ?1"
            " AND anti_affinity <> '[]' UNION ALL SELECT m.anti_affinity, s.name FROM machine m"
            " JOIN sighting s ON s.uuid = m.uuid WHERE m.anti_affinity <> '[]' AND s.cloud = ?1",
            clean(cloud),
        ):
            members.update(dict.fromkeys(json.loads(groups), name or ""))
        return members

    def pending(self, cloud: str) -> int:
        """How many reservations for machine instances not yet active the cloud instance has."""
        held = self._all(
            "SELECT count(*) FROM reservation r WHERE r.cloud = ? AND NOT EXISTS (SELECT 1 FROM sighting s"
            " WHERE s.cloud = r.cloud AND s.uuid = r.uuid"
            " AND s.state IN ('running', 'paused', 'shutting-down'))",
            clean(cloud),
        )
        return int(held[0][0])

    def close(self) -> None:
        """From now on every question is an error: the answer would be of another transaction."""
        self._lent = None

    @property
    def _connection(self) -> OneConnection:
        if self._lent is None:
            raise RuntimeError("a Room is good only inside the decision it was made for")
        return self._lent

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.raw.execute(sql, values).fetchall()
