"""Hold what somebody wants to change against the tags they are bound to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudmasterd.errors import Forbidden
from cloudmasterd.rights import Scope, covers, scope_text

Scopes = Sequence[Scope]


def refuse_outside(scopes: Scopes, tags: Mapping[str, str], name: str) -> None:
    """Raises Forbidden unless a machine instance with these tags may be changed."""
    if not covers(scopes, tags):
        raise Forbidden(
            f"{name} carries {_shown(tags)}, and your rights are bound to {scope_text(scopes)}: ask somebody"
            " with rights to it"
        )


def refuse_leaving(scopes: Scopes, tags: Mapping[str, str], name: str) -> None:
    """Raises Forbidden unless a machine instance may be given these tags."""
    if not covers(scopes, tags):
        raise Forbidden(
            f"{name} would carry {_shown(tags)}, and your rights are bound to {scope_text(scopes)}: let it"
            f" keep {_takes(scopes)}"
        )


def refuse_new(scopes: Scopes, tags: Mapping[str, str], name: str) -> None:
    """Raises Forbidden unless a machine instance may be made with these tags."""
    if not covers(scopes, tags):
        raise Forbidden(
            f"{name} would carry {_shown(tags)}, and your rights are bound to {scope_text(scopes)}: give it"
            f" {_takes(scopes)}"
        )


def refuse_bound(scopes: Scopes, what: str) -> None:
    """Raises Forbidden to who is bound to tags at all: what is to be changed carries none."""
    if scopes:
        raise Forbidden(
            f"{what} carries no tags, and your rights are bound to {scope_text(scopes)}: ask somebody whose"
            " rights are not bound to tags"
        )


def _takes(scopes: Scopes) -> str:
    """The tags that are called for, for people."""
    singular = all(len(scope) == 1 for scope in scopes) and len(set(scopes)) == 1
    return f"the tag{'' if singular else 's'} {scope_text(scopes)}"


def _shown(tags: Mapping[str, str]) -> str:
    """Tags for people, not all of very many."""
    pairs = [f"{key}={value}" for key, value in sorted(tags.items())]
    more = [f"{len(pairs) - 8} more"] if len(pairs) > 8 else []
    return ", ".join([*pairs[:8], *more])[:400] or "no tags"
