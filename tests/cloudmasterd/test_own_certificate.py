"""The cloud master's own certificate, from a real certmaster over its local socket: made, kept, replaced."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from certmaster import ca
from certmaster import config as certmaster_config
from certmaster.admin_socket import AdminSocket
from certmaster.authority import Authority
from certmaster.certdir import PUBLIC, SECRET, write_file
from cloudmasterd.enrolment import Enrolment
from cloudmasterd.func_fabric import OwnCertificate, open_own
from cloudmasterd.own_certificate import CertificateKeeper
from tests.certmaster.support import NOW, Pair, running

MASTER = "cloudmaster@master.example.org"


@pytest.fixture(scope="module")
def pair() -> Pair:
    key = ca.new_key()
    return Pair(ca.make_ca("master.example.org-CA-KEY", key, 1, NOW), key)


class Time:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def authority(tmp_path: Path, pair: Pair, time: Time) -> Callable[..., Authority]:
    settings = certmaster_config.load_certmaster_config(tmp_path)
    settings.cadir.mkdir(parents=True)
    write_file(settings.cadir / "certmaster.key", pair.key, SECRET)
    write_file(settings.cadir / "certmaster.crt", pair.cert, PUBLIC)

    def make(**changes: int) -> Authority:
        return Authority(replace(settings, **changes), "master.example.org", time.now)

    return make


@pytest.fixture
def own(tmp_path: Path, time: Time) -> OwnCertificate:
    found = open_own(tmp_path, tmp_path / "pki", time.now)
    assert found is not None
    return found


@pytest.fixture
def keeper(tmp_path: Path, own: OwnCertificate) -> Iterator[CertificateKeeper]:
    made = CertificateKeeper(own, Enrolment(tmp_path / "run/certmaster/admin.sock", "", timeout_s=60))
    yield made
    made.stop()


@contextmanager
def serving(authority: Authority, root: Path) -> Iterator[None]:
    with running(authority, admin_socket=AdminSocket(root / "run/certmaster/admin.sock")):
        yield


def certificate(root: Path) -> bytes:
    return (root / "pki/cloudmaster.cert").read_bytes()


def test_it_is_asked_for_at_the_start_and_its_key_is_its_owners_alone(
    authority: Callable[..., Authority], keeper: CertificateKeeper, own: OwnCertificate, tmp_path: Path
) -> None:
    with serving(authority(), tmp_path):
        keeper.start()
    assert keeper.problems() == []
    files = own.find()
    assert ca.common_name(files.cert_file.read_bytes()) == MASTER
    assert ca.key_matches(files.cert_file.read_bytes(), files.key_file.read_bytes())
    assert stat.S_IMODE(files.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    assert not (tmp_path / "pki/cloudmaster.pem.next").exists()
    assert own.expires_at() == ca.expires_at(files.cert_file.read_bytes())


def test_while_certmaster_is_down_it_says_so_and_gets_one_when_it_is_up(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    keeper.look()
    keeper.look()
    (problem,) = keeper.problems()
    assert problem.startswith("cloud instances cannot be called: this cloud master has no certificate")
    assert "certmaster is not running" in problem
    assert caplog.text.count("no new certificate for this cloud master") == 1, "told once"
    key = (tmp_path / "pki/cloudmaster.pem.next").read_bytes()
    with serving(authority(), tmp_path):
        keeper.look()
    assert keeper.problems() == []
    assert (tmp_path / "pki/cloudmaster.pem").read_bytes() == key, "the one it asked with all the time"


def test_it_is_renewed_with_a_new_key_before_it_ends(
    authority: Callable[..., Authority], keeper: CertificateKeeper, time: Time, tmp_path: Path
) -> None:
    with serving(authority(cert_days=90), tmp_path):
        keeper.look()
        first = certificate(tmp_path)
        time.at = NOW + timedelta(days=50)
        keeper.look()
        assert certificate(tmp_path) == first, "too early"
        time.at = NOW + timedelta(days=70)
        keeper.look()
    second = certificate(tmp_path)
    assert ca.key_fingerprint(second) != ca.key_fingerprint(first)
    assert ca.expires_at(second) == time.at + timedelta(days=90)
    assert ca.read_crl(authority().crl(), authority().certificate()).has(ca.identity(first))
    assert keeper.problems() == []


def test_a_renewal_that_fails_leaves_the_one_there_in_use(
    authority: Callable[..., Authority], keeper: CertificateKeeper, time: Time, tmp_path: Path
) -> None:
    with serving(authority(cert_days=90), tmp_path):
        keeper.look()
    before = certificate(tmp_path)
    time.at = NOW + timedelta(days=80)
    keeper.look()
    assert certificate(tmp_path) == before
    assert keeper.problems() == []
    time.at = NOW + timedelta(days=91)
    assert "ended on" in keeper.problems()[0]


@pytest.mark.parametrize("how", ["clean", "revoke"])
def test_one_that_is_revoked_is_replaced_by_one_for_another_key(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path, how: str
) -> None:
    with serving(authority(), tmp_path):
        keeper.look()
        first = certificate(tmp_path)
        getattr(authority(), how)(MASTER)
        assert "is revoked" in keeper.problems()[0]
        keeper.look()
    assert keeper.problems() == []
    assert ca.key_fingerprint(certificate(tmp_path)) != ca.key_fingerprint(first)


def test_a_key_that_was_revoked_before_its_certificate_came_is_given_up(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path
) -> None:
    keeper.look()
    key = (tmp_path / "pki/cloudmaster.pem.next").read_bytes()
    authority().masters.certify(ca.make_request(key, "cloudmaster"))  # the answer is lost
    authority().revoke(MASTER)
    with serving(authority(), tmp_path):
        keeper.look()
        assert "was revoked" in keeper.problems()[0]
        keeper.look()
    assert keeper.problems() == []


def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path
) -> None:
    keeper.look()
    key = (tmp_path / "pki/cloudmaster.pem.next").read_bytes()
    signed = authority().masters.certify(ca.make_request(key, "cloudmaster"))
    with serving(authority(), tmp_path):
        keeper.look()
    assert certificate(tmp_path) == signed


def test_a_crash_between_key_and_certificate_is_taken_up(
    authority: Callable[..., Authority], keeper: CertificateKeeper, own: OwnCertificate, tmp_path: Path
) -> None:
    with serving(authority(), tmp_path):
        keeper.look()
    new = ca.new_key()
    cert = authority().masters.certify(ca.make_request(new, "cloudmaster"))
    # The old certificate is revoked by now; of the new pair both came, and neither is in its place.
    write_file(tmp_path / "pki/cloudmaster.pem.next", new, SECRET)
    write_file(tmp_path / "pki/cloudmaster.cert.next", cert, PUBLIC)
    keeper.look()
    assert certificate(tmp_path) == cert
    assert keeper.problems() == []


def test_a_new_certmaster_makes_a_new_certificate(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path
) -> None:
    with serving(authority(), tmp_path):
        keeper.look()
    cadir = tmp_path / "etc/pki/certmaster/ca"
    for path in cadir.iterdir():
        path.unlink()
    assert "certmaster.crt is missing" in keeper.problems()[0]
    with serving(authority(), tmp_path):
        authority().prepare()
        authority().crl()
        assert "is from another authority" in keeper.problems()[0]
        keeper.look()
    assert keeper.problems() == []
    assert ca.is_issued_by(certificate(tmp_path), (cadir / "certmaster.crt").read_bytes())


def test_a_backup_without_its_key_is_put_back_all_the_same(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path
) -> None:
    with serving(authority(), tmp_path):
        keeper.look()
        before = certificate(tmp_path)
        for path in (tmp_path / "pki").iterdir():
            path.unlink()
        keeper.look()
    assert keeper.problems() == []
    assert ca.read_crl(authority().crl(), authority().certificate()).has(ca.identity(before))


def test_another_certmaster_at_the_socket_than_in_the_files_is_told(
    authority: Callable[..., Authority], keeper: CertificateKeeper, tmp_path: Path
) -> None:
    other = certmaster_config.load_certmaster_config(tmp_path / "other")
    stranger = Authority(other, "master.example.org", lambda: NOW, key_bits=2048)
    authority().crl()
    with serving(stranger, tmp_path):
        keeper.look()
    assert "have to be those of one certmaster" in keeper.problems()[0]
    assert not (tmp_path / "pki/cloudmaster.cert").exists()
