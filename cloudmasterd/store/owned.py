"""Change what people and tasks say of cloud and machine instances, which no cloud instance could tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Callable, NamedTuple, Optional

from cloudmasterd import acting
from cloudmasterd.errors import Invalid, NotFound, StaleVersion
from cloudmasterd.model import Author, CloudInstance, MachineInstance, MachineState, MemoryPolicy
from cloudmasterd.store import reading
from cloudmasterd.store.events import News, add_events
from cloudmasterd.store.told import cloud_changed, machine_changed
from cloudmasterd.store.values import clean, names_from_text, tags_from_text, time_to_text
from cloudmasterd.store.writer import Unit


class CloudWish(NamedTuple):
    """What is to be said of a cloud instance; None: what was said before."""

    maintenance: Optional[bool]
    maintenance_reason: Optional[str]
    reserve_mb: Optional[int]
    tags: Optional[Mapping[str, str]]
    notes: Optional[str]
    profile: Optional[str] = None


class MachineWish(NamedTuple):
    """What is to be said of a machine instance; None: what was said before."""

    tags: Optional[Mapping[str, str]]
    notes: Optional[str]
    managed: Optional[bool]
    image: Optional[str]
    groups: Optional[Sequence[str]]
    profile: Optional[str] = None


Allow = Callable[[MachineInstance, MachineInstance, Optional[int]], None]
"""Takes a machine instance before and after, and the task that works on it; raises what stands against it."""


class Wishing(NamedTuple):
    """Who wishes something, when, and of which revision; without `by` it is no event."""

    revision: Optional[int]
    at: datetime
    by: Optional[Author]
    allow: Optional[Allow] = None


def change_cloud(
    unit: Unit, name: str, wish: CloudWish, wishing: Wishing, policy: MemoryPolicy
) -> CloudInstance:
    """Carry out a wish and return what became of the cloud instance; NotFound, StaleVersion, Invalid."""
    before = reading.get_cloud(unit.connection, name, policy)
    _refuse_if_stale(name, before.revision, wishing.revision)
    known = unit.raw.execute(
        "SELECT maintenance, maintenance_reason, maintenance_since, reserve_mb, tags, notes, profile"
        " FROM cloud WHERE name = ?",
        (before.name,),
    ).fetchone()
    wanted = _wanted_of_cloud(name, wish, known, wishing.at)
    if wanted == tuple(known):
        return before
    unit.raw.execute(
        "UPDATE cloud SET maintenance = ?, maintenance_reason = ?, maintenance_since = ?, reserve_mb = ?,"
        " tags = ?, notes = ?, profile = ?, revision = ? WHERE name = ?",
        (*wanted, unit.change, before.name),
    )
    unit.changed = True
    after = reading.get_cloud(unit.connection, name, policy)
    if wishing.by is not None:
        _tell(unit, cloud_changed(before, after, wishing.by), wishing.at)
    return after


def change_machine(unit: Unit, uuid: str, wish: MachineWish, wishing: Wishing) -> MachineInstance:
    """Carry out a wish and return what became of the machine instance; NotFound, StaleVersion."""
    asked = clean(uuid).lower()
    reported, busy = reading.machine_with_uuid(unit.connection, asked), _busy(unit, asked)
    if reported is None and busy is None:
        raise NotFound(f"no machine instance has the uuid {uuid!r}; GET /api/v1/machines lists them")
    before = reported or _on_its_way(unit, asked)
    known = unit.raw.execute(
        "SELECT managed, image, tags, notes, anti_affinity, profile, revision FROM machine WHERE uuid = ?",
        (asked,),
    ).fetchone() or (0, None, "{}", "", "[]", None, 0)
    _refuse_if_stale(reported.name if reported else uuid, known[6], wishing.revision)
    wanted = _wanted_of_machine(wish, known)
    if wanted != tuple(known[:6]):
        unit.raw.execute(
            "INSERT INTO machine (uuid, managed, image, tags, notes, anti_affinity, profile, revision)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (uuid) DO UPDATE SET managed = ?2,"
            " image = ?3, tags = ?4, notes = ?5, anti_affinity = ?6, profile = ?7, revision = ?8",
            (asked, *wanted, unit.change),
        )
        unit.changed = True
    after = reading.machine_with_uuid(unit.connection, asked) or _on_its_way(unit, asked)
    if wishing.allow is not None:
        wishing.allow(before, after, busy)
    if wishing.by is not None and reported is not None:
        _tell(unit, machine_changed(reported, after, wishing.by), wishing.at)
    return after


def _tell(unit: Unit, news: Optional[News], at: datetime) -> None:
    if news is not None:
        acting.tell(changed=news.text)
        add_events(unit, [news], at)


def _wanted_of_cloud(name: str, wish: CloudWish, known: Sequence[Any], at: datetime) -> tuple[Any, ...]:
    maintenance, reason, since, reserve_mb, tags, notes, profile = known
    if wish.maintenance is not None:
        if bool(maintenance) != wish.maintenance:
            reason, since = "", time_to_text(at) if wish.maintenance else None
        maintenance = int(wish.maintenance)
    if wish.maintenance_reason is not None:
        if wish.maintenance_reason and not maintenance:
            right = "only together with maintenance, or while it is in maintenance"
            raise Invalid(
                f"{name} is not in maintenance, so there is no reason for it to note",
                [("maintenance_reason", right)],
            )
        reason = clean(wish.maintenance_reason)
    if wish.reserve_mb is not None:
        reserve_mb = wish.reserve_mb if wish.reserve_mb >= 0 else None
    return (
        maintenance,
        reason,
        since,
        reserve_mb,
        tags if wish.tags is None else _tags_text(tags, wish.tags),
        notes if wish.notes is None else clean(wish.notes),
        profile if wish.profile is None else clean(wish.profile),
    )


def _wanted_of_machine(wish: MachineWish, known: Sequence[Any]) -> tuple[Any, ...]:
    managed, image, tags, notes, groups, profile, _ = known
    return (
        managed if wish.managed is None else int(wish.managed),
        image if wish.image is None else clean(wish.image),
        tags if wish.tags is None else _tags_text(tags, wish.tags),
        notes if wish.notes is None else clean(wish.notes),
        groups if wish.groups is None else _names_text(groups, wish.groups),
        profile if wish.profile is None else clean(wish.profile),
    )


def _refuse_if_stale(name: str, now: int, expected: Optional[int]) -> None:
    if expected is not None and now != expected:
        raise StaleVersion(f"{name} has changed since you read it: read it again, and then decide again")


def _busy(unit: Unit, uuid: str) -> Optional[int]:
    """The unfinished task that works on it, if any."""
    found = unit.raw.execute("SELECT id FROM task WHERE machine = ? AND ended_at IS NULL", (uuid,)).fetchone()
    return None if found is None else int(found[0])


def _on_its_way(unit: Unit, uuid: str) -> MachineInstance:
    """The machine instance as its task and what was written about it describe it."""
    name, cloud, memory, managed, image, tags, notes, groups, profile, revision = unit.raw.execute(
        "SELECT t.machine_name, t.cloud, r.memory_mb, m.managed, m.image, m.tags, m.notes, m.anti_affinity,"
        " m.profile, m.revision FROM task t LEFT JOIN reservation r ON r.task = t.id"
        " LEFT JOIN machine m ON m.uuid = t.machine WHERE t.machine = ? AND t.ended_at IS NULL",
        (uuid,),
    ).fetchone()
    return MachineInstance(
        name=name or uuid,
        uuid=uuid,
        cloud=cloud or "",
        state=MachineState.CREATING,
        memory_mb=memory or 0,
        max_memory_mb=memory or 0,
        vcpus=0,
        managed=bool(managed),
        profile=profile,
        image=image,
        tags=tags_from_text(tags or "{}"),
        notes=notes or "",
        revision=revision or 0,
        groups=names_from_text(groups or "[]"),
    )


def _tags_text(known: str, tags: Mapping[str, str]) -> str:
    wanted = {clean(key): clean(value) for key, value in tags.items()}
    return known if tags_from_text(known) == wanted else json.dumps(wanted)


def _names_text(known: str, names: Sequence[str]) -> str:
    wanted = tuple(dict.fromkeys(clean(name) for name in names))
    return known if names_from_text(known) == wanted else json.dumps(wanted)
