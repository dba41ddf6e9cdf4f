"""The sessions of browsers, by the hashes of their secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.accounts import Session, SessionLimits, User
from cloudmasterd.store.connection import Readers
from cloudmasterd.store.tokens import secret_hash
from cloudmasterd.store.users import COLUMNS, find_user, user_of
from cloudmasterd.store.values import clean, known_time, time_to_text
from cloudmasterd.store.writer import Unit, Writer

_ITEMS = "id, user, created_at, seen_at, address, agent"
_WIDTH = _ITEMS.count(",") + 1
_QUALIFIED = ", ".join(f"session.{name}" for name in _ITEMS.split(", "))
_OF_USER = ", ".join(f"user.{name}" for name in COLUMNS.split(", "))
_BY_SECRET = (
    f"SELECT {_QUALIFIED}, {_OF_USER} FROM session JOIN user ON user.name = session.user"  # noqa: S608
    " WHERE secret_hash = ?"
)
_OVER = "created_at < ? OR seen_at < ?"

Sessions = list[Session]


class SessionStore:
    """Sessions of users; they go with their user."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def open(
        self, session: Session, secret: str, seen: str, better: Optional[str], limits: SessionLimits
    ) -> Optional[User]:
        """Begin a session for a user whose password was `seen` to be right, a PHC text; who it is.

        None, and nothing is begun, when that is not their password any more, or they are disabled. With
        `better`, the same password is kept as that text from now on. Sessions that are over go.
        """

        def work(unit: Unit) -> Optional[User]:
            raw = unit.raw
            row = raw.execute(
                "SELECT 1 FROM user WHERE name = ? AND password = ? AND NOT disabled", (session.user, seen)
            ).fetchone()
            if row is None:
                return None
            unit.changed = True
            at = session.created_at
            raw.execute(f"DELETE FROM session WHERE {_OVER}", _ends(limits, at))  # noqa: S608
            raw.execute(
                "UPDATE user SET last_login_at = ?, password = ? WHERE name = ?",
                (time_to_text(at), better or seen, session.user),
            )
            raw.execute(
                "INSERT INTO session (id, secret_hash, user, created_at, seen_at, address, agent)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (session.id, secret_hash(secret), session.user, time_to_text(at),
                 time_to_text(session.seen_at), clean(session.address), clean(session.agent)),
            )  # fmt: skip
            return find_user(unit.connection, session.user)

        return self._writer.run(work, durable=True)

    def find(self, secret: str) -> Optional[tuple[Session, User]]:
        """The session with that secret, over or not, and its user; None when there is none."""
        with self._readers.borrow() as connection:
            row = connection.raw.execute(_BY_SECRET, (secret_hash(secret),)).fetchone()
        return None if row is None else (_session(row[:_WIDTH]), user_of(row[_WIDTH:]))

    def list(self, limits: SessionLimits, now: datetime, user: Optional[str] = None) -> Sessions:
        """The sessions that are not over, the latest seen first; those of one user, when given."""
        with self._readers.borrow() as connection:
            found = connection.raw.execute(
                f"SELECT {_ITEMS} FROM session WHERE NOT ({_OVER}) AND (? IS NULL OR user = ?)"  # noqa: S608
                " ORDER BY seen_at DESC, id",
                (*_ends(limits, now), user, user),
            )
            return [_session(row) for row in found.fetchall()]

    def end(self, session_id: str) -> bool:
        """End a session; whether there was one."""
        return self._delete("id = ?", session_id) > 0

    def end_all(self, user: str, keep: str = "") -> int:
        """End the sessions of a user, but for the one with the id `keep`; how many."""
        return self._delete("user = ? AND id != ?", user, keep)

    def note_seen(self, session_id: str, at: datetime, address: str) -> None:
        """Note when a session was seen last, and from where. That is no change of a fact."""
        self._writer.run(
            lambda unit: unit.raw.execute(
                "UPDATE session SET seen_at = ?, address = ? WHERE id = ?",
                (time_to_text(at), clean(address), session_id),
            )
        )

    def _delete(self, where: str, *values: str) -> int:
        def work(unit: Unit) -> int:
            ended = unit.raw.execute(
                f"DELETE FROM session WHERE {where}",  # noqa: S608  our own texts
                tuple(clean(value) for value in values),
            ).rowcount
            unit.changed = ended > 0
            return ended

        return self._writer.run(work, durable=True)


def _ends(limits: SessionLimits, now: datetime) -> tuple[Optional[str], Optional[str]]:
    return time_to_text(limits.began_after(now)), time_to_text(limits.seen_after(now))


def _session(row: Sequence[Any]) -> Session:
    session_id, user, created_at, seen_at, address, agent = row
    return Session(
        id=session_id,
        user=user,
        created_at=known_time(created_at),
        seen_at=known_time(seen_at),
        address=address,
        agent=agent,
    )
