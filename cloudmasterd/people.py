"""What is done with users, their tokens and their sessions: the use cases."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Optional, Protocol

from cloudmasterd import acting
from cloudmasterd.accounts import EVERYTHING, FIRST_ADMIN, ApiToken, Session, SessionLimits, User
from cloudmasterd.clock import Clock
from cloudmasterd.errors import Invalid
from cloudmasterd.first import FirstPassword
from cloudmasterd.password_rules import check_new
from cloudmasterd.passwords import Passwords
from cloudmasterd.rights import Role, Scope, scope_text
from cloudmasterd.store.sessions import SessionStore
from cloudmasterd.store.tokens import TokenStore
from cloudmasterd.store.users import UserStore, UserWish

TOKEN_PREFIX = "cmt_"  # noqa: S105  what programs that look for leaked secrets know it by
MAX_TITLE = 80
MAX_SCOPE = 32

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_NAME_WANT = "at most 64 of a-z, 0-9, '.', '_', '@' and '-', a letter or digit first"
_PAIR = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?=[^\x00-\x1f\x7f]{0,255}")
_PAIR_WANT = "tags as KEY=VALUE, e.g. team=web"


class Rows(Protocol):
    """The part of a database that knows the people."""

    @property
    def users(self) -> UserStore:
        """The users."""

    @property
    def tokens(self) -> TokenStore:
        """The API tokens."""

    @property
    def sessions(self) -> SessionStore:
        """The sessions of browsers."""


class People:
    """Users, tokens and sessions of one cloud master. Who may do what is decided before it is asked here.

    `first` is the file with the first admin's password, which goes when that is changed.
    """

    def __init__(
        self,
        store: Rows,
        clock: Clock,
        passwords: Passwords,
        *,
        limits: SessionLimits = SessionLimits(),  # noqa: B008  frozen
        first: Optional[FirstPassword] = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._limits = limits
        self._first = first

    def any_user(self) -> bool:
        """Whether there are users at all."""
        return self._store.users.any()

    def list_users(self, after: Optional[str] = None, limit: Optional[int] = None) -> list[User]:
        """Users by name, behind the name `after`."""
        return self._store.users.list(after, limit)

    def get_user(self, name: str) -> User:
        """The user of that name; NotFound."""
        return self._store.users.get(name)

    def create_user(
        self,
        name: str,
        role: Role,
        password: Optional[str] = None,
        scope: Collection[str] = (),
        title: str = "",
    ) -> User:
        """A new user; without a password one who signs in through the proxy only. Invalid, Conflict."""
        user = User(
            checked_name(name),
            role,
            self._clock.now(),
            scope=checked_scope(scope),
            title=_checked_title(title),
        )
        acting.tell(target=_user_path(user.name), role=user.role.value, scope=scope_text([user.scope]))
        if password is None:
            return self._store.users.add(user, None)
        check_new(password, user.name)
        return self._store.users.add(user, self._passwords.hash(password))

    def change_user(
        self,
        name: str,
        *,
        role: Optional[Role] = None,
        scope: Optional[Collection[str]] = None,
        disabled: Optional[bool] = None,
        title: Optional[str] = None,
        revision: Optional[int] = None,
    ) -> User:
        """Change what is said of a user; None: as it was. Another role, or disabled: their sessions end.

        Raises NotFound, Invalid, StaleVersion, and Conflict for the last admin that can sign in.
        """
        wish = UserWish(
            role=role,
            scope=None if scope is None else checked_scope(scope),
            disabled=disabled,
            title=None if title is None else _checked_title(title),
        )
        _tell_wish(name, wish)
        return self._store.users.change(name, wish, revision)

    def set_password(self, name: str, new: str, *, keep_session: str = "") -> User:
        """Give a user another password; their sessions end, but for the one with the id `keep_session`.

        Their tokens stay: they are revoked one by one. Raises NotFound, Invalid.
        """
        user = self._store.users.get(name)
        check_new(new, user.name)
        acting.tell(target=_user_path(user.name))
        changed = self._store.users.set_password(
            user.name, self._passwords.hash(new), self._clock.now(), keep_session
        )
        self._forget_first(user)
        return changed

    def delete_user(self, name: str, *, revision: Optional[int] = None) -> User:
        """Remove a user with their tokens and sessions; who it was.

        Raises NotFound, StaleVersion, and Conflict for the last admin that can sign in.
        """
        acting.tell(target=_user_path(name))
        user = self._store.users.delete(name, revision)
        self._forget_first(user)
        return user

    def list_tokens(self, user: Optional[str] = None) -> list[ApiToken]:
        """Tokens, the newest first, with those that are good for nothing any more; NotFound for `user`."""
        return self._store.tokens.list(None if user is None else self._store.users.get(user).name)

    def get_token(self, token_id: str) -> ApiToken:
        """The token of that id; NotFound."""
        return self._store.tokens.get(token_id)

    def create_token(
        self,
        user: str,
        title: str,
        role: Role,
        scope: Collection[str] = (),
        expires_at: Optional[datetime] = None,
        mark: str = "",
    ) -> tuple[ApiToken, str]:
        """A new token of a user, and its secret, which nobody can be asked for again.

        The same `mark`, 64 hex digits, makes one token: Conflict for who asks again. NotFound, Invalid.
        """
        owner = self._store.users.get(user)
        now = self._clock.now()
        token = ApiToken(
            id=mark[:12] or self._clock.new_id()[-12:],
            user=owner.name,
            title=_checked_title(title, needed="what it is for, e.g. nightly backup"),
            role=role,
            created_at=now,
            scope=checked_scope(scope),
            expires_at=expires_at,
        )
        _check_token(token, owner, now)
        acting.tell(
            target=f"/api/v1/tokens/{token.id}",
            user=owner.name,
            title=token.title,
            role=token.role.value,
            scope=scope_text([token.scope]),
        )
        secret = f"{TOKEN_PREFIX}{token.id}_{self._clock.new_token()}"
        return self._store.tokens.add(token, secret), secret

    def revoke_token(self, token_id: str) -> ApiToken:
        """Let a token be good for nothing, at once and for good; NotFound."""
        token = self._store.tokens.get(token_id)
        acting.tell(target=f"/api/v1/tokens/{token.id}", user=token.user, title=token.title)
        return self._store.tokens.revoke(token.id, self._clock.now())

    def list_sessions(self, user: Optional[str] = None) -> list[Session]:
        """Sessions that are not over, the latest seen first; NotFound for `user`."""
        name = None if user is None else self._store.users.get(user).name
        return self._store.sessions.list(self._limits, self._clock.now(), name)

    def end_session(self, session_id: str) -> bool:
        """Sign one browser out; whether it was signed in."""
        return self._store.sessions.end(session_id)

    def end_sessions(self, user: str, *, keep_session: str = "") -> int:
        """Sign a user out everywhere, but for one session when its id is given; in how many. NotFound."""
        return self._store.sessions.end_all(self._store.users.get(user).name, keep_session)

    def _forget_first(self, user: User) -> None:
        if self._first is not None and user.name == FIRST_ADMIN:
            self._first.forget()


def is_name(text: str) -> bool:
    """Whether a user can have that name."""
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """The name of a user, in lower case; Invalid when it cannot be one."""
    lowered = name.lower()
    if not name.isascii() or not is_name(lowered):
        raise Invalid(
            f"{name[:80]!r} cannot be the name of a user: take {_NAME_WANT}", [("name", _NAME_WANT)]
        )
    return lowered


def checked_scope(scope: Collection[str]) -> Scope:
    """A scope out of its pairs, empty for everything; Invalid."""
    for pair in scope:
        if not _PAIR.fullmatch(pair):
            raise Invalid(f"{pair[:80]!r} cannot be in a scope: give {_PAIR_WANT}", [("scope", _PAIR_WANT)])
    if len(set(scope)) > MAX_SCOPE:
        want = f"at most {MAX_SCOPE} tags"
        raise Invalid(f"a scope of {len(set(scope))} tags is too long: give {want}", [("scope", want)])
    return frozenset(scope) or EVERYTHING


def _checked_title(title: str, needed: str = "") -> str:
    title = title.strip()
    if len(title) > MAX_TITLE or not title.isprintable():
        want = f"one line of at most {MAX_TITLE} characters"
        raise Invalid(f"this title cannot be taken: give {want}", [("title", want)])
    if needed and not title:
        raise Invalid(f"a title is missing: say {needed}", [("title", needed)])
    return title


def _user_path(name: str) -> str:
    return f"/api/v1/users/{name}"


def _tell_wish(name: str, wish: UserWish) -> None:
    acting.tell(target=_user_path(name))
    if wish.role is not None:
        acting.tell(role=wish.role.value)
    if wish.scope is not None:
        acting.tell(scope=scope_text([wish.scope]))
    if wish.disabled is not None:
        acting.tell(disabled=wish.disabled)


def _check_token(token: ApiToken, owner: User, now: datetime) -> None:
    if not owner.role.includes(token.role):
        want = f"{owner.role.value} or less"
        text = f"a token of {owner.name} cannot have the role {token.role.value}: give {want}"
        raise Invalid(text, [("role", want)])
    if token.role is Role.ADMIN and token.scope:
        text = "a token cannot be an admin's with a scope: leave the scope empty, or give the role operator"
        raise Invalid(text, [("scope", "empty for an admin")])
    if token.expires_at is not None and token.expires_at <= now:
        want = "a time to come"
        text = f"a token that ended on {token.expires_at:%Y-%m-%d %H:%M} is good for nothing: give {want}"
        raise Invalid(text, [("expires_at", want)])
