"""What programs of this machine may ask of certmaster over its local socket."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from certmaster import ca, rpc
from certmaster.audit import acting
from certmaster.authority import Authority
from certmaster.door import plain_response, response
from certmaster.errors import AlreadyMade, BadRequest, CertmasterError, UnknownName
from certmaster.names import check_host_name

log = logging.getLogger(__name__)

_CODES = ((UnknownName, rpc.UNKNOWN), (BadRequest, rpc.WRONG), (AlreadyMade, rpc.DONE_BEFORE))
_CHANGES = ("new_token", "delete_token", "clean")


class Admin:
    """Answers calls on one Authority. Who may call is the matter of the socket's owner, group and mode."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        # method -> what does it, and the types of its arguments
        self._methods: dict[str, tuple[Callable[..., object], tuple[type, ...]]] = {
            "new_token": (self._new_token, (str, int, bool, str)),
            "list_tokens": (self._list_tokens, ()),
            "delete_token": (self._delete_token, (str,)),
            "authority": (self._describe, ()),
            "list_waiting": (self._list_waiting, ()),
            "clean": (self._clean, (str,)),
        }

    def answer(self, body: bytes, peer: str) -> bytes:
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
        act, types = self._methods[method]
        if [type(arg) for arg in args] != list(types):
            wanted = ", ".join(kind.__name__ for kind in types) or "no arguments"
            return response(200, rpc.encode_fault(f"{method} takes {wanted}", rpc.WRONG))
        try:
            with acting(peer):
                result = act(*args)
        except CertmasterError as exc:
            log.warning("%s: %s%r refused: %s", peer, method, args, exc)
            code = next((code for kind, code in _CODES if isinstance(exc, kind)), rpc.FAILED)
            return response(200, rpc.encode_fault(str(exc), code))
        log.log(logging.INFO if method in _CHANGES else logging.DEBUG, "%s: %s%r", peer, method, args)
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
            {"name": one.name, "key_fingerprint": one.key_fingerprint, "since": one.since.isoformat()}
            for one in self._authority.describe_waiting()
        ]

    def _clean(self, name: str) -> list[str]:
        return [str(path) for path in self._authority.clean(check_host_name(name))]
