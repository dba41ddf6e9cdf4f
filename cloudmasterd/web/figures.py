"""Figures in words and bars, as the pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Optional

from cloudmasterd.model import CloudInstance, CloudState, MachineState, TaskState

BAR_WIDTH = 1000  # units of the bar's own coordinates
UNKNOWN = "unknown"

STATE_KINDS = {
    CloudState.UP: "ok",
    CloudState.NEW: "wait",
    CloudState.MAINTENANCE: "warn",
    CloudState.UNREACHABLE: "bad",
    MachineState.RUNNING: "ok",
    MachineState.PAUSED: "warn",
    MachineState.SHUTTING_DOWN: "warn",
    MachineState.CREATING: "wait",
    MachineState.CRASHED: "bad",
    MachineState.OFF: "off",
    MachineState.UNKNOWN: "off",
}
"""Shape and colour of a state's mark."""

TASK_KINDS = {
    TaskState.WAITING: "wait",
    TaskState.RUNNING: "busy",
    TaskState.DONE: "ok",
    TaskState.FAILED: "bad",
    TaskState.CANCELLED: "off",
}
"""The same for the state of a task."""


@dataclass(frozen=True)
class Bar:
    """A cloud instance's memory: three lengths that sum to BAR_WIDTH, and the same in words."""

    used: int
    reserved: int
    free: int
    label: str
    over: bool = False


def memory(mb: Optional[int]) -> str:
    """Memory for people: 512 MB, 33.8 GB, 64 GB."""
    if mb is None:
        return UNKNOWN
    if abs(mb) < 1024:
        return f"{mb} MB"
    if abs(mb) >= 1024 * 1024:
        return _short(mb / 1048576) + " TB"
    return _short(mb / 1024) + " GB"


def _short(value: float) -> str:
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def age(seconds: float) -> str:
    """A time span in one number: 4 s, 6 min, 3 h, 12 days. live.js counts on in the same words."""
    seconds = max(0, int(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"


def since(moment: datetime, now: datetime) -> str:
    """How long ago a moment was."""
    return age((now - moment).total_seconds())


def until(moment: datetime, now: datetime) -> str:
    """How long it is to a moment, or since: in 12 days, 3 h ago."""
    left = (moment - now).total_seconds()
    return f"in {age(left)}" if left >= 0 else f"{age(-left)} ago"


def iso(moment: datetime) -> str:
    """A moment for a datetime attribute."""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def clock_time(moment: datetime) -> str:
    """A moment for people: 2026-11-22 07:53 UTC."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def count(number: int, one: str, many: str) -> str:
    """A number with its noun: 1 machine, 4 machines."""
    return f"{number:,} {one if number == 1 else many}"


def used_mb(cloud: CloudInstance) -> Optional[int]:
    """What active machine instances hold, overhead included; None while nothing is known."""
    if cloud.memory_mb is None or cloud.free_memory_mb is None:
        return None
    return max(0, cloud.memory_mb - (cloud.reserved_memory_mb or 0) - cloud.free_memory_mb)


def bar(cloud: CloudInstance) -> Optional[Bar]:
    """The bar of a cloud instance; None while nothing is known."""
    used, total = used_mb(cloud), cloud.memory_mb
    if used is None or not total or cloud.free_memory_mb is None:
        return None
    reserved = cloud.reserved_memory_mb or 0
    used_width = min(BAR_WIDTH, round(used * BAR_WIDTH / total))
    reserved_width = min(BAR_WIDTH - used_width, round(reserved * BAR_WIDTH / total))
    label = f"{memory(used)} used by machine instances, {memory(reserved)} reserved, "
    if cloud.free_memory_mb < 0:
        label += f"overcommitted by {memory(-cloud.free_memory_mb)}, of {memory(total)}"
    else:
        label += f"{memory(cloud.free_memory_mb)} free, of {memory(total)}"
    return Bar(
        used_width, reserved_width, BAR_WIDTH - used_width - reserved_width, label, cloud.free_memory_mb < 0
    )


def sentence(text: str) -> str:
    """An error's text as a sentence on a page; empty for an empty text."""
    text = text.strip()
    word = text.split(" ", 1)[0].rstrip(",:;")
    # a name keeps its own letters: Cloud1.example.org is not how it is written
    start = text[:1].upper() if word.isalpha() else text[:1]
    return start + text[1:] + ("" if not text or text.endswith((".", "?", "!")) else ".")
