"""Keys, requests, certificates and lists of revoked ones: nobody else knows the cryptography library."""

from __future__ import annotations

from certmaster.ca.certs import (
    CA_DAYS,
    CLOCK_SKEW,
    common_name,
    expires_at,
    fingerprint,
    is_issued_by,
    key_fingerprint,
    key_matches,
    make_ca,
    pin,
    serial_number,
    sign,
    subject_hash,
)
from certmaster.ca.keys import CA_KEY_BITS, LEAF_KEY_BITS, new_key
from certmaster.ca.requests import CertRequest, make_request, read_request

__all__ = [
    "CA_DAYS",
    "CA_KEY_BITS",
    "CLOCK_SKEW",
    "LEAF_KEY_BITS",
    "CertRequest",
    "common_name",
    "expires_at",
    "fingerprint",
    "is_issued_by",
    "key_fingerprint",
    "key_matches",
    "make_ca",
    "make_request",
    "new_key",
    "pin",
    "read_request",
    "serial_number",
    "sign",
    "subject_hash",
]
