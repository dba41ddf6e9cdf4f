"""What a person should look at: unreachable, overcommitted, and certificates about to end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Optional

from cloudmasterd.model import CloudInstance, CloudState
from cloudmasterd.web import figures

CERTIFICATE_WARNING = timedelta(days=30)


@dataclass(frozen=True)
class Note:
    """One thing to look at: which cloud instance, since or until when, what it means, what to check."""

    cloud: str
    kind: str  # "bad" or "warn", the mark it gets
    says: str  # follows the cloud instance's name
    moment: Optional[datetime]
    detail: str
    checks: tuple[str, ...] = ()


def notes(clouds: Iterable[CloudInstance], now: datetime) -> list[Note]:
    """All notes, the worst first."""
    found = [note for cloud in clouds for note in notes_of(cloud, now)]
    return sorted(found, key=lambda note: (note.kind != "bad", note.cloud))


def notes_of(cloud: CloudInstance, now: datetime) -> list[Note]:
    """The notes on one cloud instance."""
    found = []
    if cloud.state is CloudState.UNREACHABLE:
        found.append(_unreachable(cloud))
    if cloud.free_memory_mb is not None and cloud.free_memory_mb < 0:
        found.append(_overcommitted(cloud, -cloud.free_memory_mb))
    ends = cloud.certificate_expires_at
    if ends is not None and ends - now < CERTIFICATE_WARNING:
        found.append(_certificate(cloud, ends, now))
    return found


def _unreachable(cloud: CloudInstance) -> Note:
    detail = figures.sentence(cloud.error or "no reason is known") + " "
    if cloud.machines:
        machines = figures.count(cloud.machines, "machine instance is", "machine instances are")
        detail += f"Its {machines} shown as last seen and may well be running."
    else:
        detail += "No machine instance was seen on it."
    return Note(
        cloud=cloud.name,
        kind="bad",
        says="has not answered for" if cloud.unreachable_since else "does not answer",
        moment=cloud.unreachable_since,
        detail=detail,
        checks=(
            f"Is it switched on, and does “ping {cloud.name}” from the cloud master get through?",
            "Does its minion run? On it: “systemctl status funcd”. Its log says why it refuses a call.",
            "Is its port 51234 open to the cloud master, in its firewall and on the way?",
            f"Does Func itself get through? On the cloud master: “func {cloud.name} ping”.",
        ),
    )


def _overcommitted(cloud: CloudInstance, over_mb: int) -> Note:
    return Note(
        cloud=cloud.name,
        kind="warn",
        says=f"is overcommitted by {figures.memory(over_mb)}",
        moment=None,
        detail="Its active machine instances may grow beyond its memory. Stop one, or lower a maximum.",
    )


def _certificate(cloud: CloudInstance, ends: datetime, now: datetime) -> Note:
    over = ends <= now
    return Note(
        cloud=cloud.name,
        kind="bad" if over else "warn",
        says="has a certificate that ended" if over else "has a certificate that ends soon",
        moment=None,
        detail=f"It {'ended' if over else 'ends'} {figures.until(ends, now)}, {figures.clock_time(ends)}. "
        f"To renew it: “certmaster-ca --clean {cloud.name}” on the cloud master, then remove its files in "
        "/etc/pki/certmaster on the cloud instance and restart funcd there.",
    )
