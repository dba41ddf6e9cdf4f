"""Compare the certificates a minion has of its peers with those it should have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """What one minion has to be told: certificates it lacks or has otherwise, names that are no peers."""

    copy: tuple[str, ...]
    remove: tuple[str, ...]


def plan(minion: str, known: Sequence[Sequence[str]], wanted: Mapping[str, str]) -> Change:
    """Compare what a minion has, [[name, SHA-1], ...], with what it should have, {name: SHA-1}.

    Its own certificate is none of its peers'.
    """
    has = {str(name): str(digest) for name, digest in known}
    copy = tuple(sorted(name for name in wanted if name != minion and has.get(name) != wanted[name]))
    return Change(copy, tuple(sorted(name for name in has if name not in wanted or name == minion)))
