"""Func's subject hash beside the openssl command's."""

from __future__ import annotations

from pathlib import Path

import pytest

from certmaster import ca
from certmaster.subject import subject_hash
from tests.certmaster.support import Pair, openssl


@pytest.mark.parametrize(
    "subject",
    [
        "/C=UN/ST=FC/L=Certmaster-town/O=certmaster/OU=slave-key/CN=Cloud1.Example.ORG/emailAddress=root@cloud1",
        "/CN=a",
        "/CN=  Two   words  /O=Upper CASE",
        "/O=M\u00dcNCHEN \u00c4/CN=b\u00fccher.example",
        "/CN=" + "x" * 64 + "/O=" + "long " * 12,
        "/DC=org/DC=example/CN=leaf",
        "/CN=one+O=two+OU=three/serialNumber=1",
        "/O=  /CN=blank",
    ],
)
def test_it_is_what_openssl_prints(tmp_path: Path, keys: list[bytes], subject: str) -> None:
    (tmp_path / "key").write_bytes(keys[0])
    cert = tmp_path / "cert"
    openssl("req", "-x509", "-utf8", "-multivalue-rdn", "-key", str(tmp_path / "key"), "-subj", subject,
            "-days", "1", "-out", str(cert))  # fmt: skip
    assert ca.subject_hash(cert.read_bytes()) == int(openssl("x509", "-noout", "-hash", "-in", str(cert)), 16)


def test_pem_and_der_give_the_same(tmp_path: Path, authority_pair: Pair) -> None:
    (tmp_path / "pem").write_bytes(authority_pair.cert)
    openssl("x509", "-in", str(tmp_path / "pem"), "-outform", "DER", "-out", str(tmp_path / "der"))
    assert ca.subject_hash(authority_pair.cert) == ca.subject_hash((tmp_path / "der").read_bytes())


def name(tag: int, value: bytes) -> bytes:
    """A Name with one common name."""
    inner = b"\x06\x03\x55\x04\x03" + bytes((tag, len(value))) + value
    for outer in (0x30, 0x31, 0x30):
        inner = bytes((outer, len(inner))) + inner
    return inner


@pytest.mark.parametrize(
    ("tag", "encoding"),
    [(0x13, "ascii"), (0x14, "latin-1"), (0x16, "ascii"), (0x1E, "utf-16-be"), (0x1C, "utf-32-be")],
)
def test_the_type_of_a_string_makes_no_difference(tag: int, encoding: str) -> None:
    assert subject_hash(name(tag, " CLOUD  1 ".encode(encoding))) == subject_hash(name(0x0C, b"cloud 1"))


def test_what_is_no_string_is_kept_as_it_is() -> None:
    assert subject_hash(name(0x03, b"\0AB")) != subject_hash(name(0x03, b"\0ab"))


def test_long_names_are_encoded_with_long_lengths() -> None:
    value = b"x" * 300
    inner = b"\x06\x03\x55\x04\x03\x0c\x82\x01\x2c" + value
    for outer in (0x30, 0x31, 0x30):
        inner = bytes((outer, 0x82)) + len(inner).to_bytes(2, "big") + inner
    assert subject_hash(inner) != subject_hash(name(0x0C, b"x"))


@pytest.mark.parametrize("junk", [b"", b"\x30\x05\x31", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x31\x09"])
def test_bytes_that_are_no_name_are_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match="DER"):
        subject_hash(junk)
