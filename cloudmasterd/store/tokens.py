"""The API tokens, by the hashes of their secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.accounts import ApiToken, User
from cloudmasterd.errors import Conflict, NotFound
from cloudmasterd.rights import Role
from cloudmasterd.store.connection import OneConnection, Readers
from cloudmasterd.store.users import COLUMNS, get_user, scope_from_text, scope_to_text, user_of
from cloudmasterd.store.values import clean, known_time, time_from_text, time_to_text
from cloudmasterd.store.writer import Unit, Writer

_ITEMS = "id, user, title, role, scope, created_at, expires_at, last_used_at, last_address, revoked_at"
_WIDTH = _ITEMS.count(",") + 1
_SELECT = f"SELECT {_ITEMS} FROM token"  # noqa: S608  our own names
_QUALIFIED = ", ".join(f"token.{name}" for name in _ITEMS.split(", "))
_OF_USER = ", ".join(f"user.{name}" for name in COLUMNS.split(", "))
_BY_SECRET = (
    f"SELECT {_QUALIFIED}, {_OF_USER} FROM token JOIN user ON user.name = token.user"  # noqa: S608
    " WHERE secret_hash = ?"
)

Tokens = list[ApiToken]


class TokenStore:
    """Tokens of users; they go with their user."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def add(self, token: ApiToken, secret: str) -> ApiToken:
        """A new token that is shown as `secret`; NotFound without its user, Conflict for a taken id."""

        def work(unit: Unit) -> ApiToken:
            user = get_user(unit.connection, token.user)
            if unit.raw.execute("SELECT 1 FROM token WHERE id = ?", (token.id,)).fetchone():
                raise Conflict(
                    f"this request made the token {token.id} already, and its secret was in that answer"
                    " alone: revoke that token, and ask under another Idempotency-Key"
                )
            unit.changed = True
            unit.raw.execute(
                "INSERT INTO token (id, user, title, secret_hash, role, scope, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (token.id, user.name, clean(token.title), secret_hash(secret), token.role.value,
                 scope_to_text(token.scope), time_to_text(token.created_at), time_to_text(token.expires_at)),
            )  # fmt: skip
            return _get(unit.connection, token.id)

        return self._writer.run(work, durable=True)

    def find(self, secret: str) -> Optional[tuple[ApiToken, User]]:
        """The token that is shown as `secret`, and its user; None when there is none."""
        with self._readers.borrow() as connection:
            row = connection.raw.execute(_BY_SECRET, (secret_hash(secret),)).fetchone()
        return None if row is None else (_token(row[:_WIDTH]), user_of(row[_WIDTH:]))

    def get(self, token_id: str) -> ApiToken:
        """The token of that id; NotFound."""
        with self._readers.borrow() as connection:
            return _get(connection, token_id)

    def list(self, user: Optional[str] = None) -> Tokens:
        """Tokens, the newest first, revoked and expired ones among them; those of one user, when given."""
        with self._readers.borrow() as connection:
            where, values = ("", ()) if user is None else ("WHERE user = ?", (clean(user),))
            found = connection.raw.execute(f"{_SELECT} {where} ORDER BY created_at DESC, id", values)
            return [_token(row) for row in found.fetchall()]

    def revoke(self, token_id: str, at: datetime) -> ApiToken:
        """Let a token be good for nothing from now on; one that was revoked stays as it is. NotFound."""

        def work(unit: Unit) -> ApiToken:
            token = _get(unit.connection, token_id)
            if token.revoked_at is not None:
                return token
            unit.changed = True
            unit.raw.execute("UPDATE token SET revoked_at = ? WHERE id = ?", (time_to_text(at), token.id))
            return _get(unit.connection, token_id)

        return self._writer.run(work, durable=True)

    def note_use(self, token_id: str, at: datetime, address: str) -> None:
        """Note when a token was used last, and from where. That is no change of a fact."""
        self._writer.run(
            lambda unit: unit.raw.execute(
                "UPDATE token SET last_used_at = ?, last_address = ? WHERE id = ?",
                (time_to_text(at), clean(address), token_id),
            )
        )


def secret_hash(secret: str) -> str:
    """What the database knows a secret by that nobody can guess: no slow hash is needed for such."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _get(connection: OneConnection, token_id: str) -> ApiToken:
    row = connection.raw.execute(f"{_SELECT} WHERE id = ?", (clean(token_id),)).fetchone()
    if row is None:
        raise NotFound(
            f"there is no token {token_id[:80]!r}; GET /api/v1/tokens and `cloudmasterctl token list` list"
            " those there are"
        )
    return _token(row)


def _token(row: Sequence[Any]) -> ApiToken:
    token_id, user, title, role, scope, created_at, expires_at, used_at, address, revoked_at = row
    return ApiToken(
        id=token_id,
        user=user,
        title=title,
        role=Role(role),
        scope=scope_from_text(scope),
        created_at=known_time(created_at),
        expires_at=time_from_text(expires_at),
        last_used_at=time_from_text(used_at),
        last_address=address,
        revoked_at=time_from_text(revoked_at),
    )
