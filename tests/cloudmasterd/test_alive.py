"""Whether a cloud master moves: a real server that answers, does not, or answers something else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cloudmasterd.alive import POLLER_S, find_trouble
from tests.ports import held_port


class Answering(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Failing(Answering):
    status = 500


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    server = HTTPServer(("0.0.0.0", 0), request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("port", [Answering], indirect=True)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", ""])
def test_what_answers_and_comes_round_is_alive(port: int, address: str) -> None:
    assert find_trouble(lambda: 1.0, address, port) == ""


@pytest.mark.parametrize("port", [Failing], indirect=True)
def test_an_answer_that_is_an_error_is_trouble(port: int) -> None:
    assert find_trouble(lambda: 1.0, "127.0.0.1", port) == (f"/healthz at 127.0.0.1 port {port} answers 500")


@pytest.mark.parametrize("port", [Answering], indirect=True)
def test_a_poller_that_does_not_come_round_is_trouble(port: int) -> None:
    assert find_trouble(lambda: POLLER_S + 1, "127.0.0.1", port) == "the poller has not come round for 61 s"


def test_a_server_that_is_gone_is_trouble() -> None:
    with held_port() as port:
        said = find_trouble(lambda: 1.0, "127.0.0.1", port)
    assert said.startswith(f"/healthz at 127.0.0.1 port {port} does not answer: ")


def test_a_server_that_accepts_and_says_nothing_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudmasterd.alive.ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts for it
        assert "does not answer" in find_trouble(lambda: 1.0, "127.0.0.1", silent.getsockname()[1])
