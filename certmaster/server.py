"""Answer wait_for_cert over plain HTTP XML-RPC, whatever else comes in on the port."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from certmaster import rpc
from certmaster.authority import Authority
from certmaster.errors import CertmasterError, ListenError

log = logging.getLogger(__name__)

_REMEMBERED_COMPLAINTS = 1000
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


class CertmasterServer:
    """Serves one Authority.

    An event loop holds the connections, so a client that dribbles costs a buffer and no thread; worker
    threads read, sign and write files. When there are too many connections the oldest one that has not yet
    sent its whole request goes.
    """

    def __init__(self, authority: Authority, addr: str, port: int, limits: Limits = Limits()) -> None:
        self._authority = authority
        self._addr = addr or "0.0.0.0"  # noqa: S104
        self._port = port
        self._limits = limits
        self._complaints = _Complaints()
        self._numbers = itertools.count()
        self._unfinished: OrderedDict[int, asyncio.Task[None]] = OrderedDict()
        self._open = 0
        self._workers = ThreadPoolExecutor(limits.workers, "certmaster")

    async def run(self, stop: asyncio.Event, ready: Callable[[str, int], None]) -> None:
        """Serve until `stop` is set; `ready` is told the address. Raises ListenError."""
        try:
            server = await asyncio.start_server(
                self._connected, self._addr, self._port, limit=self._limits.head_bytes, backlog=128
            )
        except OSError as exc:
            raise ListenError(_why_not_listen(self._addr, self._port, exc)) from exc
        try:
            ready(*server.sockets[0].getsockname()[:2])
            await stop.wait()
        finally:
            server.close()
            for task in list(self._unfinished.values()):
                task.cancel()
            self._workers.shutdown(wait=True, cancel_futures=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        peer = str((writer.get_extra_info("peername") or ["?"])[0])
        try:
            body = await asyncio.wait_for(self._read_request(reader), self._limits.request_s)
        except _Refused as exc:
            self._complaints.say(peer, f"{exc.status} {exc}")
            writer.write(_response(exc.status, f"{exc}\n".encode(), "text/plain; charset=utf-8"))
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

    def _answer(self, body: bytes, peer: str) -> bytes:
        """In a worker thread: from the body of a request to the bytes of the response."""
        try:
            method, args = rpc.decode_call(body)
        except rpc.NoCall as exc:
            self._complaints.say(peer, str(exc))
            return _response(400, f"{exc}\n".encode(), "text/plain; charset=utf-8")
        if method != "wait_for_cert":
            return _response(200, rpc.encode_fault(f'method "{method[:100]}" is not supported'))
        if len(args) not in (1, 2):
            return _response(200, rpc.encode_fault("wait_for_cert takes a certificate request"))
        return _response(200, rpc.encode_result(self._wait_for_cert(args[0], peer)))

    def _wait_for_cert(self, csr: object, peer: str) -> list[object]:
        nothing: list[object] = [False, "", ""]
        if not isinstance(csr, str):
            self._complaints.say(peer, "asks with something that is no text")
            return nothing
        try:
            cert = self._authority.enrol(csr.encode())
            return nothing if cert is None else [True, cert.decode(), self._authority.certificate().decode()]
        except CertmasterError as exc:
            self._complaints.say(peer, str(exc))
            return nothing


class _Complaints:
    """Logs what is wrong with requests, each complaint once a peer: minions ask again every ten seconds."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str], None] = OrderedDict()

    def say(self, peer: str, text: str) -> None:
        """Log the complaint; a repeated one at debug level only."""
        text = "".join(c if c.isprintable() else "?" for c in text)
        level = logging.DEBUG if (peer, text) in self._said else logging.WARNING
        self._said[peer, text] = None
        if len(self._said) > _REMEMBERED_COMPLAINTS:
            self._said.popitem(last=False)
        log.log(level, "request from %s refused: %s", peer, text)


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


def _response(status: int, body: bytes, content_type: str = "text/xml") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nServer: certmaster\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _why_not_listen(addr: str, port: int, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    text = f"cannot listen on {addr} port {port}: {reason}"
    if error.errno == errno.EADDRINUSE:
        return f"{text}; is another certmaster running? Stop it or set listen_port in certmaster.conf"
    return f"{text}; set listen_addr and listen_port in certmaster.conf"
