"""Read the bodies of requests about users and tokens; every wrong field is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from cloudmasterd.jsonbody import Field, collect, flag, invalid, list_of, one_of, text, whole
from cloudmasterd.password_rules import MAX_BYTES
from cloudmasterd.people import MAX_SCOPE, MAX_TITLE
from cloudmasterd.rights import Role

MAX_NAME = 64
MAX_PAIR = 320
SHORTEST_S = 60
LONGEST_S = 10 * 366 * 86400

ROLES = tuple(role.value for role in Role)

_role = one_of(ROLES)
_scope = list_of(text(MAX_PAIR), MAX_SCOPE, unique=True)
_title = text(MAX_TITLE)
_password = text(MAX_BYTES)


@dataclass(frozen=True)
class NewUser:
    """A user to be made; without a password one whom the web server in front signs in."""

    name: str
    role: str
    scope: tuple[str, ...] = ()
    title: str = ""
    password: Optional[str] = None


@dataclass(frozen=True)
class UserChange:
    """What is to become different of a user; None: stays."""

    role: Optional[str] = None
    scope: Optional[tuple[str, ...]] = None
    disabled: Optional[bool] = None
    title: Optional[str] = None


@dataclass(frozen=True)
class NewPassword:
    """A password: None as `new` has one made, `present` is the one that holds until then."""

    new: Optional[str] = None
    present: Optional[str] = None


@dataclass(frozen=True)
class NewToken:
    """A token to be made, for who asks unless another user is named."""

    title: str
    role: str = Role.VIEWER.value
    scope: Optional[tuple[str, ...]] = None
    expires_s: Optional[int] = None
    user: Optional[str] = None


_NEW_USER = (
    Field("name", text(MAX_NAME)),
    Field("role", _role),
    Field("scope", _scope, (), may_be_null=True),
    Field("title", _title, "", may_be_null=True),
    Field("password", _password, None, may_be_null=True),
)
_USER_CHANGE = (
    Field("role", _role, None),
    Field("scope", _scope, None),
    Field("disabled", flag, None),
    Field("title", _title, None),
)
_NEW_PASSWORD = (
    Field("new", _password, None, may_be_null=True),
    Field("present", _password, None, may_be_null=True),
)
_NEW_TOKEN = (
    Field("title", _title),
    Field("role", _role, Role.VIEWER.value, may_be_null=True),
    Field("scope", _scope, None, may_be_null=True),
    Field("expires_s", whole(SHORTEST_S, LONGEST_S, "seconds"), None, may_be_null=True),
    Field("user", text(MAX_NAME), None, may_be_null=True),
)


def parse_new_user(body: Any) -> NewUser:
    """Read a body; raises Invalid."""
    return NewUser(**_read(body, _NEW_USER))


def parse_user_change(body: Any) -> UserChange:
    """Read a body; raises Invalid."""
    return UserChange(**_read(body, _USER_CHANGE))


def parse_new_password(body: Any) -> NewPassword:
    """Read a body; raises Invalid."""
    return NewPassword(**_read(body, _NEW_PASSWORD))


def parse_new_token(body: Any) -> NewToken:
    """Read a body; raises Invalid."""
    return NewToken(**_read(body, _NEW_TOKEN))


def _read(body: Any, fields: tuple[Field, ...]) -> dict[str, Any]:
    values, found = collect(body, fields)
    if found:
        raise invalid(found)
    return values
