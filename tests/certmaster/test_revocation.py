"""Who is revoked, by which command, and how long the list is good; read with the openssl command too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from certmaster import ca, proof, renewal
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig
from certmaster.errors import BadCertificate, FileError, KeyConflict
from tests.certmaster.support import NOW, Pair, openssl

Make = Callable[..., Authority]
NAME = "cloud1.example.org"


def enrolled(one: Authority, key: bytes, name: str = NAME) -> bytes:
    pem = one.enrol(ca.make_request(key, name))
    assert pem is not None
    return pem


def revoked(one: Authority) -> ca.RevocationList:
    return ca.read_crl(one.crl(), one.certificate())


def at(one: Authority, config: CertmasterConfig, later: timedelta) -> Authority:
    return Authority(replace(config, autosign=True), "master.example.org", lambda: NOW + later)


def test_the_list_begins_empty_and_is_one_that_openssl_takes(
    settings: CertmasterConfig, authority: Make, tmp_path: Path
) -> None:
    one = authority()
    assert revoked(one).serials == {}
    text = openssl("crl", "-in", settings.cadir / "certmaster.crl", "-noout", "-text",
                   "-CAfile", settings.cadir / "certmaster.crt").decode()  # fmt: skip
    assert "No Revoked Certificates" in text
    assert (settings.cadir / "certmaster.crl").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("act", ["clean", "revoke"])
def test_what_is_cleaned_or_revoked_is_on_the_list_and_openssl_refuses_it(
    settings: CertmasterConfig, authority: Make, keys: list[bytes], tmp_path: Path, act: str
) -> None:
    one = authority(autosign=True)
    pem, kept = enrolled(one, keys[0]), enrolled(one, keys[1], "cloud2.example.org")
    one.enrol(ca.make_request(keys[2], "cloud3.example.org"))
    assert [path.name for path in getattr(one, act)(NAME)] == [f"{NAME}.cert"]
    assert list(revoked(one).serials) == [ca.serial_number(pem)]
    assert revoked(one).has(ca.identity(pem))
    assert not revoked(one).has(ca.identity(kept))
    (tmp_path / "gone.cert").write_bytes(pem)
    (tmp_path / "kept.cert").write_bytes(kept)
    check = ("verify", "-crl_check", "-CAfile", settings.cadir / "certmaster.crt",
             "-CRLfile", settings.cadir / "certmaster.crl")  # fmt: skip
    openssl(*check, tmp_path / "kept.cert")
    with pytest.raises(AssertionError, match="certificate revoked"):
        openssl(*check, tmp_path / "gone.cert")


def test_a_cleaned_machine_may_ask_again_and_a_revoked_key_never(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    first = enrolled(one, keys[0])
    one.clean(NAME)
    second = enrolled(one, keys[0])
    assert ca.serial_number(second) != ca.serial_number(first)
    one.revoke(NAME)
    assert set(revoked(one).serials) == {ca.serial_number(first), ca.serial_number(second)}
    for name in (NAME, "other.example.org"):
        with pytest.raises(KeyConflict, match="was revoked: remove its key file"):
            one.enrol(ca.make_request(keys[0], name))
    with pytest.raises(KeyConflict, match="was revoked"):
        authority().enrol(ca.make_request(keys[0], NAME))
    assert authority().list_waiting() == []
    enrolled(one, keys[1])


def replaced_by_token(one: Authority, key: bytes) -> bytes:
    _, secret = one.tokens.add(NAME, replace=True)
    plain = ca.make_request(key, NAME)
    shown = proof.make(secret, NAME, ca.read_request(plain).key_fingerprint)
    pem = one.enrol(ca.make_request(key, NAME, shown))
    assert pem is not None
    return pem


def renewed(one: Authority, old_key: bytes, old: bytes, new_key: bytes) -> bytes:
    csr = ca.make_request(new_key, NAME)
    said = renewal.message(NAME, old, ca.read_request(csr).key_fingerprint)
    return one.renew(csr, ca.sign_bytes(old_key, said))


def test_what_a_token_replaced_is_revoked(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    old = enrolled(one, keys[0])
    replaced_by_token(one, keys[1])
    assert list(revoked(one).serials) == [ca.serial_number(old)]


def test_what_a_replaced_certificate_was_renewed_from_is_revoked_with_it(
    authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    first = enrolled(one, keys[0])
    second = renewed(one, keys[0], first, keys[1])
    replaced_by_token(one, keys[2])
    assert set(revoked(one).serials) == {ca.serial_number(first), ca.serial_number(second)}


def test_a_list_that_was_lost_begins_with_what_was_replaced_and_whose_keys_were_revoked(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    old = enrolled(one, keys[0])
    new = replaced_by_token(one, keys[1])
    other = enrolled(one, keys[2], "cloud2.example.org")
    one.revoke(NAME)
    (settings.cadir / "certmaster.crl").unlink()
    one.clean("cloud2.example.org")  # before anybody asked for the list
    assert set(revoked(one).serials) == {ca.serial_number(pem) for pem in (old, new, other)}


@pytest.mark.parametrize("act", ["clean", "revoke"])
def test_a_broken_file_goes_and_what_it_was_renewed_from_is_revoked(
    settings: CertmasterConfig, authority: Make, keys: list[bytes], act: str
) -> None:
    one = authority(autosign=True)
    first = enrolled(one, keys[0])
    renewed(one, keys[0], first, keys[1])
    (settings.certroot / f"{NAME}.cert").write_bytes(b"garbage")
    assert [path.name for path in getattr(one, act)(NAME)] == [f"{NAME}.cert"]
    assert set(revoked(one).serials) == {ca.serial_number(first)}


def test_what_is_signed_while_it_is_cleaned_is_cleaned_too(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    one.enrol(ca.make_request(keys[0], NAME))
    trigger = settings.trigger_dir / "remove/pre/sign"
    trigger.parent.mkdir(parents=True)
    trigger.write_text(f"#!/bin/sh\nmv {settings.csrroot}/$1.csr {settings.certroot}/$1.cert\n")
    trigger.chmod(0o755)
    settings.certroot.mkdir(parents=True, exist_ok=True)
    assert [path.name for path in one.clean(NAME)] == [f"{NAME}.cert"]
    assert list(settings.certroot.iterdir()) == []


def test_what_was_replaced_before_there_was_a_list_is_on_the_first_one(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    current, old = enrolled(one, keys[0]), enrolled(one, keys[1], "x.example.org")
    settings.replacedroot.mkdir(parents=True)
    (settings.replacedroot / f"{NAME}-1.cert").write_bytes(current)  # set aside, and cut off there
    (settings.replacedroot / "x.example.org-2.cert").write_bytes(old)
    (settings.certroot / "x.example.org.cert").unlink()
    assert list(revoked(one).serials) == [ca.serial_number(old)]


def test_the_list_is_signed_anew_in_time_and_its_number_grows(
    settings: CertmasterConfig, authority: Make
) -> None:
    one = authority()
    first = one.crl()
    assert one.crl() == first
    assert at(one, settings, timedelta(hours=23)).crl() == first
    again = ca.read_crl(at(one, settings, timedelta(hours=25)).crl(), one.certificate())
    assert again.number > ca.read_crl(first, one.certificate()).number
    assert again.next_update - again.made_at == timedelta(days=7)
    (settings.cadir / "certmaster.crl").unlink()
    lost = ca.read_crl(at(one, settings, timedelta(hours=26)).crl(), one.certificate())
    assert lost.number > again.number


def test_a_list_of_another_authority_or_altered_is_none(
    settings: CertmasterConfig, authority: Make, other_pair: Pair
) -> None:
    one = authority()
    with pytest.raises(BadCertificate, match="another authority"):
        ca.read_crl(one.crl(), other_pair.cert)
    foreign = ca.make_crl(other_pair.cert, other_pair.key, {5: NOW}, 1, NOW, NOW + timedelta(days=1))
    (settings.cadir / "certmaster.crl").write_bytes(foreign)
    with pytest.raises(FileError, match="restore it from a backup"):
        one.crl()
    with pytest.raises(BadCertificate, match="not a list"):
        ca.read_crl(b"garbage", other_pair.cert)


def test_many_cleaned_at_once_are_all_on_the_list(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    names = [f"c{n}.example.org" for n in range(12)]
    serials = {ca.serial_number(enrolled(one, keys[0], name)) for name in names}
    threads = [threading.Thread(target=one.clean, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(revoked(one).serials) == serials
