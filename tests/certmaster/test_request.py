"""The minion's side against a real certmaster, and against peers that are none."""

from __future__ import annotations

import logging
import shutil
import socket
import stat
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from certmaster import ca, client
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig, MinionConfig
from certmaster.errors import BadRequest, FileError, NoCertificate, Unreachable
from certmaster.request import Certificates, obtain_certificate
from tests.certmaster.support import NOW, Pair

Make = Callable[..., Authority]
Serve = Callable[..., int]
NAME = "cloud1.example.org"


def minion(tmp_path: Path, port: int) -> MinionConfig:
    return MinionConfig("INFO", "127.0.0.1", port, tmp_path / "minion")


def given_key(config: MinionConfig, key: bytes) -> Path:
    config.cert_dir.mkdir(exist_ok=True)
    path = config.cert_dir / f"{NAME}.pem"
    path.write_bytes(key)
    return path


def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def answering(answer: object) -> Iterator[int]:
    """A peer that answers every wait_for_cert alike, made of Python's own XML-RPC server."""
    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, allow_none=True)

    def wait_for_cert(_csr: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    server.register_function(wait_for_cert)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_new_minion_gets_key_request_certificate_and_authority(
    tmp_path: Path, serve: Serve, authority: Make
) -> None:
    config = minion(tmp_path, serve(authority(autosign=True)))
    files = obtain_certificate(config, "Cloud1.Example.Org", once=True)
    assert files == Certificates(*(config.cert_dir / n for n in (f"{NAME}.cert", f"{NAME}.pem", "ca.cert")))
    assert stat.S_IMODE(files.key_file.stat().st_mode) == 0o600
    assert ca.key_matches(files.cert_file.read_bytes(), files.key_file.read_bytes())
    assert ca.is_issued_by(files.cert_file.read_bytes(), files.ca_file.read_bytes())
    assert ca.read_request((config.cert_dir / f"{NAME}.csr").read_bytes()).name == NAME


def test_a_minion_that_has_its_certificate_asks_nobody(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes]
) -> None:
    config = minion(tmp_path, serve(authority(autosign=True)))
    given_key(config, keys[0])
    files = obtain_certificate(config, NAME, once=True)
    nobody = minion(tmp_path, 1)
    assert obtain_certificate(nobody, NAME, once=True) == files
    files.key_file.rename(config.cert_dir / "CLOUD1.example.org.pem")
    assert obtain_certificate(nobody, NAME, once=True).key_file.name == "CLOUD1.example.org.pem"


def test_a_minion_whose_certificate_ended_asks_for_a_new_one(
    tmp_path: Path,
    serve: Serve,
    settings: CertmasterConfig,
    authority: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = [NOW]
    authority()  # its key
    short = replace(settings, autosign=True, cert_days=30)
    config = minion(tmp_path, serve(Authority(short, "master.example.org", lambda: times[0])))
    ended = obtain_certificate(config, NAME, once=True).cert_file.read_bytes()
    times[0] += timedelta(days=30)
    found = obtain_certificate(config, NAME, once=True, now=lambda: times[0])
    assert ca.expires_at(found.cert_file.read_bytes()) > times[0]
    assert found.cert_file.read_bytes() != ended
    assert ca.key_matches(found.cert_file.read_bytes(), found.key_file.read_bytes())
    assert f"{NAME}.cert ended on" in caplog.text


def test_it_asks_until_an_administrator_signs_and_says_so_once(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    config = minion(tmp_path, serve(authority()))
    given_key(config, keys[0])
    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append(obtain_certificate(config, NAME, wait_s=0.02)))
    asking.start()
    until(lambda: authority().list_waiting() == [NAME])
    until(lambda: "has not signed" in caplog.text)
    authority().sign(NAME)
    asking.join(60)
    assert isinstance(found[0], Certificates)
    assert caplog.text.count(f"certmaster-ca --sign {NAME}` does it there") == 1


def test_once_means_once(tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes]) -> None:
    config = minion(tmp_path, serve(authority()))
    given_key(config, keys[0])
    assert obtain_certificate(config, NAME, once=True) is None
    assert authority().list_waiting() == [NAME]
    assert obtain_certificate(config, NAME, stop=lambda: True) is None


def test_a_certmaster_that_is_not_there_is_named_and_asked_again(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[int] = []
    with socket.socket() as taken:  # nobody comes to listen there meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = minion(tmp_path, port)
        given_key(config, keys[0])
        with pytest.raises(Unreachable, match=f"127.0.0.1 port {port} cannot be reached: Connection"):
            obtain_certificate(config, NAME, once=True)
        assert (
            obtain_certificate(
                config, NAME, wait_s=0, stop=lambda: bool(rounds.append(1)) or len(rounds) > 20
            )
            is None
        )
    assert caplog.text.count("cannot be reached") == 1


def test_it_stops_in_the_middle_of_its_wait(tmp_path: Path, keys: list[bytes]) -> None:
    config = minion(tmp_path, 1)
    given_key(config, keys[0])
    end = time.monotonic() + 0.3
    assert obtain_certificate(config, NAME, wait_s=600, stop=lambda: time.monotonic() > end) is None
    assert time.monotonic() < end + 60


def test_a_silent_peer_is_given_up(tmp_path: Path, keys: list[bytes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = minion(tmp_path, silent.getsockname()[1])
        given_key(config, keys[0])
        with pytest.raises(Unreachable, match="timed out"):
            obtain_certificate(config, NAME, once=True, timeout_s=0.2)


@pytest.mark.parametrize(
    "answer", [None, True, [], [True], [True, "a", "b", "c"], [1, "a", "b"], [True, 1, 2], "x", {"a": 1}]
)
def test_a_peer_that_is_no_certmaster_is_told_apart(
    tmp_path: Path, keys: list[bytes], answer: object
) -> None:
    with answering(answer) as port:
        config = minion(tmp_path, port)
        given_key(config, keys[0])
        with pytest.raises(Unreachable, match="does not answer as a certmaster does"):
            obtain_certificate(config, NAME, once=True)


def test_an_answer_without_end_is_not_read_to_its_end(
    tmp_path: Path, keys: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_ANSWER", 1000)
    with answering("x" * 1001) as port:
        config = minion(tmp_path, port)
        given_key(config, keys[0])
        with pytest.raises(Unreachable, match="longer than 1000 bytes"):
            obtain_certificate(config, NAME, once=True)


def test_a_fault_is_passed_on(tmp_path: Path, keys: list[bytes]) -> None:
    with answering(xmlrpc.client.Fault(1, "certmaster trigger failed: x returns 3")) as port:
        config = minion(tmp_path, port)
        given_key(config, keys[0])
        with pytest.raises(NoCertificate, match="trigger failed: x returns 3"):
            obtain_certificate(config, NAME, once=True)


@pytest.mark.parametrize(
    "junk", [b"garbage\r\n", b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<a", b""]
)
def test_a_peer_that_speaks_something_else_is_told_apart(
    tmp_path: Path, keys: list[bytes], junk: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = minion(tmp_path, server.getsockname()[1])
        given_key(config, keys[0])

        def speak() -> None:
            for _ in range(2):  # xmlrpc.client tries again where a connection is closed on it
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock, suppress(OSError):
                    sock.recv(65536)
                    sock.sendall(junk)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(Unreachable, match=r"at 127\.0\.0\.1 port"):
            obtain_certificate(config, NAME, once=True, timeout_s=60)
        server.shutdown(socket.SHUT_RDWR)  # it waits for a second connection that need not come
        thread.join()


def sent(pair: Pair, key: bytes, name: str = NAME) -> str:
    return ca.sign(ca.make_request(key, name), pair.cert, pair.key, 5, NOW, 30).decode()


@pytest.mark.parametrize("wrong", ["key", "name", "authority", "garbage"])
def test_a_wrong_certificate_is_not_kept(
    tmp_path: Path, keys: list[bytes], authority_pair: Pair, other_pair: Pair, wrong: str
) -> None:
    cert, said = {
        "key": (sent(authority_pair, keys[1]), f"for another key than .*--clean {NAME}"),
        "name": (
            sent(authority_pair, keys[0], "other.example.org"),
            "certificate of 'other.example.org', not",
        ),
        "authority": (sent(other_pair, keys[0]), "its own authority did not sign"),
        "garbage": ("garbage", "not a certificate"),
    }[wrong]
    with answering([True, cert, authority_pair.cert.decode()]) as port:
        config = minion(tmp_path, port)
        given_key(config, keys[0])
        with pytest.raises(NoCertificate, match=said):
            obtain_certificate(config, NAME, once=True)
    assert not (config.cert_dir / f"{NAME}.cert").exists()
    assert not (config.cert_dir / "ca.cert").exists()


def test_another_authority_is_never_trusted_silently(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], other_pair: Pair
) -> None:
    config = minion(tmp_path, serve(authority(autosign=True)))
    given_key(config, keys[0])
    known = config.cert_dir / "ca.cert"
    known.write_bytes(other_pair.cert)
    with pytest.raises(NoCertificate, match="is not the one in .*ca.cert: remove that file only if"):
        obtain_certificate(config, NAME, once=True)
    assert known.read_bytes() == other_pair.cert
    assert not (config.cert_dir / f"{NAME}.cert").exists()
    known.unlink()
    assert obtain_certificate(config, NAME, once=True) is not None


def test_a_certificate_of_another_key_is_replaced_by_the_right_one(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], authority_pair: Pair
) -> None:
    config = minion(tmp_path, serve(authority(autosign=True)))
    given_key(config, keys[0])
    (config.cert_dir / f"{NAME}.cert").write_text(sent(authority_pair, keys[1]))
    (config.cert_dir / "ca.cert").write_bytes(authority_pair.cert)
    files = obtain_certificate(config, NAME, once=True)
    assert ca.key_matches(files.cert_file.read_bytes(), keys[0])


@pytest.mark.parametrize("stale", [b"garbage", b"other key", b"other name"])
def test_a_stale_request_is_made_anew_for_the_same_key(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], stale: bytes
) -> None:
    config = minion(tmp_path, serve(authority(autosign=True)))
    given_key(config, keys[0])
    made = {b"other key": ca.make_request(keys[1], NAME), b"other name": ca.make_request(keys[0], "b")}
    (config.cert_dir / f"{NAME}.csr").write_bytes(made.get(stale, stale))
    files = obtain_certificate(config, NAME, once=True)
    assert ca.key_matches(files.cert_file.read_bytes(), keys[0])


def test_a_broken_key_is_named_and_kept(tmp_path: Path, serve: Serve, authority: Make) -> None:
    config = minion(tmp_path, serve(authority(autosign=True)))
    path = given_key(config, b"garbage")
    with pytest.raises(FileError, match=f"{NAME}.pem: not an unencrypted private key"):
        obtain_certificate(config, NAME)
    assert path.read_bytes() == b"garbage"


def test_a_name_that_cannot_be_leaves_no_files(tmp_path: Path) -> None:
    config = minion(tmp_path, 1)
    with pytest.raises(BadRequest, match="not a host name"):
        obtain_certificate(config, "../x")
    assert not config.cert_dir.exists()


def test_a_minion_installed_anew_is_refused_until_its_name_is_cleaned(
    tmp_path: Path, serve: Serve, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    config = minion(tmp_path, serve(authority(autosign=True)))
    given_key(config, keys[0])
    assert obtain_certificate(config, NAME, once=True) is not None
    shutil.rmtree(config.cert_dir)
    given_key(config, keys[1])
    assert obtain_certificate(config, NAME, once=True) is None
    assert f"certmaster-ca --clean {NAME}" in caplog.text
    authority().clean(NAME)
    files = obtain_certificate(config, NAME, once=True)
    assert ca.key_matches(files.cert_file.read_bytes(), keys[1])
