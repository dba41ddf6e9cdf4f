"""Read the token that a program shows: Authorization: Bearer TOKEN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Optional

from cloudmasterd.errors import Unauthenticated

MAX_TOKEN = 512
_HOW = "send one header Authorization: Bearer TOKEN, with a token of this cloud master"

# RFC 6750: what a token may consist of. Those of ours are a part of that; which they are, the store knows.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer_of(headers: Mapping[str, str]) -> Optional[str]:
    """The token that is shown; None where there is no Authorization at all.

    Raises Unauthenticated for one that holds no token; the text has nothing of what was sent, which may be
    a password.
    """
    given = headers.get("Authorization")
    if given is None:
        return None
    scheme, _, token = given.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer":
        raise Unauthenticated(f"Authorization is not of the kind Bearer: {_HOW}")
    if not token:
        raise Unauthenticated(f"Authorization: Bearer is there without a token: {_HOW}")
    if len(token) > MAX_TOKEN or not _TOKEN.fullmatch(token):
        raise Unauthenticated(f"what Authorization: Bearer holds is no token: {_HOW}")
    return token
