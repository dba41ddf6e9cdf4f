"""Revoked peers at the handshake and on connections that are kept, without a new context."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from certmaster import ca
from func.errors import ConfigError
from func.revoked import RevokedList
from func.tls import check_revoked, client_context, describe_tls_failure, server_context
from tests.func.minion.helpers import Authority, Identity

NAME = "cloud1.example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("revoked") / "ca", "revoked-CA-KEY")


@pytest.fixture(scope="module")
def minion(authority: Authority) -> Identity:
    return authority.issue(NAME)


@pytest.fixture(scope="module")
def other(authority: Authority) -> Identity:
    return authority.issue("master.example.org")


def write_list(authority: Authority, path: Path, *revoked: Identity, number: int = 1, days: int = 7) -> None:
    now = authority.now
    serials = {ca.serial_number(one.cert_file.read_bytes()): now for one in revoked}
    pem = ca.make_crl(authority.cert, authority.key, serials, number, now, now + timedelta(days=days))
    path.with_suffix(".new").write_bytes(pem)
    path.with_suffix(".new").replace(path)


def server(minion: Identity, crl: Path) -> ssl.SSLContext:
    return server_context(minion.cert_file, minion.key_file, minion.ca_file, crl)


def client(other: Identity, crl: Path) -> ssl.SSLContext:
    return client_context(other.cert_file, other.key_file, other.ca_file, crl)


class Meeting:
    """Two peers that shook hands; `failed` is what the server saw go wrong then."""

    def __init__(self, client_side: ssl.SSLContext, server_side: ssl.SSLContext) -> None:
        near, far = socket.socketpair()
        near.settimeout(60)
        far.settimeout(60)
        self._far: list[ssl.SSLSocket] = []
        self.failed: list[OSError] = []

        def serve() -> None:
            try:
                self._far.append(server_side.wrap_socket(far, server_side=True))
            except OSError as exc:
                self.failed.append(exc)
                far.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            self.near = client_side.wrap_socket(near, server_hostname=NAME)
        except OSError:
            near.close()
            thread.join(60)
            for sock in self._far:
                sock.close()
            raise
        finally:
            thread.join(60)
            self.far = self._far[0] if self._far else None

    def close(self) -> None:
        for sock in (self.near, *self._far):
            sock.close()


def test_without_a_list_nobody_is_revoked(minion: Identity, other: Identity, tmp_path: Path) -> None:
    met = Meeting(client(other, tmp_path / "none.crl"), server(minion, tmp_path / "none.crl"))
    met.close()
    assert met.failed == []


def test_a_revoked_overlord_is_refused_by_a_minion_that_runs_already(
    authority: Authority, minion: Identity, other: Identity, tmp_path: Path
) -> None:
    crl = tmp_path / "ca.crl"
    running, calling = server(minion, crl), client(other, tmp_path / "none.crl")
    Meeting(calling, running).close()
    write_list(authority, crl, other)
    met = Meeting(calling, running)
    met.close()
    (exc,) = met.failed
    assert isinstance(exc, ssl.SSLCertVerificationError)
    assert describe_tls_failure(exc).startswith("its certificate has been revoked: issue it again")


def test_a_revoked_minion_is_refused_by_an_overlord(
    authority: Authority, minion: Identity, other: Identity, tmp_path: Path
) -> None:
    crl = tmp_path / "ca.crl"
    write_list(authority, crl, minion)
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        Meeting(client(other, crl), server(minion, tmp_path / "none.crl"))
    assert "has been revoked" in describe_tls_failure(refused.value)


def test_a_kept_connection_is_looked_at_again(
    authority: Authority, minion: Identity, other: Identity, tmp_path: Path
) -> None:
    crl = tmp_path / "ca.crl"
    met = Meeting(client(other, tmp_path / "none.crl"), server(minion, crl))
    check_revoked(met.far)
    write_list(authority, crl, minion)
    check_revoked(met.far)
    write_list(authority, crl, minion, other, number=2)
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        check_revoked(met.far)
    met.close()


def test_the_list_of_another_authority_or_garbage_keeps_the_good_one_in_force(
    authority: Authority, other: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crl, identity = tmp_path / "ca.crl", other.der
    write_list(authority, crl, other)
    found = RevokedList(crl, other.ca_file)
    assert found.has_certificate(identity)
    crl.write_bytes(b"garbage")
    with caplog.at_level(logging.ERROR):
        assert found.has_certificate(identity)
        assert found.has_certificate(identity)
    assert len(caplog.records) == 1
    with pytest.raises(ConfigError, match="remove it, `certmaster-request --renew` gets it anew"):
        RevokedList(crl, other.ca_file)
    crl.unlink()
    assert found.has_certificate(identity), "a list that is gone for a moment revokes no less"


def test_a_list_that_ran_out_stays_in_force_and_is_told_of_once(
    authority: Authority, minion: Identity, other: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crl = tmp_path / "ca.crl"
    write_list(authority, crl, other)
    later = (datetime.now(timezone.utc) + timedelta(days=30)).timestamp()
    found = RevokedList(crl, other.ca_file, now=lambda: later)
    with caplog.at_level(logging.WARNING):
        assert found.has_certificate(other.der)
        assert not found.has_certificate(minion.der)
    (told,) = caplog.records
    assert "is the certmaster running? It stays in force" in told.getMessage()


def test_the_same_serial_number_of_another_authority_is_another_certificate(
    authority: Authority, minion: Identity, tmp_path: Path
) -> None:
    theirs = Authority(tmp_path / "theirs", "theirs-CA-KEY").issue(NAME)
    crl = tmp_path / "ca.crl"
    write_list(authority, crl, minion)
    ours = RevokedList(crl, minion.ca_file)
    pems = [one.cert_file.read_bytes() for one in (minion, theirs)]
    assert ca.serial_number(pems[0]) == ca.serial_number(pems[1])
    assert [ours.has_certificate(pem) for pem in pems] == [True, False]


def test_an_unreadable_list_is_an_error_and_not_an_empty_one(minion: Identity, tmp_path: Path) -> None:
    (tmp_path / "ca.crl").mkdir()
    with pytest.raises(ConfigError, match=f"cannot be read: {os.strerror(21)}"):
        server(minion, tmp_path / "ca.crl")


def test_a_list_that_could_not_be_read_for_a_moment_is_read_at_the_next_look(
    authority: Authority, other: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crl, ca_file = tmp_path / "ca.crl", tmp_path / "ca.cert"
    ca_file.write_bytes(authority.cert)
    write_list(authority, crl)
    found = RevokedList(crl, ca_file)
    der = ssl.PEM_cert_to_DER_cert(other.cert_file.read_text())
    write_list(authority, crl, other, number=2)
    ca_file.rename(tmp_path / "away")
    assert not found.has_certificate(der)
    assert not found.has_certificate(der)
    assert len(caplog.records) == 1, "told once"
    (tmp_path / "away").rename(ca_file)
    assert found.has_certificate(der)
