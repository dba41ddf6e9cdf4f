"""The configuration of Apache that is packaged: a real Apache before a server that says what reached it."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.cloud import free_ports
from tests.integration.apache import apache, why_not

pytestmark = pytest.mark.integration
CHUNK = 4 * 1024 * 1024
# The tests say where a request comes from, since all of theirs come from this machine.
AS_FROM = "RemoteIPHeader X-Comes-From\nRemoteIPInternalProxy 127.0.0.1\n"


class Telling(BaseHTTPRequestHandler):
    """Answers with the path and the Host header it was asked with, and the length of the body."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = json.dumps([self.path, self.headers["Host"], len(body)]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """The port of Apache."""
    if why_not():
        pytest.skip(why_not())
    if os.geteuid() == 0:  # Apache gives up root before it writes
        tmp_path.chmod(0o755)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Telling)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    port = free_ports().web
    try:
        with apache(tmp_path, port, server.server_address[1], AS_FROM):
            yield port
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def ask(
    port: int, path: str, body: bytes = b"", method: str = "GET", come_from: str = "192.168.7.1"
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Host": "cloud.example.org", "X-Comes-From": come_from}
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
