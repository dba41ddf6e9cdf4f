"""Certificate requests as PEM bytes: made, and looked through before anything is signed."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AttributeOID, NameOID

from certmaster.ca.keys import LEAF_KEY_BITS, fingerprint_of, load_key
from certmaster.ca.naming import subject_of
from certmaster.errors import BadRequest
from certmaster.names import check_host_name

_SOUND_HASHES = ("sha256", "sha384", "sha512")
_WEAK_HASHES = ("md5", "sha1")


@dataclass(frozen=True)
class CertRequest:
    """What a sound certificate request asks for: the name in lower case and the SHA-256 of its public key.

    `challenge` is its challengePassword (PKCS #9), empty where it has none; never to be logged.
    """

    name: str
    key_fingerprint: str
    challenge: str = field(default="", repr=False)


def make_request(key_pem: bytes, name: str, challenge: str = "") -> bytes:
    """A certificate request for `name`; raises BadRequest where that is no host name."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_of(check_host_name(name)))
    if challenge:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode("ascii"))
    request = builder.sign(load_key(key_pem), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def read_request(csr_pem: bytes, *, admit_weak: bool = False) -> CertRequest:
    """What a request asks for; raises BadRequest with the reason where it is not to be signed.

    `admit_weak` takes requests signed with MD5 or SHA-1 too, as certmaster 0.28 made them.
    """
    csr = load_csr(csr_pem, admit_weak)
    return CertRequest(requested_name(csr), fingerprint_of(requested_key(csr)), _challenge(csr))


def load_csr(csr_pem: bytes, admit_weak: bool = False) -> x509.CertificateSigningRequest:
    """A request whose signature is that of its key; raises BadRequest."""
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        algorithm = csr.signature_hash_algorithm
        weak = algorithm is not None and algorithm.name in _WEAK_HASHES
        # Said here, because whether the library calls MD5 and SHA-1 valid differs by version and policy.
        if algorithm is not None and algorithm.name not in _SOUND_HASHES and not (weak and admit_weak):
            raise BadRequest(
                f"it is signed with {algorithm.name.upper()}: SHA-256 or better is needed"
                + (" (or historic_requests = yes in certmaster.conf, while a fleet is migrated)" * weak)
            )
        is_valid = _is_signed_weakly(csr) if weak else csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise BadRequest("not a certificate request in PEM form") from exc
    if not is_valid:
        raise BadRequest("its signature is not that of its key")
    return csr


def _is_signed_weakly(csr: x509.CertificateSigningRequest) -> bool:
    """The check of a signature with MD5 or SHA-1, which the library itself calls invalid."""
    key, algorithm = csr.public_key(), csr.signature_hash_algorithm
    if not isinstance(key, rsa.RSAPublicKey) or algorithm is None:
        return False
    try:
        key.verify(csr.signature, csr.tbs_certrequest_bytes, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True


def requested_key(csr: x509.CertificateSigningRequest) -> rsa.RSAPublicKey:
    """The key a request is for; raises BadRequest where it is not strong enough."""
    try:
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise BadRequest(f"its key cannot be read: {exc}") from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadRequest(f"its key is not RSA: RSA with {LEAF_KEY_BITS} bits or more is needed")
    if key.key_size < LEAF_KEY_BITS:
        raise BadRequest(f"its RSA key has {key.key_size} bits: {LEAF_KEY_BITS} or more are needed")
    return key


def requested_name(csr: x509.CertificateSigningRequest) -> str:
    """The name asked for, fit for a file name; raises BadRequest."""
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
