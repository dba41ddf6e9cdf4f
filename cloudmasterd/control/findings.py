"""One line of a check, and the pure judgements that make figures into lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Optional

SOON = timedelta(days=30)
SKEW_WARN_S, SKEW_FAULT_S = 5.0, 60.0
ROOM_WARN, ROOM_FAULT = 2**30, 100 * 2**20


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAULT = "FAULT"


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen, and what to do about it where it is not well."""

    level: Level
    what: str
    seen: str
    remedy: str = ""

    def lines(self) -> list[str]:
        """As an administrator reads it."""
        first = f"{self.level.value:<5}  {self.what}: {self.seen}"
        return [first] if not self.remedy else [first, f"       -> {self.remedy}"]

    def to_dict(self) -> dict[str, Any]:
        """The same for scripts."""
        return {"level": self.level.value, "what": self.what, "seen": self.seen, "remedy": self.remedy}


def ok(what: str, seen: str) -> Finding:
    """It is well."""
    return Finding(Level.OK, what, seen)


def warn(what: str, seen: str, remedy: str) -> Finding:
    """It works, and may not for long."""
    return Finding(Level.WARN, what, seen, remedy)


def fault(what: str, seen: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAULT, what, seen, remedy)


def judge_end(what: str, end: Optional[datetime], now: datetime, remedy: str) -> Finding:
    """A certificate by its end."""
    if end is None:
        return fault(what, "it cannot be read as a certificate", remedy)
    if end <= now:
        return fault(what, f"ended on {end.date()}", remedy)
    days = (end - now).days
    if end - now < SOON:
        return warn(what, f"ends on {end.date()}, in {days} days", remedy)
    return ok(what, f"good for {days} days")


def skew_s(before: datetime, theirs: float, after: datetime) -> float:
    """How far a clock is off, at least: 0 where it told a time between the question and the answer.

    Positive is ahead of ours.
    """
    if theirs < before.timestamp():
        return theirs - before.timestamp()
    return max(0.0, theirs - after.timestamp())


def judge_skew(cloud: str, skew: float) -> Finding:
    """A clock by how far it is off."""
    what = f"clock of {cloud}"
    off = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    remedy = f"on both machines: systemctl enable --now chronyd; chronyc tracking ({cloud} and here)"
    if abs(skew) >= SKEW_FAULT_S:
        return fault(what, f"{off}: certificates may not be accepted", remedy)
    if abs(skew) >= SKEW_WARN_S:
        return warn(what, off, remedy)
    return ok(what, "agrees with this machine's")


def judge_room(what: str, path: Path, free: int, total: int) -> Finding:
    """A file system by the room that is left."""
    seen = f"{free / 2**30:.1f} GB of {total / 2**30:.1f} free for {path}"
    remedy = f"make room on the file system of {path} (df -h {path})"
    if free < ROOM_FAULT:
        return fault(what, seen, remedy)
    return warn(what, seen, remedy) if free < ROOM_WARN else ok(what, seen)


def judge_mode(path: Path, mode: int, forbidden: int, who: str) -> Optional[Finding]:
    """A file whose mode lets others do what they must not; None where it does not."""
    if not mode & forbidden:
        return None
    right = mode & ~forbidden & 0o777
    return fault("permissions", f"{path} has mode {mode & 0o777:04o}: {who}", f"chmod {right:04o} {path}")


def worst(findings: Sequence[Finding]) -> Level:
    """The worst of them."""
    found = {finding.level for finding in findings}
    return next((level for level in (Level.FAULT, Level.WARN) if level in found), Level.OK)
