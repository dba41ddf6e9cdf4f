"""The cookies of the browser view: read without guessing, written for the pages of this site alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Optional

from cloudmasterd.errors import Unauthenticated

SESSION = "cloudmasterd_session"  # who is signed in
ENTRY = "cloudmasterd_login"  # which browser the login form was given to

# what Clock.new_token makes
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def name_of(cookie: str, tls: bool) -> str:
    """What a cookie is called: over TLS a name that no other site and no plain page can write to."""
    return f"__Host-{cookie}" if tls else cookie


def read(headers: Mapping[str, str], cookie: str, tls: bool) -> Optional[str]:
    """The secret in a cookie; None where there is none that could be one of ours.

    Raises Unauthenticated for two that differ: one of them was planted by somebody else on the same host.
    """
    wanted = name_of(cookie, tls)
    pairs = (part.strip().partition("=") for part in headers.get("Cookie", "").split(";"))
    found = {value for name, _, value in pairs if name == wanted and _SECRET.fullmatch(value)}
    if len(found) > 1:
        raise Unauthenticated(
            f"this browser sends two cookies {wanted}, of which one is not from here: delete the cookies of"
            " this site, and sign in again"
        )
    return next(iter(found), None)


def given(cookie: str, secret: str, tls: bool) -> tuple[str, str]:
    """The header that gives a browser a cookie until it is closed."""
    return _header(cookie, secret, tls, "")


def taken(cookie: str, tls: bool) -> tuple[str, str]:
    """The header that takes it back."""
    return _header(cookie, "", tls, "; Max-Age=0")


def _header(cookie: str, value: str, tls: bool, more: str) -> tuple[str, str]:
    secure = "; Secure" if tls else ""
    # Lax: a link in a mail leads to the page; what another site's form sends comes without
    return "Set-Cookie", f"{name_of(cookie, tls)}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}"
