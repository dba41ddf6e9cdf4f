"""Choose the cloud instance for a new machine instance, and say of every other why not."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Optional

from cloudmasterd.flavors import Flavor
from cloudmasterd.model import CloudInstance, CloudState
from cloudmasterd.words import age, gb, moment, names, sizes

STALE_AFTER_S = 90.0


class Policy(str, Enum):
    """Which of the cloud instances that can take a machine instance gets it; ties go by name."""

    MOST_FREE_MEMORY = "most-free-memory"  # the one with the most memory free
    PACK = "pack"  # the fullest one that still has the room: others can be emptied
    SPREAD = "spread"  # the one with the fewest active machine instances, then the most memory free


@dataclass(frozen=True)
class Need:
    """What a machine instance needs of a cloud instance. None and empty mean: any will do."""

    memory_mb: int
    vcpus: int = 1
    arch: Optional[str] = None
    networks: tuple[str, ...] = ()
    pools: Mapping[Optional[str], int] = field(default_factory=dict)  # GB in each; None: the default pool
    groups: tuple[str, ...] = ()  # anti-affinity: no two of a group on one cloud instance
    cloud: Optional[str] = None  # the only one wanted
    firmware: Optional[str] = None
    volume: Optional[str] = None  # "pool/name.iso" that must be there
    koan: bool = False  # it is installed from a profile, by koan there


@dataclass(frozen=True)
class Candidate:
    """A cloud instance as placement sees it. None means: not known, so it refuses nothing."""

    cloud: CloudInstance
    free_mb: Optional[int]  # reservations already taken off; None before the first answer
    networks: Optional[frozenset[str]] = None
    pools: Optional[Mapping[str, float]] = None  # GB free in each
    groups: frozenset[str] = frozenset()  # anti-affinity groups that have a machine instance here already
    default_pool: Optional[str] = None
    isos: Optional[frozenset[str]] = None
    firmwares: Optional[frozenset[str]] = None
    koan: Optional[bool] = None
    group_members: Mapping[str, str] = field(default_factory=dict)  # group -> name of its machine here
    active_mb: tuple[int, ...] = ()  # max_memory_mb of each active machine instance; for capacity()
    pending: int = 0  # creations and starts under way; they count as active for `spread`


@dataclass(frozen=True)
class Verdict:
    """Whether a cloud instance can take it, in words and numbers. left_mb is negative when short."""

    cloud: str
    accepted: bool
    reason: str
    free_mb: Optional[int]
    needed_mb: int  # the overhead included
    left_mb: Optional[int]


@dataclass(frozen=True)
class Placement:
    """The choice, and one verdict for every candidate, by name."""

    chosen: Optional[str]
    verdicts: tuple[Verdict, ...]

    @property
    def refusals(self) -> tuple[tuple[str, str], ...]:
        """(cloud instance, reason) of all that were refused: the `fields` of a NoRoom."""
        return tuple((v.cloud, v.reason) for v in self.verdicts if not v.accepted)


@dataclass(frozen=True)
class FlavorRoom:
    """How many more machine instances of a flavor fit."""

    flavor: Flavor
    total: int
    per_cloud: Mapping[str, int]  # every candidate; 0 for one that takes none
    without_largest: Optional[int]  # None when there is no cloud instance to lose


@dataclass(frozen=True)
class Evacuation:
    """What it would take to do without the largest cloud instance: its active machines move first."""

    cloud: str
    machines: int
    memory_mb: int  # the overhead included
    unplaced: int  # machines that would find no place; then without_largest is 0 for every flavor
    unplaced_mb: int


@dataclass(frozen=True)
class Capacity:
    """What still fits."""

    flavors: tuple[FlavorRoom, ...]
    largest: Optional[Evacuation]
    uncounted: Mapping[str, str]  # cloud instances that take nothing now, and why


def stale_limit_s(poll_interval_s: float) -> float:
    """How old figures may be: one that misses three looks in a row is no longer relied on."""
    return max(STALE_AFTER_S, 3.5 * poll_interval_s)


def place(
    need: Need,
    candidates: Sequence[Candidate],
    policy: Policy,
    overhead_mb: int,
    *,
    now: datetime,
    stale_after_s: float = STALE_AFTER_S,
) -> Placement:
    """Judge every candidate and choose one of those that can take it; the same whatever their order.

    `overhead_mb` is what an active machine instance costs besides its own memory. Figures older than
    `stale_after_s` are not relied on.
    """
    ordered = sorted(candidates, key=lambda c: c.cloud.name)
    verdicts = tuple(_judge(need, c, overhead_mb, now, stale_after_s) for c in ordered)
    able = [c for c, verdict in zip(ordered, verdicts) if verdict.accepted]
    chosen = min(able, key=lambda c: _rank(c, policy), default=None)
    return Placement(chosen.cloud.name if chosen else None, verdicts)


def no_room_text(need: Need, placement: Placement) -> str:
    """Why nothing took it, with every cloud instance's verdict: the text of a NoRoom."""
    if not placement.verdicts:
        return "there is no cloud instance yet: enrol one first"
    if need.cloud is not None:
        reasons = {verdict.cloud: verdict.reason for verdict in placement.verdicts}
        if need.cloud not in reasons:
            return f"there is no cloud instance '{need.cloud}'; there are {names(reasons)}"
        return f"{need.cloud} cannot take it: {reasons[need.cloud]}"
    told = "; ".join(f"{cloud}: {reason}" for cloud, reason in placement.refusals)
    return f"no cloud instance can take a machine instance of {need.memory_mb} MB: {told}"


def _rank(candidate: Candidate, policy: Policy) -> tuple[int, int, str]:
    free_mb, name = candidate.free_mb or 0, candidate.cloud.name
    if policy is Policy.PACK:
        return (free_mb, 0, name)
    if policy is Policy.SPREAD:
        return (candidate.cloud.running + candidate.pending, -free_mb, name)
    return (-free_mb, 0, name)


def _judge(
    need: Need, candidate: Candidate, overhead_mb: int, now: datetime, stale_after_s: float
) -> Verdict:
    needed_mb, free_mb = need.memory_mb + overhead_mb, candidate.free_mb
    left_mb = None if free_mb is None else free_mb - needed_mb
    closed = _closed(candidate, now, stale_after_s)
    if need.cloud is not None and need.cloud != candidate.cloud.name:
        against = ["not the cloud instance asked for"]
    elif closed is not None:
        against = [closed]
    else:
        against = [*_short_of_memory(candidate, needed_mb), *_lacking(need, candidate)]
    reason = "; ".join(against) or _fits(need, candidate, needed_mb)
    return Verdict(candidate.cloud.name, not against, reason, free_mb, needed_mb, left_mb)


def _closed(candidate: Candidate, now: datetime, stale_after_s: float) -> Optional[str]:
    """Why a cloud instance takes nothing at all just now, whatever its size."""
    cloud = candidate.cloud
    if cloud.state is CloudState.MAINTENANCE:
        since = f" since {moment(cloud.maintenance_since, now)}" if cloud.maintenance_since else ""
        why = f" ({cloud.maintenance_reason})" if cloud.maintenance_reason else ""
        return f"in maintenance{since}{why}"
    silent_since = cloud.unreachable_since or cloud.observed_at
    if cloud.state is CloudState.UNREACHABLE and silent_since is not None:
        return f"has not answered for {age(now - silent_since)}"
    if cloud.state is not CloudState.UP or candidate.free_mb is None or cloud.observed_at is None:
        return "has not answered yet"
    old = now - cloud.observed_at
    if old.total_seconds() > stale_after_s:
        return f"its figures are {age(old)} old: too old to rely on, refresh it"
    return None


def _short_of_memory(candidate: Candidate, needed_mb: int) -> Iterator[str]:
    free_mb, live_mb = candidate.free_mb or 0, candidate.cloud.live_free_memory_mb
    if free_mb < 0:
        yield f"overcommitted by {-free_mb} MB, {needed_mb} MB needed"
    elif free_mb < needed_mb:
        free, needed, short = sizes(free_mb, needed_mb)
        yield f"{free} free, {needed} needed: {short} short"
    if live_mb is not None and live_mb < needed_mb:
        live, needed, short = sizes(live_mb, needed_mb)
        yield f"its kernel has {live} available just now, {needed} needed: {short} short"


def _lacking(need: Need, candidate: Candidate) -> Iterator[str]:
    """What a cloud instance lacks besides memory; what is not known of it lacks nothing."""
    cloud = candidate.cloud
    if need.arch and cloud.arch and need.arch != cloud.arch:
        yield f"arch {cloud.arch}, {need.arch} wanted"
    if cloud.cpus is not None and need.vcpus > cloud.cpus:
        yield f"{cloud.cpus} {'CPU' if cloud.cpus == 1 else 'CPUs'}, {need.vcpus} vCPUs wanted"
    if need.firmware and candidate.firmwares is not None and need.firmware not in candidate.firmwares:
        yield f"no firmware '{need.firmware}'; it has {names(candidate.firmwares)}"
    if candidate.networks is not None:
        for network in sorted(set(need.networks) - candidate.networks):
            yield f"no network '{network}'; it has {names(candidate.networks)}"
    if candidate.pools is not None:
        yield from _short_of_disk(need.pools, candidate.pools, candidate.default_pool)
    if need.volume and candidate.isos is not None and need.volume not in candidate.isos:
        yield f"no volume '{need.volume}'; it has {names(candidate.isos)}"
    if need.koan and candidate.koan is False:
        yield "no koan, which installs from profiles: install it there"
    for group in sorted(set(need.groups) & candidate.groups):
        yield f"already runs {candidate.group_members.get(group, 'one')} of the anti-affinity group '{group}'"


def _short_of_disk(
    needed: Mapping[Optional[str], int], pools: Mapping[str, float], default: Optional[str]
) -> Iterator[str]:
    total: dict[str, int] = {}
    for wanted, size_gb in needed.items():
        name = default if wanted is None else wanted
        if name is not None:
            total[name] = total.get(name, 0) + size_gb
        elif not pools:
            yield "no pool for disks"
    for name in sorted(total):
        if name not in pools:
            yield f"no pool '{name}'; it has {names(pools)}"
        elif pools[name] < total[name]:
            yield f"pool '{name}' has {gb(pools[name])} free, {total[name]} GB needed"


def _fits(need: Need, candidate: Candidate, needed_mb: int) -> str:
    free_mb = candidate.free_mb or 0
    free, needed, left = sizes(free_mb, needed_mb)
    unknown = [
        word
        for word, asked, known in (
            ("networks", need.networks, candidate.networks),
            ("pools", need.pools, candidate.pools),
            ("volumes", need.volume, candidate.isos),
            ("firmware", need.firmware, candidate.firmwares),
            ("koan", need.koan, candidate.koan),
        )
        if asked and known is None
    ]
    doubt = f"; not known yet: its {', '.join(unknown)}" if unknown else ""
    return f"{free} free, {needed} needed: {left} left{doubt}"


def capacity(
    flavors: Sequence[Flavor],
    candidates: Sequence[Candidate],
    overhead_mb: int,
    *,
    now: datetime,
    stale_after_s: float = STALE_AFTER_S,
) -> Capacity:
    """How many more of each flavor fit, and how many with the largest cloud instance gone.

    A flavor counts alone, with one disk in the default pool. The largest is the one with the most memory
    among those that take machine instances or have active ones; what is active there moves first, biggest
    first, each into the smallest gap that holds it. Where that does not work out, nothing more fits.
    """
    ordered = sorted(candidates, key=lambda c: c.cloud.name)
    closed = {c.cloud.name: _closed(c, now, stale_after_s) for c in ordered}
    uncounted = {name: reason for name, reason in closed.items() if reason is not None}
    rooms = {c.cloud.name: _room_mb(c) for c in ordered if c.cloud.name not in uncounted}
    counts = [_counts(flavor, ordered, rooms, overhead_mb) for flavor in flavors]
    largest = _largest(ordered, rooms)
    if largest is None:
        kept: list[Optional[int]] = [None] * len(counts)
        evacuation = None
    else:
        evacuation, rest = _evacuate(largest, rooms, overhead_mb)
        kept = [
            0 if evacuation.unplaced else sum(_counts(flavor, ordered, rest, overhead_mb).values())
            for flavor in flavors
        ]
    told = tuple(
        FlavorRoom(flavor, sum(per_cloud.values()), per_cloud, without)
        for flavor, per_cloud, without in zip(flavors, counts, kept)
    )
    return Capacity(told, evacuation, uncounted)


def _room_mb(candidate: Candidate) -> int:
    free_mb, live_mb = candidate.free_mb or 0, candidate.cloud.live_free_memory_mb
    return max(0, free_mb if live_mb is None else min(free_mb, live_mb))


def _counts(
    flavor: Flavor, candidates: Sequence[Candidate], rooms: Mapping[str, int], overhead_mb: int
) -> dict[str, int]:
    """How many fit into each; one that is not among the rooms takes none."""
    counts = {}
    for candidate in candidates:
        name, cpus = candidate.cloud.name, candidate.cloud.cpus
        count = rooms.get(name, 0) // (flavor.memory_mb + overhead_mb)
        if cpus is not None and flavor.vcpus > cpus:
            count = 0
        counts[name] = min(count, _disks(flavor.disk_gb, candidate, count))
    return counts


def _disks(size_gb: int, candidate: Candidate, unknown: int) -> int:
    if candidate.pools is None:
        return unknown
    if candidate.default_pool is None:
        return unknown if candidate.pools else 0
    return max(0, int(candidate.pools.get(candidate.default_pool, 0) // size_gb))


def _largest(candidates: Sequence[Candidate], rooms: Mapping[str, int]) -> Optional[Candidate]:
    at_stake = [
        c
        for c in candidates
        if c.cloud.name in rooms or (c.cloud.state is CloudState.MAINTENANCE and c.active_mb)
    ]
    return min(at_stake, key=lambda c: (-(c.cloud.memory_mb or 0), c.cloud.name), default=None)


def _evacuate(
    largest: Candidate, rooms: Mapping[str, int], overhead_mb: int
) -> tuple[Evacuation, dict[str, int]]:
    """Move what is active on the largest elsewhere; also gives the rooms that are left then."""
    gone = largest.cloud.name
    gaps = sorted((room_mb, name) for name, room_mb in rooms.items() if name != gone)
    moving = sorted((memory_mb + overhead_mb for memory_mb in largest.active_mb), reverse=True)
    unplaced = []
    for size in moving:
        at = bisect_left(gaps, (size, ""))
        if at == len(gaps):
            unplaced.append(size)
            continue
        room_mb, name = gaps.pop(at)
        insort(gaps, (room_mb - size, name))
    told = Evacuation(gone, len(moving), sum(moving), len(unplaced), sum(unplaced))
    return told, {name: room_mb for room_mb, name in gaps}
