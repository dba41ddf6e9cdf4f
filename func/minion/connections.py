"""Keep count of a server's connections: in total, of one address, of one certificate, and which are idle."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Optional

log = logging.getLogger(__name__)


class Connection:
    """One accepted connection. Its own thread uses `sock`; any thread may sever it."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        self.certificate = b""
        self.idle_since: Optional[float] = None

    def sever(self) -> None:
        """End it under the feet of its thread, which then finds the connection gone."""
        try:
            # Not SSLSocket's own shutdown: that drops TLS first, and the thread would write plain text.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass

    def end_writing(self) -> None:
        """Tell the peer that nothing more will come."""
        socket.socket.shutdown(self.sock, socket.SHUT_WR)


class Connections:
    """All connections of a server, within their bounds. Thread-safe."""

    def __init__(self, total: int, per_peer: int) -> None:
        self._total = total
        self._per_peer = per_peer
        self._changed = threading.Condition()
        self._all: set[Connection] = set()

    def admit(self, connection: Connection) -> bool:
        """Take a connection in; makes room by ending the one that has been idle longest, if there is one."""
        with self._changed:
            same = [other for other in self._all if other.address == connection.address]
            for crowd, bound in ((same, self._per_peer), (list(self._all), self._total)):
                if len(crowd) >= bound and not self._drop_oldest_idle(crowd):
                    log.warning(
                        "a connection from %s was refused: %d are open, %d of them from there, none idle",
                        connection.address, len(self._all), len(same),
                    )  # fmt: skip
                    return False
            self._all.add(connection)
            return True

    def identify(self, connection: Connection, certificate: bytes) -> bool:
        """Note whose connection it is, known once hands are shaken; makes room as `admit` does, else False.

        So nobody has more of them by calling from many places.
        """
        with self._changed:
            same = [other for other in self._all if other.certificate == certificate]
            if len(same) >= self._per_peer and not self._drop_oldest_idle(same):
                log.warning(
                    "a connection from %s was refused: %d of the same certificate are open, none idle",
                    connection.address, len(same),
                )  # fmt: skip
                return False
            connection.certificate = certificate
            return True

    def rest(self, connection: Connection) -> None:
        """From now on the connection waits for a request and may be ended to make room."""
        with self._changed:
            connection.idle_since = time.monotonic()

    def work(self, connection: Connection) -> None:
        """From now on the connection is at work."""
        with self._changed:
            connection.idle_since = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        with self._changed:
            self._all.discard(connection)
            self._changed.notify_all()

    def sever_idle(self) -> None:
        """End all connections that wait for a request."""
        with self._changed:
            for connection in self._all:
                if connection.idle_since is not None:
                    connection.sever()

    def end_all(self, grace_s: float) -> bool:
        """End the idle ones now and the others after `grace_s`; whether all threads have let go."""
        self.sever_idle()
        with self._changed:
            if self._changed.wait_for(lambda: not self._all, grace_s):
                return True
            for connection in self._all:
                connection.sever()
            return self._changed.wait_for(lambda: not self._all, 1.0)

    def count(self) -> int:
        """How many are open."""
        with self._changed:
            return len(self._all)

    def _drop_oldest_idle(self, crowd: list[Connection]) -> bool:
        idle = [(other.idle_since, id(other), other) for other in crowd if other.idle_since is not None]
        if not idle:
            return False
        oldest = min(idle)[2]
        log.info("the connection from %s, idle longest, was ended to make room", oldest.address)
        oldest.sever()
        self._all.discard(oldest)
        return True
