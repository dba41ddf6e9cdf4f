"""The tables of people, of what they get in with, and of what they did, as SQLObject sees them."""

from __future__ import annotations

from sqlobject import IntCol, SQLObject, StringCol

_REGISTRY = "cloudmasterd"  # the one of tables.py


class User(SQLObject):
    """Somebody who may sign in. `password` is the PHC text of its scrypt, `scope` a JSON list."""

    class sqlmeta:  # noqa: N801  SQLObject's word
        """The key is the name."""

        table = "user"
        idName = "name"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    password = StringCol()
    role = StringCol(notNone=True)
    scope = StringCol(notNone=True)
    disabled = IntCol(notNone=True)
    title = StringCol(notNone=True)
    created_at = StringCol(notNone=True)
    password_changed_at = StringCol()
    last_login_at = StringCol()
    revision = IntCol(notNone=True)


class Token(SQLObject):
    """What a program gets in with for a user. `secret_hash` is a SHA-256 in hexadecimal."""

    class sqlmeta:  # noqa: N801
        """The key is the public part of the token."""

        table = "token"
        idType = str  # noqa: N815
        registry = _REGISTRY

    user = StringCol(notNone=True)
    title = StringCol(notNone=True)
    secret_hash = StringCol(notNone=True)
    role = StringCol(notNone=True)
    scope = StringCol(notNone=True)
    created_at = StringCol(notNone=True)
    expires_at = StringCol()
    last_used_at = StringCol()
    last_address = StringCol(notNone=True)
    revoked_at = StringCol()


class Session(SQLObject):
    """A browser in which a user has signed in. `secret_hash` is a SHA-256 in hexadecimal."""

    class sqlmeta:  # noqa: N801
        """The key is what people may see of it."""

        table = "session"
        idType = str  # noqa: N815
        registry = _REGISTRY

    secret_hash = StringCol(notNone=True)
    user = StringCol(notNone=True)
    created_at = StringCol(notNone=True)
    seen_at = StringCol(notNone=True)
    address = StringCol(notNone=True)
    agent = StringCol(notNone=True)


class Audit(SQLObject):
    """What was done or refused. `hash` covers the row and the hash of the row before it."""

    class sqlmeta:  # noqa: N801
        """The key only grows."""

        table = "audit"
        registry = _REGISTRY

    at = StringCol(notNone=True)
    who = StringCol(notNone=True)
    means = StringCol(notNone=True)
    credential = StringCol(notNone=True)
    address = StringCol(notNone=True)
    request_id = StringCol(notNone=True)
    action = StringCol(notNone=True)
    target = StringCol(notNone=True)
    result = StringCol(notNone=True)
    status = IntCol()
    reason = StringCol(notNone=True)
    detail = StringCol(notNone=True)
    previous = StringCol(notNone=True)
    hash = StringCol(notNone=True)
