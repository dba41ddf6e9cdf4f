"""The subjects of certificates and requests, as certmaster 0.28 fills them in."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from certmaster.names import MASTER_SIGN

_FIXED_SUBJECT = (
    (NameOID.COUNTRY_NAME, "UN"),
    (NameOID.STATE_OR_PROVINCE_NAME, "FC"),
    (NameOID.LOCALITY_NAME, "Certmaster-town"),
    (NameOID.ORGANIZATION_NAME, "certmaster"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "slave-key"),
)


def subject_of(name: str) -> x509.Name:
    """The subject of whoever is called that."""
    mail = f"root@{name.rpartition(MASTER_SIGN)[2]}"
    fields = [*_FIXED_SUBJECT, (NameOID.COMMON_NAME, name), (NameOID.EMAIL_ADDRESS, mail)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in fields])
