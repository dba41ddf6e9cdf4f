"""Where a new machine instance would go, as the create page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from cloudmasterd.placement import Placement, Verdict
from cloudmasterd.web import figures


@dataclass(frozen=True)
class VerdictRow:
    """One cloud instance's verdict; `kind` is chosen, fits or no."""

    cloud: str
    kind: str
    sign: str
    word: str
    reason: str


@dataclass(frozen=True)
class Preview:
    """The answer in one sentence, and the verdict of every cloud instance: the chosen one first."""

    kind: str  # ok, bad or wait
    says: str
    rows: tuple[VerdictRow, ...] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)  # fields that must be right first


NOT_YET = Preview("wait", "Correct the marked fields to see where it would go.")


def preview_of(placement: Placement) -> Preview:
    """The preview of a placement."""
    if not placement.verdicts:
        return Preview("bad", "There is no cloud instance yet.")
    order = sorted(
        placement.verdicts,
        key=lambda v: (v.cloud != placement.chosen, not v.accepted, -(v.left_mb or 0) * v.accepted, v.cloud),
    )
    rows = tuple(_row(verdict, placement.chosen) for verdict in order)
    if placement.chosen is None:
        return Preview("bad", "No cloud instance can take it.", rows)
    return Preview("ok", f"It would go to {placement.chosen}.", rows)


def preview_of_refusals(refusals: Sequence[tuple[str, str]]) -> Preview:
    """The preview that shows why there was no room just now."""
    rows = tuple(VerdictRow(cloud, "no", "✗", "Refused", reason) for cloud, reason in refusals)
    return Preview("bad", "No cloud instance can take it.", rows)


def _row(verdict: Verdict, chosen: Optional[str]) -> VerdictRow:
    if not verdict.accepted:
        return VerdictRow(verdict.cloud, "no", "✗", "Refused", verdict.reason)
    reason = verdict.reason
    if verdict.free_mb is not None and verdict.left_mb is not None:
        reason = f"{figures.memory(verdict.free_mb)} free, {figures.memory(verdict.left_mb)} left after"
    if verdict.cloud == chosen:
        return VerdictRow(verdict.cloud, "chosen", "✓", "Chosen", reason)
    return VerdictRow(verdict.cloud, "fits", "✓", "Would fit", reason)
