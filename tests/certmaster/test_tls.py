"""The certificates at work in real handshakes."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from certmaster import ca
from tests.certmaster.support import NOW, Pair

NAME = "cloud1.example.org"


def context(tmp_path: Path, purpose: int, own: Pair, trusted: bytes) -> ssl.SSLContext:
    """A context that is as strict as Python's ssl can be."""
    (tmp_path / "cert").write_bytes(own.cert)
    (tmp_path / "key").write_bytes(own.key)
    made = ssl.SSLContext(purpose)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    made.load_verify_locations(cadata=trusted.decode())
    return made


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict[str, object]:
    """The client's certificate as the server sees it; raises what the client or the server saw go wrong."""
    near, far = socket.socketpair()
    near.settimeout(10)
    far.settimeout(10)
    seen: list[object] = []

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as sock:
                seen.append(sock.getpeercert())
                sock.sendall(b"x")
        except OSError as exc:
            seen.append(exc)
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as sock:
            sock.recv(1)
    finally:
        near.close()
        thread.join()
    if isinstance(seen[0], OSError):
        raise seen[0]
    return seen[0]


@pytest.fixture
def minion(authority_pair: Pair, keys: list[bytes]) -> Pair:
    request = ca.make_request(keys[0], NAME)
    return Pair(ca.sign(request, authority_pair.cert, authority_pair.key, 5, NOW, 30), keys[0])


def test_the_authority_itself_is_taken_as_a_client(
    tmp_path: Path, authority_pair: Pair, minion: Pair
) -> None:
    server = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, minion, authority_pair.cert)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, authority_pair, authority_pair.cert)
    subject = dict(part[0] for part in shake_hands(server, client, NAME)["subject"])
    assert subject["commonName"] == "master.example.org-CA-KEY"


def test_a_minion_is_taken_as_a_client_too(tmp_path: Path, authority_pair: Pair, minion: Pair) -> None:
    server = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, minion, authority_pair.cert)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, minion, authority_pair.cert)
    assert shake_hands(server, client, NAME)["subjectAltName"] == (("DNS", NAME),)


def test_a_minion_cannot_pass_for_another(tmp_path: Path, authority_pair: Pair, minion: Pair) -> None:
    server = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, minion, authority_pair.cert)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, authority_pair, authority_pair.cert)
    with pytest.raises(ssl.SSLCertVerificationError, match="cloud2"):
        shake_hands(server, client, "cloud2.example.org")


def test_a_minion_known_by_its_address_is_checked_by_it(
    tmp_path: Path, authority_pair: Pair, keys: list[bytes]
) -> None:
    request = ca.make_request(keys[0], "127.0.0.1")
    own = Pair(ca.sign(request, authority_pair.cert, authority_pair.key, 5, NOW, 30), keys[0])
    server = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, own, authority_pair.cert)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, authority_pair, authority_pair.cert)
    assert shake_hands(server, client, "127.0.0.1")


def test_another_authority_is_not_taken(
    tmp_path: Path, authority_pair: Pair, other_pair: Pair, minion: Pair
) -> None:
    server = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, minion, authority_pair.cert)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, other_pair, authority_pair.cert)
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client, NAME)
