"""When a certificate is renewed, and how the holder of the old key proves that it asks.

The request for the new key goes over plain HTTP together with a signature of the old key under

    "certmaster renewal of a certificate, version 1" NUL NAME NUL PIN NUL FINGERPRINT

where PIN is the SHA-256 of the certificate that is to be renewed and FINGERPRINT that of the new public key
(DER), both in hexadecimal. It serves this one step from one certificate to one key: a listener has neither.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from certmaster import ca

# Longer than what a TLS client can have a server's key sign of its own choice: 32 bytes.
_PURPOSE = b"certmaster renewal of a certificate, version 1"

# When this part of its life is over; the rest is for a certmaster that is down, or of before this release.
_PART = 2 / 3
_SPREAD = 1 / 12


def message(name: str, cert: bytes, new_key_fingerprint: str) -> bytes:
    """What the old key signs."""
    words = (name.lower(), ca.pin(cert), new_key_fingerprint)
    return b"\0".join((_PURPOSE, *(word.encode("ascii") for word in words)))


def due_at(begins_at: datetime, expires_at: datetime, chance: float) -> datetime:
    """When to renew: at two thirds of its life and up to a twelfth of it later, by chance (0 to 1).

    A fleet that was enrolled within an hour does not come back within one.
    """
    life: timedelta = expires_at - begins_at
    return begins_at + life * (_PART + _SPREAD * chance)
