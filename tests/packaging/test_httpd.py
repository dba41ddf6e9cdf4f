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
        with apache(tmp_path, port, server.server_address[1]):
            yield port
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def ask(port: int, path: str, body: bytes = b"", method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Host": "cloud.example.org"})
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
    assert ask(proxy, path)[0] in (403, 404)


def test_a_chunk_of_an_image_fits_and_nothing_larger(proxy: int) -> None:
    status, told = ask(proxy, "/api/v1/images/x", bytes(CHUNK), "PUT")
    assert (status, json.loads(told)[2]) == (200, CHUNK)
    assert ask(proxy, "/api/v1/images/x", bytes(CHUNK + 1), "PUT")[0] == 413
