"""Work out, without a database, what an answer of cloud instances changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from cloudmasterd.model import Inventory, ObservedMachine
from cloudmasterd.store.choose import ACTIVE, Sighting, choose
from cloudmasterd.store.values import clean


@dataclass(frozen=True)
class Difference:
    """What one inventory changes among the sightings of its cloud instance.

    `contested` are the uuids whose shown sighting may now be another one.
    """

    appeared: tuple[Sighting, ...] = ()
    changed: tuple[Sighting, ...] = ()
    gone: tuple[Sighting, ...] = ()
    contested: frozenset[str] = frozenset()


class Contest(NamedTuple):
    """How the contest for a machine instance stood and how it ended; None: it is not shown.

    `rivals` are the (cloud instance, state) of all its sightings now, of which there were `rivals_before`.
    """

    before: Optional[Sighting]
    after: Optional[Sighting]
    rivals_before: int
    rivals: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """The writes that take the database from the known sightings to the reported ones.

    To be done in the order of the fields, which never shows a machine instance twice nor lacks a row that
    another refers to. The last three are no writes, they say what is new: each machine instance that changes
    is in one of them.
    """

    hide: list[int] = field(default_factory=list)
    delete: list[int] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)  # uuids whose shown facts are new
    update: list[Sighting] = field(default_factory=list)
    insert: list[Sighting] = field(default_factory=list)
    show: list[int] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)  # uuids that nobody reports any more
    clouds: set[str] = field(default_factory=set)  # whose sums have to be made anew
    appeared: list[Sighting] = field(default_factory=list)  # one sighting where there was none
    changed: list[Sighting] = field(default_factory=list)  # shown before and after
    contests: list[Contest] = field(default_factory=list)


def difference(
    cloud: str, present: Mapping[str, Sighting], inventory: Inventory, appeared: int
) -> Difference:
    """Compare an inventory with the sightings that are present of its cloud instance.

    What a delta says of an unknown uuid is taken as it stands: a machine appears, a gone one is no news. A
    uuid that is both listed and gone is there.
    """
    new: list[Sighting] = []
    changed: list[Sighting] = []
    contested: set[str] = set()
    listed = {machine.uuid: machine for machine in inventory.machines}
    for raw_uuid, machine in listed.items():
        uuid = clean(raw_uuid)
        facts = _facts(machine)
        row = present.get(uuid)
        if row is None:
            new.append(Sighting(None, cloud, uuid, *facts, appeared, 1))
            contested.add(uuid)
        elif row[3:9] != facts:
            changed.append(Sighting(row.id, cloud, uuid, *facts, row.appeared, row.shown))
            if (row.state in ACTIVE) != (facts[1] in ACTIVE):
                contested.add(uuid)
    missing = present.keys() if inventory.full else map(clean, inventory.gone)
    stays = {clean(uuid) for uuid in listed}
    gone = tuple(present[uuid] for uuid in dict.fromkeys(missing) if uuid in present and uuid not in stays)
    contested.update(row.uuid for row in gone)
    return Difference(tuple(new), tuple(changed), gone, frozenset(contested))


def settle(
    differences: Iterable[Difference],
    known: Mapping[str, Sequence[Sighting]],
    recontested: Collection[str],
    up: Collection[str],
) -> Plan:
    """Decide what is shown and turn it all into writes.

    `known` holds all sightings, of every cloud instance, that the database has of the contested uuids, and
    `recontested` the uuids of cloud instances that stopped or began to answer; `up` those that answer now.
    """
    plan = Plan()
    after: dict[str, dict[str, Sighting]] = {uuid: {} for uuid in recontested}
    merged = list(differences)
    for found in merged:
        for uuid in found.contested:
            after.setdefault(uuid, {})
    for uuid, rivals in after.items():
        rivals.update((row.cloud, row) for row in known.get(uuid, ()))
    for found in merged:
        for row in found.gone:
            plan.delete.append(_id(row))
            plan.clouds.add(row.cloud)
            after[row.uuid].pop(row.cloud, None)
        for row in found.changed + found.appeared:
            plan.clouds.add(row.cloud)
            if row.uuid in after:
                after[row.uuid][row.cloud] = row
            else:
                plan.update.append(row)
                if row.shown:
                    plan.touched.append(row.uuid)
                    plan.changed.append(row)
    changed = {row.id for found in merged for row in found.changed}
    for uuid, rivals in after.items():
        _settle_one(plan, uuid, list(rivals.values()), known.get(uuid, ()), up, changed)
    return plan


def _settle_one(
    plan: Plan,
    uuid: str,
    rivals: list[Sighting],
    known: Sequence[Sighting],
    up: Collection[str],
    changed: Collection[Optional[int]],
) -> None:
    if not known and len(rivals) == 1:  # a first round is made of these
        plan.touched.append(uuid)
        plan.insert.append(rivals[0])
        plan.appeared.append(rivals[0])
        return
    before = next((row for row in known if row.shown), None)
    winner = choose(rivals, up) if rivals else None
    plan.contests.append(Contest(before, winner, len(known), [(row.cloud, row.state) for row in rivals]))
    if winner is None:
        plan.vanished.append(uuid)
        return
    moved = before is None or before.cloud != winner.cloud
    if moved or winner.id in changed:
        plan.touched.append(uuid)
    if moved:
        plan.clouds.add(winner.cloud)
    if moved and before is not None:
        plan.clouds.add(before.cloud)
        if any(row.id == before.id for row in rivals):
            plan.hide.append(_id(before))
    for row in rivals:
        shown = int(row is winner)
        final = row if row.shown == shown else row._replace(shown=shown)
        if row.id is None:
            plan.insert.append(final)
        elif row.id in changed:
            plan.update.append(final)
        elif row is winner and moved:
            plan.show.append(row.id)


def _facts(machine: ObservedMachine) -> tuple[str, str, int, int, int, int]:
    return (
        clean(machine.name),
        machine.state.value,
        machine.memory_mb,
        machine.max_memory_mb,
        machine.vcpus,
        int(machine.autostart),
    )


def _id(row: Sighting) -> int:
    assert row.id is not None, f"{row} is not in the database"
    return row.id
