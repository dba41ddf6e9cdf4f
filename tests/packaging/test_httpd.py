"""The configuration of Apache that is packaged: a real Apache before a server that says what reached it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.cloud import free_ports
from tests.integration.apache import AS_FROM, apache, certify, password_file, why_not, with_tls

pytestmark = pytest.mark.integration
CHUNK = 4 * 1024 * 1024
HEADERS = "/headers"
SECRET = "0123456789abcdef0123456789abcdef"


class Telling(BaseHTTPRequestHandler):
    """Answers with the path and the Host header it was asked with, and the length of the body; at one path
    with all headers."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shape = dict(self.headers) if self.path == HEADERS else [self.path, self.headers["Host"], len(body)]
        told = json.dumps(shape).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[int]:
    """The port of the server behind Apache."""
    if why_not():
        pytest.skip(why_not())
    if os.geteuid() == 0:  # Apache gives up root before it writes
        tmp_path.chmod(0o755)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Telling)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


@pytest.fixture
def proxy(tmp_path: Path, telling: int) -> Iterator[int]:
    """The port of Apache."""
    port = free_ports().web
    with apache(tmp_path, port, telling, AS_FROM):
        yield port


@dataclass(frozen=True)
class Secure:
    """Apache with TLS alone: its ports, and a context that trusts it."""

    plain: int
    tls: int
    context: ssl.SSLContext


@pytest.fixture
def secure(tmp_path: Path, telling: int) -> Iterator[Secure]:
    """As dnf install mod_ssl and the three lines of our configuration leave it."""
    if why_not(tls=True):
        pytest.skip(why_not(tls=True))
    certificate, key = certify(tmp_path)
    ports = free_ports()
    ssl_conf = AS_FROM + with_tls(ports.func, certificate, key)
    with apache(tmp_path, ports.web, telling, ssl_conf, tls_alone=True):
        yield Secure(ports.web, ports.func, ssl.create_default_context(cafile=str(certificate)))


def ask(
    port: int,
    path: str,
    body: bytes = b"",
    method: str = "GET",
    come_from: str = "192.168.7.1",
    headers: Mapping[str, str] = {},
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Host": "cloud.example.org", "X-Comes-From": come_from, **headers}
        with suppress(ConnectionError):  # what is too large is answered before it was all sent
            connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/api/v1/clouds?fields=name", "/install/token/booted", "/cobblers"])
def test_everything_goes_to_the_cloud_master_with_its_own_host(proxy: int, path: str) -> None:
    status, told = ask(proxy, path)
    assert (status, json.loads(told)) == (200, [path, "cloud.example.org", 0])


@pytest.mark.parametrize("path", ["/cobbler/x", "/cobbler_api", "/cblr/svc", "/.well-known/acme-challenge/x"])
def test_what_is_apaches_own_stays_there(proxy: int, path: str) -> None:
    for come_from in ("192.168.7.1", "203.0.113.7"):
        assert ask(proxy, path, come_from=come_from)[0] == 404  # not there, and not refused


@pytest.mark.parametrize("come_from", ["203.0.113.7", "2001:db8::7", "172.32.0.1", "11.0.0.1"])
def test_strangers_reach_nothing_but_the_reports_of_installing_machines(proxy: int, come_from: str) -> None:
    for path in (
        "/", "/api/v1/clouds", "/install", "//api/v1/clouds", "/install/../api/v1/clouds", "/install/%2e%2e/",
        "/cobbler/../machines", "/cobbler/%2e%2e/machines", "/.well-known/acme-challenge/../../x",
    ):  # fmt: skip
        assert ask(proxy, path, come_from=come_from)[0] in (403, 404), path
    status, told = ask(proxy, "/install/token/booted", come_from=come_from)
    assert (status, json.loads(told)[0]) == (200, "/install/token/booted")


@pytest.mark.parametrize(
    "come_from", ["10.1.2.3", "172.16.0.1", "192.168.7.1", "fd00::1", "fe80::1", "127.0.0.9"]
)
def test_private_networks_reach_it(proxy: int, come_from: str) -> None:
    assert ask(proxy, "/api/v1/clouds", come_from=come_from)[0] == 200


def test_a_chunk_of_an_image_fits_and_nothing_larger(proxy: int) -> None:
    status, told = ask(proxy, "/api/v1/images/x", bytes(CHUNK), "PUT")
    assert (status, json.loads(told)[2]) == (200, CHUNK)
    assert ask(proxy, "/api/v1/images/x", bytes(CHUNK + 1), "PUT")[0] == 413


@pytest.mark.parametrize("path", ["/", "/machines?state=off"])
def test_with_tls_alone_pages_are_asked_for_again_over_tls(secure: Secure, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", secure.plain, timeout=60)
    connection.request("GET", path, headers={"Host": "cloud.example.org", "X-Comes-From": "10.0.0.1"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://cloud.example.org{path}")
    connection.close()


@pytest.mark.parametrize("path", ["/install/token/booted"])
def test_with_tls_alone_installing_machines_still_report_without_it(secure: Secure, path: str) -> None:
    status, body = ask(secure.plain, path, come_from="203.0.113.9")
    assert (status, json.loads(body)[0]) == (200, path)


def ask_over_tls(secure: Secure, path: str, come_from: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", secure.tls), timeout=60) as plain:
        with secure.context.wrap_socket(plain, server_hostname="cloud.example.org") as tls:
            head = f"Host: cloud.example.org\r\nX-Comes-From: {come_from}\r\nConnection: close"
            tls.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n".encode())
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            return answer.status, answer.read()


@pytest.mark.parametrize("come_from", ["10.0.0.1", "203.0.113.7", "2001:db8::7"])
def test_over_tls_everybody_comes_as_far_as_the_login(secure: Secure, come_from: str) -> None:
    status, told = ask_over_tls(secure, "/machines", come_from)
    assert (status, json.loads(told)[:2]) == (200, ["/machines", "cloud.example.org"])


def test_the_cloud_master_is_told_that_it_was_tls_and_for_whom(secure: Secure) -> None:
    told = json.loads(ask_over_tls(secure, HEADERS, "203.0.113.7")[1])
    assert (told["X-Forwarded-Proto"], told["X-Forwarded-For"]) == ("https", "203.0.113.7")


FORGED = {
    "X-Forwarded-For": "203.0.113.1", "X_Forwarded_For": "203.0.113.1", "X-Forwarded-Proto": "https",
    "X_Forwarded_Proto": "https", "Forwarded": "for=203.0.113.1;proto=https", "X-Remote-User": "admin",
    "x-remote-user": "admin", "X_Remote_User": "admin", "X-Proxy-Secret": SECRET, "X_Proxy_Secret": SECRET,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORGED))
def test_what_somebody_says_of_themselves_ends_at_apache(proxy: int, name: str) -> None:
    told = json.loads(ask(proxy, HEADERS, headers={name: FORGED[name]})[1])
    assert FORGED[name] not in told.values()
    assert (told["X-Forwarded-For"], told["X-Forwarded-Proto"]) == ("192.168.7.1", "http")
    assert not {"x-remote-user", "x-proxy-secret", "forwarded"} & {key.lower() for key in told}


# ------------------------------------------------------------------------- people whom Apache signs in


@pytest.fixture
def signing_in(tmp_path: Path, telling: int) -> Iterator[int]:
    """The port of an Apache that asks for passwords, with the # off the example that is packaged."""
    port = free_ports().web
    with password_file("ada", "right") as file:
        with apache(tmp_path, port, telling, AS_FROM, passwords=file, secret=SECRET):
            yield port


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()}


def test_whom_apache_signed_in_is_named_with_the_secret_and_without_the_password(signing_in: int) -> None:
    told = json.loads(ask(signing_in, HEADERS, headers={**basic("right"), **FORGED})[1])
    assert (told["X-Remote-User"], told["X-Proxy-Secret"]) == ("ada", SECRET)
    assert "Authorization" not in told
    assert "admin" not in told.values()


@pytest.mark.parametrize("headers", [{}, basic("wrong"), {"X-Remote-User": "ada"}])
def test_nobody_else_comes_through(signing_in: int, headers: dict[str, str]) -> None:
    assert ask(signing_in, "/machines", headers=headers)[0] == 401


def test_a_token_of_the_api_passes_with_no_name_beside_it(signing_in: int) -> None:
    token = {"Authorization": "Bearer cmt_0123456789ab_x"}
    told = json.loads(ask(signing_in, HEADERS, headers={**token, "X-Remote-User": "admin"})[1])
    assert told["Authorization"] == token["Authorization"]
    assert not {"X-Remote-User", "X-Proxy-Secret"} & set(told)


@pytest.mark.parametrize("path", ["/install/token/booted", "/healthz", "/readyz"])
def test_what_needs_no_login_needs_none_of_apaches(signing_in: int, path: str) -> None:
    assert ask(signing_in, path)[0] == 200


def test_the_right_password_is_not_enough_from_a_strange_network_over_plain_http(signing_in: int) -> None:
    assert ask(signing_in, "/machines", headers=basic("right"), come_from="203.0.113.7")[0] == 403
