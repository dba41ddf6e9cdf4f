"""Judge a call, run it now or as a job, and record it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from func import wire
from func.errors import FuncError
from func.minion.acl import Acl, Peer
from func.minion.audit import Audit
from func.minion.codes import AccessToMethodDenied

ASYNC = "async."


class Methods(Protocol):
    """Runs methods by name: the registry, or what stands before it."""

    def call(self, method: str, args: Sequence[Any]) -> Any:
        """The method's value or a REMOTE_ERROR list; never raises."""


class Starter(Protocol):
    """Begins jobs."""

    def begin(self, method: str, call: Callable[[], Any], ended: Callable[[str, Any, float], None]) -> str:
        """The new job's id; raises FuncError. `ended(id, value, seconds)` is called at its end."""


class Dispatcher:
    """What the server hands each call to, together with the peer it came from."""

    def __init__(
        self,
        methods: Methods,
        acl: Acl,
        audit: Audit,
        jobs: Starter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._methods = methods
        self._acl = acl
        self._audit = audit
        self._jobs = jobs
        self._clock = clock

    def __call__(self, peer: Peer, method: str, args: Sequence[Any]) -> Any:
        """The method's value, a REMOTE_ERROR list, or a job's id; raises AccessToMethodDenied."""
        began = self._clock()
        # The same name is judged and run; `async.` is no part of it.
        name = method.removeprefix(ASYNC)
        if not self._acl.allows(peer, name):
            self._record(peer, method, args, "denied", self._clock() - began)
            raise AccessToMethodDenied
        if name != method:
            return self._begin(peer, method, args, began)
        value = self._methods.call(name, args)
        self._record(peer, method, args, _outcome(value), self._clock() - began)
        return value

    def _begin(self, peer: Peer, method: str, args: Sequence[Any], began: float) -> Any:
        name, outcome, is_recorded = method.removeprefix(ASYNC), "error", threading.Event()

        def ended(job_id: str, value: Any, took_s: float) -> None:
            is_recorded.wait()  # a short job may have ended before its beginning is written down
            self._record(peer, method, args, f"{_outcome(value)} {job_id}", took_s)

        try:
            job_id = self._jobs.begin(name, lambda: self._methods.call(name, args), ended)
            outcome = f"began {job_id}"
            return job_id
        except FuncError as exc:
            return wire.remote_error(f"{type(exc).__module__}.{type(exc).__name__}", str(exc))
        finally:
            try:
                self._record(peer, method, args, outcome, self._clock() - began)
            finally:
                is_recorded.set()

    def _record(self, peer: Peer, method: str, args: Sequence[Any], outcome: str, took_s: float) -> None:
        self._audit.record(peer.address, peer.key, method, args, outcome, took_s, peer.request_id)


def _outcome(value: Any) -> str:
    return "error" if wire.is_remote_error(value) else "ok"
