"""What certmaster 0.28 left behind: authority, certificates and requests, made by the openssl command."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certmaster import ca, upkeep
from certmaster.authority import Authority
from certmaster.certdir import minion_files
from certmaster.config import CertmasterConfig, MinionConfig
from certmaster.errors import BadRequest
from certmaster.request import obtain_certificate
from func import tls
from tests.certmaster.support import NOW, openssl
from tests.certmaster.test_tls import shake_hands

# pytest puts its own filters in place of the one of certmaster.ca.
pytestmark = pytest.mark.filterwarnings("ignore:.*serial number")

Serve = Callable[..., int]
NAME = "old1.example.org"
SUBJECT = "/C=UN/ST=FC/L=Certmaster-town/O=certmaster/OU=slave-key/CN={0}/emailAddress=root@{0}"

LEAF = """
basicConstraints = CA:FALSE
nsComment = "OpenSSL Generated Certificate"
subjectAltName = DNS:{0}
"""


def historic_request(folder: Path, name: str, digest: str) -> bytes:
    openssl("req", "-new", f"-{digest}", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.pem",
            "-out", folder / f"{name}.csr", "-subj", SUBJECT.format(name))  # fmt: skip
    return (folder / f"{name}.csr").read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority numbered 0 and a leaf, both signed with SHA-1, and requests with MD5 and SHA-1."""
    folder = tmp_path_factory.mktemp("historic")
    openssl("req", "-x509", "-sha1", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out",
            folder / "ca.crt", "-set_serial", "0", "-days", "3650",
            "-subj", SUBJECT.format("master.example.org-CA-KEY"))  # fmt: skip
    historic_request(folder, NAME, "sha1")
    (folder / "leaf.cnf").write_text(LEAF.format(NAME))
    openssl("x509", "-req", "-sha1", "-in", folder / f"{NAME}.csr", "-CA", folder / "ca.crt", "-CAkey",
            folder / "ca.key", "-set_serial", "1", "-days", "3650", "-extfile", folder / "leaf.cnf",
            "-out", folder / f"{NAME}.cert")  # fmt: skip
    historic_request(folder, "md5.example.org", "md5")
    return folder


@pytest.fixture
def taken_over(settings: CertmasterConfig, made: Path) -> CertmasterConfig:
    """The files where certmaster 0.28 had them, serial.txt as it wrote it."""
    for source, target in (
        ("ca.key", settings.cadir / "certmaster.key"),
        ("ca.crt", settings.cadir / "certmaster.crt"),
        (f"{NAME}.cert", settings.certroot / f"{NAME}.cert"),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((made / source).read_bytes())
    (settings.cadir / "serial.txt").write_text("1\n")
    return settings


def authority(settings: CertmasterConfig, **changes: object) -> Authority:
    return Authority(replace(settings, **changes), "renamed.example.org", lambda: NOW)


def test_what_is_there_is_taken_over_as_it_is(
    taken_over: CertmasterConfig, made: Path, keys: list[bytes]
) -> None:
    one = authority(taken_over, autosign=True)
    assert one.prepare() == (made / "ca.crt").read_bytes()
    assert ca.serial_number(one.certificate()) == 0
    assert [signed.name for signed in one.list_signed()] == [NAME]
    hashed = int(openssl("x509", "-noout", "-hash", "-in", made / f"{NAME}.cert"), 16)
    assert one.list_hashes() == [f"{NAME}-{hashed}"]
    new = one.enrol(ca.make_request(keys[0], "new.example.org")) or b""
    assert ca.is_issued_by(new, one.certificate())
    assert (taken_over.cadir / "serial.txt").read_text() == "2\n"
    assert ca.read_crl(one.crl(), one.certificate()).serials == {}


def test_an_upgrade_signs_anew_for_the_same_key_name_and_end(
    taken_over: CertmasterConfig, made: Path, tmp_path: Path
) -> None:
    one = authority(taken_over)
    before, hashes = (made / f"{NAME}.cert").read_bytes(), one.list_hashes()
    (path,) = one.upgrade()
    after = path.read_bytes()
    assert (ca.digest(before), ca.digest(after)) == ("sha1", "sha256")
    for same in (ca.key_fingerprint, ca.expires_at, ca.common_name, ca.subject_hash):
        assert same(before) == same(after), same
    assert ca.serial_number(after) != ca.serial_number(before)
    assert one.list_hashes() == hashes, "access lists hold"
    openssl("verify", "-auth_level", "2", "-CAfile", made / "ca.crt", path)
    assert one.upgrade() == [], "once is enough"
    one.revoke(NAME)
    listed = ca.read_crl(one.crl(), one.certificate()).serials
    assert set(listed) == {1, ca.serial_number(after)}, "the SHA-1 certificate is revoked with it"


def pair(made: Path, cert: Path, purpose: str, historic: bool) -> ssl.SSLContext:
    make = tls.server_context if purpose == "server" else tls.client_context
    key = made / f"{NAME}.pem" if purpose == "server" else made / "ca.key"
    return make(cert, key, made / "ca.crt", historic=historic)


def test_a_sha1_leaf_passes_only_where_the_setting_admits_it(made: Path) -> None:
    leaf = made / f"{NAME}.cert"
    with pytest.raises(tls.ConfigError, match="SHA-1 or MD5"):
        pair(made, leaf, "server", historic=False)
    old = pair(made, leaf, "server", historic=True)
    # The overlord shows the historic authority itself, signed by itself with SHA-1: that passes everywhere.
    assert shake_hands(old, pair(made, made / "ca.crt", "client", historic=True), NAME)
    with pytest.raises(ssl.SSLError):
        shake_hands(old, pair(made, made / "ca.crt", "client", historic=False), NAME)


def test_after_the_upgrade_both_sides_pass_at_the_default_level(
    taken_over: CertmasterConfig, made: Path
) -> None:
    (path,) = authority(taken_over).upgrade()
    server = pair(made, path, "server", historic=False)
    assert shake_hands(server, pair(made, made / "ca.crt", "client", historic=False), NAME)


@pytest.mark.parametrize(("name", "digest"), [("md5.example.org", "MD5"), (NAME, "SHA1")])
def test_a_weakly_signed_request_is_refused_unless_the_setting_admits_it(
    taken_over: CertmasterConfig, made: Path, name: str, digest: str
) -> None:
    (taken_over.certroot / f"{NAME}.cert").unlink()
    csr = (made / f"{name}.csr").read_bytes()
    with pytest.raises(BadRequest, match=f"signed with {digest}: .*historic_requests = yes"):
        authority(taken_over, autosign=True).enrol(csr)
    admitting = authority(taken_over, autosign=True, historic_requests=True)
    pem = admitting.enrol(csr) or b""
    assert (ca.common_name(pem), ca.digest(pem)) == (name, "sha256")
    altered = subprocess.run(["openssl", "req", "-outform", "DER"], input=csr, capture_output=True).stdout
    broken = altered[:-1] + bytes((altered[-1] ^ 1,))
    with pytest.raises(BadRequest, match="not that of its key"):
        admitting.enrol(
            ssl.DER_cert_to_PEM_cert(broken).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
        )


def test_our_minion_with_a_historic_certificate_fetches_the_upgraded_one_by_itself(
    taken_over: CertmasterConfig, made: Path, tmp_path: Path, serve: Serve
) -> None:
    one = authority(taken_over)
    config = MinionConfig("INFO", "127.0.0.1", serve(one), tmp_path / "minion")
    config.cert_dir.mkdir()
    files = minion_files(config.cert_dir, NAME)
    for source, target in (
        (f"{NAME}.pem", files.key_file),
        (f"{NAME}.cert", files.cert_file),
        ("ca.crt", files.ca_file),
    ):
        target.write_bytes((made / source).read_bytes())
    assert obtain_certificate(config, NAME, once=True) is not None, "it is taken over as it is"
    (path,) = one.upgrade()
    assert upkeep.keep_good(config, files, NAME, NOW, 0.0) is True
    assert files.cert_file.read_bytes() == path.read_bytes()
    assert upkeep.keep_good(config, files, NAME, NOW, 0.0) is False
