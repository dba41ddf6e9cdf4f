"""Lists of revoked certificates (CRL) as PEM bytes: signed by the authority, read by whoever trusts it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from certmaster.ca.certs import authority_key_identifier, load_cert
from certmaster.ca.keys import load_key
from certmaster.errors import BadCertificate


@dataclass(frozen=True)
class RevocationList:
    """What a list says: serial numbers and since when, and who said it.

    `number` grows from list to list; after `next_update` there should be a newer one.
    """

    number: int
    made_at: datetime
    next_update: datetime
    serials: Mapping[int, datetime]
    issuer: str

    def has(self, identity: str) -> bool:
        """Whether the certificate of that identity is revoked."""
        issuer, _, serial = identity.partition(":")
        return issuer == self.issuer and int(serial, 16) in self.serials


def identity(cert: bytes) -> str:
    """Which certificate it is, among those of all authorities."""
    loaded = load_cert(cert)
    return f"{_name_key(loaded.issuer)}:{loaded.serial_number:x}"


def make_crl(
    ca_cert_pem: bytes,
    ca_key_pem: bytes,
    serials: Mapping[int, datetime],
    number: int,
    made_at: datetime,
    next_update: datetime,
) -> bytes:
    """A list of these serial numbers, signed by the authority."""
    issuer = load_cert(ca_cert_pem)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(made_at).next_update(next_update)
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(authority_key_identifier(issuer), critical=False)
    for serial, since in sorted(serials.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(load_key(ca_key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read_crl(crl_pem: bytes, ca_cert_pem: bytes) -> RevocationList:
    """What a list says that this authority signed; raises BadCertificate for any other."""
    issuer = load_cert(ca_cert_pem)
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadCertificate("the authority's key is not RSA")
    try:
        crl = x509.load_pem_x509_crl(crl_pem)
        if crl.issuer != issuer.subject or not crl.is_signature_valid(key):
            raise BadCertificate("it is a list of another authority than ours, or was altered")
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        serials = {one.serial_number: _moment(one, "revocation_date") for one in crl}
        made_at, next_update = _moment(crl, "last_update"), _moment(crl, "next_update")
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound) as exc:
        raise BadCertificate("not a list of revoked certificates in PEM form") from exc
    return RevocationList(number, made_at, next_update, serials, _name_key(crl.issuer))


def _moment(of: Any, attribute: str) -> datetime:
    found = getattr(of, f"{attribute}_utc", None) or getattr(of, attribute)  # cryptography before 42
    if not isinstance(found, datetime):
        raise BadCertificate(f"the list has no {attribute}")
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _name_key(name: x509.Name) -> str:
    return hashlib.sha256(name.public_bytes()).hexdigest()[:32]
