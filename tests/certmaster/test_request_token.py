"""The minion's side of tokens and of the pinned authority, against a real certmaster and false ones."""

from __future__ import annotations

import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from certmaster import ca, proof
from certmaster.authority import Authority
from certmaster.config import MinionConfig
from certmaster.errors import FileError, NoCertificate
from certmaster.request import obtain_certificate
from tests.certmaster.support import NOW, Pair

Make = Callable[..., Authority]
Serve = Callable[..., int]
NAME = "cloud1.example.org"


@contextmanager
def noting(answer: object) -> Iterator[tuple[int, list[str]]]:
    """A peer that answers every request alike, and the requests it got."""
    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, allow_none=True)
    got: list[str] = []

    def wait_for_cert(csr: str) -> object:
        got.append(csr)
        if isinstance(answer, Exception):
            raise answer
        return answer

    server.register_function(wait_for_cert)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1], got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def minion(tmp_path: Path, port: int, key: bytes, token: str = "", pin: str = "") -> MinionConfig:
    config = MinionConfig("INFO", "127.0.0.1", port, tmp_path / "minion", pin, tmp_path / "token")
    config.cert_dir.mkdir(exist_ok=True)
    (config.cert_dir / f"{NAME}.pem").write_bytes(key)
    if token:
        config.token_file.write_text(f"{token}\n")
        config.token_file.chmod(0o600)
    return config


def pin_of(authority: Authority) -> str:
    return ca.pin(authority.certificate())


def test_a_machine_with_token_and_pin_is_in_at_once_and_keeps_no_token(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    one = authority()
    _, secret = one.tokens.add(NAME)
    config = minion(tmp_path, serve(one), keys[0], secret, pin_of(one))
    files = obtain_certificate(config, NAME, once=True)
    assert files is not None
    assert ca.key_matches(files.cert_file.read_bytes(), keys[0])
    assert not config.token_file.exists()
    assert ca.read_request((config.cert_dir / f"{NAME}.csr").read_bytes()).challenge == ""
    assert secret not in caplog.text
    assert [record.levelname for record in caplog.records if record.levelno > 20] == []


def test_what_goes_over_the_wire_is_of_no_use_to_another_key(
    tmp_path: Path, authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    _, secret = one.tokens.add(NAME)
    with noting([False, "", ""]) as (port, got):
        obtain_certificate(minion(tmp_path, port, keys[0], secret), NAME, once=True)
    assert secret not in got[0]
    captured = ca.read_request(got[0].encode()).challenge
    assert proof.is_proof(captured)
    with pytest.raises(Exception, match="does not prove to have it"):
        one.enrol(ca.make_request(keys[1], NAME, captured))


def signed(pair: Pair, key: bytes) -> list[object]:
    cert = ca.sign(ca.make_request(key, NAME), pair.cert, pair.key, 5, NOW, 30)
    return [True, cert.decode(), pair.cert.decode()]


@pytest.mark.parametrize("has_token", [False, True])
def test_a_false_certmaster_is_refused_by_the_pin_and_nothing_of_it_is_kept(
    tmp_path: Path, authority: Make, other_pair: Pair, keys: list[bytes], has_token: bool
) -> None:
    one = authority()
    secret = one.tokens.add(NAME)[1] if has_token else ""
    with noting(signed(other_pair, keys[0])) as (port, _):
        config = minion(tmp_path, port, keys[0], secret, pin_of(one))
        with pytest.raises(NoCertificate, match="somebody answers in its place.*Nothing was taken from it"):
            obtain_certificate(config, NAME, once=True)
    assert {path.name for path in config.cert_dir.iterdir()} == {f"{NAME}.pem", f"{NAME}.csr", ".lock"}
    assert config.token_file.exists() == has_token, "it is for the true one"


def test_the_true_certmaster_with_the_false_ones_authority_in_its_answer_is_refused(
    tmp_path: Path, authority: Make, authority_pair: Pair, other_pair: Pair, keys: list[bytes]
) -> None:
    answer = [*signed(authority_pair, keys[0])[:2], other_pair.cert.decode()]
    with noting(answer) as (port, _):
        config = minion(tmp_path, port, keys[0], pin=pin_of(authority()))
        with pytest.raises(NoCertificate, match="somebody answers in its place"):
            obtain_certificate(config, NAME, once=True)


def test_an_authority_that_is_there_already_and_is_not_the_pinned_one_is_told(
    tmp_path: Path, serve: Serve, authority: Make, other_pair: Pair, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    config = minion(tmp_path, serve(one), keys[0], pin=pin_of(one))
    (config.cert_dir / "ca.cert").write_bytes(other_pair.cert)
    with pytest.raises(FileError, match="ca.cert is the authority .* and ca_fingerprint says"):
        obtain_certificate(config, NAME)
    (config.cert_dir / "ca.cert").write_bytes(b"garbage")
    with pytest.raises(FileError, match="ca.cert: not a certificate"):
        obtain_certificate(config, NAME)


def test_a_refused_token_is_told_and_the_machine_waits_to_be_signed_by_hand(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    _, secret = one.tokens.add("cloud2.example.org")
    config = minion(tmp_path, serve(one), keys[0], secret, pin_of(one))
    with pytest.raises(NoCertificate, match=f"is for cloud2.example.org, not for {NAME}.*--sign {NAME}"):
        obtain_certificate(config, NAME, once=True)
    assert config.token_file.exists()
    assert one.list_waiting() == [NAME]
    one.sign(NAME)
    assert obtain_certificate(config, NAME, once=True) is not None
    assert not config.token_file.exists()


def test_a_token_that_is_put_there_later_is_used(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes]
) -> None:
    one = authority()
    config = minion(tmp_path, serve(one), keys[0])
    rounds: list[int] = []

    def stop() -> bool:
        rounds.append(1)
        if len(rounds) == 20:
            config.token_file.write_text(one.tokens.add(NAME)[1])
        return len(rounds) > 10_000

    assert obtain_certificate(config, NAME, wait_s=0, stop=stop) is not None
    assert one.list_waiting() == []


def test_what_is_unsafe_about_a_token_is_said(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    one = authority()
    config = minion(tmp_path, serve(one), keys[0], one.tokens.add(NAME)[1])
    config.token_file.chmod(0o644)
    assert obtain_certificate(config, NAME, once=True) is not None
    assert f"{config.token_file} has mode 0644: anybody here may read the token" in caplog.text
    assert "no ca_fingerprint: the first certmaster that answers is trusted" in caplog.text


@pytest.mark.parametrize("content", ["x", "x" * 44, "a token", "genome_token=" + "x" * 43])
def test_a_file_that_holds_no_token_is_named_and_the_machine_waits(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], content: str
) -> None:
    one = authority()
    config = minion(tmp_path, serve(one), keys[0], content)
    with pytest.raises(
        NoCertificate, match=f"{config.token_file} holds no token: one is of 43 letters"
    ) as told:
        obtain_certificate(config, NAME, once=True)
    assert "x" * 40 not in str(told.value), "what may be most of a secret is not said"
    assert one.list_waiting() == [NAME]


def test_a_machine_that_has_its_certificate_asks_nobody_and_drops_the_token(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes]
) -> None:
    one = authority(autosign=True)
    assert obtain_certificate(minion(tmp_path, serve(one), keys[0]), NAME, once=True) is not None
    config = minion(tmp_path, 1, keys[0], proof.new_token(), pin_of(one))
    assert obtain_certificate(config, NAME, once=True) is not None
    assert not config.token_file.exists()


def test_a_refusal_is_logged_in_one_line_whatever_stands_in_it(tmp_path: Path, keys: list[bytes]) -> None:
    fault = xmlrpc.client.Fault(5, "no\nINFO certmaster: all is well\u2028" + "x" * 1000)
    with noting(fault) as (port, got):
        with pytest.raises(NoCertificate) as told:
            obtain_certificate(minion(tmp_path, port, keys[0], proof.new_token()), NAME, once=True)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 1000
    assert [bool(ca.read_request(csr.encode()).challenge) for csr in got] == [True, False]
