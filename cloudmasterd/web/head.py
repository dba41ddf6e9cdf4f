"""Read the header lines of a request so that nobody in between can have read them otherwise."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, Optional

from cheroot.server import HeaderReader

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

SINGLE = frozenset(
    (
        b"Authorization", b"Content-Length", b"Content-Type", b"Cookie", b"Host", b"Idempotency-Key",
        b"Origin", b"X-Audit-Reason", b"X-Csrf-Token", b"X-Proxy-Secret", b"X-Remote-User", b"X-Request-Id",
    )
)  # fmt: skip
"""What has one value. Of two, a web server in front may check the one and we take the other."""


class HeadReader(HeaderReader):
    """cheroot's, without what can be understood in two ways (RFC 9112, 5 and 11.2)."""

    def __call__(
        self, rfile: Any, hdict: Optional[MutableMapping[bytes, bytes]] = None
    ) -> MutableMapping[bytes, bytes]:
        """The headers by name in title case; raises ValueError with what is wrong, which is answered 400."""
        found: MutableMapping[bytes, bytes] = {} if hdict is None else hdict
        while True:
            line = rfile.readline()
            if line == b"\r\n":
                return found
            if not line.endswith(b"\r\n"):
                raise ValueError("The head of the request ends too early, or its lines do not end in CR LF")
            name, value = _split(line[:-2])
            # WSGI has '-' and '_' of names as the same: a web server in front that takes X-Remote-User out
            # of what clients send would let X_Remote_User through, and we would see no difference
            if b"_" in name:
                continue
            if name in found:
                if name in SINGLE:
                    raise ValueError(f"The header {name.decode('ascii')} is there twice: send it once")
                value = found[name] + b", " + value
            found[name] = value


def _split(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise ValueError("A header line has no name in front of its colon, has blanks there, or is folded")
    if not _VALUE.fullmatch(value):
        shown = name[:80].decode("ascii")
        raise ValueError(f"The value of the header {shown} has a character that is none of text")
    return name.title(), value.strip(b" \t")
