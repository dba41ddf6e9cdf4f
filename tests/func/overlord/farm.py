"""A farm of minions for the overlord's tests: real TLS, real certificates, any manners wanted."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster import ca
from func import wire
from func.tls import server_context

NOW = datetime.now(timezone.utc)
Manners = Callable[[ssl.SSLSocket, str], None]


class Authority:
    """A certmaster's key and certificate; every leaf it issues has one and the same key, to save time."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.key, self.leaf_key = ca.new_key(), ca.new_key()
        self.cert = ca.make_ca(name, self.key, 1, NOW)
        self.serial = 1
        folder.mkdir(parents=True, exist_ok=True)
        self.key_file = _write(folder / "certmaster.key", self.key)
        self.ca_file = _write(folder / "certmaster.crt", self.cert)
        self.leaf_key_file = _write(folder / "leaf.pem", self.leaf_key)

    def issue(self, name: str, now: datetime = NOW, days: int = 30) -> bytes:
        self.serial += 1
        return ca.sign(ca.make_request(self.leaf_key, name), self.cert, self.key, self.serial, now, days)

    def cert_file(self, name: str, now: datetime = NOW, days: int = 30) -> Path:
        path = self.folder / f"{name}-{days}.cert"
        return path if path.exists() else _write(path, self.issue(name, now, days))

    def expired_cert_file(self, name: str) -> Path:
        return self.cert_file(name, NOW - timedelta(days=20), 2)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


class Farm:
    """Listens at one port of several loopback addresses; the name asked for says which minion is meant."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.manners: dict[str, Manners] = {}
        self.cert_files: dict[str, Path] = {}
        self.answer: Callable[[str, str, list[Any]], Any] = lambda name, method, args: [name, method, args]
        self.head_extra = b"Keep-Alive: timeout=60\r\n"
        self.calls: list[tuple[str, str, list[Any]]] = []
        self.raw_requests: list[bytes] = []
        self.accepted = 0
        self.stopping = threading.Event()
        self._ca_file = authority.ca_file
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._asked: dict[object, str] = {}
        first_cert = authority.cert_file("farm")
        self._first = server_context(first_cert, authority.leaf_key_file, authority.ca_file)
        self._first.sni_callback = self._choose
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self.port = self._listen("127.0.0.1", 0, self._serve_tls)

    def listen(self, address: str, serve: Callable[[socket.socket], None]) -> None:
        """At another address of the same port, something that is no TLS."""
        self._listen(address, self.port, serve)

    def stop(self) -> None:
        self.stopping.set()
        self.hang_up()
        for thread in list(self._threads):
            thread.join(60)
            assert not thread.is_alive(), thread

    def hang_up(self) -> None:
        """End every connection."""
        with self._lock:
            for sock in list(self._open):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def connections(self) -> int:
        with self._lock:
            return sum(1 for sock in self._open if sock.fileno() >= 0)

    def _listen(self, address: str, port: int, serve: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server((address, port), backlog=1000)
        self._spawn(self._accept, listener, serve)
        return int(listener.getsockname()[1])

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.add(sock)

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with listener:
            listener.settimeout(0.1)
            while not self.stopping.is_set():
                try:
                    conn, _ = listener.accept()
                except (OSError, TimeoutError):
                    continue
                conn.settimeout(120)
                self.accepted += 1
                self._spawn(self._guard, conn, serve)

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)

    def _guard(self, conn: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self._keep(conn)
        try:
            with conn:
                serve(conn)
        except OSError:
            pass
        finally:
            self._forget(conn)

    def _context(self, name: str) -> ssl.SSLContext:
        with self._lock:
            if name not in self._contexts:
                cert_file = self.cert_files.get(name) or self.authority.cert_file(name)
                key_file = cert_file.parent / "leaf.pem"
                self._contexts[name] = server_context(cert_file, key_file, self._ca_file)
            return self._contexts[name]

    def prepare(self, *names: str) -> None:
        """Issue certificates now, so that no deadline runs meanwhile."""
        for name in names:
            self._context(name)

    def _choose(self, sock: ssl.SSLObject, name: Optional[str], _: ssl.SSLContext) -> None:
        self._asked[sock] = name or "farm"
        try:
            sock.context = self._context(name or "farm")
        except AttributeError:
            pass  # hung up in the meantime

    def _serve_tls(self, conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._first.wrap_socket(conn, server_side=True, do_handshake_on_connect=False) as sock:
            self._keep(sock)
            try:
                sock.do_handshake()
                name = self._asked.pop(sock)
                self.manners.get(name, self.behave)(sock, name)
            finally:
                self._forget(sock)

    def behave(self, sock: ssl.SSLSocket, name: str) -> None:
        """Answer call after call, as funcd does."""
        while True:
            request = read_request(sock)
            if request is None:
                return
            self.raw_requests.append(request)
            method, args = wire.decode_call(request.partition(b"\r\n\r\n")[2])
            self.calls.append((name, method, args))
            sock.sendall(reply(wire.encode_result(self.answer(name, method, args)), self.head_extra))


def read_request(sock: ssl.SSLSocket) -> Optional[bytes]:
    data = b""
    while b"</methodCall>" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    return data


def reply(body: bytes, extra: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n%s\r\n%s" % (
        status, len(body), extra, body,
    )  # fmt: skip


def says(data: bytes) -> Manners:
    """Manners that read one call, send these bytes and hang up."""

    def manners(sock: ssl.SSLSocket, name: str) -> None:
        if read_request(sock) is not None:
            sock.sendall(data)

    return manners


def write_root(
    root: Path, farm: Farm, minions: list[str], addresses: Optional[dict[str, str]] = None
) -> Path:
    """The files of a certmaster and overlord that knows these minions, all at the farm's address."""
    cadir, certroot, func = (
        root / "etc/pki/certmaster/ca",
        root / "var/lib/certmaster/certs",
        root / "etc/func",
    )
    for folder in (cadir, certroot, func):
        folder.mkdir(parents=True, exist_ok=True)
    (cadir / "certmaster.key").write_bytes(farm.authority.key)
    (cadir / "certmaster.crt").write_bytes(farm.authority.cert)
    for name in minions:
        (certroot / f"{name}.cert").write_bytes(b"")
    where = addresses or {}
    lines = [f"{where.get(name, '127.0.0.1')} {name}\n" for name in minions]
    (func / "hosts").write_text("".join(lines), encoding="utf-8")
    (func / "overlord.conf").write_text(f"[main]\nlisten_port = {farm.port}\n", encoding="utf-8")
    return root
