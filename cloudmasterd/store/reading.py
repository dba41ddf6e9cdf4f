"""Read the database through SQLObject's query builder into dataclasses; each answer is one statement.

One SELECT sees one state of the database, so no reader ever sees half a batch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from sqlobject.sqlbuilder import AND, IN, NOTIN, OR, Select, SQLExpression, sqlrepr

from cloudmasterd.errors import Conflict, NotFound
from cloudmasterd.model import CloudInstance, CloudState, MachineInstance, MachineState, MemoryPolicy
from cloudmasterd.store.connection import OneConnection
from cloudmasterd.store.tables import Cloud, Machine, Sighting
from cloudmasterd.store.values import clean, names_from_text, tags_from_text, time_from_text

_LONGEST_NAME = 253  # longer ones get no suggestion: comparing them is work for nothing
_NEIGHBOURS = 30

_c, _m, _s = Cloud.q, Machine.q, Sighting.q

_CLOUD_ITEMS = (
    _c.id, _c.reachability, _c.maintenance, _c.arch, _c.cpus, _c.memory_mb, _c.live_free_memory_mb,
    _c.committed_mb, _c.active, _c.machines, _c.running, _c.tags, _c.observed_at, _c.error,
    _c.unreachable_since, _c.certificate_expires_at, _c.revision, _c.maintenance_reason, _c.maintenance_since,
    _c.notes, _c.reserve_mb, _c.profile,
)  # fmt: skip

_MACHINE_ITEMS = (
    _s.name, _s.uuid, _s.cloud, _s.state, _s.memory_mb, _s.max_memory_mb, _s.vcpus, _s.autostart, _m.managed,
    _m.profile, _m.image, _m.tags, _m.notes, _c.observed_at, _m.revision, _m.anti_affinity,
)  # fmt: skip

_SHOWN = AND(_s.shown == 1, _m.id == _s.uuid, _c.id == _s.cloud)

# What every submission and every step reads is put together once, with parameters: that takes half the time.
_CLOUDS = sqlrepr(Select(_CLOUD_ITEMS, staticTables=["cloud"]), "sqlite")
_ALL_CLOUDS = f"{_CLOUDS} ORDER BY cloud.name"
_UP = "SELECT name FROM cloud WHERE maintenance = 0 AND reachability = 'up' ORDER BY name"
_CLOUD = f"{_CLOUDS} WHERE cloud.name = ?"
_MACHINES = sqlrepr(Select(_MACHINE_ITEMS, where=_SHOWN), "sqlite")
_MACHINES_NAMED = f"{_MACHINES} AND sighting.name = ?"
_MACHINE_WITH_UUID = f"{_MACHINES} AND sighting.uuid = ?"


def get_cloud(connection: OneConnection, name: str, policy: MemoryPolicy) -> CloudInstance:
    """The cloud instance of that name, or NotFound."""
    found = connection.raw.execute(_CLOUD, (clean(name),)).fetchone()
    if found is not None:
        return _cloud(found, policy)
    names = [row[0] for row in rows(connection, Select([_c.id]))]
    raise NotFound(_missing("cloud instance", name, "/api/v1/clouds", names))


def list_clouds(
    connection: OneConnection,
    policy: MemoryPolicy,
    states: Iterable[CloudState],
    after: Optional[str],
    limit: Optional[int],
) -> list[CloudInstance]:
    """Cloud instances by name."""
    where = []
    wanted = {CloudState(state) for state in states}
    if wanted:
        reachable = IN(_c.reachability, sorted(state.value for state in wanted))
        in_service = AND(_c.maintenance == 0, reachable)
        where.append(OR(in_service, _c.maintenance == 1) if CloudState.MAINTENANCE in wanted else in_service)
    if after is not None:
        where.append(_c.id > clean(after))
    if not where and limit is None:
        return [_cloud(row, policy) for row in connection.raw.execute(_ALL_CLOUDS)]
    return [_cloud(row, policy) for row in _page(connection, _CLOUD_ITEMS, where, [_c.id], limit)]


def names_of_up(connection: OneConnection) -> list[str]:
    """The names of the cloud instances that are up and in service."""
    return [name for (name,) in connection.raw.execute(_UP)]


def get_machine(connection: OneConnection, name_or_uuid: str) -> MachineInstance:
    """The machine instance of that uuid, else of that name; NotFound, or Conflict when several carry it."""
    asked = clean(name_or_uuid)
    # two statements, because SQLite finds no index for an OR of the two
    with_uuid = machine_with_uuid(connection, asked) or machine_with_uuid(connection, asked.lower())
    exact = [with_uuid] if with_uuid is not None else machines_named(connection, asked)
    if not exact:
        raise NotFound(
            _missing("machine instance", name_or_uuid, "/api/v1/machines", _near(connection, asked))
        )
    if len(exact) > 1:
        exact.sort(key=lambda machine: (machine.cloud, machine.uuid))
        them = ", ".join(f"{machine.uuid} on {machine.cloud}" for machine in exact)
        raise Conflict(f"{len(exact)} machine instances are called {name_or_uuid!r}: {them}; ask by uuid")
    return exact[0]


def machines_named(connection: OneConnection, name: str) -> list[MachineInstance]:
    """The machine instances of exactly that name."""
    return [_machine(row) for row in connection.raw.execute(_MACHINES_NAMED, (clean(name),))]


def machine_with_uuid(connection: OneConnection, uuid: str) -> Optional[MachineInstance]:
    """The machine instance of exactly that uuid, if any is shown."""
    found = connection.raw.execute(_MACHINE_WITH_UUID, (uuid,)).fetchone()
    return None if found is None else _machine(found)


def list_machines(
    connection: OneConnection,
    clouds: Sequence[str],
    states: Iterable[MachineState],
    after: Optional[tuple[str, str]],
    limit: Optional[int],
) -> list[MachineInstance]:
    """Machine instances by name and uuid."""
    where = [_SHOWN]
    if clouds:
        where.append(IN(_s.cloud, [clean(cloud) for cloud in clouds]))
    wanted = {MachineState(state) for state in states}
    if len(wanted) == 1:
        where.append(_s.state == wanted.pop().value)
    elif wanted:
        # said the other way round, lest SQLite takes the index by state and has to sort all that it finds
        where.append(NOTIN(_s.state, sorted(state.value for state in set(MachineState) - wanted)))
    if after is not None:
        name, uuid = clean(after[0]), clean(after[1])
        where.append(AND(_s.name >= name, OR(_s.name > name, _s.uuid > uuid)))
    return [_machine(row) for row in _page(connection, _MACHINE_ITEMS, where, [_s.name, _s.uuid], limit)]


def list_cursors(connection: OneConnection) -> dict[str, Optional[str]]:
    """The cursor of every cloud instance."""
    return dict(rows(connection, Select([_c.id, _c.cursor], orderBy=[_c.id])))


def names_to_uuids(connection: OneConnection, cloud: str) -> dict[str, str]:
    """The machine instances a cloud instance reports, shown there or not."""
    return dict(rows(connection, Select([_s.name, _s.uuid], where=_s.cloud == clean(cloud))))


def _page(
    connection: OneConnection,
    items: Sequence[Any],
    where: Sequence[SQLExpression],
    order: Sequence[Any],
    limit: Optional[int],
) -> list[tuple[Any, ...]]:
    if limit is not None and limit <= 0:
        return []
    query = Select(items, orderBy=order, end=limit, staticTables=[])
    return rows(connection, query.newClause(AND(*where)) if where else query)


def rows(connection: OneConnection, query: Select) -> list[tuple[Any, ...]]:
    """What a query finds."""
    found: list[tuple[Any, ...]] = connection.queryAll(connection.sqlrepr(query))
    return found


def _cloud(row: Sequence[Any], policy: MemoryPolicy) -> CloudInstance:
    (name, reachability, maintenance, arch, cpus, memory, live, committed, active, machines, running, tags,
     observed_at, error, since, expires, revision, reason, out_since, notes, override,
     profile) = row  # fmt: skip
    return CloudInstance(
        name=name,
        state=CloudState.MAINTENANCE if maintenance else CloudState(reachability),
        arch=arch,
        cpus=cpus,
        memory_mb=memory,
        reserved_memory_mb=None if memory is None else policy.reserved_mb(memory, override),
        free_memory_mb=None if memory is None else policy.free_mb(memory, committed, active, override),
        live_free_memory_mb=live,
        machines=machines,
        running=running,
        tags=tags_from_text(tags),
        observed_at=time_from_text(observed_at),
        error=error,
        unreachable_since=time_from_text(since),
        certificate_expires_at=time_from_text(expires),
        revision=revision,
        maintenance_reason=reason,
        maintenance_since=time_from_text(out_since),
        notes=notes,
        reserve_override_mb=override,
        profile=profile,
    )


def _machine(row: Sequence[Any]) -> MachineInstance:
    (name, uuid, cloud, state, memory, most, vcpus, autostart, managed, profile, image, tags, notes,
     observed_at, revision, groups) = row  # fmt: skip
    return MachineInstance(
        name=name,
        uuid=uuid,
        cloud=cloud,
        state=MachineState(state),
        memory_mb=memory,
        max_memory_mb=most,
        vcpus=vcpus,
        autostart=bool(autostart),
        managed=bool(managed),
        profile=profile,
        image=image,
        tags=tags_from_text(tags),
        notes=notes,
        observed_at=time_from_text(observed_at),
        revision=revision,
        groups=names_from_text(groups),
    )


def _near(connection: OneConnection, name: str) -> list[str]:
    """Names of machine instances around `name` in their order: comparing it with all 5,000 takes 50 ms."""
    before = Select(
        [_s.name], where=AND(_s.shown == 1, _s.name < name), orderBy=[_s.name], reversed=True, end=_NEIGHBOURS
    )
    behind = Select([_s.name], where=AND(_s.shown == 1, _s.name > name), orderBy=[_s.name], end=_NEIGHBOURS)
    return [row[0] for row in rows(connection, behind) + rows(connection, before)]


def _missing(what: str, name: str, where: str, names: Sequence[str]) -> str:
    shown = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
    text = f"no {what} is called {shown!r}; GET {where} lists them"
    if len(name) > _LONGEST_NAME:
        return text
    # a host name without its domain is what people type, and difflib finds it far from the whole
    longer = [other for other in names if other.startswith(name + ".")]
    near = longer[:1] or difflib.get_close_matches(name, names, n=1)
    return f"{text}; did you mean {near[0]!r}?" if near else text
