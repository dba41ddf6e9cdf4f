"""Say in words what somebody changed about a cloud or machine instance, for the events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Optional

from cloudmasterd.model import Author, CloudInstance, MachineInstance
from cloudmasterd.store.events import News

_LONGEST = 80  # of a value in the text


def cloud_changed(before: CloudInstance, after: CloudInstance, by: Author) -> Optional[News]:
    """The event of a change; None where nothing worth telling is other than it was."""
    found = [
        *_switched("maintenance", before.maintenance_since is not None, after.maintenance_since is not None),
        *_value("the reason", before.maintenance_reason, after.maintenance_reason),
        *_value("the reserve", _mb(before.reserve_override_mb), _mb(after.reserve_override_mb)),
        *_tags(before.tags, after.tags),
        *_notes(before.notes, after.notes),
    ]
    text = f"{by.name} changed {after.name}: {'; '.join(found)}"
    return News("cloud.changed", text, after.name, task=by.task) if found else None


def machine_changed(before: MachineInstance, after: MachineInstance, by: Author) -> Optional[News]:
    """The same of a machine instance."""
    found = [
        *_switched("managed here", before.managed, after.managed),
        *_tags(before.tags, after.tags),
        *_notes(before.notes, after.notes),
    ]
    text = f"{by.name} changed {after.name}: {'; '.join(found)}"
    where = after.cloud or None
    return News("machine.changed", text, where, after.uuid, after.name, by.task) if found else None


def _switched(what: str, before: bool, after: bool) -> Iterator[str]:
    if before != after:
        yield f"{what} {('off', 'on')[before]} -> {('off', 'on')[after]}"


def _value(what: str, before: str, after: str) -> Iterator[str]:
    if before != after:
        yield f"{what} {_shown(before)} -> {_shown(after)}"


def _tags(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*before, *after}):
        yield from _value(f"tag {key}", before.get(key, ""), after.get(key, ""))


def _notes(before: str, after: str) -> Iterator[str]:
    if before != after:
        yield "its notes"  # pages of text: what they say now is where they are


def _mb(reserve_mb: Optional[int]) -> str:
    return "by the configuration" if reserve_mb is None else f"{reserve_mb} MB"


def _shown(value: str) -> str:
    text = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
    return text or "none"
