"""The cloud master's own certificate: given over the local socket alone, to one key, in no host's name."""

from __future__ import annotations

import base64
import hashlib
import xmlrpc.client
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certmaster import ca, proof, renewal
from certmaster.admin_socket import AdminSocket
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig
from certmaster.errors import BadRequest, KeyConflict
from certmaster.names import check_host_name, master_name
from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import Conflict, Invalid
from func.minion.acl import Peer
from tests.certmaster.support import NOW, Pair, openssl, running

Make = Callable[..., Authority]
MASTER = "cloudmaster@master.example.org"


def request(key: bytes, name: str = "cloudmaster") -> bytes:
    return ca.make_request(key, name)


def named_request(key: bytes, common_name: str, digest: hashes.HashAlgorithm = hashes.SHA256()) -> bytes:
    """A request for any name at all, as an attacker makes it."""
    return _signed(key, common_name, digest, "")


def _signed(key: bytes, common_name: str, digest: hashes.HashAlgorithm, challenge: str) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    if challenge:
        builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    loaded = serialization.load_pem_private_key(key, None)
    return builder.sign(loaded, digest).public_bytes(serialization.Encoding.PEM)


def test_the_cloud_master_gets_a_certificate_in_a_name_of_its_own(
    authority: Make, keys: list[bytes], settings: CertmasterConfig
) -> None:
    one = authority()
    pem = one.masters.certify(request(keys[0]))
    assert ca.common_name(pem) == MASTER
    assert ca.key_matches(pem, keys[0])
    assert ca.is_issued_by(pem, one.certificate())
    assert Peer(
        "127.0.0.1", x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    ).key == (f"{MASTER}-{ca.subject_hash(pem)}")
    found = x509.load_pem_x509_certificate(pem).extensions
    purposes = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH], "it calls, and is never called"
    with pytest.raises(x509.ExtensionNotFound):
        found.get_extension_for_class(x509.SubjectAlternativeName)
    assert (settings.masterroot / f"{MASTER}.cert").read_bytes() == pem
    assert one.list_signed() == [], "it is no minion"


def test_openssl_takes_it_for_a_client_of_the_authority(
    authority: Make, keys: list[bytes], settings: CertmasterConfig
) -> None:
    authority().masters.certify(request(keys[0]))
    ca_file = settings.cadir / "certmaster.crt"
    file = settings.masterroot / f"{MASTER}.cert"
    assert b": OK" in openssl("verify", "-CAfile", ca_file, "-purpose", "sslclient", file)
    number = int(openssl("x509", "-noout", "-hash", "-in", file), 16)
    assert number == ca.subject_hash(file.read_bytes())


def test_the_same_key_gets_the_same_certificate_and_a_new_one_revokes_it(
    authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    first = one.masters.certify(request(keys[0]))
    assert one.masters.certify(request(keys[0], "whatever.example.org")) == first
    second = one.masters.certify(request(keys[1]))
    assert ca.common_name(second) == MASTER
    revoked = ca.read_crl(one.crl(), one.certificate())
    assert revoked.has(ca.identity(first))
    assert not revoked.has(ca.identity(second))


def test_a_certificate_that_ended_or_is_another_authoritys_is_made_anew(
    authority: Make, keys: list[bytes], settings: CertmasterConfig, other_pair: Pair
) -> None:
    short = authority(cert_days=1)
    ended = short.masters.certify(request(keys[0]))
    later = Authority(settings, "master.example.org", lambda: NOW + timedelta(days=2))
    assert later.masters.certify(request(keys[0])) != ended
    foreign = ca.sign_master(request(keys[0]), MASTER, other_pair.cert, other_pair.key, 7, NOW, 100)
    (settings.masterroot / f"{MASTER}.cert").write_bytes(foreign)
    assert ca.is_issued_by(authority().masters.certify(request(keys[0])), authority().certificate())


def test_it_can_be_looked_at_cleaned_and_revoked_by_its_name_and_by_no_hosts_glob(
    authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    pem = one.masters.certify(request(keys[0]))
    one.enrol(ca.make_request(keys[1], "cloud1.example.org"))
    assert [signed.name for signed in one.list_signed(["*"])] == ["cloud1.example.org"]
    assert [signed.name for signed in one.list_signed(["cloudmaster@*"])] == [MASTER]
    assert one.list_hashes(["cloudmaster@*"]) == [f"{MASTER}-{ca.subject_hash(pem)}"]
    assert [path.name for path in one.clean("*.org")] == ["cloud1.example.org.cert"]
    assert [path.name for path in one.revoke(MASTER)] == [f"{MASTER}.cert"]
    assert ca.read_crl(one.crl(), one.certificate()).has(ca.identity(pem))
    with pytest.raises(KeyConflict, match="it has to make a new one"):
        one.masters.certify(request(keys[0]))
    assert ca.common_name(one.masters.certify(request(keys[1]))) == MASTER


@pytest.mark.parametrize("host", ["", "a b", "x@y", "../etc", "münchen", "host/../x"])
def test_a_machine_whose_name_is_none_has_no_cloud_master(host: str) -> None:
    with pytest.raises(BadRequest):
        master_name(host)


def test_a_long_host_name_is_cut_to_what_a_certificate_holds() -> None:
    name = master_name(f"{'a' * 30}.{'b' * 20}.example.org")
    assert len(name) <= 64
    assert name.startswith("cloudmaster@aaa")


# Nobody on the network gets such a name.

EVIL = "cloudmaster@evil.example.org"
NAMES = [
    EVIL,
    MASTER,
    "CLOUDMASTER@MASTER.EXAMPLE.ORG",
    "cloudmaster@",
    "@",
    "a@b.example.org",
    "cloudmaster＠x",
]


def wait_for_cert(port: int, csr: bytes) -> list[object]:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy:
        found = proxy.wait_for_cert(csr.decode())
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("historic", [False, True], ids=["today", "historic"])
def test_no_request_over_the_network_gets_the_name(
    authority: Make, keys: list[bytes], settings: CertmasterConfig, name: str, historic: bool
) -> None:
    with pytest.raises(BadRequest):
        check_host_name(name)
    one = authority(autosign=True, historic_requests=historic)
    with running(one) as port:
        assert wait_for_cert(port, named_request(keys[0], name)) == [False, "", ""]
    assert one.list_waiting() == []
    assert (
        not settings.csrroot.exists() and not settings.certroot.exists() and not settings.masterroot.exists()
    )


def test_no_historic_request_gets_the_name(authority: Make, tmp_path: Path) -> None:
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-md5", "-keyout", tmp_path / "key", "-out",
            tmp_path / "csr", "-subj", f"/C=UN/O=certmaster/CN={EVIL}/emailAddress=root@x")  # fmt: skip
    one = authority(autosign=True, historic_requests=True)
    with pytest.raises(BadRequest, match="is not a host name"):
        one.enrol((tmp_path / "csr").read_bytes())


def test_no_token_gives_the_name(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    for name in (EVIL, "cloudmaster@*", "*@*"):
        with pytest.raises(BadRequest):
            one.tokens.add(name)
    _, secret = one.tokens.add("*")  # the widest there is
    public = ca.read_request(request(keys[0])).key_fingerprint
    csr = _signed(keys[0], EVIL, hashes.SHA256(), proof.make(secret, EVIL, public))
    with running(one) as port:
        assert wait_for_cert(port, csr) == [False, "", ""]
    assert one.list_signed(["*", "*@*"]) == []


def test_no_renewal_gives_the_name(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    mine = one.enrol(ca.make_request(keys[0], "cloud1.example.org"))
    masters = one.masters.certify(request(keys[2]))
    assert mine is not None
    csr = named_request(keys[1], MASTER)
    for cert in (mine, masters):
        said = renewal.message(MASTER, cert, hashlib.sha256(csr).hexdigest())
        signature = base64.b64encode(ca.sign_bytes(keys[0], said)).decode()
        with running(one) as port, xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy:
            with pytest.raises(xmlrpc.client.Fault, match="is not a host name"):
                proxy.renew(csr.decode(), signature)
    assert one.masters.certify(request(keys[2])) == masters


def test_no_name_is_made_of_two(authority: Make, keys: list[bytes]) -> None:
    """A subject may hold several common names; the access lists look at the first."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, EVIL),
            x509.NameAttribute(NameOID.COMMON_NAME, "cloud1.example.org"),
        ]
    )
    key = serialization.load_pem_private_key(keys[0], None)
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    with pytest.raises(BadRequest, match="2 common names"):
        authority(autosign=True).enrol(csr.public_bytes(serialization.Encoding.PEM))


def test_an_upgrade_makes_no_cloud_master_of_what_a_certmaster_of_before_signed(
    authority: Make, settings: CertmasterConfig, tmp_path: Path, authority_pair: Pair
) -> None:
    (tmp_path / "ca.key").write_bytes(authority_pair.key)
    (tmp_path / "ca.crt").write_bytes(authority_pair.cert)
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out",
            tmp_path / "csr", "-subj", f"/CN={EVIL}")  # fmt: skip
    settings.certroot.mkdir(parents=True)
    file = settings.certroot / f"{EVIL}.cert"
    openssl("x509", "-req", "-sha1", "-in", tmp_path / "csr", "-CA", tmp_path / "ca.crt", "-CAkey",
            tmp_path / "ca.key", "-set_serial", "9", "-days", "100", "-out", file)  # fmt: skip
    before = file.read_bytes()
    assert authority().upgrade() == []
    assert file.read_bytes() == before


def test_the_local_socket_gives_it_and_says_what_is_wrong(
    authority: Make, keys: list[bytes], settings: CertmasterConfig
) -> None:
    one = authority()
    where = AdminSocket(settings.admin_socket)
    with running(one, admin_socket=where):
        enrolment = Enrolment(where.path, "")
        made = enrolment.master_certificate(request(keys[0]).decode())
        assert ca.common_name(made.certificate.encode()) == MASTER
        assert made.authority.encode() == one.certificate()
        with pytest.raises(Invalid, match="not a certificate request"):
            enrolment.master_certificate("garbage")
        with pytest.raises(Invalid, match="is not a host name"):
            enrolment.clean(MASTER)
        one.revoke(MASTER)
        with pytest.raises(Conflict, match="revoked"):
            enrolment.master_certificate(request(keys[0]).decode())
    lines = settings.audit_log.read_text().splitlines()
    assert any(f" sign {MASTER}: signed, serial" in line and ", process " in line for line in lines)
