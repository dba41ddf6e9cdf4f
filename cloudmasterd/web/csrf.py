"""Keep other sites from sending requests in somebody's name: what forms and scripts must send along."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from cloudmasterd.web.body import Body
from cloudmasterd.web.problems import StalePage

FIELD = "csrf"
HEADER = "X-CSRF-Token"
MAX_FIELDS = 100


def made_of(secret: str, what: str) -> str:
    """What forms are to carry, for who holds `secret`, which cannot be told from it."""
    return hmac.digest(secret.encode(), f"csrf {what}".encode(), "sha256").hex()[:40]


def check(wanted: str, kind: Body, body: Any, headers: Mapping[str, str]) -> None:
    """Raises StalePage unless a request carries `wanted`, in the field of a form or in the header."""
    given = [*_in_form(body if kind is Body.FORM else b""), headers.get(HEADER, "")]
    # all are compared, and none shows by the time it takes how much of it is right
    good = [hmac.compare_digest(one.encode("utf-8", "replace"), wanted.encode()) for one in given]
    if not wanted or not any(good):
        raise StalePage(
            "the page this was sent from is older than your present session, or not one of this cloud "
            f"master's: load it again and send it once more (scripts of a session send {HEADER})"
        )


def _in_form(body: bytes) -> list[str]:
    """The values of the field; none for what is no form, which its page then tells in its own words."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return []
    return [value for name, value in pairs if name == FIELD]
