"""Answer wait_for_cert over plain HTTP XML-RPC, and administrators' programs on the local socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Optional

from certmaster import rpc
from certmaster.admin import Admin
from certmaster.admin_socket import AdminSocket, peer_of
from certmaster.authority import Authority
from certmaster.door import DEFAULT_LIMITS, Door, Limits, plain_response, response
from certmaster.errors import CertmasterError, ListenError, TokenRefused

log = logging.getLogger(__name__)

_REMEMBERED_COMPLAINTS = 1000


class CertmasterServer:
    """Serves one Authority to the network, and with an `admin_socket` to programs of this machine.

    The two have connections and workers of their own: the network cannot keep an administrator waiting.
    """

    def __init__(
        self,
        authority: Authority,
        addr: str,
        port: int,
        limits: Limits = DEFAULT_LIMITS,
        admin_socket: Optional[AdminSocket] = None,
    ) -> None:
        self._authority = authority
        self._addr = addr or "0.0.0.0"  # noqa: S104
        self._port = port
        self._limits = limits
        self._admin_socket = admin_socket
        self._complaints = _Complaints()

    async def run(self, stop: asyncio.Event, ready: Callable[[str, int], None]) -> None:
        """Serve until `stop` is set; `ready` is told the address. Raises ListenError."""
        door = Door(self._answer, _address_of, self._complaints.say, self._limits)
        try:
            server = await asyncio.start_server(
                door.connected, self._addr, self._port, limit=self._limits.head_bytes, backlog=128
            )
        except OSError as exc:
            raise ListenError(_why_not_listen(self._addr, self._port, exc)) from exc
        async with AsyncExitStack() as closing:
            closing.callback(door.close)
            closing.callback(server.close)
            if self._admin_socket is not None:
                await self._serve_admin(self._admin_socket, closing)
            ready(*server.sockets[0].getsockname()[:2])
            await stop.wait()

    async def _serve_admin(self, where: AdminSocket, closing: AsyncExitStack) -> None:
        # the network's port is ours by now, so that a socket left there is nobody's any more
        listening = where.listen()
        closing.callback(where.remove)
        door = Door(Admin(self._authority).answer, peer_of, self._complaints.say, self._limits)
        closing.callback(door.close)
        server = await asyncio.start_unix_server(
            door.connected, sock=listening, limit=self._limits.head_bytes
        )
        closing.callback(server.close)

    def _answer(self, body: bytes, peer: str) -> bytes:
        """In a worker thread: from the body of a request to the bytes of the response."""
        try:
            method, args = rpc.decode_call(body)
        except rpc.NoCall as exc:
            self._complaints.say(peer, str(exc))
            return plain_response(400, str(exc))
        if method != "wait_for_cert":
            return response(200, rpc.encode_fault(f'method "{method[:100]}" is not supported'))
        if len(args) not in (1, 2):
            return response(200, rpc.encode_fault("wait_for_cert takes a certificate request"))
        return response(200, self._wait_for_cert(args[0], peer))

    def _wait_for_cert(self, csr: object, peer: str) -> bytes:
        nothing = rpc.encode_result([False, "", ""])
        if not isinstance(csr, str):
            self._complaints.say(peer, "asks with something that is no text")
            return nothing
        try:
            cert = self._authority.enrol(csr.encode())
            if cert is None:
                return nothing
            return rpc.encode_result([True, cert.decode(), self._authority.certificate().decode()])
        except TokenRefused as exc:
            # A fault ends a historic minion; but none of those sends a token.
            self._complaints.say(peer, str(exc))
            return rpc.encode_fault(str(exc), rpc.TOKEN_REFUSED)
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


def _address_of(writer: asyncio.StreamWriter) -> str:
    return str((writer.get_extra_info("peername") or ["?"])[0])


def _why_not_listen(addr: str, port: int, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    text = f"cannot listen on {addr} port {port}: {reason}"
    if error.errno == errno.EADDRINUSE:
        return f"{text}; is another certmaster running? Stop it or set listen_port in certmaster.conf"
    return f"{text}; set listen_addr and listen_port in certmaster.conf"
