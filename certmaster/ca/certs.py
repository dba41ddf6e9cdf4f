"""Certificates as PEM bytes: signed, and asked what they say; no file, no clock and no chance of its own."""

from __future__ import annotations

import ipaddress
import warnings
from datetime import datetime, timedelta, timezone
from typing import Union

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certmaster import subject
from certmaster.ca.keys import fingerprint_of, is_signed_by, load_key
from certmaster.ca.naming import subject_of
from certmaster.ca.requests import load_csr, requested_key, requested_name
from certmaster.errors import BadCertificate, BadRequest
from certmaster.names import is_address

CA_DAYS = 3650

# A machine whose clock runs in local time is wrong by up to 14 hours until NTP has set it.
CLOCK_SKEW = timedelta(days=1)

# Historic authorities have the serial number 0, which newer libraries warn of. Once and for all, because
# warnings.catch_warnings is not safe in a threaded server.
warnings.filterwarnings("ignore", message=".*serial number", category=CryptographyDeprecationWarning)


def make_ca(name: str, key_pem: bytes, serial: int, now: datetime) -> bytes:
    """A self-signed certificate of an authority with the common name `name`, good for ten years."""
    key = load_key(key_pem)
    own_name = subject_of(name)
    builder = _builder(own_name, own_name, key.public_key(), serial)
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + timedelta(days=CA_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    # The overlord shows this very certificate as its TLS client, hence digital_signature.
    usage = _key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True)
    builder = builder.add_extension(usage, critical=True)
    return _pem(builder.sign(key, hashes.SHA256()))


def sign(
    csr_pem: bytes,
    ca_cert_pem: bytes,
    ca_key_pem: bytes,
    serial: int,
    now: datetime,
    days: int,
    *,
    admit_weak: bool = False,
) -> bytes:
    """The certificate a request asks for.

    Nothing but the checked name and the key is taken from the request. The certificate ends no later than
    the authority's own. Raises BadRequest, or BadCertificate where the authority itself cannot sign.
    """
    csr = load_csr(csr_pem, admit_weak)
    name = requested_name(csr)
    if common_name(ca_cert_pem).lower() == name:
        raise BadRequest(f"{name!r} is what the authority itself is called")
    builder = _new_leaf(name, requested_key(csr), ca_cert_pem, serial, now, days)
    return _sign_leaf(builder, name, load_cert(ca_cert_pem), load_key(ca_key_pem))


def sign_master(
    csr_pem: bytes, name: str, ca_cert_pem: bytes, ca_key_pem: bytes, serial: int, now: datetime, days: int
) -> bytes:
    """A certificate for the key of a request, in the name that certmaster gives its cloud master.

    It is good for calling and not for being called: no host goes by it. Raises as `sign`.
    """
    builder = _new_leaf(name, requested_key(load_csr(csr_pem)), ca_cert_pem, serial, now, days)
    builder = _extended(builder, load_cert(ca_cert_pem), ExtendedKeyUsageOID.CLIENT_AUTH)
    return _pem(builder.sign(load_key(ca_key_pem), hashes.SHA256()))


def sign_again(cert_pem: bytes, ca_cert_pem: bytes, ca_key_pem: bytes, serial: int, now: datetime) -> bytes:
    """A certificate anew under the same authority: same name, key and end, our extensions, SHA-256."""
    old, issuer = load_cert(cert_pem), load_cert(ca_cert_pem)
    key = old.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadCertificate("its key is not RSA")
    # The subject stays byte for byte: access lists name certificates by its hash.
    builder = _builder(old.subject, issuer.subject, key, serial)
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(expires_at(cert_pem))
    return _sign_leaf(builder, common_name(cert_pem).lower(), issuer, load_key(ca_key_pem))


def key_matches(cert_pem: bytes, key_pem: bytes) -> bool:
    """Whether a certificate belongs to a private key; raises BadCertificate where one cannot be read."""
    return key_fingerprint(cert_pem) == fingerprint_of(load_key(key_pem).public_key())


def is_issued_by(cert_pem: bytes, ca_cert_pem: bytes) -> bool:
    """Whether a certificate names that authority and carries its signature; dates are not looked at."""
    cert, issuer = load_cert(cert_pem), load_cert(ca_cert_pem)
    key = issuer.public_key()
    algorithm = cert.signature_hash_algorithm
    if cert.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey) or algorithm is None:
        return False
    try:
        key.verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def holder_signed(cert: bytes, data: bytes, signature: bytes) -> bool:
    """Whether whoever holds a certificate's key made that signature (ca.sign_bytes)."""
    return is_signed_by(load_cert(cert).public_key(), data, signature)


def key_fingerprint(cert: bytes) -> str:
    """The SHA-256 of a certificate's public key, as CertRequest has it."""
    return fingerprint_of(load_cert(cert).public_key())


def subject_hash(cert_pem_or_der: bytes) -> int:
    """Func's hash of a certificate's subject: `openssl x509 -noout -hash` as a decimal number."""
    try:
        return subject.subject_hash(load_cert(cert_pem_or_der).subject.public_bytes())
    except ValueError as exc:
        raise BadCertificate(f"the certificate's subject cannot be read: {exc}") from exc


def common_name(cert: bytes) -> str:
    """The first common name of a certificate, an empty string where there is none."""
    found = load_cert(cert).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def expires_at(cert: bytes) -> datetime:
    """When a certificate ends, in UTC."""
    loaded = load_cert(cert)
    if hasattr(loaded, "not_valid_after_utc"):
        return loaded.not_valid_after_utc
    return loaded.not_valid_after.replace(tzinfo=timezone.utc)  # cryptography before 42


def begins_at(cert: bytes) -> datetime:
    """When a certificate begins to be good, in UTC."""
    loaded = load_cert(cert)
    if hasattr(loaded, "not_valid_before_utc"):
        return loaded.not_valid_before_utc
    return loaded.not_valid_before.replace(tzinfo=timezone.utc)  # cryptography before 42


def digest(cert: bytes) -> str:
    """The name of the digest a certificate is signed with, such as sha256."""
    algorithm = load_cert(cert).signature_hash_algorithm
    return "" if algorithm is None else algorithm.name


def serial_number(cert: bytes) -> int:
    """The serial number of a certificate."""
    return load_cert(cert).serial_number


def fingerprint(cert: bytes) -> str:
    """The SHA-256 of a certificate as people compare it: `AB:CD:...`."""
    return ":".join(f"{byte:02X}" for byte in load_cert(cert).fingerprint(hashes.SHA256()))


def pin(cert: bytes) -> str:
    """The same as minions pin it: 64 lower-case hexadecimal digits."""
    return load_cert(cert).fingerprint(hashes.SHA256()).hex()


def load_cert(data: bytes) -> x509.Certificate:
    """A certificate out of PEM or DER; raises BadCertificate."""
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except (ValueError, TypeError) as exc:
        raise BadCertificate("not a certificate") from exc


def _new_leaf(
    name: str, key: rsa.RSAPublicKey, ca_cert_pem: bytes, serial: int, now: datetime, days: int
) -> x509.CertificateBuilder:
    issuer_end = expires_at(ca_cert_pem)
    if issuer_end <= now:
        raise BadCertificate(f"the authority's certificate ended on {issuer_end:%Y-%m-%d}")
    builder = _builder(subject_of(name), load_cert(ca_cert_pem).subject, key, serial)
    end = min(now + timedelta(days=days), issuer_end)
    return builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(end)


def _sign_leaf(
    builder: x509.CertificateBuilder, name: str, issuer: x509.Certificate, issuer_key: rsa.RSAPrivateKey
) -> bytes:
    builder = _extended(builder, issuer, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name)]), critical=False)
    return _pem(builder.sign(issuer_key, hashes.SHA256()))


def _extended(
    builder: x509.CertificateBuilder, issuer: x509.Certificate, *purposes: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usage = _key_usage(digital_signature=True, key_encipherment=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.add_extension(authority_key_identifier(issuer), critical=False)


def _alternative(name: str) -> Union[x509.DNSName, x509.IPAddress]:
    if is_address(name):
        return x509.IPAddress(ipaddress.IPv4Address(name))
    return x509.DNSName(name)


def _builder(
    own_name: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, serial: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(own_name).issuer_name(issuer)
    builder = builder.public_key(key).serial_number(serial)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """How a certificate or a list names the key that signed it."""
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        key = issuer.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise BadCertificate("the authority's key is not RSA") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)
