"""Users and tokens as `cloudmasterctl` shows them to people: tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Optional

from cloudmasterd.accounts import ApiToken, TokenState, User
from cloudmasterd.rights import Scope


def table_of_users(users: Sequence[User]) -> list[str]:
    """A line for each user below a line of headings."""
    rows = [
        (
            user.name,
            user.role.value,
            _scope(user.scope),
            _standing(user),
            _moment(user.last_login_at),
            user.title,
        )
        for user in users
    ]
    return _columns([("NAME", "ROLE", "SCOPE", "SIGNS IN", "LAST TIME", "TITLE"), *rows])


def table_of_tokens(tokens: Sequence[ApiToken], now: datetime) -> list[str]:
    """A line for each token below a line of headings."""
    rows = [
        (
            token.id,
            token.user,
            token.role.value,
            _scope(token.scope),
            _until(token, now),
            _moment(token.last_used_at),
            token.last_address or "-",
            token.title,
        )
        for token in tokens
    ]
    return _columns([("ID", "USER", "ROLE", "SCOPE", "GOOD UNTIL", "LAST USED", "FROM", "TITLE"), *rows])


def _standing(user: User) -> str:
    if user.disabled:
        return "disabled"
    return "password" if user.has_password else "proxy only"


def _scope(scope: Scope) -> str:
    return ",".join(sorted(scope)) or "-"


def _until(token: ApiToken, now: datetime) -> str:
    state = token.state(now)
    return _moment(token.expires_at) if state is TokenState.GOOD else str(state.value)


def _moment(at: Optional[datetime]) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
