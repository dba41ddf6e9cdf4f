"""Write the head of a request and read a reply as it comes in, within bounds; pure, no sockets."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Optional

from func.errors import BadReply

MAX_HEAD = 64 * 1024

OWN_IDLE_S = 15.0
"""How long a connection may idle when the minion does not say: historic ones close it after 20 s."""

_IDLE_MARGIN_S = 2.0


@dataclass(frozen=True)
class Limits:
    """How much of a reply is taken in: bytes of its body as sent, and once decompressed."""

    max_body: int = 64 << 20


def request_head(host: str, port: int, length: int, request_id: str = "") -> bytes:
    """The head of a call; sent apart from the body, because historic minions choke on both in one record."""
    named = f"X-Request-Id: {request_id}\r\n" if request_id else ""
    return (
        f"POST /RPC2 HTTP/1.1\r\nHost: {host}:{port}\r\nAccept-Encoding: gzip\r\n"
        f"Content-Type: text/xml\r\nContent-Length: {length}\r\n{named}\r\n"
    ).encode("latin-1", "replace")


class ReplyReader:
    """Takes a reply's bytes as they come; raises BadReply as soon as it can be none."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = bytearray()
        self._fields: Optional[dict[bytes, bytes]] = None
        self._left: Optional[int] = (
            None  # bytes of the body, or of the chunk, still to come; None: to the end
        )
        self._chunks: Optional[bytearray] = None
        self._closes = False
        self.status = 0
        self.started = False

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; answers whether the reply is whole."""
        self.started = True
        self._data += data
        if self._fields is None and not self._read_head():
            return False
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        if self._left is None:
            self._check_size(len(self._data))
            return False
        if len(self._data) > self._left:
            raise BadReply(f"it sent more than the {self._left} bytes it announced")
        return len(self._data) == self._left

    def end(self) -> None:
        """The minion closed the connection: right only where the reply is as long as the connection."""
        if self._fields is None or self._left is not None or self._chunks is not None:
            where = "in the middle of its answer" if self.started else "without an answer"
            raise BadReply(f"it closed the connection {where}")

    @property
    def keep_s(self) -> float:
        """For how many seconds the connection may be kept for another call; 0: not at all."""
        fields = self._fields
        if fields is None or self._closes or self.status != 200:
            return 0.0
        for part in fields.get(b"keep-alive", b"").lower().split(b","):
            name, _, seconds = part.strip().partition(b"=")
            if name == b"timeout" and seconds.isdigit():
                return max(float(seconds[:9]) - _IDLE_MARGIN_S, 0.0)
        return OWN_IDLE_S

    def body(self) -> bytes:
        """The body as the minion meant it; raises BadReply for a status other than 200 or bad compression."""
        data = bytes(self._data if self._chunks is None else self._chunks)
        fields = self._fields or {}
        if self.status != 200:
            reason = fields[b":reason"].decode("latin-1")
            raise BadReply(f"it answered HTTP {self.status} {reason}".rstrip())
        coding = fields.get(b"content-encoding", b"identity").lower()
        if coding in (b"identity", b""):
            return data
        if coding not in (b"gzip", b"x-gzip"):
            raise BadReply(f"its answer is coded as {coding[:40].decode('latin-1')}, which was not asked for")
        return self._gunzip(data)

    def _gunzip(self, data: bytes) -> bytes:
        inflater = zlib.decompressobj(31)
        try:
            plain = inflater.decompress(data, self._limits.max_body + 1)
        except zlib.error as exc:
            raise BadReply(f"its answer is no gzip, as it claims: {exc}") from exc
        self._check_size(len(plain))
        if not inflater.eof:
            raise BadReply("its compressed answer ends early")
        return plain

    def _read_head(self) -> bool:
        data = self._data
        while data:
            if not data.startswith(b"HTTP/1.") and not b"HTTP/1.".startswith(data):
                raise BadReply(f"its answer is no HTTP/1 reply: it begins with {bytes(data[:20])!r}")
            end = data.find(b"\r\n\r\n")
            if end > MAX_HEAD or (end < 0 and len(data) > MAX_HEAD):
                raise BadReply(f"the head of its answer is longer than {MAX_HEAD} bytes")
            if end < 0:
                return False
            lines = bytes(data[:end]).split(b"\r\n")
            del data[: end + 4]
            version, _, status = lines[0].partition(b" ")
            code, _, reason = status.partition(b" ")
            if len(code) != 3 or not code.isdigit():
                raise BadReply(f"its answer is no HTTP/1 reply: it begins with {lines[0][:40]!r}")
            self.status = int(code)
            if self.status >= 200:  # below, the reply proper is still to come
                self._fields = fields = _fields(lines[1:], reason)
                self._frame(fields, version)
                return True
        return False

    def _frame(self, fields: dict[bytes, bytes], version: bytes) -> None:
        connection = fields.get(b"connection", b"").lower()
        self._closes = b"close" in connection or (version != b"HTTP/1.1" and b"keep-alive" not in connection)
        length = fields.get(b"content-length")
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            self._chunks = bytearray()
        elif length is None:
            self._closes = True
        elif not length.isdigit() or len(length) > 18:
            raise BadReply(f"its answer's Content-Length {length[:40]!r} is no number")
        else:
            self._left = int(length)
            self._check_size(self._left)

    def _read_chunks(self, chunks: bytearray) -> bool:
        data = self._data
        while True:
            if self._left is None:
                end = data.find(b"\r\n")
                if end < 0:
                    self._check_line(len(data))
                    return False
                size = bytes(data[:end]).partition(b";")[0].strip()
                try:
                    self._left = int(size[:9] if size.isalnum() else b"", 16)
                except ValueError as exc:
                    raise BadReply(
                        f"its answer has a chunk of {size[:20]!r} bytes, which is no number"
                    ) from exc
                self._check_size(len(chunks) + self._left)
                del data[: end + 2]
            if self._left == 0:
                self._check_line(len(data))
                return data == b"\r\n" or data.endswith(b"\r\n\r\n")
            if len(data) < self._left + 2:
                return False
            chunks += data[: self._left]
            del data[: self._left + 2]
            self._left = None

    def _check_line(self, length: int) -> None:
        if length > MAX_HEAD:
            raise BadReply(f"a line in its chunked answer is longer than {MAX_HEAD} bytes")

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_body:
            raise BadReply(
                f"its answer is larger than {self._limits.max_body >> 20} MiB, more than is taken in"
            )


def _fields(lines: list[bytes], reason: bytes) -> dict[bytes, bytes]:
    fields = {b":reason": reason[:200]}
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name == b"content-length" and fields.get(name, value) != value:
            raise BadReply("its answer announces two different lengths")
        fields[name] = value
    return fields
