"""One call to one minion, from its address to the whole reply, written as steps that never block.

`Conversation.steps` is a generator: it yields what it waits for (to read, to write, or IDLE for a name's
look-up or for a handshake that another thread computes), is resumed when that is there, and returns the
reply's body. A TimeoutError thrown into it ends the attempt it is at.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
from collections.abc import Generator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Callable, Optional

from func.errors import BadReply, CallError, MinionTimeout, MinionUnreachable, PeerRefused
from func.overlord.http import Limits, ReplyReader, request_head
from func.overlord.pool import Pool
from func.tls import describe_tls_failure, is_no_tls

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
IDLE = 0

Steps = Generator[int, None, bytes]

_RECORDS = 64 * 1024
_GONE = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True)
class Request:
    """One call: the body for the minion of that name, which its certificate must bear."""

    minion: str
    body: bytes
    request_id: str = ""


@dataclass(frozen=True)
class Means:
    """What every conversation of one round uses."""

    context: ssl.SSLContext
    pool: Pool
    resolve: Callable[[str], Future[list[str]]]
    port: int
    limits: Limits
    connect_timeout_s: float
    computers: Executor  # for the signatures of handshakes


class Conversation:
    """The state of one call. `deadline` is when its current attempt ends, `ends_at` when the call does."""

    def __init__(self, request: Request, means: Means, forget: Callable[[Conversation], None]) -> None:
        self.request = request
        self.means = means
        self.sock: Optional[socket.socket] = None
        self.watched = IDLE
        self.fd = -1
        self.awaited: Optional[Future[Any]] = None
        self.phase = "waiting for its turn"
        self._began = self.ends_at = self.deadline = self.alarm = 0.0
        self._forget = forget
        self.steps: Steps = self._steps()

    def begin(self, now: float, ends_at: float) -> None:
        """Set the clock: connecting has a deadline of its own, before that of the call."""
        self._began, self.ends_at = now, ends_at
        self.deadline = min(ends_at, now + self.means.connect_timeout_s)

    def drop(self) -> None:
        """Close the connection as it is."""
        computing, self.awaited = self.awaited, None
        if self.sock is not None:
            if computing is not None and not computing.cancel():
                wait([computing])  # milliseconds; nobody may close it under that thread's feet
            self._forget(self)
            self.sock.close()
            self.sock = None

    def explain(self, exc: Exception) -> CallError:
        """What went wrong, as an error for the caller."""
        if isinstance(exc, CallError):
            return exc
        if isinstance(exc, TimeoutError) and not exc.errno:
            return MinionTimeout(f"timed out while {self.phase}")
        if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return MinionUnreachable(f"it closed the connection while {self.phase}")
        if isinstance(exc, ssl.SSLError):
            kind = MinionUnreachable if is_no_tls(exc) else PeerRefused
            return kind(f"{describe_tls_failure(exc)} ({self.phase})")
        if isinstance(exc, OSError) and exc.errno:
            remedy = "; raise the limit on open files" if exc.errno in (errno.EMFILE, errno.ENFILE) else ""
            return MinionUnreachable(f"[Errno {exc.errno}] {os.strerror(exc.errno)} ({self.phase}{remedy})")
        return MinionUnreachable(f"{exc} ({self.phase})")

    def _steps(self) -> Steps:
        key = (self.request.minion, self.means.context)
        sock = self.means.pool.take(key)
        if sock is None:
            sock = yield from self._open()
        self.sock, self.deadline = sock, self.ends_at
        request = self.request
        head = request_head(request.minion, self.means.port, len(request.body), request.request_id)
        self.phase = "sending the call"
        failure = yield from self._send(sock, head)
        if failure is None:
            failure = yield from self._send(sock, self.request.body)
        self.phase = "waiting for its answer"
        reply = yield from self._receive(sock, failure)
        body = reply.body()
        self._forget(self)
        self.sock = None
        self.means.pool.give(key, sock, reply.keep_s)
        return body

    def _open(self) -> Generator[int, None, ssl.SSLSocket]:
        self.phase = "looking up its address"
        addresses = yield from self._await(self.means.resolve(self.request.minion))
        share_s = (self.deadline - self._began) / len(addresses)
        for number, address in enumerate(addresses, 1):
            try:
                self.deadline = self._began + share_s * number
                yield from self._connect(address)
                return (yield from self._shake_hands())
            except ssl.SSLError:
                raise
            except OSError:
                if number == len(addresses):
                    raise
                self.drop()
        raise AssertionError("a look-up gives at least one address")

    def _connect(self, address: str) -> Generator[int, None, None]:
        where = f"[{address}]" if ":" in address else address
        self.phase = f"connecting to {where}:{self.means.port}"
        self.sock = sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex((address, self.means.port))
        if code == errno.EINPROGRESS:
            yield WRITE
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.phase = f"in the TLS handshake with {where}:{self.means.port}"

    def _shake_hands(self) -> Generator[int, None, ssl.SSLSocket]:
        assert self.sock is not None
        sock = self.means.context.wrap_socket(
            self.sock, server_hostname=self.request.minion, do_handshake_on_connect=False
        )
        self.sock = sock
        greeted = False
        while True:
            try:
                if greeted:
                    yield from self._compute(sock)
                else:
                    greeted = True
                    sock.do_handshake()
                return sock
            except ssl.SSLWantReadError:
                yield READ
            except ssl.SSLWantWriteError:
                yield WRITE

    def _compute(self, sock: ssl.SSLSocket) -> Generator[int, None, None]:
        """The part of the handshake with the signatures, two milliseconds: on all processors at once."""
        try:
            future = self.means.computers.submit(sock.do_handshake)
        except RuntimeError:  # no thread to be had, or the overlord was closed
            sock.do_handshake()
        else:
            yield from self._await(future)

    def _await(self, future: Future[Any]) -> Generator[int, None, Any]:
        self.awaited = future
        while not future.done():
            yield IDLE
        self.awaited = None
        return future.result()

    def _send(self, sock: ssl.SSLSocket, data: bytes) -> Generator[int, None, Optional[OSError]]:
        view = memoryview(data)
        while view:
            try:
                view = view[sock.send(view) :]
            except ssl.SSLWantWriteError:
                yield WRITE
            except ssl.SSLWantReadError:
                yield READ
            except _GONE as exc:
                # It may have answered before it hung up: an alert, or that the call is too large.
                return exc
        return None

    def _receive(self, sock: ssl.SSLSocket, failure: Optional[OSError]) -> Generator[int, None, ReplyReader]:
        reply = ReplyReader(self.means.limits)
        if failure is None:
            yield READ
        while True:
            try:
                data = sock.recv(_RECORDS)
            except ssl.SSLWantReadError:
                if failure is not None:
                    raise failure from None
                yield READ
                continue
            except ssl.SSLWantWriteError:
                yield WRITE
                continue
            except _GONE as exc:
                raise failure or exc from None
            if data:
                if reply.feed(data):
                    return reply
            elif failure is not None and not reply.started:
                raise failure
            else:
                self._hung_up(reply)
                return reply
            if not sock.pending():
                yield READ

    def _hung_up(self, reply: ReplyReader) -> None:
        try:
            reply.end()
        except BadReply as exc:
            raise MinionUnreachable(str(exc)) from None
