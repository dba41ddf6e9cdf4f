"""TLS contexts: who trusts whom, and what is said when they do not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Optional

import pytest

from func.errors import ConfigError
from func.tls import client_context, describe_tls_failure, is_no_tls, server_context
from tests.func.overlord.farm import Authority

NAME = "cloud1.example.org"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("ours-CA-KEY", tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("theirs-CA-KEY", tmp_path_factory.mktemp("theirs"))


def server(authority: Authority, cert_file: Optional[Path] = None) -> ssl.SSLContext:
    return server_context(cert_file or authority.cert_file(NAME), authority.leaf_key_file, authority.ca_file)


def client(authority: Authority, trusts: Optional[Authority] = None) -> ssl.SSLContext:
    return client_context(authority.ca_file, authority.key_file, (trusts or authority).ca_file)


def meet(
    client_side: ssl.SSLContext, server_side: ssl.SSLContext, name: str = NAME
) -> tuple[Optional[ssl.SSLError], Optional[ssl.SSLError], Optional[str]]:
    """Shake hands and exchange a byte; gives the errors of client and server, and the version spoken."""
    near, far = socket.socketpair()
    failures: list[ssl.SSLError] = []

    def serve() -> None:
        try:
            with server_side.wrap_socket(far, server_side=True) as sock:
                sock.sendall(sock.recv(1))
        except ssl.SSLError as exc:
            failures.append(exc)
        except OSError:
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    mine: Optional[ssl.SSLError] = None
    version = None
    try:
        with client_side.wrap_socket(near, server_hostname=name) as sock:
            # Refused already, perhaps: the reason is there to be read.
            with contextlib.suppress(BrokenPipeError, ssl.SSLEOFError):
                sock.sendall(b"x")
            sock.recv(1)
            version = sock.version()
    except ssl.SSLError as exc:
        mine = exc
    finally:
        near.close()
        thread.join(60)
        far.close()
    return mine, failures[0] if failures else None, version


def test_the_certmasters_own_certificate_opens_a_minion(ours: Authority) -> None:
    assert meet(client(ours), server(ours)) == (None, None, "TLSv1.3")


def test_a_leaf_opens_a_minion_and_upper_case_is_the_same_name(ours: Authority) -> None:
    leaf = client_context(ours.cert_file("master.example.org"), ours.leaf_key_file, ours.ca_file)
    assert meet(leaf, server(ours), NAME.upper()) == (None, None, "TLSv1.3")


def test_tls_1_2_is_spoken_and_nothing_older(ours: Authority) -> None:
    old = client(ours)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert meet(old, server(ours))[2] == "TLSv1.2"
    assert client(ours).minimum_version == server(ours).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_client_without_a_certificate_is_refused(ours: Authority) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(ours.ca_file)
    mine, far, _ = meet(bare, server(ours))
    assert mine is not None and "demands a certificate" in describe_tls_failure(mine)
    assert far is not None and "it sent no certificate" in describe_tls_failure(far)


def test_a_client_of_another_certmaster_is_refused(ours: Authority, theirs: Authority) -> None:
    mine, far, _ = meet(client(theirs, trusts=ours), server(ours))
    assert mine is not None and "does not trust our certificate" in describe_tls_failure(mine)
    assert far is not None and "signed by itself" in describe_tls_failure(far)


def test_a_minion_of_another_certmaster_is_refused(ours: Authority, theirs: Authority) -> None:
    mine, far, _ = meet(client(ours), server(theirs))
    assert mine is not None and "another certmaster than ours" in describe_tls_failure(mine)
    assert far is not None and "does not trust our certificate" in describe_tls_failure(far)


def test_a_minion_of_another_name_is_refused(ours: Authority) -> None:
    mine, _, _ = meet(client(ours), server(ours, ours.cert_file("cloud2.example.org")))
    assert mine is not None and "is for another name" in describe_tls_failure(mine)
    assert "cloud1.example.org" in describe_tls_failure(mine)


def test_an_expired_minion_is_told_from_a_foreign_one(ours: Authority) -> None:
    mine, _, _ = meet(client(ours), server(ours, ours.expired_cert_file(NAME)))
    assert mine is not None and "has expired" in describe_tls_failure(mine)


def test_what_is_no_tls_is_told_from_what_is_not_trusted(ours: Authority) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError) as error:
            client(ours).wrap_socket(near, server_hostname=NAME)
    assert is_no_tls(error.value)
    assert "does not speak TLS" in describe_tls_failure(error.value)


@pytest.mark.parametrize("which", ["cert_file", "key_file", "ca_file"])
def test_a_missing_file_is_named(ours: Authority, tmp_path: Path, which: str) -> None:
    files = {"cert_file": ours.cert_file(NAME), "key_file": ours.leaf_key_file, "ca_file": ours.ca_file}
    files[which] = tmp_path / "missing"
    for make in (server_context, client_context):
        with pytest.raises(ConfigError, match="missing: .* is not there"):
            make(**files)


@pytest.mark.parametrize("which", ["cert_file", "key_file", "ca_file"])
@pytest.mark.parametrize("content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_file_is_named(ours: Authority, tmp_path: Path, which: str, content: bytes) -> None:
    files = {"cert_file": ours.cert_file(NAME), "key_file": ours.leaf_key_file, "ca_file": ours.ca_file}
    files[which] = tmp_path / "damaged"
    files[which].write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        server_context(**files)


def test_a_key_of_another_certificate_is_named(ours: Authority) -> None:
    with pytest.raises(ConfigError, match=r"certmaster\.key do not belong together"):
        server_context(ours.cert_file(NAME), ours.key_file, ours.ca_file)


def test_an_encrypted_key_is_refused_without_asking_for_a_passphrase(ours: Authority, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    command = [
        "openssl",
        "rsa",
        "-aes256",
        "-passout",
        "pass:secret",
        "-in",
        ours.leaf_key_file,
        "-out",
        locked,
    ]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"locked\.pem: the private key is encrypted"):
        server_context(ours.cert_file(NAME), locked, ours.ca_file)


def test_what_is_no_file_is_named(ours: Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the private key cannot be read: Is a directory"):
        server_context(ours.cert_file(NAME), tmp_path, ours.ca_file)
