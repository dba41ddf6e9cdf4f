"""Who somebody is, and what that lets them do: roles, and scopes of tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Optional

Scope = frozenset[str]
"""Tags as "key=value"; what carries one of them is within the scope."""


class Role(Enum):
    """What a user or a token may do; each includes those before it."""

    VIEWER = "viewer"  # sees everything but people's secrets and the audit record
    OPERATOR = "operator"  # creates and changes machine instances
    ADMIN = "admin"  # everything

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Means(Enum):
    """How somebody showed who they are."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105  a word
    PROXY = "proxy"
    NONE = "none"


@dataclass(frozen=True)
class Identity:
    """Somebody at the door.

    `credential` is the public id of the token or the session, `scopes` bind what they may change: a machine
    instance must be within each of them. `csrf` is what forms and scripts have to send along, empty for those
    whose credential no other site's page could make a browser send.
    """

    name: str
    role: Optional[Role]
    means: Means = Means.NONE
    credential: str = ""
    scopes: tuple[Scope, ...] = ()
    csrf: str = ""

    def may(self, role: Role) -> bool:
        """Whether the role is held; nobody in particular holds none."""
        return self.role is not None and self.role.includes(role)


ANONYMOUS = Identity("", None)


def covers(scopes: Iterable[Scope], tags: Mapping[str, str]) -> bool:
    """Whether something with these tags is within every one of the scopes."""
    carried = {f"{key}={value}" for key, value in tags.items()}
    return all(scope & carried for scope in scopes)


def scope_text(scopes: Iterable[Scope]) -> str:
    """Scopes for people: "team=db or team=web", joined with "and" where there are several."""
    return " and ".join(" or ".join(sorted(scope)) for scope in scopes)
