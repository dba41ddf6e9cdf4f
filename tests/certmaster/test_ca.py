"""Requests judged and certificates made, with the openssl command as the second opinion."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from certmaster import ca
from certmaster.errors import BadCertificate, BadRequest
from tests.certmaster import support
from tests.certmaster.support import NOW, Pair

HISTORIC = "C = UN, ST = FC, L = Certmaster-town, O = certmaster, OU = slave-key"


def openssl(*args: object, given: bytes = b"") -> str:
    return support.openssl(*args, given=given).decode()


def csr(tmp_path: Path, key: bytes, *args: str, subject: str = "/CN=cloud1.example.org") -> bytes:
    """A request as the openssl command makes it."""
    (tmp_path / "key").write_bytes(key)
    return openssl("req", "-new", "-key", tmp_path / "key", "-subj", subject, *args).encode()


def leaf(pair: Pair, key: bytes, name: str = "cloud1.example.org", days: int = 30) -> bytes:
    return ca.sign(ca.make_request(key, name), pair.cert, pair.key, 2**64 + 5, NOW, days)


def test_an_authority_is_fit_to_sign_and_to_be_a_client(tmp_path: Path, authority_pair: Pair) -> None:
    (tmp_path / "ca").write_bytes(authority_pair.cert)
    text = openssl("x509", "-noout", "-text", "-in", tmp_path / "ca")
    assert "Public-Key: (3072 bit)" in text
    assert "Signature Algorithm: sha256WithRSAEncryption" in text
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE" in text
    assert "X509v3 Key Usage: critical\n                Digital Signature, Certificate Sign, CRL Sign" in text
    assert "X509v3 Subject Key Identifier" in text
    assert ca.common_name(authority_pair.cert) == "master.example.org-CA-KEY"
    assert ca.expires_at(authority_pair.cert) == NOW + timedelta(days=3650)
    assert ca.is_issued_by(authority_pair.cert, authority_pair.cert)
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", tmp_path / "ca", tmp_path / "ca")


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_a_certificate_serves_server_and_client(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes], purpose: str
) -> None:
    (tmp_path / "ca").write_bytes(authority_pair.cert)
    (tmp_path / "leaf").write_bytes(leaf(authority_pair, keys[0]))
    openssl("verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", "cloud1.example.org",
            "-CAfile", tmp_path / "ca", tmp_path / "leaf")  # fmt: skip


def test_a_certificate_carries_the_historic_subject_and_one_alternative_name(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes]
) -> None:
    (tmp_path / "leaf").write_bytes(leaf(authority_pair, keys[0], "Cloud1.Example.Org"))
    text = openssl("x509", "-noout", "-text", "-in", tmp_path / "leaf")
    assert f"Subject: {HISTORIC}, CN = cloud1.example.org, emailAddress = root@cloud1.example.org" in text
    assert "X509v3 Subject Alternative Name: \n                DNS:cloud1.example.org\n" in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert "CA:FALSE" in text
    assert "X509v3 Authority Key Identifier" in text
    assert ca.key_matches(leaf(authority_pair, keys[0]), keys[0])
    assert not ca.key_matches(leaf(authority_pair, keys[0]), keys[1])


def test_a_machine_known_by_its_address_gets_an_address(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes]
) -> None:
    (tmp_path / "leaf").write_bytes(leaf(authority_pair, keys[0], "192.0.2.7"))
    assert "IP Address:192.0.2.7\n" in openssl("x509", "-noout", "-text", "-in", tmp_path / "leaf")


def test_nothing_else_of_a_request_gets_into_the_certificate(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes]
) -> None:
    request = csr(tmp_path, keys[0], "-addext", "subjectAltName=DNS:evil.example.org", "-addext",
                  "basicConstraints=CA:TRUE", subject="/O=evil/OU=evil/CN=cloud1.example.org")  # fmt: skip
    pem = ca.sign(request, authority_pair.cert, authority_pair.key, 7, NOW, 30)
    (tmp_path / "leaf").write_bytes(pem)
    text = openssl("x509", "-noout", "-text", "-in", tmp_path / "leaf")
    assert "evil" not in text
    assert "CA:TRUE" not in text
    assert ca.subject_hash(pem) == ca.subject_hash(leaf(authority_pair, keys[1]))


def test_a_certificate_begins_early_enough_for_a_wrong_clock_and_ends_with_its_authority(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes]
) -> None:
    (tmp_path / "leaf").write_bytes(leaf(authority_pair, keys[0]))
    begin = openssl("x509", "-noout", "-startdate", "-in", tmp_path / "leaf")
    assert f"{NOW - timedelta(days=1):%b %e %H:%M:%S %Y}" in begin
    assert ca.expires_at(leaf(authority_pair, keys[0], days=30)) == NOW + timedelta(days=30)
    assert ca.expires_at(leaf(authority_pair, keys[0], days=9999)) == ca.expires_at(authority_pair.cert)


def test_an_authority_that_ended_signs_no_more(authority_pair: Pair, keys: list[bytes]) -> None:
    request = ca.make_request(keys[0], "cloud1.example.org")
    with pytest.raises(BadCertificate, match="ended on"):
        ca.sign(request, authority_pair.cert, authority_pair.key, 7, NOW + timedelta(days=3651), 30)


def test_a_request_tells_its_name_in_lower_case_and_its_key(keys: list[bytes]) -> None:
    one = ca.read_request(ca.make_request(keys[0], "Cloud1.Example.Org"))
    two = ca.read_request(ca.make_request(keys[1], "cloud1.example.org"))
    assert one.name == two.name == "cloud1.example.org"
    assert one.key_fingerprint != two.key_fingerprint


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("/CN=a,DNS:evil.example.org", "not a host name"),
        ("/O=none", "0 common names"),
        ("/CN=a.example.org/CN=b.example.org", "2 common names"),
        ("/CN=..", "not a host name"),
        ("/CN=..\\/..\\/etc\\/passwd", "not a host name"),
        ("/CN=master.example.org-CA-KEY", "only an authority"),
        ("/CN=b\u00fccher.example.org", "not a host name"),
    ],
)
def test_a_request_for_what_is_no_host_name_is_refused(
    tmp_path: Path, keys: list[bytes], subject: str, said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        ca.read_request(csr(tmp_path, keys[0], "-utf8", subject=subject))


def test_a_request_that_its_key_did_not_sign_is_refused(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes]
) -> None:
    der = support.openssl("req", "-outform", "DER", given=ca.make_request(keys[0], "cloud1.example.org"))
    forged = der.replace(b"cloud1.example.org", b"cloud2.example.org")
    pem = openssl("req", "-inform", "DER", given=forged).encode()
    with pytest.raises(BadRequest, match="signature"):
        ca.read_request(pem)
    with pytest.raises(BadRequest, match="signature"):
        ca.sign(pem, authority_pair.cert, authority_pair.key, 7, NOW, 30)


def test_weak_keys_and_signatures_are_refused(tmp_path: Path, keys: list[bytes]) -> None:
    for old in ("md5", "sha1"):
        with pytest.raises(BadRequest, match=f"signed with {old.upper()}: SHA-256 or better"):
            ca.read_request(csr(tmp_path, keys[0], f"-{old}"))
    small = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024").encode()
    with pytest.raises(BadRequest, match="1024 bits: 2048 or more"):
        ca.read_request(csr(tmp_path, small))
    curve = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").encode()
    edwards = openssl("genpkey", "-algorithm", "ED25519").encode()
    for key in (curve, edwards):
        with pytest.raises(BadRequest, match="not RSA"):
            ca.read_request(csr(tmp_path, key))


@pytest.mark.parametrize("junk", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\xff" * 99])
def test_garbage_is_no_request_no_certificate_and_no_key(junk: bytes, authority_pair: Pair) -> None:
    with pytest.raises(BadRequest):
        ca.read_request(junk)
    for use in (ca.common_name, ca.expires_at, ca.fingerprint, ca.subject_hash, ca.key_fingerprint):
        with pytest.raises(BadCertificate):
            use(junk)
    with pytest.raises(BadCertificate, match="private key"):
        ca.key_matches(authority_pair.cert, junk)


def test_a_key_that_is_not_rsa_is_refused(authority_pair: Pair) -> None:
    curve = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").encode()
    with pytest.raises(BadCertificate, match="not an RSA key"):
        ca.key_matches(authority_pair.cert, curve)


def test_an_authority_knows_what_it_signed(authority_pair: Pair, other_pair: Pair, keys: list[bytes]) -> None:
    pem = leaf(authority_pair, keys[0])
    assert ca.is_issued_by(pem, authority_pair.cert)
    assert not ca.is_issued_by(pem, other_pair.cert)
    namesake = ca.make_ca("master.example.org-CA-KEY", keys[2], 9, NOW)
    assert not ca.is_issued_by(pem, namesake)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_an_authority_of_old_can_still_sign(tmp_path: Path, keys: list[bytes]) -> None:
    """Serial number 0, SHA-1, no extension at all: as certmaster 0.28 made them."""
    (tmp_path / "key").write_bytes(keys[2])
    (tmp_path / "conf").write_text("[req]\ndistinguished_name=d\n[d]\n")
    old = openssl("req", "-x509", "-sha1", "-set_serial", "0", "-key", tmp_path / "key", "-days", "900",
                  "-config", tmp_path / "conf", "-subj", "/O=certmaster/CN=old-CA-KEY").encode()  # fmt: skip
    pem = leaf(Pair(old, keys[2]), keys[0])
    assert ca.is_issued_by(pem, old)
    assert ca.common_name(old) == "old-CA-KEY"


def test_fingerprints_are_written_as_openssl_writes_them(tmp_path: Path, authority_pair: Pair) -> None:
    (tmp_path / "ca").write_bytes(authority_pair.cert)
    printed = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", tmp_path / "ca")
    assert printed.strip().endswith("=" + ca.fingerprint(authority_pair.cert))
