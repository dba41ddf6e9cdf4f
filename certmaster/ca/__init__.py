"""Keys, requests, certificates and lists of revoked ones: nobody else knows the cryptography library."""

from __future__ import annotations

from certmaster.ca.certs import (
    CA_DAYS,
    CLOCK_SKEW,
    begins_at,
    common_name,
    digest,
    expires_at,
    fingerprint,
    holder_signed,
    is_issued_by,
    key_fingerprint,
    key_matches,
    make_ca,
    pin,
    serial_number,
    sign,
    sign_again,
    sign_master,
    subject_hash,
)
from certmaster.ca.keys import CA_KEY_BITS, LEAF_KEY_BITS, new_key, sign_bytes
from certmaster.ca.requests import CertRequest, make_request, read_request
from certmaster.ca.revoked import RevocationList, identity, make_crl, read_crl

__all__ = [
    "CA_DAYS",
    "CA_KEY_BITS",
    "CLOCK_SKEW",
    "LEAF_KEY_BITS",
    "CertRequest",
    "RevocationList",
    "begins_at",
    "common_name",
    "digest",
    "expires_at",
    "fingerprint",
    "holder_signed",
    "identity",
    "is_issued_by",
    "key_fingerprint",
    "key_matches",
    "make_ca",
    "make_crl",
    "make_request",
    "new_key",
    "pin",
    "read_crl",
    "read_request",
    "serial_number",
    "sign",
    "sign_again",
    "sign_bytes",
    "sign_master",
    "subject_hash",
]
