"""What several tests of certmaster share: a moment, a pair, the openssl command, a certmaster in a thread."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Optional
from xmlrpc.server import SimpleXMLRPCServer

from certmaster.admin_socket import AdminSocket
from certmaster.authority import Authority
from certmaster.server import DEFAULT_LIMITS, CertmasterServer, Limits

NOW = datetime.now(timezone.utc).replace(microsecond=0)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: bytes
    key: bytes


def openssl(*args: object, given: bytes = b"") -> bytes:
    """What the openssl command prints; it must succeed."""
    done = subprocess.run(["openssl", *map(str, args)], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextmanager
def running(
    authority: Authority, limits: Limits = DEFAULT_LIMITS, admin_socket: Optional[AdminSocket] = None
) -> Iterator[int]:
    """A certmaster on a free port of the loopback, until the end of the block."""
    ready, address, handles = threading.Event(), [], []

    def is_ready(_addr: str, port: int) -> None:
        address.append(port)
        ready.set()

    async def main() -> None:
        stop = asyncio.Event()
        handles.append((asyncio.get_running_loop(), stop))
        await CertmasterServer(authority, "127.0.0.1", 0, limits, admin_socket).run(stop, is_ready)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(60)
        yield address[0]
    finally:
        loop, stop = handles[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def historic_certmaster() -> Iterator[int]:
    """A certmaster that has wait_for_cert alone, made of Python's own XML-RPC server."""
    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
    server.register_function(lambda _csr: [False, "", ""], "wait_for_cert")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
