"""Read HTTP/1.1 requests from a connection within hard limits of size and time, and word the replies."""

from __future__ import annotations

import gzip
import re
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus

PATHS = ("/RPC2", "/")
GZIP_ABOVE = 1400
# Historic peers cannot take more than this in one TLS record unless the connection ends after it.
CLOSE_ABOVE = 8000

_CHUNK = 65536
_REQUEST_LINE = re.compile(rb"([!-~]{1,32}) ([!-~]{1,2048}) HTTP/1\.([01])")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure of ours
    """A request that is answered with a status other than 200, after which the connection ends."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Hangup(Exception):  # noqa: N818
    """The peer ended the connection, or stayed idle for too long, between two requests."""


@dataclass(frozen=True)
class Request:
    """One call as it came in."""

    body: bytes
    keep: bool  # whether the peer wants to use the connection again
    gzip: bool  # whether it accepts a compressed reply
    request_id: str = ""  # what the caller names this call by in its own log


@dataclass(frozen=True)
class _Head:
    method: str
    path: str
    minor: int
    fields: dict[str, str]


class Inbound:
    """The reading side of one connection. Times out as a whole, not only at each read."""

    def __init__(self, sock: socket.socket, head_bytes: int, body_bytes: int) -> None:
        self._sock = sock
        self._head_bytes = head_bytes
        self._body_bytes = body_bytes
        self._buffer = bytearray()

    def wait(self, idle_s: float) -> None:
        """Return when a request has begun; raises Hangup."""
        if self._buffer:
            return
        self._sock.settimeout(idle_s)
        try:
            data = self._sock.recv(_CHUNK)
        except OSError as exc:
            raise Hangup from exc
        if not data:
            raise Hangup
        self._buffer += data

    def read(self, limit_s: float) -> Request:
        """The request that has begun; raises Refused, Hangup or OSError."""
        deadline = time.monotonic() + limit_s
        head = self._read_head(deadline)
        length = self._length_of(head)
        if head.fields.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < length:
            self._more(deadline)
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        wish = head.fields.get("connection", "").lower()
        keep = "close" not in wish if head.minor == 1 else "keep-alive" in wish
        fields = head.fields
        return Request(body, keep, _accepts_gzip(fields.get("accept-encoding", "")), _request_id(fields))

    def drain(self, limit_s: float) -> None:
        """Throw away what the peer still sends, so that it gets to read the reply; raises OSError."""
        deadline = time.monotonic() + limit_s
        left = self._body_bytes * 2
        while left > 0 and time.monotonic() < deadline:
            self._sock.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._sock.recv(_CHUNK)
            if not data:
                return
            left -= len(data)

    def _read_head(self, deadline: float) -> _Head:
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end > self._head_bytes or (end < 0 and len(self._buffer) > self._head_bytes):
                raise Refused(431, f"the head of a request has at most {self._head_bytes} bytes")
            if end >= 0:
                raw = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return _parse_head(raw)
            if not _may_begin_a_request(self._buffer):
                raise Refused(400, "that is no HTTP/1.1 request")
            self._more(deadline)

    def _length_of(self, head: _Head) -> int:
        if head.method != "POST":
            raise Refused(501, f"only POST is understood here, not {head.method}")
        if head.path.partition("?")[0] not in PATHS:
            raise Refused(404, f"nothing at {head.path[:100]}; XML-RPC is at /RPC2")
        if head.fields.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "the body of a request cannot be compressed")
        length = head.fields.get("content-length")
        if length is None or "transfer-encoding" in head.fields:
            raise Refused(411, "a request needs a Content-Length, and no Transfer-Encoding")
        if not (length.isascii() and length.isdigit()):
            raise Refused(400, f"Content-Length: {length[:40]!r} is no number")
        if len(length) > 15 or int(length) > self._body_bytes:
            raise Refused(413, f"the body of a request has at most {self._body_bytes} bytes")
        return int(length)

    def _more(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Refused(408, "the request did not end in time")
        self._sock.settimeout(left)
        try:
            data = self._sock.recv(_CHUNK)
        except socket.timeout as exc:
            raise Refused(408, "the request did not end in time") from exc
        if not data:
            raise Hangup
        self._buffer += data


def _may_begin_a_request(data: bytearray) -> bool:
    # Garbage is told at once, not when its time is up.
    return re.match(rb"[A-Z]{1,20}(?: |$)", bytes(data[:21])) is not None


def _parse_head(raw: bytes) -> _Head:
    first, *lines = raw.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise Refused(400, "that is no HTTP/1.1 request")
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Refused(400, f"{line[:60]!r} is no header")
        name, value = field.group(1).decode("ascii").lower(), field.group(2).decode("latin-1")
        if name == "content-length" and fields.get(name, value) != value:
            raise Refused(400, "two different Content-Lengths")
        fields[name] = f"{fields[name]}, {value}" if name in fields and name != "content-length" else value
    return _Head(match.group(1).decode("ascii"), match.group(2).decode("ascii"), int(match.group(3)), fields)


def _request_id(fields: dict[str, str]) -> str:
    """X-Request-Id where it is one; no reason to refuse a call otherwise, as it is for logs alone."""
    found = fields.get("x-request-id", "")
    return found if _REQUEST_ID.fullmatch(found) else ""


def _accepts_gzip(field: str) -> bool:
    for part in field.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters) is None
    return False


def reply(request: Request, body: bytes, idle_s: float) -> tuple[bytes, bytes, bool]:
    """(head, body, whether the connection is kept) of a 200 reply."""
    coding = ""
    keep = request.keep
    if request.gzip and len(body) > GZIP_ABOVE:
        body = gzip.compress(body, compresslevel=5, mtime=0)
        coding = "Content-Encoding: gzip\r\n"
    elif len(body) > CLOSE_ABOVE:
        # A historic peer reads to the end of the connection, but must not be told so beforehand.
        keep = False
    if request.keep:
        ending = f"Keep-Alive: timeout={idle_s:.0f}\r\n" if keep else ""
    else:
        ending = "Connection: close\r\n"
    head = f"HTTP/1.1 200 OK\r\nServer: funcd\r\nContent-Type: text/xml\r\n{coding}{ending}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1"), body, keep


def refusal(refused: Refused) -> tuple[bytes, bytes]:
    """(head, body) of a reply with another status; the connection ends after it."""
    status = HTTPStatus(refused.status)
    body = f"{refused}\n".encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: funcd\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1"), body
