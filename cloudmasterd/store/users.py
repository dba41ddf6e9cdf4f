"""The users; the last admin who can sign in with a password stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.accounts import EVERYTHING, User
from cloudmasterd.errors import Conflict, Invalid, NotFound, StaleVersion
from cloudmasterd.rights import Role, Scope
from cloudmasterd.store.connection import OneConnection, Readers
from cloudmasterd.store.values import MAX_ID, clean, known_time, time_from_text, time_to_text
from cloudmasterd.store.writer import Unit, Writer

COLUMNS = (
    "name, role, scope, disabled, title, created_at, password IS NOT NULL, password_changed_at,"
    " last_login_at, revision"
)
_SELECT = f"SELECT {COLUMNS} FROM user"  # noqa: S608  our own names

Users = list[User]


@dataclass(frozen=True)
class UserWish:
    """What is to become different of a user; None: stays."""

    role: Optional[Role] = None
    scope: Optional[Scope] = None
    disabled: Optional[bool] = None
    title: Optional[str] = None


class UserStore:
    """Users by name. A password comes and goes as the PHC text of its hash, and only where that is said."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def add(self, user: User, password: Optional[str]) -> User:
        """A new user; Conflict when the name is taken."""

        def work(unit: Unit) -> User:
            if find_user(unit.connection, user.name) is not None:
                raise Conflict(f"there is a user {user.name} already: take another name, or change that one")
            _check_scope(user)
            unit.changed = True
            unit.raw.execute(
                "INSERT INTO user (name, password, role, scope, disabled, title, created_at, revision)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (clean(user.name), password, user.role.value, scope_to_text(user.scope), int(user.disabled),
                 clean(user.title), time_to_text(user.created_at), unit.change),
            )  # fmt: skip
            return get_user(unit.connection, user.name)

        return self._writer.run(work, durable=True)

    def any(self) -> bool:
        """Whether there are users at all."""
        with self._readers.borrow() as connection:
            return connection.raw.execute("SELECT 1 FROM user LIMIT 1").fetchone() is not None

    def find(self, name: str) -> Optional[User]:
        """The user of that name, if any."""
        with self._readers.borrow() as connection:
            return find_user(connection, name)

    def get(self, name: str) -> User:
        """The user of that name; NotFound."""
        with self._readers.borrow() as connection:
            return get_user(connection, name)

    def list(self, after: Optional[str] = None, limit: Optional[int] = None) -> Users:
        """Users by name, behind the name `after`."""
        with self._readers.borrow() as connection:
            found = connection.raw.execute(
                f"{_SELECT} WHERE name > ? ORDER BY name LIMIT ?",
                (clean(after or ""), MAX_ID if limit is None else max(0, limit)),
            )
            return [user_of(row) for row in found.fetchall()]

    def password_of(self, name: str) -> Optional[str]:
        """The PHC text of a user's password; None where there is no password, or no such user."""
        with self._readers.borrow() as connection:
            row = connection.raw.execute("SELECT password FROM user WHERE name = ?", (clean(name),))
            found = row.fetchone()
        return None if found is None else found[0]

    def change(self, name: str, wish: UserWish, revision: Optional[int] = None) -> User:
        """Change what is said of a user; with another role or when disabled their sessions end.

        Raises NotFound, StaleVersion when the user is not at `revision` any more, Invalid for an admin with
        a scope, Conflict when no admin would be left.
        """

        def work(unit: Unit) -> User:
            before = _at_revision(unit, name, revision)
            after = _wished(before, wish)
            if after == before:
                return before
            _check_scope(after)
            if not _leads(after):
                _check_others_lead(unit, before, "changed so that no admin is left")
            unit.changed = True
            unit.raw.execute(
                "UPDATE user SET role = ?, scope = ?, disabled = ?, title = ?,"
                " revision = max(revision + 1, ?) WHERE name = ?",
                (after.role.value, scope_to_text(after.scope), int(after.disabled), clean(after.title),
                 unit.change, before.name),
            )  # fmt: skip
            if after.role is not before.role or after.disabled:
                unit.raw.execute("DELETE FROM session WHERE user = ?", (before.name,))
            return get_user(unit.connection, name)

        return self._writer.run(work, durable=True)

    def set_password(self, name: str, password: str, at: datetime, keep_session: str = "") -> User:
        """Another password; the user's sessions end, but for the one with the id `keep_session`. NotFound."""

        def work(unit: Unit) -> User:
            get_user(unit.connection, name)
            unit.changed = True
            unit.raw.execute(
                "UPDATE user SET password = ?, password_changed_at = ?, revision = max(revision + 1, ?)"
                " WHERE name = ?",
                (password, time_to_text(at), unit.change, clean(name)),
            )
            unit.raw.execute("DELETE FROM session WHERE user = ? AND id != ?", (clean(name), keep_session))
            return get_user(unit.connection, name)

        return self._writer.run(work, durable=True)

    def delete(self, name: str, revision: Optional[int] = None) -> User:
        """Remove a user, their tokens and sessions; who it was.

        Raises NotFound, StaleVersion, Conflict when no admin would be left.
        """

        def work(unit: Unit) -> User:
            user = _at_revision(unit, name, revision)
            _check_others_lead(unit, user, "deleted")
            unit.changed = True
            unit.raw.execute("DELETE FROM user WHERE name = ?", (user.name,))
            return user

        return self._writer.run(work, durable=True)


def find_user(connection: OneConnection, name: str) -> Optional[User]:
    """The user of that name, if any."""
    row = connection.raw.execute(f"{_SELECT} WHERE name = ?", (clean(name),)).fetchone()
    return None if row is None else user_of(row)


def get_user(connection: OneConnection, name: str) -> User:
    """The user of that name; NotFound."""
    found = find_user(connection, name)
    if found is None:
        raise NotFound(
            f"there is no user {name[:80]!r}; GET /api/v1/users and `cloudmasterctl user list` list them"
        )
    return found


def user_of(row: Sequence[Any]) -> User:
    """A user out of a row of COLUMNS."""
    name, role, scope, disabled, title, created_at, has_password, changed_at, login_at, revision = row
    return User(
        name=name,
        role=Role(role),
        scope=scope_from_text(scope),
        disabled=bool(disabled),
        title=title,
        created_at=known_time(created_at),
        has_password=bool(has_password),
        password_changed_at=time_from_text(changed_at),
        last_login_at=time_from_text(login_at),
        revision=revision,
    )


def scope_to_text(scope: Scope) -> str:
    """A scope as the database keeps it."""
    return json.dumps(sorted(clean(pair) for pair in scope), ensure_ascii=False)


def scope_from_text(text: str) -> Scope:
    """The scope that `scope_to_text` wrote."""
    return EVERYTHING if text == "[]" else frozenset(json.loads(text))


def _at_revision(unit: Unit, name: str, revision: Optional[int]) -> User:
    user = get_user(unit.connection, name)
    if revision is not None and user.revision != revision:
        raise StaleVersion(
            f"the user {name} is at revision {user.revision}, not {revision} any more: read it again"
        )
    return user


def _wished(user: User, wish: UserWish) -> User:
    return replace(user, **{name: value for name, value in vars(wish).items() if value is not None})


def _check_scope(user: User) -> None:
    if user.role is Role.ADMIN and user.scope:
        text = (
            f"{user.name} cannot be an admin with a scope: leave the scope empty, or give the role operator"
        )
        raise Invalid(text, [("scope", "empty for an admin")])


def _leads(user: User) -> bool:
    return user.role is Role.ADMIN and not user.disabled and user.has_password


def _check_others_lead(unit: Unit, user: User, done: str) -> None:
    if not _leads(user):
        return
    other = unit.raw.execute(
        "SELECT 1 FROM user WHERE role = 'admin' AND NOT disabled AND password IS NOT NULL AND name != ?",
        (user.name,),
    ).fetchone()
    if other is None:
        raise Conflict(
            f"{user.name} is the last admin who can sign in with a password, and cannot be {done}: make"
            " another admin first"
        )
