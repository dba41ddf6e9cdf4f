"""One-time tokens, and how a request proves that its sender has one without sending it.

The request goes over plain HTTP. So it carries no token but `genome1:ID:MAC`, with

    KEY = SHA-256(token)
    ID  = the first 16 hexadecimal digits of SHA-256("certmaster token id" NUL KEY)
    MAC = HMAC-SHA-256(KEY, "certmaster enrolment 1" NUL NAME NUL FINGERPRINT)

where NAME is the name asked for, in lower case, and FINGERPRINT the SHA-256 of the public key (DER), in
hexadecimal. Whoever listens gets what serves this name and this key alone, and has not the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Optional

# 32 bytes in base64url without padding, fit for a kernel command line.
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
TOKEN_ID = re.compile(r"[0-9a-f]{16}")

_MARK = "genome1:"
_PROOF = re.compile(r"genome1:([0-9a-f]{16}):([0-9a-f]{64})")


def new_token() -> str:
    """A fresh token of 256 bits."""
    token = secrets.token_urlsafe(32)
    # A dash in front would make it an option where it is typed as `--token T`.
    return new_token() if token.startswith("-") else token


def key_of(token: str) -> bytes:
    """What the certmaster keeps of a token; it proves a request, and gives no token back."""
    return hashlib.sha256(token.encode("ascii")).digest()


def id_of(key: bytes) -> str:
    """What a token is called where it must not be said; gives neither key nor token away."""
    return hashlib.sha256(b"certmaster token id\0" + key).hexdigest()[:16]


def make(token: str, name: str, key_fingerprint: str) -> str:
    """The proof that goes into a request of that name and key, as its challengePassword."""
    key = key_of(token)
    return f"{_MARK}{id_of(key)}:{_mac(key, name, key_fingerprint)}"


def is_proof(challenge: str) -> bool:
    """Whether a challengePassword is meant as a proof; historic tools put other texts there."""
    return challenge.startswith(_MARK)


def claimed_id(challenge: str) -> Optional[str]:
    """The id a proof names, None where it is not of the form."""
    found = _PROOF.fullmatch(challenge)
    return found[1] if found else None


def holds(challenge: str, key: bytes, name: str, key_fingerprint: str) -> bool:
    """Whether a proof was made with the token of `key`, for that name and that public key."""
    found = _PROOF.fullmatch(challenge)
    return found is not None and hmac.compare_digest(found[2], _mac(key, name, key_fingerprint))


def _mac(key: bytes, name: str, key_fingerprint: str) -> str:
    what = b"\0".join(
        (b"certmaster enrolment 1", name.lower().encode("ascii"), key_fingerprint.encode("ascii"))
    )
    return hmac.new(key, what, hashlib.sha256).hexdigest()
