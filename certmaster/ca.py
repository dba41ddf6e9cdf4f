"""Keys, requests and certificates as PEM bytes; no file, no clock and no chance of its own (but new_key)."""

from __future__ import annotations

import hashlib
import ipaddress
import warnings
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Union

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from certmaster import subject
from certmaster.errors import BadCertificate, BadRequest
from certmaster.names import check_host_name, is_address

CA_KEY_BITS = 3072
LEAF_KEY_BITS = 2048
CA_DAYS = 3650

# A machine whose clock runs in local time is wrong by up to 14 hours until NTP has set it.
CLOCK_SKEW = timedelta(days=1)

_SOUND_HASHES = ("sha256", "sha384", "sha512")

_FIXED_SUBJECT = (
    (NameOID.COUNTRY_NAME, "UN"),
    (NameOID.STATE_OR_PROVINCE_NAME, "FC"),
    (NameOID.LOCALITY_NAME, "Certmaster-town"),
    (NameOID.ORGANIZATION_NAME, "certmaster"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "slave-key"),
)

# Historic authorities have the serial number 0, which newer libraries warn of. Once and for all, because
# warnings.catch_warnings is not safe in a threaded server.
warnings.filterwarnings("ignore", message=".*serial number", category=CryptographyDeprecationWarning)


@dataclass(frozen=True)
class CertRequest:
    """What a sound certificate request asks for: the name in lower case and the SHA-256 of its public key.

    `challenge` is its challengePassword (PKCS #9), empty where it has none; never to be logged.
    """

    name: str
    key_fingerprint: str
    challenge: str = field(default="", repr=False)


def new_key(bits: int = LEAF_KEY_BITS) -> bytes:
    """A fresh RSA key, unencrypted PKCS#8 PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_ca(name: str, key_pem: bytes, serial: int, now: datetime) -> bytes:
    """A self-signed certificate of an authority with the common name `name`, good for ten years."""
    key = _load_key(key_pem)
    own_name = _subject(name)
    builder = _builder(own_name, own_name, key.public_key(), serial)
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + timedelta(days=CA_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    # The overlord shows this very certificate as its TLS client, hence digital_signature.
    usage = _key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True)
    builder = builder.add_extension(usage, critical=True)
    return _pem(builder.sign(key, hashes.SHA256()))


def make_request(key_pem: bytes, name: str, challenge: str = "") -> bytes:
    """A certificate request for `name`; raises BadRequest where that is no host name."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(check_host_name(name)))
    if challenge:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode("ascii"))
    request = builder.sign(_load_key(key_pem), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def read_request(csr_pem: bytes) -> CertRequest:
    """What a request asks for; raises BadRequest with the reason where it is not to be signed."""
    csr = _load_csr(csr_pem)
    return CertRequest(_requested_name(csr), _fingerprint_of(_requested_key(csr)), _challenge(csr))


def sign(
    csr_pem: bytes, ca_cert_pem: bytes, ca_key_pem: bytes, serial: int, now: datetime, days: int
) -> bytes:
    """The certificate a request asks for.

    Nothing but the checked name and the key is taken from the request. The certificate ends no later than
    the authority's own. Raises BadRequest, or BadCertificate where the authority itself cannot sign.
    """
    csr = _load_csr(csr_pem)
    name = _requested_name(csr)
    issuer, issuer_key = _load_cert(ca_cert_pem), _load_key(ca_key_pem)
    if common_name(ca_cert_pem).lower() == name:
        raise BadRequest(f"{name!r} is what the authority itself is called")
    if expires_at(ca_cert_pem) <= now:
        raise BadCertificate(f"the authority's certificate ended on {expires_at(ca_cert_pem):%Y-%m-%d}")
    builder = _builder(_subject(name), issuer.subject, _requested_key(csr), serial)
    end = min(now + timedelta(days=days), expires_at(ca_cert_pem))
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usage = _key_usage(digital_signature=True, key_encipherment=True)
    builder = builder.add_extension(usage, critical=True)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(purposes, critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name)]), critical=False)
    builder = builder.add_extension(_authority_key_identifier(issuer), critical=False)
    return _pem(builder.sign(issuer_key, hashes.SHA256()))


def key_matches(cert_pem: bytes, key_pem: bytes) -> bool:
    """Whether a certificate belongs to a private key; raises BadCertificate where one cannot be read."""
    return key_fingerprint(cert_pem) == _fingerprint_of(_load_key(key_pem).public_key())


def is_issued_by(cert_pem: bytes, ca_cert_pem: bytes) -> bool:
    """Whether a certificate names that authority and carries its signature; dates are not looked at."""
    cert, issuer = _load_cert(cert_pem), _load_cert(ca_cert_pem)
    key = issuer.public_key()
    algorithm = cert.signature_hash_algorithm
    if cert.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey) or algorithm is None:
        return False
    try:
        key.verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def key_fingerprint(cert: bytes) -> str:
    """The SHA-256 of a certificate's public key, as CertRequest has it."""
    return _fingerprint_of(_load_cert(cert).public_key())


def subject_hash(cert_pem_or_der: bytes) -> int:
    """Func's hash of a certificate's subject: `openssl x509 -noout -hash` as a decimal number."""
    try:
        return subject.subject_hash(_load_cert(cert_pem_or_der).subject.public_bytes())
    except ValueError as exc:
        raise BadCertificate(f"the certificate's subject cannot be read: {exc}") from exc


def common_name(cert: bytes) -> str:
    """The first common name of a certificate, an empty string where there is none."""
    found = _load_cert(cert).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def expires_at(cert: bytes) -> datetime:
    """When a certificate ends, in UTC."""
    loaded = _load_cert(cert)
    if hasattr(loaded, "not_valid_after_utc"):
        return loaded.not_valid_after_utc
    return loaded.not_valid_after.replace(tzinfo=timezone.utc)  # cryptography before 42


def serial_number(cert: bytes) -> int:
    """The serial number of a certificate."""
    return _load_cert(cert).serial_number


def fingerprint(cert: bytes) -> str:
    """The SHA-256 of a certificate as people compare it: `AB:CD:...`."""
    return ":".join(f"{byte:02X}" for byte in _load_cert(cert).fingerprint(hashes.SHA256()))


def pin(cert: bytes) -> str:
    """The same as minions pin it: 64 lower-case hexadecimal digits."""
    return _load_cert(cert).fingerprint(hashes.SHA256()).hex()


def _load_cert(data: bytes) -> x509.Certificate:
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except (ValueError, TypeError) as exc:
        raise BadCertificate("not a certificate") from exc


# Loading proves the primes, 0.13 s for 3072 bits: too long to do again for every signature.
@lru_cache(maxsize=4)
def _load_key(key_pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise BadCertificate("not an unencrypted private key in PEM form") from exc
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadCertificate("not an RSA key")
    return key


def _load_csr(csr_pem: bytes) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        algorithm = csr.signature_hash_algorithm
        # Said here, because whether the library calls MD5 and SHA-1 valid differs by version and policy.
        if algorithm is not None and algorithm.name not in _SOUND_HASHES:
            raise BadRequest(f"it is signed with {algorithm.name.upper()}: SHA-256 or better is needed")
        is_valid = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise BadRequest("not a certificate request in PEM form") from exc
    if not is_valid:
        raise BadRequest("its signature is not that of its key")
    return csr


def _requested_key(csr: x509.CertificateSigningRequest) -> rsa.RSAPublicKey:
    try:
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise BadRequest(f"its key cannot be read: {exc}") from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadRequest(f"its key is not RSA: RSA with {LEAF_KEY_BITS} bits or more is needed")
    if key.key_size < LEAF_KEY_BITS:
        raise BadRequest(f"its RSA key has {key.key_size} bits: {LEAF_KEY_BITS} or more are needed")
    return key


def _requested_name(csr: x509.CertificateSigningRequest) -> str:
    try:
        names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError as exc:
        raise BadRequest(f"its subject cannot be read: {exc}") from exc
    if len(names) != 1:
        raise BadRequest(f"it has {len(names)} common names: exactly one is needed")
    return check_host_name(str(names[0].value))


def _challenge(csr: x509.CertificateSigningRequest) -> str:
    try:
        return csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode("latin-1")
    except x509.AttributeNotFound:
        return ""
    except ValueError as exc:
        raise BadRequest(f"its attributes cannot be read: {exc}") from exc


def _subject(name: str) -> x509.Name:
    fields = [*_FIXED_SUBJECT, (NameOID.COMMON_NAME, name), (NameOID.EMAIL_ADDRESS, f"root@{name}")]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in fields])


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


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
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


def _fingerprint_of(key: object) -> str:
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadCertificate("its key is not RSA")
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)
