"""Enrolment by a one-time token: who gets in by one, how often, and what a crash leaves."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from certmaster import ca, proof
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig
from certmaster.errors import AlreadyMade, BadRequest, FileError, KeyConflict, TokenRefused, UnknownName
from tests.certmaster.support import NOW, Pair

Make = Callable[..., Authority]
NAME = "cloud1.example.org"


def request(key: bytes, token: str = "", name: str = NAME) -> bytes:
    plain = ca.make_request(key, name)
    if not token:
        return plain
    return ca.make_request(key, name, proof.make(token, name, ca.read_request(plain).key_fingerprint))


def later(settings: CertmasterConfig, **passed: float) -> Authority:
    return Authority(settings, "master.example.org", lambda: NOW + timedelta(**passed))


def states(one: Authority) -> dict[str, str]:
    return {token.name: one.tokens.state(token) for token in one.tokens.list()}


def test_a_token_signs_at_once_and_once(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    token, secret = one.tokens.add(NAME)
    pem = one.enrol(request(keys[0], secret))
    assert pem is not None
    assert ca.key_matches(pem, keys[0])
    assert (states(one), one.list_waiting()) == ({NAME: "used"}, [])
    one.clean(NAME)
    with pytest.raises(TokenRefused, match=f"{token.id} was used up by {NAME} at .*--new-token {NAME}"):
        one.enrol(request(keys[1], secret))


def test_the_same_request_after_a_lost_reply_gets_its_certificate_again(
    authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    _, secret = one.tokens.add(NAME)
    csr = request(keys[0], secret)
    assert one.enrol(csr) == one.enrol(csr)
    assert len(one.list_signed()) == 1
    assert one.enrol(request(keys[0])) is not None, "without the token as well: the key is proof enough"


def test_the_secret_is_kept_nowhere_and_what_is_kept_is_for_its_owner(
    authority: Make, settings: CertmasterConfig, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = authority()
    token, secret = one.tokens.add(NAME)
    one.enrol(request(keys[0], secret))
    with pytest.raises(TokenRefused):
        one.enrol(request(keys[1], secret, "cloud2.example.org"))
    file = settings.tokenroot / f"{token.id}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    everything = b"".join(p.read_bytes() for p in settings.tokenroot.parents[2].rglob("*") if p.is_file())
    assert secret.encode() not in everything
    assert secret not in caplog.text
    assert token.key not in caplog.text + repr(token)


def test_a_captured_request_serves_no_other_key_and_no_other_name(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    _, secret = one.tokens.add("cloud*.example.org")
    captured = ca.read_request(request(keys[0], secret)).challenge
    for key, name in ((keys[1], NAME), (keys[0], "cloud2.example.org"), (keys[1], "cloud2.example.org")):
        with pytest.raises(TokenRefused, match="does not prove to have it"):
            one.enrol(ca.make_request(key, name, captured))
    assert states(one) == {"cloud*.example.org": "open"}
    assert one.enrol(request(keys[0], secret)) is not None


@pytest.mark.parametrize("autosign", [False, True])
def test_a_refused_request_is_neither_signed_nor_kept(
    authority: Make, keys: list[bytes], autosign: bool
) -> None:
    one = authority(autosign=autosign)
    with pytest.raises(TokenRefused, match=f"its token is not known here.*--new-token {NAME}"):
        one.enrol(request(keys[0], proof.new_token()))
    with pytest.raises(TokenRefused, match="not known here"):
        one.enrol(ca.make_request(keys[0], NAME, "genome1:what is this"))
    assert (one.list_waiting(), one.list_signed()) == ([], [])


def test_a_token_of_another_name_is_refused_and_stays_good(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    _, secret = one.tokens.add("cloud2.example.org")
    with pytest.raises(TokenRefused, match=f"is for cloud2.example.org, not for {NAME}"):
        one.enrol(request(keys[0], secret))
    assert one.enrol(request(keys[0], secret, "cloud2.example.org")) is not None


def test_a_token_ends_at_its_time(authority: Make, settings: CertmasterConfig, keys: list[bytes]) -> None:
    token, secret = authority().tokens.add(NAME, 3600)
    with pytest.raises(TokenRefused, match=f"{token.id} ended at {token.expires_at[:19]}"):
        later(settings, hours=1).enrol(request(keys[0], secret))
    assert later(settings, minutes=59).enrol(request(keys[0], secret)) is not None


def test_a_deleted_token_is_unknown(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    token, secret = one.tokens.add(NAME)
    one.tokens.delete(token.id)
    with pytest.raises(TokenRefused, match="not known here"):
        one.enrol(request(keys[0], secret))
    for bad in (token.id, "../../../etc/pki/certmaster/ca/serial", ""):
        with pytest.raises(UnknownName, match="--list-tokens"):
            one.tokens.delete(bad)


def test_a_glob_lets_in_the_first_that_matches_and_nobody_after(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    _, secret = one.tokens.add("Cloud?.Example.org")
    assert one.enrol(request(keys[0], secret, "CLOUD7.example.org")) is not None
    with pytest.raises(TokenRefused, match=r"used up by cloud7\.example\.org"):
        one.enrol(request(keys[1], secret, "cloud8.example.org"))


def test_a_token_passes_a_request_of_another_key_that_waits(
    authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    one = authority()
    assert one.enrol(request(keys[1])) is None
    _, secret = one.tokens.add(NAME)
    pem = one.enrol(request(keys[0], secret))
    assert pem is not None
    assert ca.key_matches(pem, keys[0])
    assert one.list_waiting() == []
    assert f"waited under {NAME} is dropped" in caplog.text


def test_a_taken_name_needs_a_token_that_replaces_and_the_old_certificate_is_kept(
    authority: Make, settings: CertmasterConfig, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    old = one.enrol(request(keys[0]))
    _, plain = one.tokens.add(NAME)
    with pytest.raises(TokenRefused, match=f"signed for another key .*--clean {NAME}.*--replace"):
        one.enrol(request(keys[1], plain))
    assert [one.tokens.state(t) for t in one.tokens.list()] == ["open"], "it was not used for that"
    assert one.enrol(request(keys[0])) == old

    _, replacing = one.tokens.add(NAME, replace=True)
    new = one.enrol(request(keys[1], replacing))
    assert new is not None
    assert ca.key_matches(new, keys[1])
    kept = list(settings.replacedroot.iterdir())
    assert [path.read_bytes() for path in kept] == [old]
    assert kept[0].name == f"{NAME}-{ca.serial_number(old):x}.cert"
    with pytest.raises(KeyConflict):
        one.enrol(request(keys[0]))


def test_a_certificate_of_another_authority_is_replaced_the_same_way(
    authority: Make, settings: CertmasterConfig, other_pair: Pair, keys: list[bytes]
) -> None:
    foreign = ca.sign(request(keys[0]), other_pair.cert, other_pair.key, 3, NOW, 30)
    settings.certroot.mkdir(parents=True)
    (settings.certroot / f"{NAME}.cert").write_bytes(foreign)
    one = authority()
    _, secret = one.tokens.add(NAME, replace=True)
    assert ca.is_issued_by(one.enrol(request(keys[0], secret)), one.certificate())
    assert [path.read_bytes() for path in settings.replacedroot.iterdir()] == [foreign]


def test_fifty_at_once_with_one_token_get_one_certificate(authority: Make, keys: list[bytes]) -> None:
    one = authority()
    _, secret = one.tokens.add("cloud*.example.org")
    requests = [request(keys[n % 3], secret, f"cloud{n}.example.org") for n in range(50)]

    def enrol(csr: bytes) -> bool:
        try:
            return one.enrol(csr) is not None
        except TokenRefused:
            return False

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(enrol, requests)) == 1
    assert len(one.list_signed()) == 1


class CutOff(Exception):
    """The process ends here."""


def cut(one: Authority, method: str) -> None:
    """Have the authority's process end when it comes to that."""

    def end(*_: object) -> None:
        raise CutOff

    owner = next(part for part in (one, one.tokens, one._seal) if hasattr(part, method))
    setattr(owner, method, end)


@pytest.mark.parametrize("at", ["next_serial", "_sign", "use_up"])
def test_cut_off_anywhere_the_same_key_goes_on_and_no_other_gets_in(
    authority: Make, keys: list[bytes], at: str
) -> None:
    dying = authority()
    _, secret = dying.tokens.add("cloud*.example.org")
    cut(dying, at)
    with pytest.raises(CutOff):
        dying.enrol(request(keys[0], secret))
    one = authority()
    with pytest.raises(TokenRefused, match=f"is being used by {NAME}"):
        one.enrol(request(keys[1], secret, "cloud2.example.org"))
    pem = one.enrol(request(keys[0], secret))
    assert pem is not None
    assert ca.key_matches(pem, keys[0])
    assert [s.name for s in one.list_signed()] == [NAME]
    assert states(one) == {"cloud*.example.org": "used"}


def test_cut_off_while_replacing_loses_neither_certificate(
    authority: Make, settings: CertmasterConfig, keys: list[bytes]
) -> None:
    old = authority(autosign=True).enrol(request(keys[0]))
    dying = authority()
    _, secret = dying.tokens.add(NAME, replace=True)
    cut(dying, "_sign")
    with pytest.raises(CutOff):
        dying.enrol(request(keys[1], secret))
    assert (settings.certroot / f"{NAME}.cert").read_bytes() == old
    new = authority().enrol(request(keys[1], secret))
    assert (settings.certroot / f"{NAME}.cert").read_bytes() == new
    assert [path.read_bytes() for path in settings.replacedroot.iterdir()] == [old]


@pytest.mark.parametrize("how", ["cleaned", "replaced"])
def test_a_claim_that_a_crash_left_brings_back_no_certificate_that_was_taken_away(
    authority: Make, keys: list[bytes], how: str
) -> None:
    dying = authority()
    _, secret = dying.tokens.add(NAME, replace=True)
    cut(dying, "use_up")
    with pytest.raises(CutOff):
        dying.enrol(request(keys[0], secret))
    one = authority()
    if how == "cleaned":
        one.clean(NAME)
    else:
        _, other = one.tokens.add(NAME, replace=True)
        assert one.enrol(request(keys[1], other)) is not None
    with pytest.raises(TokenRefused, match="was used up"):
        one.enrol(request(keys[0], secret))


def test_a_token_that_was_made_by_the_same_request_is_not_made_again(authority: Make) -> None:
    one = authority()
    token, _ = one.tokens.add(NAME, mark="m")
    with pytest.raises(AlreadyMade, match=token.id):
        one.tokens.add(NAME, mark="m")
    one.tokens.add(NAME)
    one.tokens.add(NAME)
    assert len(one.tokens.list()) == 3


@pytest.mark.parametrize(
    ("name", "expires_s", "replaces", "said"),
    [
        ("", 3600, False, "the name is empty"),
        ("../x", 3600, False, "not a host name"),
        ("x y*", 3600, False, "neither a host name nor a glob"),
        ("*" * 65, 3600, False, "neither a host name nor a glob"),
        ("master-ca-key", 3600, False, "only an authority"),
        (NAME, 59, False, "from 60 s to 30 days"),
        (NAME, 30 * 86400 + 1, False, "from 60 s to 30 days"),
        ("cloud*", 3600, True, "takes one name"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    authority: Make, name: str, expires_s: int, replaces: bool, said: str
) -> None:
    one = authority()
    with pytest.raises(BadRequest, match=said):
        one.tokens.add(name, expires_s, replaces)
    assert one.tokens.list() == []


def test_tokens_are_remembered_for_a_week_after_their_end(
    authority: Make, settings: CertmasterConfig
) -> None:
    authority().tokens.add("a.example.org")
    one = later(settings, days=7)
    one.tokens.add("b.example.org")
    assert states(one) == {"a.example.org": "expired", "b.example.org": "open"}
    one = later(settings, days=7, hours=2)
    one.tokens.add("c.example.org")
    assert [t.name for t in one.tokens.list()] == ["c.example.org", "b.example.org"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"id": 1}', "garbage", "null"])
def test_a_file_that_is_no_token_is_named(authority: Make, settings: CertmasterConfig, content: str) -> None:
    one = authority()
    token, _ = one.tokens.add(NAME)
    file = settings.tokenroot / f"{token.id}.json"
    file.write_text(content)
    with pytest.raises(FileError, match=f"{file}: is no token of this version: remove it"):
        one.tokens.list()


def test_a_token_of_a_later_version_is_not_misread(authority: Make, settings: CertmasterConfig) -> None:
    one = authority()
    token, _ = one.tokens.add(NAME)
    file = settings.tokenroot / f"{token.id}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "only_on": "Sundays"}))
    with pytest.raises(FileError, match="no token of this version"):
        one.tokens.list()


def test_a_foreign_challenge_password_is_nobodys_token_and_kept_from_others(
    authority: Make, settings: CertmasterConfig, keys: list[bytes]
) -> None:
    one = authority()
    assert one.enrol(ca.make_request(keys[0], NAME, "somebody's password")) is None
    assert stat.S_IMODE((settings.csrroot / f"{NAME}.csr").stat().st_mode) == 0o600
    one.sign(NAME)
    assert one.enrol(request(keys[0])) is not None


def test_an_ended_certificate_is_renewed_by_a_token_for_its_own_key(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    authority(autosign=True, cert_days=30).enrol(request(keys[0]))
    one = later(replace(settings, cert_days=30), days=31)
    _, secret = one.tokens.add(NAME)
    pem = one.enrol(request(keys[0], secret))
    assert ca.expires_at(pem) > NOW + timedelta(days=31)


def test_what_waits_is_told_with_its_key_and_since_when(
    authority: Make, settings: CertmasterConfig, keys: list[bytes]
) -> None:
    one = authority()
    one.enrol(request(keys[0]))
    (settings.csrroot / "broken.example.org.csr").write_text("garbage")
    broken, waits = one.describe_waiting()
    assert (broken.name, broken.key_fingerprint) == ("broken.example.org", "")
    assert (waits.name, waits.key_fingerprint) == (NAME, ca.read_request(request(keys[0])).key_fingerprint)
    assert abs(waits.since - datetime.now(timezone.utc)) < timedelta(hours=1)
