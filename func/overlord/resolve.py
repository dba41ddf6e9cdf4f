"""Find the addresses of minions: the hosts file first, then the DNS, which may never hold the others up."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Callable, Optional

from func.errors import MinionUnreachable

_log = logging.getLogger(__name__)

FRESH_S = 60.0
"""How long an answer of the DNS is used again."""

_FAILED_S = 5.0
_MAX_THREADS = 32

Lookup = Callable[[str], list[str]]


def ask_dns(name: str) -> list[str]:
    """The addresses of a name, best first; blocks as long as the system's resolver does. Raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class Resolver:
    """Addresses by name. Thread-safe; look-ups run in a few threads of their own."""

    def __init__(
        self, hosts_file: Path, look_up: Lookup = ask_dns, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._hosts_file = hosts_file
        self._look_up = look_up
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._stamp: Optional[tuple[int, ...]] = None
        self._hosts: dict[str, list[str]] = {}
        self._asked: dict[str, Future[list[str]]] = {}
        self._stale_at: dict[str, float] = {}
        self._jobs: deque[tuple[str, Future[list[str]]]] = deque()
        self._threads = 0

    def refresh(self) -> None:
        """Read the hosts file again if it has changed."""
        try:
            stat = self._hosts_file.stat()
            stamp: Optional[tuple[int, ...]] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return
            hosts = read_hosts(self._hosts_file)
        except FileNotFoundError:
            stamp, hosts = None, {}
        except OSError as exc:
            _log.warning("%s: cannot be read, names are looked up in the DNS: %s", self._hosts_file, exc)
            stamp, hosts = None, {}
        with self._lock:
            self._stamp, self._hosts = stamp, hosts

    def resolve(self, name: str) -> Future[list[str]]:
        """The addresses of a minion, at once where they are known; raises MinionUnreachable for none."""
        key = name.lower()
        known = self._hosts.get(key) or _as_address(key)
        if known:
            ready: Future[list[str]] = Future()
            ready.set_result(known)
            return ready
        with self._lock:
            future = self._asked.get(key)
            if future is None or (future.done() and self._monotonic() >= self._stale_at.get(key, 0.0)):
                future = self._asked[key] = Future()
                self._jobs.append((key, future))
                if self._threads < _MAX_THREADS:
                    self._threads += 1
                    threading.Thread(target=self._work, name="func-lookup", daemon=True).start()
            return future

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._threads -= 1
                    return
                name, future = self._jobs.popleft()
            try:
                addresses = self._look_up(name)
            except (OSError, UnicodeError) as exc:
                self._answer(name, future, [], exc)
            else:
                self._answer(name, future, addresses, None)

    def _answer(
        self, name: str, future: Future[list[str]], addresses: list[str], why: Optional[Exception]
    ) -> None:
        with self._lock:
            self._stale_at[name] = self._monotonic() + (FRESH_S if addresses else _FAILED_S)
        if addresses:
            future.set_result(addresses)
            return
        reason = (
            f"[Errno {why.errno}] {why.strerror}" if isinstance(why, OSError) else str(why or "no address")
        )
        future.set_exception(
            MinionUnreachable(f"{reason} (looking up {name}; it is not in {self._hosts_file} either)")
        )


def read_hosts(path: Path) -> dict[str, list[str]]:
    """Names in lower case to addresses, from a file as hosts(5) has it; a bad line is logged and left out."""
    hosts: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        address, *names = line.partition("#")[0].split() or [""]
        if not address:
            continue
        if not _as_address(address):
            _log.warning("%s, line %d: %r is no IP address; the line is left out", path, number, address)
            continue
        for name in names:
            hosts.setdefault(name.lower(), []).append(address)
    return hosts


def _as_address(text: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(text))]
    except ValueError:
        return []
