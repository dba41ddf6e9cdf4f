"""Tell in words, without a database, how what was shown of machine instances differs from what is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Optional
from urllib.parse import quote

from cloudmasterd.acting import OBSERVED, Deed
from cloudmasterd.store.choose import Sighting
from cloudmasterd.store.events import News
from cloudmasterd.store.reconcile import Contest, Plan

MOST_DEEDS = 50  # on the audit record, of one cloud instance at one time; the events tell of each

_FIELDS = ("name", "state", "memory_mb", "max_memory_mb", "vcpus", "autostart")


def drift(
    plan: Plan,
    present: Mapping[str, Mapping[str, Sighting]],
    first: Collection[str],
    was_on: Mapping[str, str],
) -> Iterator[News]:
    """The news in a plan, at most two for each machine instance.

    `present` are the sightings there were of each cloud instance that spoke; `first` the cloud instances that
    speak for the first time, whose machine instances are no news; `was_on` where those were last that had
    vanished before.
    """
    for row in plan.appeared:
        if row.cloud not in first:
            yield _appeared(row, was_on)
    for row in plan.changed:
        yield from _changed(present[row.cloud][row.uuid], row)
    for contest in plan.contests:
        yield from _contested(contest, first, was_on)


def appeared(plan: Plan, first: Collection[str]) -> list[str]:
    """The uuids that nobody reported before, without those of cloud instances in `first`."""
    new = [*plan.appeared, *(contest.after for contest in plan.contests if contest.before is None)]
    return [row.uuid for row in new if row is not None and row.cloud not in first]


def deeds_of_others(news: Iterable[News]) -> Iterator[Deed]:
    """What others did to machine instances, as the audit record has it: news that no task of ours explains.

    Of each cloud instance MOST_DEEDS are told one by one, and how many more there were.
    """
    seen: Counter[str] = Counter()
    for each in news:
        if each.task is not None or each.cloud is None:
            continue
        seen[each.cloud] += 1
        if seen[each.cloud] <= MOST_DEEDS:
            target = f"/api/v1/machines/{quote(each.machine_name or each.machine or '', safe='')}"
            yield Deed(each.cloud, each.kind, target, OBSERVED, detail={"changed": each.text})
    for cloud, count in seen.items():
        if count > MOST_DEEDS:
            more = {"more": count - MOST_DEEDS}
            yield Deed(cloud, "machine.changed", f"/api/v1/clouds/{quote(cloud)}", OBSERVED, detail=more)


def _contested(contest: Contest, first: Collection[str], was_on: Mapping[str, str]) -> Iterator[News]:
    before, after = contest.before, contest.after
    if after is None:
        if before is not None:
            yield _news("vanished", before, f"{before.name} is not on {before.cloud} any more")
        return
    if before is None:
        if after.cloud not in first:
            yield _appeared(after, was_on)
    elif before.cloud == after.cloud:
        yield from _changed(before, after)
    elif after.cloud not in first:
        yield _moved(after, before.cloud, _differences(before, after))
    if len(contest.rivals) > max(1, contest.rivals_before):
        places = ", ".join(f"{cloud} ({state})" for cloud, state in sorted(contest.rivals))
        text = f"{after.name} is on {len(contest.rivals)} cloud instances: {places}"
        yield _news("doubled", after, text)


def _appeared(row: Sighting, was_on: Mapping[str, str]) -> News:
    # asked in the order source, destination, a machine instance that moves is nowhere for a moment
    before = was_on.get(row.uuid)
    if before is not None and before != row.cloud:
        return _moved(row, before, "")
    again = " again" if before is not None else ""
    return _news("appeared", row, f"{row.name} is on {row.cloud}{again} ({row.state})")


def _moved(row: Sighting, source: str, differences: str) -> News:
    text = f"{row.name} is on {row.cloud}, it was on {source}"
    return _news("moved", row, f"{text}; {differences}" if differences else text)


def _changed(before: Sighting, after: Sighting) -> Iterator[News]:
    differences = _differences(before, after)
    if differences:
        yield _news("changed", after, f"{before.name} on {after.cloud}: {differences}")


def _differences(before: Sighting, after: Sighting) -> str:
    pairs = ((field, getattr(before, field), getattr(after, field)) for field in _FIELDS)
    return ", ".join(
        f"{field} {_shown(field, old)} -> {_shown(field, new)}" for field, old, new in pairs if old != new
    )


def _shown(field: str, value: object) -> str:
    return ("off", "on")[bool(value)] if field == "autostart" else str(value)


def _news(what: str, row: Sighting, text: str, task: Optional[int] = None) -> News:
    return News(f"machine.{what}", text, row.cloud, row.uuid, row.name, task)
