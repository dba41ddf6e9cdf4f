"""Answer minions over plain HTTP XML-RPC, and administrators' programs on the local socket."""

from __future__ import annotations

import asyncio
import base64
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
from certmaster.audit import acting
from certmaster.authority import Authority
from certmaster.door import DEFAULT_LIMITS, Door, Limits, plain_response, response
from certmaster.errors import CertmasterError, ListenError, TokenRefused, TriggerFailed

log = logging.getLogger(__name__)

_REMEMBERED_COMPLAINTS = 1000

_TAKES = {
    "wait_for_cert": "a certificate request",
    "renew": "a certificate request and a signature in base64",
    "get_crl": "no arguments",
}


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
        with acting(peer):
            if method == "get_crl" and not args:
                return response(200, self._get_crl())
            if method == "renew" and len(args) == 2:
                return response(200, self._renew(args[0], args[1], peer))
            if method == "wait_for_cert" and len(args) in (1, 2):
                return response(200, self._wait_for_cert(args[0], args[1:] != (False,), peer))
        if method in _TAKES:
            return response(200, rpc.encode_fault(f"{method} takes {_TAKES[method]}"))
        return response(200, rpc.encode_fault(f'method "{method[:100]}" is not supported'))

    def _get_crl(self) -> bytes:
        try:
            return rpc.encode_result(self._authority.crl().decode())
        except CertmasterError as exc:
            log.error("no list of revoked certificates can be given: %s", exc)
            return rpc.encode_fault("there is no list of revoked certificates: see the certmaster's log")

    def _renew(self, csr: object, signature: object, peer: str) -> bytes:
        if not isinstance(csr, str) or not isinstance(signature, str):
            return rpc.encode_fault(f"renew takes {_TAKES['renew']}")
        try:
            cert = self._authority.renew(csr.encode(), base64.b64decode(signature, validate=True))
            return rpc.encode_result([True, cert.decode(), self._authority.certificate().decode()])
        except ValueError:
            return rpc.encode_fault(f"renew takes {_TAKES['renew']}")
        except CertmasterError as exc:
            self._refuse("renew", peer, exc)
            return rpc.encode_fault(str(exc))

    def _refuse(self, act: str, peer: str, exc: CertmasterError) -> None:
        if self._complaints.say(peer, str(exc)):
            self._authority.audit.add(act, "refused", str(exc))

    def _wait_for_cert(self, csr: object, with_triggers: bool, peer: str) -> bytes:
        nothing = rpc.encode_result([False, "", ""])
        if not isinstance(csr, str):
            self._complaints.say(peer, "asks with something that is no text")
            return nothing
        try:
            cert = self._authority.enrol(csr.encode(), with_triggers)
            if cert is None:
                return nothing
            return rpc.encode_result([True, cert.decode(), self._authority.certificate().decode()])
        except TokenRefused as exc:
            # A fault ends a historic minion; but none of those sends a token.
            self._refuse("request", peer, exc)
            return rpc.encode_fault(str(exc), rpc.TOKEN_REFUSED)
        except TriggerFailed as exc:
            self._refuse("request", peer, exc)
            return rpc.encode_fault(str(exc))
        except CertmasterError as exc:
            self._refuse("request", peer, exc)
            return nothing


class _Complaints:
    """Logs what is wrong with requests, each complaint once a peer: minions ask again every ten seconds."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str], None] = OrderedDict()

    def say(self, peer: str, text: str) -> bool:
        """Log the complaint, a repeated one at debug level only; whether it is new."""
        text = "".join(c if c.isprintable() else "?" for c in text)
        is_new = (peer, text) not in self._said
        level = logging.WARNING if is_new else logging.DEBUG
        self._said[peer, text] = None
        if len(self._said) > _REMEMBERED_COMPLAINTS:
            self._said.popitem(last=False)
        log.log(level, "request from %s refused: %s", peer, text)
        return is_new


def _address_of(writer: asyncio.StreamWriter) -> str:
    return str((writer.get_extra_info("peername") or ["?"])[0])


def _why_not_listen(addr: str, port: int, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    text = f"cannot listen on {addr} port {port}: {reason}"
    if error.errno == errno.EADDRINUSE:
        return f"{text}; is another certmaster running? Stop it or set listen_port in certmaster.conf"
    return f"{text}; set listen_addr and listen_port in certmaster.conf"
