"""Take XML-RPC calls off sockets and have worker threads answer them, whatever else comes in."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Peer = TypeVar("Peer")  # who is at the other end; shown as text

log = logging.getLogger(__name__)

_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 411: "Length Required", 413: "Payload Too Large"}
_PHRASES.update({431: "Request Header Fields Too Large", 501: "Not Implemented"})


@dataclass(frozen=True)
class Limits:
    """How much of this server one client may have."""

    head_bytes: int = 8 * 1024
    body_bytes: int = 64 * 1024
    request_s: float = 10.0  # for the whole of head and body
    answer_s: float = 10.0  # for taking the answer off our hands
    linger_s: float = 2.0  # for noticing an answer that came before the request was all sent
    connections: int = 200
    workers: int = 8


DEFAULT_LIMITS = Limits()


class _Refused(Exception):
    """The request is answered with an HTTP error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Door(Generic[Peer]):
    """The connections of one listening socket.

    An event loop holds them, so a client that dribbles costs a buffer and no thread; worker threads do the
    answering. When there are too many the oldest one that has not yet sent its whole request goes. `answer`
    makes the bytes of a response out of a body and a peer, `complain` is told what is wrong with a request.
    """

    def __init__(
        self,
        answer: Callable[[bytes, Peer], bytes],
        peer_of: Callable[[asyncio.StreamWriter], Peer],
        complain: Callable[[str, str], object],
        limits: Limits,
    ) -> None:
        self._answer = answer
        self._peer_of = peer_of
        self._complain = complain
        self._limits = limits
        self._numbers = itertools.count()
        self._unfinished: OrderedDict[int, asyncio.Task[None]] = OrderedDict()
        self._open = 0
        self._workers = ThreadPoolExecutor(limits.workers, "certmaster")

    def close(self) -> None:
        """Drop what is unfinished and wait for what is being answered."""
        for task in list(self._unfinished.values()):
            task.cancel()
        self._workers.shutdown(wait=True, cancel_futures=True)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See one connection through."""
        if self._open >= self._limits.connections and not self._drop_oldest():
            writer.transport.abort()
            return
        number, task = next(self._numbers), asyncio.current_task()
        if task is not None:
            self._unfinished[number] = task
        self._open += 1
        try:
            await self._exchange(reader, writer, number)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            log.debug("a connection ended early", exc_info=True)
        except asyncio.CancelledError:
            log.debug("a connection that had not sent its request was dropped")
        finally:
            self._open -= 1
            self._unfinished.pop(number, None)
            writer.close()

    def _drop_oldest(self) -> bool:
        if self._unfinished:
            _, oldest = self._unfinished.popitem(last=False)
            oldest.cancel()
            return True
        return False

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        peer = self._peer_of(writer)
        try:
            body = await asyncio.wait_for(self._read_request(reader), self._limits.request_s)
        except _Refused as exc:
            self._complain(str(peer), f"{exc.status} {exc}")
            writer.write(plain_response(exc.status, str(exc)))
            writer.write_eof()
            await asyncio.wait_for(_discard(reader), self._limits.linger_s)
            return
        self._unfinished.pop(number, None)
        loop = asyncio.get_running_loop()
        writer.write(await loop.run_in_executor(self._workers, self._answer, body, peer))
        await asyncio.wait_for(writer.drain(), self._limits.answer_s)

    async def _read_request(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as exc:
            raise _Refused(431, f"the head is longer than {self._limits.head_bytes} bytes") from exc
        return await reader.readexactly(_body_length(head, self._limits.body_bytes))


async def _discard(reader: asyncio.StreamReader) -> None:
    """Read on to the end: closing on unread bytes would reset the connection and take the answer with it."""
    while await reader.read(64 * 1024):
        pass


def _body_length(head: bytes, most: int) -> int:
    """What the head says of the body; raises _Refused where it is no request for us."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _Refused(400, "this is not HTTP/1.1: certmaster speaks XML-RPC over plain HTTP")
    if words[0] != "POST":
        raise _Refused(501, "certmaster answers POST only")
    if words[1] not in ("/", "/RPC2"):
        raise _Refused(404, "there is nothing here but /RPC2")
    fields = [line.partition(":") for line in lines]
    lengths = [value.strip() for name, _, value in fields if name.lower() == "content-length"]
    if not lengths or any(name.lower() == "transfer-encoding" for name, _, _ in fields):
        raise _Refused(411, "the request must have a Content-Length")
    if len(set(lengths)) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise _Refused(400, "the Content-Length is no number")
    if len(lengths[0]) > 9 or int(lengths[0]) > most:
        raise _Refused(413, f"the body is longer than {most} bytes")
    return int(lengths[0])


def plain_response(status: int, text: str) -> bytes:
    """The bytes of a response that says in words what is wrong."""
    return response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")


def response(status: int, body: bytes, content_type: str = "text/xml") -> bytes:
    """The bytes of a response."""
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nServer: certmaster\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
