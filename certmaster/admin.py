"""What programs of this machine may ask of certmaster over its local socket, and which of them may."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from certmaster import ca, rpc
from certmaster.admin_socket import LocalPeer
from certmaster.audit import acting, actor
from certmaster.authority import Authority
from certmaster.door import plain_response, response
from certmaster.errors import AlreadyMade, BadRequest, CertmasterError, KeyConflict, UnknownName
from certmaster.names import check_host_name

log = logging.getLogger(__name__)

_CODES = (
    (UnknownName, rpc.UNKNOWN),
    (BadRequest, rpc.WRONG),
    (AlreadyMade, rpc.DONE_BEFORE),
    (KeyConflict, rpc.DONE_BEFORE),
)
_LONGEST_BY = 100


@dataclass(frozen=True)
class _Method:
    """What does it, the types of its arguments, whether it changes anything, and who may have it done.

    One that is `owners` is for root and the user whose authority this is; the others are for the admin group
    too, and they are what the cloud master needs: it lets cloud instances in and puts them out by name, and
    has its own certificate made. It revokes no key for ever, and no certificate but of a cloud instance.
    """

    act: Callable[..., object]
    types: tuple[type, ...] = ()
    changes: bool = False
    owners: bool = False


class Admin:
    """Answers calls on one Authority.

    Who may connect is the matter of the socket's owner, group and mode; what each may ask is said here.
    The last argument of some methods is for whom a program asks, such as a person who is logged in there.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._methods = {
            "new_token": _Method(self._new_token, (str, int, bool, str), changes=True),
            "list_tokens": _Method(self._list_tokens),
            "delete_token": _Method(self._delete_token, (str,), changes=True),
            "authority": _Method(self._describe),
            "list_waiting": _Method(self._list_waiting),
            "sign": _Method(self._sign, (str, str, str), changes=True),
            "reject": _Method(self._reject, (str, str, str), changes=True),
            "clean": _Method(self._clean, (str, str), changes=True),
            "master_certificate": _Method(self._master_certificate, (str,), changes=True),
            "revoke": _Method(self._revoke, (str,), changes=True, owners=True),
        }

    def answer(self, body: bytes, peer: LocalPeer) -> bytes:
        """From the body of a request to the bytes of the response; each change is logged with who made it."""
        try:
            method, args = rpc.decode_call(body)
        except rpc.NoCall as exc:
            return plain_response(400, str(exc))
        if method not in self._methods:
            known = ", ".join(self._methods)
            return response(
                200, rpc.encode_fault(f"no method {method[:100]!r}: there are {known}", rpc.WRONG)
            )
        found = self._methods[method]
        if [type(arg) for arg in args] != list(found.types):
            wanted = ", ".join(kind.__name__ for kind in found.types) or "no arguments"
            return response(200, rpc.encode_fault(f"{method} takes {wanted}", rpc.WRONG))
        shown = f"{method}{_shown(args)}"
        if found.owners and not peer.is_owner:
            log.warning("%s: %s refused: it is not root's or certmaster's", peer, shown)
            self._authority.audit.add(method, "refused", f"{peer} is neither root nor certmaster")
            return response(
                200, rpc.encode_fault(f"{method} is for root and certmaster's own user", rpc.WRONG)
            )
        try:
            with acting(str(peer)):
                result = found.act(*args)
        except CertmasterError as exc:
            log.warning("%s: %s refused: %s", peer, shown, exc)
            code = next((code for kind, code in _CODES if isinstance(exc, kind)), rpc.FAILED)
            return response(200, rpc.encode_fault(str(exc), code))
        log.log(logging.INFO if found.changes else logging.DEBUG, "%s: %s", peer, shown)
        return response(200, rpc.encode_result(result))

    def _new_token(self, name: str, expires_s: int, replace: bool, mark: str) -> dict[str, Any]:
        pin = ca.pin(self._authority.prepare())
        token, secret = self._authority.tokens.add(name, expires_s, replace, mark)
        self._authority.audit.add("new-token", token.name, f"token {token.id}, until {token.expires_at}")
        return {
            "id": token.id,
            "token": secret,
            "name": token.name,
            "expires_at": token.expires_at,
            "replace": token.replace,
            "ca_fingerprint": pin,
        }

    def _list_tokens(self) -> list[dict[str, Any]]:
        return [
            {
                "id": token.id,
                "name": token.name,
                "state": self._authority.tokens.state(token),
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "replace": token.replace,
                "used_by": token.claimed_name,
            }
            for token in self._authority.tokens.list()
        ]

    def _delete_token(self, token_id: str) -> bool:
        self._authority.tokens.delete(token_id)
        self._authority.audit.add("delete-token", token_id, "deleted")
        return True

    def _describe(self) -> dict[str, Any]:
        pem = self._authority.certificate()
        return {
            "fingerprint": ca.pin(pem),
            "name": ca.common_name(pem),
            "expires_at": ca.expires_at(pem).isoformat(),
        }

    def _list_waiting(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "key_fingerprint": one.key_fingerprint,
                "since": one.since.isoformat(),
                "address": one.address,
            }
            for one in self._authority.describe_waiting()
        ]

    def _sign(self, name: str, key_fingerprint: str, by: str) -> bool:
        with _acting_for(by):
            self._authority.sign(check_host_name(name), key_fingerprint)
        return True

    def _reject(self, name: str, key_fingerprint: str, by: str) -> bool:
        with _acting_for(by):
            self._authority.reject(check_host_name(name), key_fingerprint)
        return True

    def _clean(self, name: str, by: str) -> list[str]:
        with _acting_for(by):
            return [str(path) for path in self._authority.clean(check_host_name(name))]

    def _revoke(self, pattern: str) -> list[str]:
        return [str(path) for path in self._authority.revoke(pattern)]

    def _master_certificate(self, csr_pem: str) -> dict[str, str]:
        cert = self._authority.masters.certify(csr_pem.encode())
        return {"certificate": cert.decode(), "authority": self._authority.certificate().decode()}


def _acting_for(by: str) -> AbstractContextManager[None]:
    """Name the person a program asks for beside the program."""
    return acting(f"{actor()} for {by[:_LONGEST_BY]}") if by else nullcontext()


def _shown(args: tuple[Any, ...]) -> str:
    """Arguments for the log; of a long one, such as a request, its beginning."""
    return repr(tuple(f"{a[:40]}..." if isinstance(a, str) and len(a) > 100 else a for a in args))
