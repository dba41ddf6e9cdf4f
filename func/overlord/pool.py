"""Keep open connections between calls, and hand out only those that are still good."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Callable, Optional

MAX_KEPT = 4
"""Connections kept to one minion: as many callers can ask it at once without a new handshake."""

_SWEEP_S = 5.0


@dataclass(frozen=True)
class _Kept:
    sock: ssl.SSLSocket
    drop_at: float


class Pool:
    """Kept connections by key. A connection taken out belongs to the caller alone. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[Hashable, list[_Kept]] = {}
        self._swept_at = monotonic()
        self._closed = False

    def take(self, key: Hashable) -> Optional[ssl.SSLSocket]:
        """A connection that was open and silent a moment ago, or None."""
        while True:
            with self._lock:
                held = self._kept.get(key)
                if not held:
                    return None
                kept = held.pop()
            if self._monotonic() < kept.drop_at and _is_quiet(kept.sock):
                return kept.sock
            part(kept.sock)

    def give(self, key: Hashable, sock: ssl.SSLSocket, keep_s: float) -> None:
        """Keep a connection whose last reply was read whole, for at most `keep_s` seconds."""
        kept = _Kept(sock, self._monotonic() + keep_s)
        with self._lock:
            held = self._kept.setdefault(key, [])
            if keep_s > 0 and len(held) < MAX_KEPT and not self._closed:
                held.append(kept)
                return
        part(sock)

    def sweep(self) -> None:
        """Close what has idled for too long; cheap when called often."""
        now = self._monotonic()
        with self._lock:
            if now - self._swept_at < _SWEEP_S:
                return
            self._swept_at = now
            old = [kept for held in self._kept.values() for kept in held if kept.drop_at <= now]
            self._kept = {
                key: left
                for key, held in self._kept.items()
                if (left := [kept for kept in held if kept.drop_at > now])
            }
        for kept in old:
            part(kept.sock)

    def clear(self) -> None:
        """Close every kept connection, as after a change of certificates."""
        with self._lock:
            old = [kept for held in self._kept.values() for kept in held]
            self._kept = {}
        for kept in old:
            part(kept.sock)

    def close(self) -> None:
        """Close every kept connection and keep none from now on."""
        with self._lock:
            self._closed = True
        self.clear()


def part(sock: ssl.SSLSocket) -> None:
    """Close a connection in order, without waiting for the other side."""
    try:
        # On a socket that does not block this sends the close alert and gives up on the peer's.
        sock.unwrap()
    except (OSError, ValueError):
        pass
    sock.close()


def _is_quiet(sock: ssl.SSLSocket) -> bool:
    # Below TLS on purpose: whatever there is to read now, an end or an alert, makes the connection useless.
    try:
        socket.socket.recv(sock, 1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
