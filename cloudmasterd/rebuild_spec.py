"""What a caller wants of the rebuilding of a cloud instance, read out of JSON; every wrong field is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from cloudmasterd.jsonbody import (
    Field,
    WrongError,
    invalid,
    list_of,
    matching,
    need_text,
    read_object,
    text,
    wrong,
)
from cloudmasterd.kernel_options import Metadata, read_metadata

MAX_LOSE = 1000
MAX_REASON = 200

# What the cloud master says itself, so that the cloud instance comes back to this one.
OWN = ("certmaster", "genome_token", "genome_ca", "genome_name", "genome_report")


@dataclass(frozen=True)
class RebuildSpec:
    """`lose` has the names or uuids of the machine instances that may go with what is on it now."""

    profile: Optional[str] = None  # None: the one the configuration says, or that it was installed from
    lose: tuple[str, ...] = ()
    metadata: Mapping[str, Metadata] = field(default_factory=dict, repr=False)
    reason: str = ""


def _machine(value: Any) -> str:
    given = need_text(value, "the name or uuid of a machine instance").strip()
    if not 0 < len(given) <= 255:
        raise wrong("give the name or uuid of a machine instance")
    return given


def _metadata(value: Any) -> Mapping[str, Metadata]:
    found = read_metadata(value)
    taken = [(key, "the cloud master gives this one itself: leave it out") for key in OWN if key in found]
    if taken:
        raise WrongError(*taken)
    return found


_FIELDS = (
    Field(
        "profile", matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "the name of a cobbler profile"), None,
        may_be_null=True,
    ),
    Field("lose", list_of(_machine, MAX_LOSE, unique=True), ()),
    Field("metadata", _metadata, {}),
    Field("reason", text(MAX_REASON), ""),
)  # fmt: skip


def parse_rebuild(body: Any) -> RebuildSpec:
    """Read the JSON body; raises Invalid with every wrong field."""
    try:
        values = read_object(body, _FIELDS)
    except WrongError as exc:
        raise invalid(exc.fields) from exc
    return RebuildSpec(
        profile=values["profile"],
        lose=tuple(values["lose"]),
        metadata=values["metadata"],
        reason=values["reason"],
    )
