"""Users, and what they get in with: tokens and sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Optional

from cloudmasterd.rights import Role, Scope
from cloudmasterd.times import time_text

EVERYTHING: Scope = frozenset()
"""The scope of those who are bound to no tags."""

FIRST_ADMIN = "admin"
"""The name of the user that a cloud master begins with."""


@dataclass(frozen=True)
class User:
    """Somebody who may sign in. Without a password that is through the proxy only.

    `password_changed_at` is None while the password is the one the user was made with.
    """

    name: str
    role: Role
    created_at: datetime
    scope: Scope = EVERYTHING
    disabled: bool = False
    title: str = ""
    has_password: bool = False
    password_changed_at: Optional[datetime] = None
    last_login_at: Optional[datetime] = None
    revision: int = 0


class TokenState(str, Enum):
    """Whether a token is good for anything."""

    GOOD = "good"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class ApiToken:
    """What a program gets in with for a user; its secret is not here, and nowhere in the cloud master."""

    id: str
    user: str
    title: str
    role: Role
    created_at: datetime
    scope: Scope = EVERYTHING
    expires_at: Optional[datetime] = None
    last_used_at: Optional[datetime] = None
    last_address: str = ""
    revoked_at: Optional[datetime] = None

    def state(self, now: datetime) -> TokenState:
        """Whether it is good at the time `now`, as far as the token itself goes."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return TokenState.EXPIRED
        return TokenState.GOOD


@dataclass(frozen=True)
class Session:
    """A browser in which a user has signed in; its secret is in that browser only."""

    id: str
    user: str
    created_at: datetime
    seen_at: datetime
    address: str = ""
    agent: str = ""


@dataclass(frozen=True)
class SessionLimits:
    """How long a session lasts: `idle_s` without a sign of its user, `max_s` whatever they do."""

    idle_s: int = 3600
    max_s: int = 43200

    def began_after(self, now: datetime) -> datetime:
        """What began earlier than that is over."""
        return now - timedelta(seconds=self.max_s)

    def seen_after(self, now: datetime) -> datetime:
        """What was seen last earlier than that is over."""
        return now - timedelta(seconds=self.idle_s)

    def over(self, session: Session, now: datetime) -> bool:
        """Whether a session has ended by itself."""
        return session.created_at < self.began_after(now) or session.seen_at < self.seen_after(now)


def user_object(user: User) -> dict[str, Any]:
    """A user as programs are told of them."""
    return {
        "name": user.name,
        "role": user.role.value,
        "scope": sorted(user.scope),
        "title": user.title,
        "disabled": user.disabled,
        "has_password": user.has_password,
        "created_at": time_text(user.created_at),
        "password_changed_at": time_text(user.password_changed_at),
        "last_login_at": time_text(user.last_login_at),
    }


def token_object(token: ApiToken, now: datetime) -> dict[str, Any]:
    """A token as programs are told of it: without its secret."""
    return {
        "id": token.id,
        "user": token.user,
        "title": token.title,
        "role": token.role.value,
        "scope": sorted(token.scope),
        "state": token.state(now).value,
        "created_at": time_text(token.created_at),
        "expires_at": time_text(token.expires_at),
        "last_used_at": time_text(token.last_used_at),
        "last_address": token.last_address or None,
        "revoked_at": time_text(token.revoked_at),
    }
