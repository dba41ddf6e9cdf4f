"""Renewal: who may, when, what a listener has of it, and that it may be cut off anywhere."""

from __future__ import annotations

import base64
import logging
import xmlrpc.client
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from certmaster import ca, renewal, upkeep
from certmaster.authority import MOST_RENEWED, Authority
from certmaster.certdir import MinionFiles, minion_files, write_file
from certmaster.config import CertmasterConfig, MinionConfig
from certmaster.errors import CertmasterError, NoCertificate, RenewalRefused
from certmaster.request import obtain_certificate
from tests.certmaster.support import NOW, Pair

Make = Callable[..., Authority]
Serve = Callable[..., int]
NAME = "cloud1.example.org"


def asked(old_key: bytes, old_cert: bytes, new_key: bytes, name: str = NAME) -> tuple[bytes, bytes]:
    csr = ca.make_request(new_key, name)
    said = renewal.message(name, old_cert, ca.read_request(csr).key_fingerprint)
    return csr, ca.sign_bytes(old_key, said)


@pytest.fixture
def machine(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes]
) -> tuple[MinionConfig, MinionFiles]:
    """An enrolled machine with keys[0], and its certmaster on a port."""
    config = MinionConfig("INFO", "127.0.0.1", serve(authority(autosign=True)), tmp_path / "minion")
    write_file(config.cert_dir / f"{NAME}.pem", keys[0], 0o600)
    assert obtain_certificate(config, NAME, once=True) is not None
    return config, minion_files(config.cert_dir, NAME)


def test_the_holder_of_the_old_key_gets_a_certificate_for_the_new_one(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    old = one.enrol(ca.make_request(keys[0], NAME)) or b""
    csr, signature = asked(keys[0], old, keys[1])
    new = one.renew(csr, signature)
    assert ca.key_matches(new, keys[1])
    assert one.renew(csr, signature) == new, "the reply was lost"
    assert [path.read_bytes() for path in settings.renewedroot.iterdir()] == [old]
    one.revoke(NAME)
    found = ca.read_crl(one.crl(), one.certificate())
    assert set(found.serials) == {ca.serial_number(old), ca.serial_number(new)}, "the earlier one as well"


def test_nobody_else_can_renew(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    old = one.enrol(ca.make_request(keys[0], NAME)) or b""
    other = one.enrol(ca.make_request(keys[1], "cloud2.example.org")) or b""
    csr, signature = asked(keys[0], old, keys[1])
    refused = [
        asked(keys[2], old, keys[2]),  # with a key of one's own
        asked(keys[1], other, keys[2]),  # with the key of another machine
        (ca.make_request(keys[2], NAME), signature),  # with what was captured, for one's own key
        (csr, b""),
        (csr, signature[:-1] + bytes([signature[-1] ^ 1])),
        asked(keys[0], other, keys[1]),  # signed for another certificate
    ]
    for one_csr, one_signature in refused:
        with pytest.raises(RenewalRefused, match="is not signed by the key it has now"):
            one.renew(one_csr, one_signature)
    with pytest.raises(RenewalRefused, match="must enrol"):
        one.renew(*asked(keys[0], old, keys[1], "nobody.example.org"))
    assert (one.shelf.signed(NAME), one.shelf.signed("cloud2.example.org")) == (old, other)


def test_what_was_captured_does_not_bring_an_earlier_key_back(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    first = one.enrol(ca.make_request(keys[0], NAME)) or b""
    captured = asked(keys[0], first, keys[1])
    second = one.renew(*captured)
    third = one.renew(*asked(keys[1], second, keys[2]))
    with pytest.raises(RenewalRefused):
        one.renew(*captured)
    assert one.shelf.signed(NAME) == third


def test_an_ended_or_revoked_certificate_renews_nothing(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True, cert_days=10)
    old = one.enrol(ca.make_request(keys[0], NAME)) or b""
    later = Authority(settings, "master.example.org", lambda: NOW + timedelta(days=11))
    with pytest.raises(RenewalRefused, match="ended on .* --replace"):
        later.renew(*asked(keys[0], old, keys[1]))
    one.clean(NAME)
    (settings.certroot / f"{NAME}.cert").write_bytes(old)  # as a crash in between would leave it
    with pytest.raises(RenewalRefused, match="is revoked"):
        one.renew(*asked(keys[0], old, keys[1]))


def test_a_machine_renews_over_the_wire_and_keeps_what_fits_together(
    machine: tuple[MinionConfig, MinionFiles], keys: list[bytes]
) -> None:
    config, files = machine
    old = files.cert_file.read_bytes()
    upkeep.renew(config, files, NAME, new_key=lambda: keys[1])
    assert files.cert_file.read_bytes() != old
    assert ca.key_matches(files.cert_file.read_bytes(), files.key_file.read_bytes())
    assert files.key_file.read_bytes() == keys[1]
    assert files.key_file.stat().st_mode & 0o777 == 0o600
    assert list(config.cert_dir.glob("*.next")) == []


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_cut_off_anywhere_a_renewal_is_completed(
    machine: tuple[MinionConfig, MinionFiles], keys: list[bytes], authority: Make, written: int
) -> None:
    config, files = machine
    key_next, cert_next = (p.with_name(p.name + ".next") for p in (files.key_file, files.cert_file))
    old = files.cert_file.read_bytes()
    new = authority(autosign=True).renew(*asked(keys[0], old, keys[1]))
    # the reply was lost; certificate came; the key has its place; so has the certificate
    key_next.write_bytes(keys[1])
    if written > 0:
        cert_next.write_bytes(new)
    if written > 1:
        files.key_file.write_bytes(keys[1])
    if written > 2:
        files.cert_file.write_bytes(new)
    if written == 0:
        upkeep.renew(config, files, NAME, new_key=lambda: keys[2])
    else:
        nowhere = replace(config, certmaster_port=1)
        assert obtain_certificate(nowhere, NAME, once=True) is not None, "certmaster may be down"
    assert (files.key_file.read_bytes(), files.cert_file.read_bytes()) == (keys[1], new)
    assert list(config.cert_dir.glob("*.next")) == []


def test_a_machine_that_renews_all_the_time_is_stopped_and_others_go_on(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one, name = authority(autosign=True, cert_days=30), "cloud1"
    other = one.enrol(ca.make_request(keys[0], f"{name}-b")) or b""
    pem = one.enrol(ca.make_request(keys[0], name)) or b""
    for number in range(MOST_RENEWED):
        old, new = keys[number % 2], keys[(number + 1) % 2]
        pem = one.renew(*asked(old, pem, new, name))
    with pytest.raises(RenewalRefused, match="is its clock right"):
        one.renew(*asked(keys[MOST_RENEWED % 2], pem, keys[2], name))
    assert len(list(settings.renewedroot.iterdir())) == MOST_RENEWED
    one.renew(*asked(keys[0], other, keys[1], f"{name}-b"))


def test_a_clock_that_is_far_ahead_is_told_of(
    machine: tuple[MinionConfig, MinionFiles], caplog: pytest.LogCaptureFixture
) -> None:
    config, files = machine
    assert upkeep.keep_good(config, files, NAME, NOW + timedelta(days=9 * 365), 0)
    assert "is the clock here right?" in caplog.text


def test_it_is_time_at_two_thirds_of_its_life_and_a_little_later_by_chance() -> None:
    end = NOW + timedelta(days=360)
    assert renewal.due_at(NOW, end, 0.0) == NOW + timedelta(days=240)
    assert renewal.due_at(NOW, end, 1.0) == NOW + timedelta(days=270)


def test_nothing_is_asked_before_it_is_time(machine: tuple[MinionConfig, MinionFiles]) -> None:
    config, files = machine
    nowhere = replace(config, certmaster_port=1)
    assert upkeep.keep_good(nowhere, files, NAME, NOW, 0.0) is False
    with pytest.raises(NoCertificate, match="cannot be reached"):
        upkeep.keep_good(nowhere, files, NAME, NOW + timedelta(days=3000), 0.0)
    assert upkeep.keep_good(config, files, NAME, NOW + timedelta(days=3000), 0.0) is True


def test_after_its_end_a_token_that_replaces_or_a_signature_by_hand_lets_it_in_again(
    tmp_path: Path, serve: Serve, settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    brief = authority(autosign=True, cert_days=1)
    brief.enrol(ca.make_request(keys[0], NAME))
    later = NOW + timedelta(days=2)
    now_on = Authority(settings, "master.example.org", lambda: later)
    config = MinionConfig("INFO", "127.0.0.1", serve(now_on), tmp_path / "minion")
    write_file(config.cert_dir / f"{NAME}.pem", keys[0], 0o600)
    # by hand: the same key waits, as a new machine does
    assert obtain_certificate(config, NAME, once=True, now=lambda: later) is None
    now_on.sign(NAME)
    assert obtain_certificate(config, NAME, once=True, now=lambda: later) is not None
    # by token, also with a new key
    (config.cert_dir / f"{NAME}.pem").write_bytes(keys[1])
    _, secret = now_on.tokens.add(NAME, replace=True)
    write_file(tmp_path / "token", secret.encode(), 0o600)
    token = replace(config, token_file=tmp_path / "token")
    found = obtain_certificate(token, NAME, once=True, now=lambda: later)
    assert found is not None
    assert ca.key_matches(found.cert_file.read_bytes(), keys[1])


def test_the_list_comes_over_the_wire_and_an_older_or_foreign_one_is_not_taken(
    machine: tuple[MinionConfig, MinionFiles], authority: Make, other_pair: Pair, keys: list[bytes]
) -> None:
    config, files = machine
    assert upkeep.fetch_crl(config, files.ca_file, files.crl_file) is True
    assert upkeep.fetch_crl(config, files.ca_file, files.crl_file) is False
    before = files.crl_file.read_bytes()
    one = authority(autosign=True)
    one.enrol(ca.make_request(keys[1], "gone.example.org"))
    one.clean("gone.example.org")
    assert upkeep.fetch_crl(config, files.ca_file, files.crl_file) is True
    newer = files.crl_file.read_bytes()
    assert newer != before
    one._revocations._path.write_bytes(before)  # somebody on the way sends an old one again
    assert upkeep.fetch_crl(config, files.ca_file, files.crl_file) is False
    assert files.crl_file.read_bytes() == newer
    files.ca_file.write_bytes(other_pair.cert)
    with pytest.raises(NoCertificate, match="another authority"):
        upkeep.fetch_crl(config, files.ca_file, files.crl_file)
    assert files.crl_file.read_bytes() == newer


def test_a_revoked_machine_asks_again_instead_of_going_on(
    machine: tuple[MinionConfig, MinionFiles], authority: Make, caplog: pytest.LogCaptureFixture
) -> None:
    config, files = machine
    authority().clean(NAME)
    upkeep.fetch_crl(config, files.ca_file, files.crl_file)
    old = files.cert_file.read_bytes()
    with caplog.at_level(logging.WARNING):
        assert obtain_certificate(config, NAME, once=True) is not None
    assert "is revoked: asking for a new one" in caplog.text
    assert files.cert_file.read_bytes() != old


@pytest.mark.parametrize("args", [("x",), ("x", "y", "z"), (1, 2), ("x", "not base64!"), ("x", "é")], ids=str)
def test_a_renewal_that_is_none_is_a_fault(serve: Serve, authority: Make, args: tuple[object, ...]) -> None:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{serve(authority())}/RPC2") as proxy:
        with pytest.raises(xmlrpc.client.Fault, match="takes a certificate request and a signature"):
            proxy.renew(*args)


def test_a_certmaster_of_before_is_told_of_and_does_no_harm(
    machine: tuple[MinionConfig, MinionFiles], caplog: pytest.LogCaptureFixture
) -> None:
    from tests.certmaster.support import historic_certmaster

    config, files = machine
    with historic_certmaster() as port, caplog.at_level(logging.INFO):
        old = replace(config, certmaster_port=port)
        assert upkeep.keep_good(old, files, NAME, NOW + timedelta(days=3000), 0.0) is False
        with pytest.raises(CertmasterError, match="of before this release: it has no get_crl"):
            upkeep.fetch_crl(old, files.ca_file, files.crl_file)
    assert "it has no renew" in caplog.text


def test_the_signature_goes_as_base64(serve: Serve, authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    old = one.enrol(ca.make_request(keys[0], NAME)) or b""
    csr, signature = asked(keys[0], old, keys[1])
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{serve(one)}/RPC2") as proxy:
        signed, cert, authority_pem = proxy.renew(csr.decode(), base64.b64encode(signature).decode())
        with pytest.raises(xmlrpc.client.Fault, match="not signed by the key it has now"):
            proxy.renew(ca.make_request(keys[2], NAME).decode(), base64.b64encode(signature).decode())
    assert (signed, authority_pem.encode()) == (True, one.certificate())
    assert ca.key_matches(cert.encode(), keys[1])
