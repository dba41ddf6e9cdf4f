"""Compare the certificates a minion has of its peers with those it should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from func.errors import BadReply


@dataclass(frozen=True)
class Change:
    """What one minion has to be told: certificates it lacks or has otherwise, names that are no peers."""

    copy: tuple[str, ...]
    remove: tuple[str, ...]


def plan(minion: str, known: Any, wanted: Mapping[str, str]) -> Change:
    """Compare what a minion has, [[name, SHA-1], ...], with what it should have, {name: SHA-1}.

    Its own certificate is none of its peers'. Raises BadReply where `known` is no such list.
    """
    if not (isinstance(known, list) and all(_is_pair(one) for one in known)):
        raise BadReply(f"it answered {known!r:.80} where its peers and their checksums should be")
    has: dict[str, str] = dict(known)
    copy = tuple(sorted(name for name in wanted if name != minion and has.get(name) != wanted[name]))
    return Change(copy, tuple(sorted(name for name in has if name not in wanted or name == minion)))


def _is_pair(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one)
