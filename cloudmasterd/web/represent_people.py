"""Shapes of users, tokens and sessions that scripts rely on; no secret is in any of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Optional

from cloudmasterd.accounts import ApiToken, Session, User, user_object
from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.times import time_text

USER_FIELDS = (
    "name", "role", "scope", "title", "disabled", "has_password", "created_at", "password_changed_at",
    "last_login_at", "etag",
)  # fmt: skip
TOKEN_FIELDS = (
    "id", "user", "title", "role", "scope", "state", "created_at", "expires_at", "last_used_at",
    "last_address", "revoked_at",
)  # fmt: skip
SESSION_FIELDS = ("id", "user", "present", "created_at", "seen_at", "address", "agent")
WHOAMI_FIELDS = ("name", "role", "means", "scopes", "token", "session", "expires_at", "may")


def user_etag(user: User) -> str:
    """The tag of a user: stands still when they only sign in; another user of the same name has another."""
    born = zlib.crc32(f"{user.name} {user.created_at.isoformat()}".encode())
    return f'"u{born:08x}-{user.revision}"'


def user_json(user: User) -> dict[str, Any]:
    """A user as the REST interface shows them."""
    return {**user_object(user), "etag": user_etag(user)}


def session_json(session: Session, present: str) -> dict[str, Any]:
    """A browser that is signed in; `present` is the id of the session that asks, if one does."""
    return {
        "id": session.id,
        "user": session.user,
        "present": session.id == present,
        "created_at": time_text(session.created_at),
        "seen_at": time_text(session.seen_at),
        "address": session.address or None,
        "agent": session.agent,
    }


def whoami_json(who: Identity, token: Optional[ApiToken], may: Iterable[str]) -> dict[str, Any]:
    """Who asks, and what they may do."""
    return {
        "name": who.name,
        "role": (who.role or Role.VIEWER).value,
        "means": who.means.value,
        "scopes": [sorted(scope) for scope in who.scopes],
        "token": who.credential if who.means is Means.TOKEN else None,
        "session": who.credential if who.means is Means.SESSION else None,
        "expires_at": None if token is None else time_text(token.expires_at),
        "may": sorted(may),
    }
