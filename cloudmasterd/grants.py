"""Decide what a new token may be, and whose credentials may be taken: never more than who asks holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Optional

from cloudmasterd.accounts import ApiToken
from cloudmasterd.errors import Forbidden
from cloudmasterd.rights import Identity, Role, Scope, scope_text


@dataclass(frozen=True)
class Wanted:
    """The rights of a token that is asked for; None: what who asks has of them."""

    role: Role = Role.VIEWER
    scope: Optional[Scope] = None
    expires_at: Optional[datetime] = None


@dataclass(frozen=True)
class Granted:
    """The rights that it gets, beside those of its user: of both the lesser hold."""

    role: Role
    scope: Scope
    expires_at: Optional[datetime]


def grant(asker: Identity, own: Optional[ApiToken], wanted: Wanted) -> Granted:
    """What the token gets; `own` is the one that who asks came with, None for one who signed in.

    Raises Forbidden for a role they do not hold, and for more or longer than their own token is good for.
    """
    if not asker.may(wanted.role):
        has = "none" if asker.role is None else asker.role.value
        raise Forbidden(
            f"a token with the role {wanted.role.value} cannot be made by somebody who has {has}: ask for"
            f" {has} or less"
        )
    if own is None:
        return Granted(wanted.role, wanted.scope or frozenset(), wanted.expires_at)
    scope = own.scope if wanted.scope is None else wanted.scope
    if own.scope and not _within(scope, own.scope):
        raise Forbidden(
            f"the token {own.id} is bound to {scope_text([own.scope])}, and so are those it makes: give a"
            " scope of these tags"
        )
    expires_at = wanted.expires_at or own.expires_at
    if own.expires_at is not None and (expires_at is None or expires_at > own.expires_at):
        raise Forbidden(
            f"the token {own.id} ends at {own.expires_at:%Y-%m-%dT%H:%M:%SZ}, and so do those it makes at the"
            " latest: ask for less time"
        )
    return Granted(wanted.role, scope, expires_at)


def refuse_more(own: Optional[ApiToken], role: Role, scope: Scope, what: str) -> None:
    """Raises Forbidden where somebody who came with a token would take away what can do more than it."""
    if own is not None and not (own.role.includes(role) and (not own.scope or _within(scope, own.scope))):
        raise Forbidden(
            f"{what} can do more than the token {own.id}, which cannot end it: sign in, or send a token that"
            " can do as much"
        )


def _within(scope: Scope, bounds: Scope) -> bool:
    """Whether a scope lets nobody change what `bounds` would not; the empty one lets them change all."""
    return bool(scope) and scope <= bounds
