"""How many requests a second the REST interface answers with 200 cloud instances and 5,000 machine instances.

`GET /api/v1/machines?limit=100` beside a bare CherryPy handler that returns the same bytes: own processes,
the same clients, the same load, taking turns.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.report import Figure, progress, share_of, show
from demo.cloud import free_ports

PATH = "/api/v1/machines?limit=100"
CONNECTIONS = 8
TURN_S = 2.0
TURNS = 7


@contextlib.contextmanager
def server(kind: str, path: Path, port: int) -> Iterator[str]:
    """One of the two servers, running; the token that it takes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.api_server", kind, str(path), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said, _, token = process.stdout.readline().decode().strip().partition(" ")
        if said != "ready":
            raise RuntimeError(f"the server {kind!r} did not start; see above")
        yield token
    finally:
        process.kill()
        process.communicate()


class Client:
    """A kept connection that asks again as soon as it is answered; counts only whole, right answers."""

    def __init__(self, port: int, token: str, body: bytes) -> None:
        known = f"Accept: */*\r\nAuthorization: Bearer {token}"
        self._request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{known}\r\n\r\n".encode()
        self._body = body
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seen = bytearray()
        self.answers = 0

    def ask(self) -> None:
        """Send the request."""
        self._seen.clear()
        self.sock.sendall(self._request)

    def read(self) -> None:
        """Take what came; when the answer is whole, count it and ask again."""
        data = self.sock.recv(262144)
        if not data:
            raise RuntimeError("the server closed a connection")
        self._seen += data
        head_end = self._seen.find(b"\r\n\r\n")
        if head_end < 0 or len(self._seen) < head_end + 4 + len(self._body):
            return
        if not self._seen.startswith(b"HTTP/1.1 200") or self._seen[head_end + 4 :] != self._body:
            raise RuntimeError(f"a wrong answer: {bytes(self._seen[:300])!r}")
        self.answers += 1
        self.ask()


def requests_per_second(port: int, token: str, body: bytes, connections: int, seconds: float) -> float:
    """Keep that many connections busy for a while."""
    clients = [Client(port, token, body) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
            client.ask()
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            for key, _ in selector.select(1.0):
                key.data.read()
        passed = time.monotonic() - begin
    for client in clients:
        client.sock.close()
    return sum(client.answers for client in clients) / passed


def measure(directory: Path, connections: int) -> list[Figure]:
    """Both servers in turns; the median of the turns' rates."""
    ports = free_ports()
    progress("filling the store with 200 cloud instances and 5,000 machine instances")
    with server("ours", directory, ports.web) as token:
        url = f"http://127.0.0.1:{ports.web}{PATH}"
        known = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(known, timeout=30) as answer:
            body = answer.read()
        file = directory / "answer.json"
        file.write_bytes(body)
        with server("bare", file, ports.func):
            ours, bare = [], []
            for turn in range(TURNS):
                progress(f"measuring, {turn + 1} of {TURNS}")
                ours.append(requests_per_second(ports.web, token, body, connections, TURN_S))
                bare.append(requests_per_second(ports.func, token, body, connections, TURN_S))
    name = f"GET {PATH}"
    beside = f"a bare CherryPy handler returning the same {len(body):,} bytes, {connections} connections"
    return [share_of(name, statistics.median(ours), "req/s", beside, statistics.median(bare), 0.6)]


def main(argv: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="benchmarks/api", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="api-") as directory:
        figures = measure(Path(directory), options.connections)
    show("Requests answered with 200 cloud instances and 5,000 machine instances", figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
