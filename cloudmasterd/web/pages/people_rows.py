"""Users, sessions and tokens in words, for the tables of the pages about people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloudmasterd.accounts import ApiToken, Session, TokenState, User
from cloudmasterd.rights import Role, Scope, scope_text

# What browsers call themselves, the tellers first: each says that it is some of the others too.
_BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
    ("Safari/", "Safari"), ("curl/", "curl"),
)  # fmt: skip
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


@dataclass(frozen=True)
class UserRow:
    """One user in words; `kind` is the mark of their state."""

    user: User
    kind: str
    state: str
    changes: str


@dataclass(frozen=True)
class SessionRow:
    """One session in words; `here`: it is that of the reader."""

    session: Session
    browser: str
    here: bool


@dataclass(frozen=True)
class TokenRow:
    """One token in words; `good`: it can be used, and revoked."""

    token: ApiToken
    kind: str
    state: str
    changes: str
    good: bool


def row_of_user(user: User) -> UserRow:
    """A user as the pages show them."""
    kind, state = "ok", "may sign in"
    if user.disabled:
        kind, state = "off", "disabled"
    elif not user.has_password:
        kind, state = "ok", "through the web server only"
    return UserRow(user, kind, state, changes_of(user.role, user.scope))


def rows_of_sessions(sessions: Iterable[Session], here: str) -> list[SessionRow]:
    """Sessions, the reader's own first."""
    rows = [SessionRow(session, browser_of(session.agent), session.id == here) for session in sessions]
    return sorted(rows, key=lambda row: not row.here)


def rows_of_tokens(tokens: Sequence[ApiToken], now: datetime) -> list[TokenRow]:
    """Tokens, those that are good for something first."""
    rows = [_row_of_token(token, now) for token in tokens]
    return sorted(rows, key=lambda row: not row.good)


def _row_of_token(token: ApiToken, now: datetime) -> TokenRow:
    state = token.state(now)
    good = state is TokenState.GOOD
    return TokenRow(token, "ok" if good else "off", state.value, changes_of(token.role, token.scope), good)


def changes_of(role: Role, scope: Scope) -> str:
    """What somebody with that role and scope may change."""
    if not role.includes(Role.OPERATOR):
        return "nothing"
    return scope_text([scope]) if scope else "all machine instances"


def browser_of(agent: str) -> str:
    """What a browser is, out of what it says of itself: "Firefox on Linux"."""
    browser = next((words for mark, words in _BROWSERS if mark in agent), "")
    system = next((words for mark, words in _SYSTEMS if mark in agent), "")
    return " on ".join(filter(None, [browser, system])) or agent[:40] or "unknown"
