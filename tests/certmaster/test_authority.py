"""What the authority signs, keeps waiting and refuses, on real files."""

from __future__ import annotations

import logging
import multiprocessing
import re
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from certmaster import ca
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig, load_certmaster_config
from certmaster.errors import BadRequest, FileError, KeyConflict, UnknownName
from cloudmasterd.control.places import ASIDE  # what certmaster has to know by heart
from tests.certmaster.support import NOW, Pair, openssl

Make = Callable[..., Authority]
NAME = "cloud1.example.org"


def request(key: bytes, name: str = NAME) -> bytes:
    return ca.make_request(key, name)


def test_the_authority_is_made_on_first_use_and_kept(settings: CertmasterConfig) -> None:
    made = Authority(settings, "master.example.org", lambda: NOW, key_bits=2048)
    pem = made.prepare()
    assert ca.common_name(pem) == "master.example.org-CA-KEY"
    assert stat.S_IMODE((settings.cadir / "certmaster.key").stat().st_mode) == 0o600
    assert Authority(settings, "renamed", lambda: NOW).prepare() == pem == made.certificate()


@pytest.mark.parametrize("directory", [0o750, 0o700, 0o755], ids=oct)
def test_the_key_is_its_owners_alone_whoever_may_enter_its_directory(
    settings: CertmasterConfig, directory: int
) -> None:
    settings.cadir.mkdir(parents=True)
    settings.cadir.chmod(directory)
    Authority(settings, "master.example.org", lambda: NOW, key_bits=2048).prepare()
    assert stat.S_IMODE((settings.cadir / "certmaster.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((settings.cadir / "certmaster.crt").stat().st_mode) == 0o644


def test_a_key_that_the_group_could_read_is_closed_at_the_next_start(
    settings: CertmasterConfig, authority: Make, caplog: pytest.LogCaptureFixture
) -> None:
    key = settings.cadir / "certmaster.key"
    one = authority()
    key.chmod(0o640)
    one.prepare()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "was readable by others than its owner" in caplog.text


def test_two_that_start_at_once_make_one_authority(settings: CertmasterConfig) -> None:
    starters = [Authority(settings, f"host{n}", lambda: NOW, key_bits=2048) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda one: one.prepare(), starters))) == 1


def test_an_authority_interrupted_between_key_and_certificate_is_completed(
    settings: CertmasterConfig, keys: list[bytes]
) -> None:
    settings.cadir.mkdir(parents=True)
    (settings.cadir / "certmaster.key").write_bytes(keys[0])
    assert ca.key_matches(Authority(settings, "master", lambda: NOW).prepare(), keys[0])


def test_a_lost_or_foreign_key_is_not_papered_over(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    key_file = settings.cadir / "certmaster.key"
    key_file.write_bytes(keys[0])
    with pytest.raises(FileError, match="do not belong together"):
        authority().prepare()
    key_file.write_bytes(b"garbage")
    with pytest.raises(FileError, match=r"certmaster\.key"):
        authority().prepare()
    key_file.unlink()
    with pytest.raises(FileError, match="is missing beside"):
        authority().prepare()


def test_no_authority_is_made_in_the_middle_of_a_restore(settings: CertmasterConfig, authority: Make) -> None:
    pem = authority().prepare()
    aside = settings.cadir.with_name(f"{settings.cadir.name}{ASIDE}20261122T140000Z")
    settings.cadir.rename(aside)
    settings.cadir.mkdir()
    with pytest.raises(FileError, match=f"put one aside in {aside}: run `cloudmasterctl restore"):
        authority().prepare()
    assert [path.name for path in settings.cadir.iterdir() if not path.name.startswith(".")] == []
    settings.cadir.rename(settings.cadir.with_name("empty"))
    aside.rename(settings.cadir)
    assert authority().prepare() == pem


def test_a_request_waits_until_it_is_signed(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    assert one.enrol(request(keys[0])) is None
    assert one.enrol(request(keys[0])) is None
    assert (one.list_waiting(), one.list_signed()) == ([NAME], [])
    path = one.sign(NAME)
    assert path == settings.certroot / f"{NAME}.cert"
    assert one.enrol(request(keys[0])) == path.read_bytes()
    assert one.list_waiting() == []
    signed = one.list_signed()[0]
    assert (signed.name, signed.path, signed.expires_at) == (NAME, path, ca.expires_at(path.read_bytes()))


def test_autosign_signs_at_once_even_what_waited_before(authority: Make, keys: list[bytes]) -> None:
    assert authority().enrol(request(keys[0])) is None
    pem = authority(autosign=True).enrol(request(keys[0], NAME.upper()))
    assert pem is not None
    assert ca.is_issued_by(pem, authority().certificate())
    assert authority().list_waiting() == []


def test_a_signed_name_is_never_given_to_another_key(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    pem = one.enrol(request(keys[0]))
    with pytest.raises(KeyConflict, match=f"certmaster-ca --clean {NAME}"):
        one.enrol(request(keys[1]))
    with pytest.raises(KeyConflict):
        one.enrol(request(keys[1], "Cloud1.EXAMPLE.org"))
    assert one.enrol(request(keys[0])) == pem
    assert len(one.clean(NAME)) == 1
    fresh = one.enrol(request(keys[1]))
    assert fresh is not None
    assert ca.key_matches(fresh, keys[1])


@pytest.mark.parametrize("autosign", [False, True])
def test_a_certificate_that_ended_is_signed_anew_for_its_own_key_alone(
    settings: CertmasterConfig, authority: Make, keys: list[bytes], autosign: bool
) -> None:
    ended = authority(autosign=True, cert_days=30).enrol(request(keys[0]))
    later = NOW + timedelta(days=30)
    one = Authority(replace(settings, autosign=autosign), "master.example.org", lambda: later)
    with pytest.raises(KeyConflict):
        one.enrol(request(keys[1]))
    fresh = one.enrol(request(keys[0]))
    if not autosign:
        assert (fresh, one.list_waiting()) == (None, [NAME])
        one.sign(NAME)
        fresh = one.enrol(request(keys[0]))
    assert fresh is not None
    assert fresh != ended
    assert ca.expires_at(fresh) > later
    assert one.list_waiting() == []


@pytest.mark.parametrize("autosign", [False, True])
def test_a_waiting_name_is_not_taken_over_by_another_key(
    authority: Make, keys: list[bytes], autosign: bool
) -> None:
    assert authority().enrol(request(keys[0])) is None
    with pytest.raises(KeyConflict, match="waits for another key"):
        authority(autosign=autosign).enrol(request(keys[1]))
    assert ca.key_matches(authority().sign(NAME).read_bytes(), keys[0])


def test_what_waits_beside_a_certificate_of_another_key_is_not_signed(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    authority(autosign=True).enrol(request(keys[0]))
    settings.csrroot.mkdir(parents=True, exist_ok=True)
    (settings.csrroot / f"{NAME}.csr").write_bytes(request(keys[1]))
    with pytest.raises(KeyConflict):
        authority().sign(NAME)


def test_a_file_that_asks_for_another_name_is_not_signed(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    settings.csrroot.mkdir(parents=True)
    (settings.csrroot / "harmless.example.org.csr").write_bytes(request(keys[0], "cloud9.example.org"))
    with pytest.raises(BadRequest, match=r"cloud9\.example\.org"):
        authority().sign("harmless.example.org")


def test_a_certificate_of_another_authority_is_not_handed_out(
    settings: CertmasterConfig, authority: Make, other_pair: Pair, keys: list[bytes]
) -> None:
    settings.certroot.mkdir(parents=True)
    foreign = ca.sign(request(keys[0]), other_pair.cert, other_pair.key, 3, NOW, 30)
    (settings.certroot / f"{NAME}.cert").write_bytes(foreign)
    with pytest.raises(KeyConflict, match="another authority"):
        authority(autosign=True).enrol(request(keys[0]))


def test_unsound_requests_leave_no_trace(settings: CertmasterConfig, authority: Make) -> None:
    with pytest.raises(BadRequest):
        authority(autosign=True).enrol(b"garbage")
    assert not settings.csrroot.exists()
    assert not (settings.cadir / "serial.txt").exists()


def test_unknown_names_are_told_the_nearest(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    with pytest.raises(UnknownName, match="nothing waits for a signature"):
        one.sign(NAME)
    one.enrol(request(keys[0]))
    with pytest.raises(UnknownName, match=f"the nearest is {NAME}"):
        one.sign("cluod1.example.org")
    with pytest.raises(UnknownName, match=f"there is {NAME}"):
        one.clean("zzz")
    one.sign(NAME.upper())
    with pytest.raises(UnknownName, match="is signed already"):
        one.sign(NAME)


def test_a_typed_name_cannot_leave_its_directory(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    (settings.cadir / "x.csr").write_bytes(request(keys[0], "x"))
    with pytest.raises(UnknownName):
        authority().sign("../../../../etc/pki/certmaster/ca/x")


def test_cleaning_takes_globs_and_removes_both_kinds(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    authority(autosign=True).enrol(request(keys[0], "a.example.org"))
    authority().enrol(request(keys[0], "b.example.org"))
    authority().enrol(request(keys[0], "c.example.net"))
    assert [p.name for p in authority().clean("*.example.org")] == ["b.example.org.csr", "a.example.org.cert"]
    assert authority().list_waiting() == ["c.example.net"]


def test_signed_names_and_hashes_are_listed_by_glob(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    for name in ("b.example.org", "a.example.org", "a.example.net"):
        one.enrol(request(keys[0], name))
    assert [s.name for s in one.list_signed()] == ["a.example.net", "a.example.org", "b.example.org"]
    assert [s.name for s in one.list_signed(["A.*", "zzz"])] == ["a.example.net", "a.example.org"]
    printed = openssl("x509", "-noout", "-hash", "-in", settings.certroot / "b.example.org.cert")
    assert one.list_hashes(["b*"]) == [f"b.example.org-{int(printed, 16)}"]


def test_a_broken_certificate_file_is_named(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    settings.certroot.mkdir(parents=True)
    (settings.certroot / f"{NAME}.cert").write_text("garbage")
    for use in (lambda: authority().list_signed(), lambda: authority().enrol(request(keys[0]))):
        with pytest.raises(FileError, match=f"{NAME}.cert: not a certificate"):
            use()


def test_a_broken_waiting_file_is_named_with_its_remedy(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    settings.csrroot.mkdir(parents=True)
    (settings.csrroot / f"{NAME}.csr").write_text("garbage")
    with pytest.raises(FileError, match=f"certmaster-ca --clean {NAME}"):
        authority().enrol(request(keys[0]))


def test_files_of_old_are_found_whatever_their_case(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    path = settings.certroot / "Cloud1.Example.Org.cert"
    authority(autosign=True).enrol(request(keys[0]))
    (settings.certroot / f"{NAME}.cert").rename(path)
    assert authority().enrol(request(keys[0])) == path.read_bytes()


def test_requests_cannot_fill_the_disk(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    authority()
    one = Authority(settings, "master", lambda: NOW, most_waiting=2)
    for name in ("a", "b"):
        assert one.enrol(request(keys[0], name)) is None
    with pytest.raises(KeyConflict, match="2 requests wait already"):
        one.enrol(request(keys[0], "c"))
    assert one.enrol(request(keys[0], "a")) is None


def test_a_serial_number_nobody_can_read_stops_the_signing(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    (settings.cadir / "serial.txt").write_text("many")
    with pytest.raises(FileError, match=r"serial\.txt: holds b'many': write the count"):
        authority(autosign=True).enrol(request(keys[0]))
    (settings.cadir / "serial.txt").write_text("17\n")
    assert authority(autosign=True).enrol(request(keys[0])) is not None
    assert (settings.cadir / "serial.txt").read_text() == "18\n"


def test_a_read_only_place_is_an_error_that_names_it(settings: CertmasterConfig, authority: Make) -> None:
    settings.certroot.parent.mkdir(parents=True)
    settings.certroot.write_text("a file where the directory should be")
    with pytest.raises(FileError, match="certs"):
        authority(autosign=True).enrol(request(ca.new_key()))


def serial_of(path: Path) -> int:
    return int(re.sub(rb".*=", b"", openssl("x509", "-noout", "-serial", "-in", path)), 16)


def enrol_many(root: Path, key: bytes, names: list[str]) -> None:
    """In a process of its own: enrol from several threads, some through autosign, some through sign()."""
    logging.disable()
    auto = load_certmaster_config(root, root / "autosign.conf")
    one = Authority(auto, "master.example.org", lambda: NOW)
    threads = [threading.Thread(target=one.enrol, args=(request(key, name),)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_fifty_at_once_from_several_processes_share_no_serial_number(
    settings: CertmasterConfig, tmp_path: Path, authority: Make, keys: list[bytes]
) -> None:
    (tmp_path / "autosign.conf").write_text("[main]\nautosign = yes\n")
    waiting = [f"w{n}" for n in range(10)]
    for name in waiting:
        authority().enrol(request(keys[0], name))
    context = multiprocessing.get_context("spawn")
    parts = [[f"p{part}-{n}" for n in range(10)] for part in range(4)]
    processes = [context.Process(target=enrol_many, args=(tmp_path, keys[0], part)) for part in parts]
    for process in processes:
        process.start()
    for name in waiting:
        authority().sign(name)
    for process in processes:
        process.join(180)
        assert process.exitcode == 0
    paths = [signed.path for signed in authority().list_signed()]
    assert len(paths) == 50
    assert len({serial_of(path) for path in paths}) == 50
    assert (settings.cadir / "serial.txt").read_text() == "50\n"
