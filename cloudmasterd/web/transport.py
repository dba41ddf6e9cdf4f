"""The HTTP server below CherryPy: a request takes a worker thread only once it is all there.

cheroot hands a fresh connection to a worker that then waits for the request line, so every client that stops
or drips in the middle of a request holds a thread. Here the selector's thread gathers the bytes without ever
waiting; a worker gets the connection when head and body are complete, and a client that takes longer than
REQUEST_S for both is answered 408 and closed. Written against cheroot 10 (see docs/decisions/0007-web.md).
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable, Optional

from cheroot.server import HTTPConnection
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest, CPWSGIServer

from cloudmasterd.clock import SystemClock
from cloudmasterd.web.head import HeadReader
from cloudmasterd.web.problems import problem_bytes

REQUEST_S = 10.0  # for a whole request, first to last byte; also how long an idle connection is kept
RESPONSE_S = 30.0  # for a client to take a whole response
LINGER_S = 1.0  # for a client that is refused in the middle of its body to read why
MAX_HEAD = 32 * 1024
MAX_BODY = 1024 * 1024
MAX_CHUNK = 4 * 1024 * 1024  # of an image
MAX_WAITING = 512  # connections without a complete request; below the usual limit of 1,024 descriptors
CHUNK = 64 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_BLOCKING = re.compile(rb"\r\n(?:expect|transfer-encoding):", re.IGNORECASE)
_READING = (b"GET ", b"HEAD ", b"OPTIONS ")
_CHUNKS = b"PUT /api/v1/images/"
_clock = SystemClock()  # cheroot compares with the time of day


class Reader:
    """The bytes of a connection: what has been gathered, then the socket up to a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._scanned = 0
        self._need: Optional[int] = None
        self._deadline: Optional[float] = None
        self.bytes_read = 0

    def has_data(self) -> bool:
        """Whether bytes are gathered that nobody has read."""
        return bool(self._buffer)

    def starts_with(self, what: tuple[bytes, ...]) -> bool:
        """Whether what is gathered begins with one of these."""
        return self._buffer.startswith(what)

    def gather(self) -> bool:
        """Take what has arrived, without waiting; whether a worker should look at it now.

        Raises BlockingIOError when nothing has arrived.
        """
        # The socket has a timeout, so its descriptor does not block; socket.recv would wait all the same.
        data = os.read(self._sock.fileno(), CHUNK)
        self._buffer += data
        return not data or self.complete()

    def complete(self) -> bool:
        """Whether the gathered bytes are a whole request, or can only become a refused one."""
        if self._need is None:
            start = max(0, self._scanned - 3)
            end = self._buffer.find(b"\r\n\r\n", start)
            if end < 0:
                self._scanned = len(self._buffer)
                return len(self._buffer) > MAX_HEAD or b"\n\n" in self._buffer[start:]
            self._need = self._length_of(end + 4)
        return len(self._buffer) >= self._need

    def _length_of(self, head_end: int) -> int:
        head = bytes(self._buffer[:head_end])
        found = _LENGTH.search(head)
        most = MAX_CHUNK if head.startswith(_CHUNKS) else MAX_BODY
        if found is None or _BLOCKING.search(head) or int(found.group(1)) > most:
            return head_end
        return head_end + int(found.group(1))

    def begin(self) -> None:
        """A worker starts to read one request."""
        self._deadline = time.monotonic() + REQUEST_S
        self._need, self._scanned = None, 0

    def read(self, size: Optional[int] = None) -> bytes:
        """Up to `size` bytes, fewer only at the end of the stream."""
        while size is None or len(self._buffer) < size:
            if not self._fill():
                break
        return self._take(len(self._buffer) if size is None else size)

    def readline(self, size: Optional[int] = None) -> bytes:
        """Bytes up to and with the next line feed, at most `size`."""
        while True:
            end = self._buffer.find(b"\n") + 1
            if end and (size is None or end <= size):
                return self._take(end)
            if size is not None and len(self._buffer) >= size:
                return self._take(size)
            if not self._fill():
                return self._take(len(self._buffer))

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.bytes_read += len(data)
        return data

    def _fill(self) -> bool:
        left = REQUEST_S if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(left)
        data = self._sock.recv(CHUNK)
        self._buffer += data
        return bool(data)

    def close(self) -> None:
        """Forget what was gathered."""
        self._buffer.clear()


class Writer:
    """The sending side of a connection, with a deadline for each whole write."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""
        self.bytes_written = 0

    def hold(self, data: bytes) -> None:
        """Keep the head of a response, to leave in one packet with what is written next."""
        self._held += data

    def flush(self) -> None:
        """Send a head that nothing followed."""
        if self._held:
            self.write(b"")

    def write(self, data: bytes) -> int:
        """Send all of `data`; raises socket.timeout when the client does not take it."""
        if self._held:
            data, self._held = self._held + data, b""
        try:
            sent = os.write(self._sock.fileno(), data)
        except BlockingIOError:
            sent = 0
        deadline = time.monotonic() + RESPONSE_S
        while sent < len(data):
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout("timed out")
            self._sock.settimeout(left)
            sent += self._sock.send(memoryview(data)[sent : sent + CHUNK])
        self.bytes_written += sent
        return sent


class Head:
    """Takes what cheroot writes as the head of a response, and holds it back."""

    def __init__(self, writer: Writer) -> None:
        self.write = writer.hold


def _file(sock: socket.socket, mode: str = "r", bufsize: int = 0) -> Any:
    return Reader(sock) if "r" in mode else Writer(sock)


def _refusal(code: int, title: str, detail: str) -> bytes:
    body = problem_bytes(code, title, detail)
    head = (
        f"HTTP/1.1 {code} {title}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nServer: cloudmasterd\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


class Request(CPWSGIHTTPRequest):
    """A request whose refusals are problem documents, and whose length is beyond doubt."""

    header_reader = HeadReader()

    def read_request_headers(self) -> bool:
        """Read the head; refuse one whose body could be counted in two ways."""
        if not super().read_request_headers():
            return False
        length = self.inheaders.get(b"Content-Length")
        if length is not None and (self.chunked_read or not length.isdigit()):
            self.close_connection = True
            self.simple_response("400 Bad Request", "Send one Content-Length in digits or chunks, not both")
            return False
        most = MAX_CHUNK if self.method == b"PUT" and self.path.startswith(_CHUNKS[4:]) else MAX_BODY
        if length is not None and int(length) > most:
            self.simple_response("413 Request Entity Too Large", f"The body is larger than {most >> 20} MiB")
            return False
        if self.chunked_read:
            # nobody reads chunks yet, and what is left unread must not be taken for the next request
            self.close_connection = True
        return True

    def respond(self) -> None:
        """Answer the request, the head of the response together with the body."""
        super().respond()
        self.conn.wfile.flush()
        self.conn.answered = self.close_connection

    def send_headers(self) -> None:
        """Write the head of the response, held back until the body comes."""
        wfile = self.conn.wfile
        self.conn.wfile = Head(wfile)
        try:
            super().send_headers()
        finally:
            self.conn.wfile = wfile

    def simple_response(self, status: str, msg: str = "") -> None:
        """Answer a request that never reaches the application, and close."""
        code, _, title = str(status).partition(" ")
        self.close_connection = True
        self.conn.refused = True
        self.conn.wfile.write(_refusal(int(code), title, msg or title))


class Connection(HTTPConnection):
    """A connection over our Reader and Writer."""

    refused = False
    answered = False  # the last request it takes, after which nothing more is said

    def __init__(self, server: Any, sock: socket.socket, makefile: Any = None) -> None:
        super().__init__(server, sock, _file)

    def communicate(self) -> bool:
        """Serve one gathered request; whether the connection stays open."""
        changing = not self.rfile.starts_with(_READING)
        self.rfile.begin()
        serve: Callable[[], bool] = super().communicate
        with self.server.asking() if changing else nullcontext():
            return serve()

    def expire(self) -> None:
        """Tell a client that its request took too long, without waiting for it."""
        text = f"The request was not complete within {REQUEST_S:.0f} s: send it in one go"
        try:
            os.write(self.socket.fileno(), _refusal(408, "Request Timeout", text))
        except OSError:
            pass  # it is gone, or does not read: nothing is lost

    def close(self) -> None:
        """Close the socket; a refused client gets a moment to read the refusal."""
        if self.refused:
            self._drain()
        elif not self.answered and self.rfile.has_data() and not self.rfile.complete():
            self.expire()
        super().close()

    def _drain(self) -> None:
        # closing with unread bytes sends a reset, which would overtake the response
        deadline = time.monotonic() + LINGER_S
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline:
                self.socket.settimeout(LINGER_S / 4)
                if not self.socket.recv(CHUNK):
                    return
        except OSError:
            return


class Server(CPWSGIServer):
    """cheroot's server, gathering requests before workers see them."""

    ConnectionClass = Connection
    keep_alive_conn_limit = MAX_WAITING

    def __init__(
        self,
        adapter: Any,
        stopping: Callable[[], None] = lambda: None,
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`stopping` is called before it stops; `asking` is around each request that may change something."""
        super().__init__(adapter)
        self._stopping = stopping
        self.asking = asking
        self.server_name = "cloudmasterd"
        self.timeout = REQUEST_S
        # CherryPy's server puts its own request class there
        self.ConnectionClass.RequestHandlerClass = Request

    def stop(self) -> None:
        """Stop serving; requests that wait for something are told first."""
        self._stopping()
        super().stop()

    def process_conn(self, conn: Connection) -> None:
        """Gather what has arrived on a connection; give it to a worker once its request is complete."""
        fresh = not conn.rfile.has_data()
        try:
            ready = conn.rfile.complete() or conn.rfile.gather()
        except BlockingIOError:
            ready = False
        except OSError:
            conn.close()
            return
        if ready and not conn.rfile.has_data():
            conn.close()
        elif ready:
            super().process_conn(conn)
        elif len(self._connections._selector) > MAX_WAITING:
            conn.close()
        else:
            # the first byte starts the clock of the whole request; later ones do not stop it
            if conn.last_used is None or (fresh and conn.rfile.has_data()):
                conn.last_used = _clock.now().timestamp()
            self._connections._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)
