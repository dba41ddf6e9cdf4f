"""Choose which sighting of a machine instance is the one to show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Optional

from cloudmasterd.model import ACTIVE_STATES

ACTIVE = frozenset(state.value for state in ACTIVE_STATES)


class Sighting(NamedTuple):
    """A machine instance as one cloud instance reports it. `id` is None until it is in the database."""

    id: Optional[int]
    cloud: str
    uuid: str
    name: str
    state: str
    memory_mb: int
    max_memory_mb: int
    vcpus: int
    autostart: int
    appeared: int
    shown: int


def choose(sightings: Sequence[Sighting], up: Collection[str]) -> Sighting:
    """The one of at least one sighting of a machine instance to show; `up` are the clouds that answer.

    Active beats inactive: a migration may leave the definition behind, switched off. Then a cloud instance
    that answers beats one that does not, whose word is old. Then the latest to appear: a machine instance
    comes to the cloud instance it moves to. The cloud's name decides between two of one batch, so that the
    order of the answers never does.
    """
    return max(sightings, key=lambda s: (s.state in ACTIVE, s.cloud in up, s.appeared, s.cloud))
