"""Place machine instances on the cloud instances there are, as the store and the resources tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cloudmasterd import placement
from cloudmasterd.clock import Clock
from cloudmasterd.errors import Invalid, NoRoom
from cloudmasterd.flavors import DEFAULT_FLAVORS, Flavor
from cloudmasterd.model import ACTIVE_STATES, CloudInstance, MachineInstance
from cloudmasterd.operations import ResourceCache
from cloudmasterd.placement import Candidate, Capacity, Placement, Policy
from cloudmasterd.spec import MachineSpec, need_of
from cloudmasterd.store import Store
from cloudmasterd.store.room import Room

RESOURCES_WITHIN_S = 2.0  # what a request waits at most for cloud instances that were never asked


@dataclass(frozen=True)
class Rules:
    """How new machine instances are placed."""

    policy: Policy = Policy.MOST_FREE_MEMORY
    overhead_mb: int = 128
    flavors: Sequence[Flavor] = DEFAULT_FLAVORS
    stale_after_s: float = placement.STALE_AFTER_S  # figures older than this are not relied on


class Placing:
    """What placement, which is pure, needs to be told; thread-safe."""

    def __init__(self, store: Store, resources: ResourceCache, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._resources = resources
        self._clock = clock
        self._rules = rules

    def learn(self) -> None:
        """See to it that networks and pools are known of the cloud instances that are up."""
        self._resources.fill(self._store.tasks.look(Room.names_of_up), within_s=RESOURCES_WITHIN_S)

    def place(self, spec: MachineSpec) -> Placement:
        """Where it would go, and why not elsewhere; changes nothing."""
        self.learn()
        return self._store.tasks.look(lambda room: self._place(room, spec))

    def capacity(self) -> Capacity:
        """How many more of each flavor fit, by what is known now: pages ask, and pages wait for nobody."""
        active: dict[str, list[int]] = {}
        for machine in self._store.list_machines(states=ACTIVE_STATES):
            active.setdefault(machine.cloud, []).append(machine.max_memory_mb)
        candidates = [
            self._candidate(cloud, active_mb=tuple(active.get(cloud.name, ())))
            for cloud in self._store.list_clouds()
        ]
        return placement.capacity(
            self._rules.flavors,
            candidates,
            self._rules.overhead_mb,
            now=self._clock.now(),
            stale_after_s=self._rules.stale_after_s,
        )

    def choose(self, room: Room, spec: MachineSpec) -> str:
        """The cloud instance that takes it; NoRoom with every reason, Invalid for one that is not there."""
        placed = self._place(room, spec)
        if placed.chosen is None:
            if spec.cloud is not None and spec.cloud not in {v.cloud for v in placed.verdicts}:
                text = placement.no_room_text(need_of(spec), placed)
                raise Invalid(text, [("cloud", text)])
            raise NoRoom(placement.no_room_text(need_of(spec), placed), placed.refusals)
        return placed.chosen

    def _place(self, room: Room, spec: MachineSpec) -> Placement:
        candidates = [
            self._candidate(
                cloud,
                members=room.group_members(cloud.name) if spec.groups else {},
                pending=room.pending(cloud.name),
            )
            for cloud in room.clouds
        ]
        return placement.place(
            need_of(spec),
            candidates,
            self._rules.policy,
            self._rules.overhead_mb,
            now=self._clock.now(),
            stale_after_s=self._rules.stale_after_s,
        )

    def _candidate(
        self,
        cloud: CloudInstance,
        *,
        active_mb: tuple[int, ...] = (),
        members: Mapping[str, str] = MappingProxyType({}),
        pending: int = 0,
    ) -> Candidate:
        known = self._resources.peek(cloud.name)
        return Candidate(
            cloud=cloud,
            free_mb=cloud.free_memory_mb,
            networks=None if known is None else frozenset((*known.networks, *known.bridges)),
            pools=None if known is None else {pool.name: pool.free_gb for pool in known.pools},
            groups=frozenset(members),
            default_pool=None if known is None else known.default_pool,
            isos=None if known is None else frozenset(known.isos),
            firmwares=None if known is None else frozenset(known.firmwares),
            koan=None if known is None else known.koan,
            group_members=members,
            active_mb=active_mb,
            pending=pending,
        )

    def refuse_if_full(self, room: Room, machine: MachineInstance) -> None:
        """Raise NoRoom where its cloud instance has not the memory to start it now."""
        cloud = next((cloud for cloud in room.clouds if cloud.name == machine.cloud), None)
        needed = machine.max_memory_mb + self._rules.overhead_mb
        if cloud is None or cloud.free_memory_mb is None or cloud.free_memory_mb >= needed:
            return
        free = max(0, cloud.free_memory_mb)
        reason = f"{free} MB free, {needed} MB needed ({self._rules.overhead_mb} MB of it overhead)"
        raise NoRoom(
            f"{machine.name} does not fit on {cloud.name} now: {reason}; shut another one down there, or give"
            " this one less memory",
            [(cloud.name, reason)],
        )

    def refuse_too_large(self, room: Room, machine: MachineInstance, memory_mb: int) -> None:
        """Raise Invalid where its cloud instance could not start it with that much, even when empty."""
        cloud = next((cloud for cloud in room.clouds if cloud.name == machine.cloud), None)
        if cloud is None or cloud.memory_mb is None:
            return
        most = cloud.memory_mb - (cloud.reserved_memory_mb or 0) - self._rules.overhead_mb
        if memory_mb > most:
            raise Invalid(
                f"{machine.name} with {memory_mb} MB would never start: {cloud.name} has {most} MB for it"
                " when nothing else runs there",
                [("memory_mb", f"at most {most}, what {cloud.name} has")],
            )

    def refuse_too_many(self, room: Room, machine: MachineInstance, vcpus: int) -> None:
        """Raise Invalid where its cloud instance has fewer CPUs; a new one would not go there either."""
        cloud = next((cloud for cloud in room.clouds if cloud.name == machine.cloud), None)
        if cloud is not None and cloud.cpus is not None and vcpus > cloud.cpus:
            raise Invalid(
                f"{machine.name} cannot have {vcpus} vCPUs: {cloud.name} has {cloud.cpus} CPUs",
                [("vcpus", f"at most {cloud.cpus}, the CPUs of {cloud.name}")],
            )
