"""Which cloud instance takes a machine instance, why the others do not, and what still fits."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.flavors import DEFAULT_FLAVORS, Flavor
from cloudmasterd.model import CloudInstance, CloudState
from cloudmasterd.placement import (
    Candidate,
    Need,
    Placement,
    Policy,
    Verdict,
    capacity,
    no_room_text,
    place,
    stale_limit_s,
)
from cloudmasterd.words import age, gb, names, sizes

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=timezone.utc)
OVERHEAD_MB = 128
MOST_FREE, PACK, SPREAD = Policy.MOST_FREE_MEMORY, Policy.PACK, Policy.SPREAD


def cloud(name: str = "cloud1", free_mb: Any = 8192, **changes: Any) -> Candidate:
    """A cloud instance that is up, has 16 CPUs and just answered; `changes` are of either dataclass."""
    ours = {k: changes.pop(k) for k in list(changes) if k in Candidate.__dataclass_fields__}
    figures = {"arch": "x86_64", "cpus": 16, "memory_mb": 65536, "observed_at": NOW, **changes}
    return Candidate(CloudInstance(name, figures.pop("state", CloudState.UP), **figures), free_mb, **ours)


def put(need: Need, *candidates: Candidate, policy: Policy = MOST_FREE) -> Placement:
    return place(need, candidates, policy, OVERHEAD_MB, now=NOW)


def verdict(need: Need, candidate: Candidate) -> Verdict:
    placement = put(need, candidate)
    (only,) = placement.verdicts
    assert (placement.chosen is not None) == only.accepted
    return only


def test_one_that_fits_says_its_numbers() -> None:
    assert verdict(Need(memory_mb=4096), cloud(free_mb=8192)) == Verdict(
        "cloud1", True, "8.0 GB free, 4.1 GB needed: 3.9 GB left", 8192, 4224, 3968
    )
    assert (
        verdict(Need(memory_mb=16358), cloud(free_mb=34611)).reason
        == "33.8 GB free, 16.1 GB needed: 17.7 GB left"
    )


def test_one_that_is_short_says_by_how_much() -> None:
    told = verdict(Need(memory_mb=16384 - 26), cloud(free_mb=16077))
    assert told == Verdict("cloud1", False, "15.7 GB free, 16.1 GB needed: 0.4 GB short", 16077, 16486, -409)


def test_the_last_mb_counts() -> None:
    assert verdict(Need(memory_mb=1024), cloud(free_mb=1152)).accepted
    told = verdict(Need(memory_mb=1024), cloud(free_mb=1151))
    assert (told.accepted, told.reason) == (False, "1151 MB free, 1152 MB needed: 1 MB short")


def test_what_is_just_enough_is_enough() -> None:
    need = Need(memory_mb=512, vcpus=4, pools={"fast": 20})
    just = cloud(free_mb=640, live_free_memory_mb=640, cpus=4, pools={"fast": 20.0})
    assert verdict(need, just).accepted
    assert not verdict(need, replace(just, cloud=replace(just.cloud, live_free_memory_mb=639))).accepted


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("need", "changes", "reason"),
    [
        ({}, {"state": CloudState.MAINTENANCE}, "in maintenance"),
        (
            {},
            {"state": CloudState.MAINTENANCE, "maintenance_since": NOW - HOUR / 2,
             "maintenance_reason": "kernel update"},
            "in maintenance since 08:30 UTC (kernel update)",
        ),
        (
            {},
            {"state": CloudState.MAINTENANCE, "maintenance_since": NOW - 10 * HOUR},
            "in maintenance since 2026-03-03 23:00 UTC",
        ),
        (
            {},
            {"state": CloudState.UNREACHABLE, "unreachable_since": NOW - timedelta(seconds=370)},
            "has not answered for 6 min",
        ),
        (
            {},
            {"state": CloudState.UNREACHABLE, "observed_at": NOW - HOUR * 50},
            "has not answered for 2 days",
        ),
        ({}, {"state": CloudState.UNREACHABLE, "observed_at": None}, "has not answered yet"),
        ({}, {"state": CloudState.NEW, "free_mb": None, "observed_at": None}, "has not answered yet"),
        ({}, {"free_mb": None}, "has not answered yet"),
        (
            {},
            {"observed_at": NOW - timedelta(seconds=91)},
            "its figures are 1 min old: too old to rely on, refresh it",
        ),
        ({}, {"free_mb": -300}, "overcommitted by 300 MB, 640 MB needed"),
        (
            {},
            {"live_free_memory_mb": 600},
            "its kernel has 600 MB available just now, 640 MB needed: 40 MB short",
        ),
        ({"arch": "x86_64"}, {"arch": "aarch64"}, "arch aarch64, x86_64 wanted"),
        ({"vcpus": 4}, {"cpus": 2}, "2 CPUs, 4 vCPUs wanted"),
        ({"vcpus": 2}, {"cpus": 1}, "1 CPU, 2 vCPUs wanted"),
        (
            {"networks": ("dmz", "lan")},
            {"networks": frozenset({"lan", "default"})},
            "no network 'dmz'; it has default, lan",
        ),
        ({"networks": ("lan",)}, {"networks": frozenset()}, "no network 'lan'; it has none"),
        ({"pools": {"fast": 20}}, {"pools": {"fast": 12.0}}, "pool 'fast' has 12 GB free, 20 GB needed"),
        ({"pools": {"fast": 20}}, {"pools": {"fast": 19.99}}, "pool 'fast' has 19.9 GB free, 20 GB needed"),
        ({"pools": {"fast": 20}}, {"pools": {"slow": 99.0}}, "no pool 'fast'; it has slow"),
        (
            {"pools": {None: 5, "fast": 6}},
            {"pools": {"fast": 10.0}, "default_pool": "fast"},
            "pool 'fast' has 10 GB free, 11 GB needed",
        ),
        ({"pools": {None: 5}}, {"pools": {}}, "no pool for disks"),
        (
            {"volume": "isos/el9.iso"},
            {"isos": frozenset({"isos/el8.iso"})},
            "no volume 'isos/el9.iso'; it has isos/el8.iso",
        ),
        ({"firmware": "uefi"}, {"firmwares": frozenset({"bios"})}, "no firmware 'uefi'; it has bios"),
        (
            {"groups": ("web",)},
            {"groups": frozenset({"web", "db"}), "group_members": {"web": "web1"}},
            "already runs web1 of the anti-affinity group 'web'",
        ),
        (
            {"groups": ("web",)},
            {"groups": frozenset({"web"})},
            "already runs one of the anti-affinity group 'web'",
        ),
        ({"cloud": "cloud2"}, {}, "not the cloud instance asked for"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_decided(need: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    told = verdict(Need(memory_mb=512, **need), cloud(**changes))
    assert (told.accepted, told.reason) == (False, reason)


def test_several_reasons_are_told_together() -> None:
    told = verdict(Need(memory_mb=9000, vcpus=99, arch="s390x"), cloud(free_mb=1000))
    assert told.reason == (
        "1.0 GB free, 8.9 GB needed: 7.9 GB short; arch x86_64, s390x wanted; 16 CPUs, 99 vCPUs wanted"
    )


def test_figures_are_relied_on_up_to_the_limit() -> None:
    old = cloud(observed_at=NOW - timedelta(seconds=200))
    assert place(Need(512), [old], MOST_FREE, 128, now=NOW, stale_after_s=200).chosen == "cloud1"
    assert place(Need(512), [old], MOST_FREE, 128, now=NOW, stale_after_s=199).chosen is None


def test_the_limit_grows_with_the_polling_interval() -> None:
    assert (stale_limit_s(15), stale_limit_s(3600)) == (90, 12600)


def test_a_clock_that_ran_ahead_elsewhere_does_no_harm() -> None:
    assert verdict(Need(512), cloud(observed_at=NOW + HOUR)).accepted
    ahead = cloud(state=CloudState.UNREACHABLE, unreachable_since=NOW + HOUR)
    assert verdict(Need(512), ahead).reason == "has not answered for 0 s"


def test_what_is_not_known_refuses_nothing_and_is_said() -> None:
    need = Need(
        512, networks=("lan",), pools={"fast": 5}, volume="isos/x.iso", firmware="uefi", arch="x86_64"
    )
    told = verdict(need, cloud(cpus=None, arch=None, free_mb=1024))
    assert told.accepted
    assert told.reason == (
        "1.0 GB free, 0.6 GB needed: 0.4 GB left; not known yet: its networks, pools, volumes, firmware"
    )
    assert verdict(Need(512, pools={None: 99}), cloud(pools={"a": 1.0})).accepted, "which one is the default?"


def test_the_most_free_memory_wins_and_ties_go_by_name() -> None:
    clouds = [cloud("c", 4096), cloud("b", 8192), cloud("a", 8192)]
    assert put(Need(512), *clouds).chosen == "a"


def test_pack_takes_the_fullest_that_still_fits() -> None:
    clouds = [cloud("a", 8192), cloud("b", 600), cloud("d", 700), cloud("c", 700)]
    assert put(Need(512), *clouds, policy=PACK).chosen == "c"


def test_spread_takes_the_one_with_the_fewest_active_and_counts_what_is_on_its_way() -> None:
    clouds = [cloud("a", 9000, running=3), cloud("b", 8000, running=1, pending=2), cloud("c", 700, running=2)]
    assert put(Need(512), *clouds, policy=SPREAD).chosen == "c"
    even = [cloud("a", 700, running=1), cloud("b", 900, pending=1)]
    assert put(Need(512), *even, policy=SPREAD).chosen == "b", "equally many: the most free memory"


def test_a_named_cloud_instance_is_the_only_one() -> None:
    placement = put(Need(512, cloud="b"), cloud("a", 9000), cloud("b", 700))
    assert placement.chosen == "b"
    assert placement.refusals == (("a", "not the cloud instance asked for"),)


def test_every_candidate_has_its_verdict_by_name() -> None:
    placement = put(Need(512), cloud("b"), cloud("c", state=CloudState.MAINTENANCE), cloud("a", 5))
    assert [(v.cloud, v.accepted) for v in placement.verdicts] == [("a", False), ("b", True), ("c", False)]


def test_the_text_of_no_room_has_every_reason() -> None:
    need = Need(8192)
    text = no_room_text(need, put(need, cloud("b", 1000), cloud("a", state=CloudState.MAINTENANCE)))
    assert text == (
        "no cloud instance can take a machine instance of 8192 MB: a: in maintenance;"
        " b: 1.0 GB free, 8.1 GB needed: 7.1 GB short"
    )


def test_the_text_of_no_room_speaks_of_the_cloud_instance_asked_for() -> None:
    need = Need(8192, cloud="b")
    assert no_room_text(need, put(need, cloud("a"), cloud("b", 0))) == (
        "b cannot take it: 0.0 GB free, 8.1 GB needed: 8.1 GB short"
    )
    assert no_room_text(need, put(need, cloud("a"))) == "there is no cloud instance 'b'; there are a"
    assert no_room_text(need, put(need)) == "there is no cloud instance yet: enrol one first"


# -- what still fits

SMALL = Flavor("small", 1024, 1, 10)
BIG = Flavor("big", 8192, 8, 10)


def room(flavors: Sequence[Flavor], *candidates: Candidate) -> Any:
    return capacity(flavors, candidates, OVERHEAD_MB, now=NOW)


def test_capacity_counts_each_flavor_alone_on_each_cloud_instance() -> None:
    told = room([SMALL, BIG], cloud("a", 1152 * 3), cloud("b", 1152 * 8), cloud("c", 1151))
    assert [(f.flavor.name, f.total, f.per_cloud) for f in told.flavors] == [
        ("small", 11, {"a": 3, "b": 8, "c": 0}),
        ("big", 1, {"a": 0, "b": 1, "c": 0}),
    ]


def test_capacity_is_bounded_by_cpus_pool_and_live_memory() -> None:
    told = room(
        [BIG], cloud("cpus", 99999, cpus=4), cloud("live", 99999, live_free_memory_mb=8320 * 2),
        cloud("none", 99999, pools={}), cloud("pool", 99999, pools={"p": 39.9}, default_pool="p"),
        cloud("over", -5), cloud("lost", 99999, pools={"p": 99.0}, default_pool="q"),
    )  # fmt: skip
    assert told.flavors[0].per_cloud == {"cpus": 0, "live": 2, "none": 0, "pool": 3, "over": 0, "lost": 0}


def test_what_takes_nothing_now_is_named_with_its_reason() -> None:
    told = room([SMALL], cloud("a"), cloud("b", state=CloudState.MAINTENANCE, active_mb=()))
    assert told.uncounted == {"b": "in maintenance"}
    assert told.flavors[0].per_cloud["b"] == 0


def test_without_the_largest_its_machines_move_first() -> None:
    told = room(
        [SMALL], cloud("a", 1152 * 3), cloud("b", 1152 * 4),
        cloud("c", 1152 * 9, memory_mb=99999, active_mb=(1024, 2048)),
    )  # fmt: skip
    assert (told.largest.cloud, told.largest.machines, told.largest.memory_mb) == ("c", 2, 1152 + 2176)
    assert (told.largest.unplaced, told.largest.unplaced_mb) == (0, 0)
    # 2176 into the smaller gap (1280 left: one small), 1024 into that one too (128 left)
    assert (told.flavors[0].total, told.flavors[0].without_largest) == (16, 4)


def test_the_biggest_moves_first() -> None:
    # of 640, 1280 and 1280 MB; were 640 first, it would take half of the gap of 1280
    told = room(
        [SMALL], cloud("a", 1280), cloud("b", 1920), cloud("c", memory_mb=99999, active_mb=(512, 1152, 1152))
    )
    assert (told.largest.memory_mb, told.largest.unplaced) == (3200, 0)


def test_machines_that_find_no_place_leave_no_capacity_and_are_counted() -> None:
    told = room([SMALL], cloud("a", 4096), cloud("b", 4096, memory_mb=99999, active_mb=(9000, 512, 5000)))
    assert (told.largest.unplaced, told.largest.unplaced_mb) == (2, 9128 + 5128)
    assert told.flavors[0].without_largest == 0


def test_the_largest_may_be_one_in_maintenance_that_still_runs_machines() -> None:
    emptied = cloud("b", 9000, memory_mb=99999, state=CloudState.MAINTENANCE)
    assert room([SMALL], cloud("a"), emptied).largest.cloud == "a"
    assert room([SMALL], cloud("a"), replace(emptied, active_mb=(512,))).largest.cloud == "b"


def test_one_alone_leaves_nothing_and_none_has_no_largest() -> None:
    alone = room([SMALL], cloud("a", 9999))
    assert (alone.flavors[0].total, alone.flavors[0].without_largest) == (8, 0)
    nobody = room([SMALL])
    assert (nobody.flavors[0].total, nobody.flavors[0].without_largest, nobody.largest) == (0, None, None)


def test_capacity_of_200_cloud_instances_takes_a_moment() -> None:
    clouds = [cloud(f"c{n:03}", 40000 + n * 7, active_mb=(512, 1024, 2048) * 30) for n in range(200)]
    began = time.thread_time()  # what others do on this machine meanwhile is not counted
    told = room(DEFAULT_FLAVORS, *clouds)
    assert time.thread_time() - began < 0.5  # about 1 ms
    assert told.flavors[0].total > 10000


# -- words


def test_ages_and_lists_and_gigabytes_in_words() -> None:
    assert [age(timedelta(seconds=s)) for s in (-5, 59, 60, 3599, 3600, 172799, 172800)] == [
        "0 s", "59 s", "1 min", "59 min", "1 h", "47 h", "2 days",
    ]  # fmt: skip
    assert (names([]), names(["b", "a"])) == ("none", "a, b")
    assert names(f"n{n:02}" for n in range(20)) == "n00, n01, n02, n03, n04, n05, n06, n07 and 12 more"
    assert (gb(12), gb(12.09), gb(19.99), gb(0.0)) == ("12 GB", "12 GB", "19.9 GB", "0 GB")


@given(st.integers(0, 1 << 24), st.integers(0, 1 << 24))
def test_sizes_in_words_always_add_up(a_mb: int, b_mb: int) -> None:
    a, b, apart = (re.fullmatch(r"([0-9.]+) ([GM]B)", text) for text in sizes(a_mb, b_mb))
    assert a and b and apart
    assert a[2] == b[2] == apart[2]
    assert round(abs(float(a[1]) - float(b[1])), 1) == float(apart[1])
    assert (float(apart[1]) > 0) == (a_mb != b_mb)


# -- what holds for any cloud

SIZES = st.integers(0, 6000)
NETWORKS = st.none() | st.frozensets(st.sampled_from(["default", "lan"]))
STATES = st.sampled_from([CloudState.UP] * 6 + list(CloudState))


@st.composite
def clouds(draw: Any) -> list[Candidate]:
    return [
        cloud(
            name,
            draw(st.none() | st.integers(-500, 6000) | SIZES),
            state=draw(STATES),
            arch=draw(st.sampled_from(["x86_64", "aarch64", None])),
            cpus=draw(st.none() | st.integers(1, 8)),
            memory_mb=draw(st.sampled_from([4096, 8192])),
            live_free_memory_mb=draw(st.none() | SIZES),
            observed_at=NOW - timedelta(seconds=draw(st.sampled_from([0, 60, 500]))),
            running=draw(st.integers(0, 3)),
            pending=draw(st.integers(0, 2)),
            networks=draw(NETWORKS),
            pools=draw(st.none() | st.dictionaries(st.sampled_from(["p", "q"]), st.floats(0, 60))),
            default_pool=draw(st.sampled_from([None, "p"])),
            groups=draw(st.frozensets(st.sampled_from(["web", "db"]))),
            active_mb=tuple(draw(st.lists(st.integers(64, 3000), max_size=3))),
        )
        for name in draw(st.lists(st.sampled_from("abcdefg"), unique=True))
    ]


NEEDS = st.builds(
    Need,
    memory_mb=st.integers(64, 5000),
    vcpus=st.integers(1, 4),
    arch=st.sampled_from([None, "x86_64"]),
    networks=st.sampled_from([(), ("default",), ("lan", "default")]),
    pools=st.dictionaries(st.sampled_from([None, "p"]), st.integers(0, 40)),
    groups=st.sampled_from([(), ("web",)]),
    cloud=st.sampled_from([None, None, None, "a"]),
)
POLICIES = st.sampled_from(Policy)


@given(NEEDS, clouds(), POLICIES)
def test_the_chosen_one_is_able_and_nobody_able_is_passed_over(
    need: Need, candidates: list[Candidate], policy: Policy
) -> None:
    placement = put(need, *candidates, policy=policy)
    assert [v.cloud for v in placement.verdicts] == sorted(c.cloud.name for c in candidates)
    assert all(v.reason for v in placement.verdicts)
    able = {v.cloud: v for v in placement.verdicts if v.accepted}
    assert (placement.chosen is None) == (not able)
    of = {c.cloud.name: c for c in candidates}
    for name, told in able.items():
        assert told.left_mb is not None and told.left_mb >= 0
        assert told.needed_mb == need.memory_mb + OVERHEAD_MB <= of[name].free_mb
        assert told.needed_mb <= (of[name].cloud.live_free_memory_mb or 1 << 30)
        assert of[name].cloud.state is CloudState.UP
        assert need.cloud in (None, name)
        assert not set(need.groups) & of[name].groups
        assert of[name].networks is None or set(need.networks) <= of[name].networks


@given(NEEDS, clouds(), POLICIES)
def test_a_policy_does_what_its_name_says(need: Need, candidates: list[Candidate], policy: Policy) -> None:
    placement = put(need, *candidates, policy=policy)
    able = [c for c in candidates if any(v.accepted and v.cloud == c.cloud.name for v in placement.verdicts)]
    if not able:
        return
    chosen = next(c for c in able if c.cloud.name == placement.chosen)
    weights = {
        MOST_FREE: lambda c: -c.free_mb,
        PACK: lambda c: c.free_mb,
        SPREAD: lambda c: (c.cloud.running + c.pending, -c.free_mb),
    }
    weight = weights[policy]
    best = min(weight(c) for c in able)
    assert weight(chosen) == best
    assert chosen.cloud.name == min(c.cloud.name for c in able if weight(c) == best)


@given(NEEDS, clouds(), POLICIES, st.randoms())
def test_the_order_of_the_candidates_decides_nothing(
    need: Need, candidates: list[Candidate], policy: Policy, chance: Any
) -> None:
    shuffled = list(candidates)
    chance.shuffle(shuffled)
    assert put(need, *shuffled, policy=policy) == put(need, *candidates, policy=policy)
    assert room([SMALL, BIG], *shuffled) == room([SMALL, BIG], *candidates)


@given(NEEDS, clouds(), st.integers(0, 4000))
def test_more_memory_never_turns_a_yes_into_a_no(
    need: Need, candidates: list[Candidate], more_mb: int
) -> None:
    grown = [grow(c, more_mb) for c in candidates]
    before, after = put(need, *candidates), put(need, *grown)
    for old, new in zip(before.verdicts, after.verdicts):
        assert new.accepted or not old.accepted
    for old, new in zip(room([SMALL, BIG], *candidates).flavors, room([SMALL, BIG], *grown).flavors):
        assert new.total >= old.total


def grow(candidate: Candidate, more_mb: int) -> Candidate:
    live_mb = candidate.cloud.live_free_memory_mb
    figures = replace(candidate.cloud, live_free_memory_mb=None if live_mb is None else live_mb + more_mb)
    free_mb = None if candidate.free_mb is None else candidate.free_mb + more_mb
    return replace(candidate, cloud=figures, free_mb=free_mb)


@given(clouds(), POLICIES, st.sampled_from([SMALL, BIG, Flavor("odd", 333, 2, 7)]))
def test_capacity_is_what_placing_one_by_one_would_reach(
    candidates: list[Candidate], policy: Policy, flavor: Flavor
) -> None:
    need = Need(flavor.memory_mb, flavor.vcpus, pools={None: flavor.disk_gb})
    left = {c.cloud.name: c for c in candidates}
    placed = dict.fromkeys(left, 0)
    while True:
        chosen = put(need, *left.values(), policy=policy).chosen
        if chosen is None:
            break
        placed[chosen] += 1
        left[chosen] = take(left[chosen], flavor)
    (told,) = room([flavor], *candidates).flavors
    assert (told.total, told.per_cloud) == (sum(placed.values()), placed)


def take(candidate: Candidate, flavor: Flavor) -> Candidate:
    smaller = grow(candidate, -flavor.memory_mb - OVERHEAD_MB)
    pools, default = candidate.pools, candidate.default_pool
    if pools is not None and default in pools:
        smaller = replace(smaller, pools={**pools, default: pools[default] - flavor.disk_gb})
    return replace(smaller, pending=smaller.pending + 1)


@given(clouds())
def test_losing_the_largest_never_adds_room_and_nothing_gets_lost(candidates: list[Candidate]) -> None:
    told = room([SMALL, BIG], *candidates)
    for flavor in told.flavors:
        if told.largest is None:
            assert flavor.without_largest is None
        else:
            assert 0 <= flavor.without_largest <= flavor.total - flavor.per_cloud[told.largest.cloud]
    if told.largest is not None:
        gone = next(c for c in candidates if c.cloud.name == told.largest.cloud)
        assert told.largest.memory_mb == sum(gone.active_mb) + OVERHEAD_MB * len(gone.active_mb)
        assert told.largest.unplaced_mb <= told.largest.memory_mb
