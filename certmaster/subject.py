"""Func's hash of a subject: OpenSSL's X509_subject_name_hash, computed from the DER bytes of a name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

_SEQUENCE = 0x30
_SET = 0x31
_UTF8 = 0x0C

# Tag of a string type -> how its bytes are read. OpenSSL folds these into one form before hashing.
_STRINGS = {
    _UTF8: "utf-8",
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # T61String
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}

_SPACES = re.compile(rb"[ \t\n\v\f\r]+")


def subject_hash(name_der: bytes) -> int:
    """The number `openssl x509 -noout -hash` prints in hexadecimal, of a DER-encoded Name.

    Raises ValueError where the bytes are not a Name.
    """
    _, content, _ = _read(name_der, 0)
    parts = [_encode(_SET, b"".join(sorted(map(_canonical, _each(rdn))))) for rdn in _each(content)]
    digest = hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "little")


def _canonical(attribute: bytes) -> bytes:
    """One attribute, its string trimmed, single-spaced and in ASCII lower case, as UTF8String."""
    _, oid, after_oid = _read(attribute, 0)
    tag, value, _ = _read(attribute, after_oid)
    if tag in _STRINGS:
        text = value.decode(_STRINGS[tag]).encode()
        value = _SPACES.sub(b" ", text).strip(b" ").lower()
        tag = _UTF8
    return _encode(_SEQUENCE, _encode(0x06, oid) + _encode(tag, value))


def _each(content: bytes) -> Iterator[bytes]:
    """The contents of the elements that stand one after the other."""
    offset = 0
    while offset < len(content):
        _, element, offset = _read(content, offset)
        yield element


def _read(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """Tag, content and end of the element at `offset`."""
    if offset + 2 > len(data):
        raise ValueError("DER ends in the middle of an element")
    tag, length, start = data[offset], data[offset + 1], offset + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("DER ends in the middle of an element")
    return tag, data[start : start + length], start + length


def _encode(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content
