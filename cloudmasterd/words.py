"""Sizes, ages and lists in words, for the texts that explain a decision."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

MAX_LISTED = 8


def sizes(a_mb: int, b_mb: int) -> tuple[str, str, str]:
    """Two sizes and how far they are apart: in GB where that still adds up when rounded, else in MB."""
    exact = (a_mb, b_mb, abs(a_mb - b_mb))
    a, b, apart = (round(size / 1024, 1) for size in exact)
    adds_up = abs(round(a - b, 1)) == apart and (apart > 0) == (a_mb != b_mb)
    if max(a_mb, b_mb) >= 1024 and adds_up:
        return (f"{a:.1f} GB", f"{b:.1f} GB", f"{apart:.1f} GB")
    return (f"{exact[0]} MB", f"{exact[1]} MB", f"{exact[2]} MB")


def gb(size_gb: float) -> str:
    """Rounded down, so that what is too little never reads as enough."""
    return f"{math.floor(size_gb * 10) / 10:.1f}".removesuffix(".0") + " GB"


def names(given: Iterable[str]) -> str:
    """A few names in order, and how many more there are."""
    listed = sorted(given)
    more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
    return (", ".join(listed[:MAX_LISTED]) or "none") + more


def age(span: timedelta) -> str:
    """`45 s`, `6 min`, `3 h`, `2 days`."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"


def moment(at: datetime, now: datetime) -> str:
    """The time of day in UTC, with the day where that is not today."""
    at, now = at.astimezone(timezone.utc), now.astimezone(timezone.utc)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
