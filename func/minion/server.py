"""Serve XML-RPC over mutual TLS, a thread for each connection; a bad peer costs nobody but itself."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable

from func import tls, wire
from func.errors import ConfigError, WireError
from func.minion import http
from func.minion.acl import Peer
from func.minion.codes import AccessToMethodDenied
from func.minion.connections import Connection, Connections

log = logging.getLogger(__name__)

Dispatch = Callable[[Peer, str, Sequence[Any]], Any]
LINGER_S = 1.0
BACKLOG = 128


@dataclass(frozen=True)
class Limits:
    """What one peer, and all of them, may take."""

    handshake_s: float = 10.0
    idle_s: float = 120.0
    request_s: float = 30.0  # a whole request, head and body
    reply_s: float = 60.0
    head_bytes: int = 16 * 1024
    body_bytes: int = 4 * 1024 * 1024
    connections: int = 512
    connections_per_peer: int = 128  # of one address, and of one certificate
    reply_bytes: int = 64 * 1024 * 1024  # our overlord takes no more
    grace_s: float = 5.0  # what calls under way get when the server ends


class MinionServer:
    """An HTTP/1.1 server that hands each call to `dispatch` together with the peer it came from.

    `dispatch(peer, method, args)` returns the value or raises AccessToMethodDenied. The port is bound at
    once: raises ConfigError when it cannot be.
    """

    def __init__(
        self,
        address: str,
        port: int,
        context: ssl.SSLContext,
        dispatch: Dispatch,
        limits: Limits = Limits(),
    ) -> None:
        self._context = context
        self._dispatch = dispatch
        self._limits = limits
        self._connections = Connections(limits.connections, limits.connections_per_peer)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        self._listener = _listen(address, port)
        self._probed_from = ("", 0)

    def use(self, context: ssl.SSLContext) -> None:
        """Shake hands by that context from now on; connections that are open stay."""
        self._context = context

    @property
    def server_address(self) -> tuple[str, int]:
        """The address and port it listens on."""
        name = self._listener.getsockname()
        return str(name[0]), int(name[1])

    def serve_forever(self) -> None:
        """Accept connections until `shutdown`; never does TLS itself."""
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                try:
                    sock, address = self._listener.accept()
                except OSError as exc:
                    if not self._stopping.is_set():
                        log.error("no connection can be accepted: %s", exc)
                        self._stopping.wait(0.1)  # out of descriptors: let some connections end
                    continue
                peer = str(address[0]).replace("::ffff:", "")
                if (peer, address[1]) == self._probed_from:
                    sock.close()
                else:
                    self._begin(Connection(sock, peer))
        finally:
            self._ended.set()

    def find_trouble(self, within_s: float) -> str:
        """Why no connection is accepted here, found out by making one; empty where it is, within that time.

        The kernel takes connections for a loop that hangs, too; ours is taken when the loop closes it.
        """
        address, port = self.server_address
        host = "127.0.0.1" if address in ("::", "0.0.0.0") else address  # noqa: S104
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(within_s)
                probe.bind((host, 0))
                self._probed_from = (host, int(probe.getsockname()[1]))
                probe.connect((host, port))
                probe.recv(1)
        except OSError as exc:
            return f"no connection to {host} port {port} was accepted within {within_s:g} s: {exc}"
        return ""

    def shutdown(self) -> None:
        """Stop accepting, let calls under way end within the grace time, and close everything."""
        self._stopping.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        except OSError:
            pass
        self._ended.wait()
        self._listener.close()
        if not self._connections.end_all(self._limits.grace_s):
            log.warning("%d connections are still at work and are left behind", self._connections.count())

    def _begin(self, connection: Connection) -> None:
        if not self._connections.admit(connection):
            connection.sock.close()
            return
        thread = threading.Thread(target=self._run, args=(connection,), name="connection", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            log.error("a connection from %s was refused: %s", connection.address, exc)
            self._connections.remove(connection)
            connection.sock.close()

    def _run(self, connection: Connection) -> None:
        try:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = self._shake_hands(connection)
            if self._connections.identify(connection, peer.certificate):
                self._converse(connection, peer)
        except ssl.SSLCertVerificationError as exc:
            log.warning("%s was refused: %s", connection.address, tls.describe_tls_failure(exc))
        except ssl.SSLError as exc:
            log.info("%s: %s", connection.address, tls.describe_tls_failure(exc))
        except (OSError, http.Hangup) as exc:
            log.debug("%s: the connection ended: %s", connection.address, exc)
        finally:
            self._connections.remove(connection)
            _close(connection)

    def _shake_hands(self, connection: Connection) -> Peer:
        connection.sock.settimeout(self._limits.handshake_s)
        sock = self._context.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
        connection.sock = sock
        sock.do_handshake()
        return Peer(connection.address, sock.getpeercert(binary_form=True) or b"")

    def _converse(self, connection: Connection, peer: Peer) -> None:
        limits = self._limits
        inbound = http.Inbound(connection.sock, limits.head_bytes, limits.body_bytes)
        keep = True
        while keep and not self._stopping.is_set():
            self._connections.rest(connection)
            if self._stopping.is_set():  # ended the idle ones before this one was idle
                return
            inbound.wait(limits.idle_s)
            self._connections.work(connection)
            try:
                request = inbound.read(limits.request_s)
            except http.Refused as refused:
                log.info("%s: answered %d: %s", connection.address, refused.status, refused)
                self._send(connection.sock, *http.refusal(refused))
                connection.end_writing()
                inbound.drain(LINGER_S)
                return
            tls.check_revoked(connection.sock)
            caller = replace(peer, request_id=request.request_id)
            head, body, keep = http.reply(request, self._answer(caller, request.body), limits.idle_s)
            self._send(connection.sock, head, body)

    def _answer(self, peer: Peer, body: bytes) -> bytes:
        try:
            method, args = wire.decode_call(body)
        except WireError as exc:
            log.info("%s sent what is no call: %s", peer.address, exc)
            return wire.encode_fault(1, wire.fault_text(exc))
        try:
            return self._bounded(wire.encode_result(self._dispatch(peer, method, args)))
        except AccessToMethodDenied as exc:
            log.warning(
                "%s (%s) may not call %s: no line of the ACL files allows it", peer.key, peer.address, method
            )
            return wire.encode_fault(1, wire.fault_text(exc))
        except WireError as exc:
            log.error("the result of %s cannot be sent: %s", method, exc)
            return wire.encode_fault(1, wire.fault_text(exc))

    def _bounded(self, body: bytes) -> bytes:
        most = self._limits.reply_bytes
        if len(body) > most:
            raise WireError(f"the result has {len(body)} bytes where {most} can be sent") from OverflowError()
        return body

    def _send(self, sock: socket.socket, *parts: bytes) -> None:
        # Head and body apart: one TLS record with both is more than a historic peer can take.
        deadline = time.monotonic() + self._limits.reply_s
        for part in parts:
            view = memoryview(part)
            while view:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise socket.timeout("the peer does not read its reply")
                sock.settimeout(left)
                view = view[sock.send(view[:65536]) :]


def _close(connection: Connection) -> None:
    sock = connection.sock
    if isinstance(sock, ssl.SSLSocket):
        try:
            sock.settimeout(0)
            sock.unwrap()  # says goodbye without waiting for the answer
        except (OSError, ValueError):
            pass
    sock.close()


def _listen(address: str, port: int) -> socket.socket:
    try:
        if address:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return socket.create_server((address, port), family=family, backlog=BACKLOG)
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        return socket.create_server(("", port), backlog=BACKLOG)
    except (OSError, OverflowError) as exc:
        where = f"{address or 'all addresses'}, port {port}"
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"cannot listen on {where}: {reason}; set listen_addr and listen_port") from exc
