"""RSA keys as PEM bytes, and what their holders sign and prove."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from certmaster.errors import BadCertificate

CA_KEY_BITS = 3072
LEAF_KEY_BITS = 2048


def new_key(bits: int = LEAF_KEY_BITS) -> bytes:
    """A fresh RSA key, unencrypted PKCS#8 PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# Loading proves the primes, 0.13 s for 3072 bits: too long to do again for every signature.
@lru_cache(maxsize=4)
def load_key(key_pem: bytes) -> rsa.RSAPrivateKey:
    """The key out of unencrypted PEM; raises BadCertificate."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise BadCertificate("not an unencrypted private key in PEM form") from exc
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadCertificate("not an RSA key")
    return key


def fingerprint_of(key: object) -> str:
    """The SHA-256 of a public RSA key; raises BadCertificate for any other kind."""
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadCertificate("its key is not RSA")
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def sign_bytes(key_pem: bytes, data: bytes) -> bytes:
    """The signature of a key's holder under `data` (PKCS #1 v1.5, SHA-256)."""
    return load_key(key_pem).sign(data, padding.PKCS1v15(), hashes.SHA256())


def is_signed_by(key: object, data: bytes, signature: bytes) -> bool:
    """Whether the holder of a public key made that signature."""
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
