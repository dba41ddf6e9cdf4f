"""Shapes of users, tokens and sessions that scripts rely on; no secret is in any of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.accounts import ApiToken, Session, User
from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.web.represent import moment

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
    return {
        "name": user.name,
        "role": user.role.value,
        "scope": sorted(user.scope),
        "title": user.title,
        "disabled": user.disabled,
        "has_password": user.has_password,
        "created_at": moment(user.created_at),
        "password_changed_at": moment(user.password_changed_at),
        "last_login_at": moment(user.last_login_at),
        "etag": user_etag(user),
    }


def token_json(token: ApiToken, now: datetime) -> dict[str, Any]:
    """What is known of a token; its secret is not."""
    return {
        "id": token.id,
        "user": token.user,
        "title": token.title,
        "role": token.role.value,
        "scope": sorted(token.scope),
        "state": token.state(now).value,
        "created_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "last_used_at": moment(token.last_used_at),
        "last_address": token.last_address or None,
        "revoked_at": moment(token.revoked_at),
    }


def session_json(session: Session, present: str) -> dict[str, Any]:
    """A browser that is signed in; `present` is the id of the session that asks, if one does."""
    return {
        "id": session.id,
        "user": session.user,
        "present": session.id == present,
        "created_at": moment(session.created_at),
        "seen_at": moment(session.seen_at),
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
        "expires_at": None if token is None else moment(token.expires_at),
        "may": sorted(may),
    }
