"""Judge a call, run it and record it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from func import wire
from func.minion.acl import Acl, Peer
from func.minion.audit import Audit
from func.minion.codes import AccessToMethodDenied


class Methods(Protocol):
    """Runs methods by name: the registry, or a fake of it."""

    def call(self, method: str, args: Sequence[Any]) -> Any:
        """The method's value or a REMOTE_ERROR list; never raises."""


class Dispatcher:
    """What the server hands each call to, together with the peer it came from."""

    def __init__(
        self, methods: Methods, acl: Acl, audit: Audit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._methods = methods
        self._acl = acl
        self._audit = audit
        self._clock = clock

    def __call__(self, peer: Peer, method: str, args: Sequence[Any]) -> Any:
        """The method's value or a REMOTE_ERROR list; raises AccessToMethodDenied."""
        began = self._clock()
        if not self._acl.allows(peer, method):
            self._record(peer, method, args, "denied", began)
            raise AccessToMethodDenied
        value = self._methods.call(method, args)
        self._record(peer, method, args, "error" if wire.is_remote_error(value) else "ok", began)
        return value

    def _record(self, peer: Peer, method: str, args: Sequence[Any], outcome: str, began: float) -> None:
        self._audit.record(peer.address, peer.key, method, args, outcome, self._clock() - began)
