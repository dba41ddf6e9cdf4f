"""Call methods on many minions at once and give one result each: the typed face of the overlord."""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Optional

from certmaster.config import CertmasterConfig
from func import wire
from func.config import OverlordConfig
from func.errors import BadReply, CallError, ConfigError, WireError
from func.overlord.conversation import Means, Request
from func.overlord.credentials import Credentials, Find
from func.overlord.exchange import Reply, exchange
from func.overlord.http import Limits
from func.overlord.known import KnownMinions
from func.overlord.pool import Pool
from func.overlord.resolve import Resolver

DEFAULT_TIMEOUT_S = 60.0
"""How long a minion has where neither the caller nor overlord.conf says: Func's own default is for ever."""

CONNECT_TIMEOUT_S = 10.0
"""How long a minion has until the TLS handshake is done: a dead one is known before a long call ends."""


_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True)
class Result:
    """What one minion gave: a value or an error, never both."""

    minion: str
    value: Any = None
    error: Optional[CallError] = None


class Fanout:
    """Calls minions in parallel over kept connections. Thread-safe; `close` ends the connections.

    `timeout_s` is what a minion has where a call does not say. `find` says which files it calls with, where
    that is not what overlord.conf or the certmaster have.
    """

    def __init__(
        self,
        config: OverlordConfig,
        certmaster_config: CertmasterConfig,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        limits: Optional[Limits] = None,
        resolver: Optional[Resolver] = None,
        monotonic: Callable[[], float] = time.monotonic,
        find: Optional[Find] = None,
    ) -> None:
        self._port = config.listen_port
        self.timeout_s = config.socket_timeout or DEFAULT_TIMEOUT_S
        self._connect_timeout_s = connect_timeout_s
        self._limits = limits or Limits()
        self._monotonic = monotonic
        self._resolver = resolver or Resolver(config.hosts_file)
        self._credentials = Credentials(config, certmaster_config, find=find)
        self._known = KnownMinions(certmaster_config)
        self._pool = Pool(monotonic)
        # Two to spare, so that no processor waits for a thread to come back for more.
        self._computers = ThreadPoolExecutor((os.cpu_count() or 1) + 2, "handshake")
        self._lock = threading.Lock()
        self._context: Optional[ssl.SSLContext] = None

    def minions(self) -> list[str]:
        """The names of all minions with a certificate here, sorted; raises ConfigError."""
        return self._known.names()

    def knows(self, minion: str) -> bool:
        """Whether there is a certificate of a minion here, so that it may be called."""
        return self._known.has(minion)

    def certificate_expires_at(self, minion: str) -> Optional[datetime]:
        """When the certificate signed for a minion ends, in UTC; None where it is not known."""
        return self._known.expires_at(minion)

    def ask(
        self,
        calls: Mapping[str, tuple[str, tuple[Any, ...]]],
        timeout_s: Optional[float] = None,
        request_id: str = "",
    ) -> Iterator[list[Result]]:
        """Call {minion: (method, args)}, all at once; yields groups of results as they come in.

        Nothing is sent before the first group is asked for. Each minion comes once, none later than
        `timeout_s`; the time the caller spends on a group does not count. `request_id` (64 letters, digits
        and dashes at most) goes with every call into the minions' audit logs. Raises ConfigError and, for
        arguments without a form on the wire, WireError, both at once.
        """
        check_request_id(request_id)
        requests = [
            Request(minion, wire.encode_call(method, args), request_id)
            for minion, (method, args) in calls.items()
        ]
        means = self._means()
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        return self._results(means, requests, limit_s)

    def call(
        self,
        minion: str,
        method: str,
        *args: Any,
        timeout_s: Optional[float] = None,
        request_id: str = "",
    ) -> Any:
        """Call one minion and return its value; raises CallError, WireError or ConfigError."""
        groups = self.ask({minion: (method, args)}, timeout_s, request_id)
        (result,) = [result for group in groups for result in group]
        if result.error is not None:
            raise result.error
        return result.value

    def close(self) -> None:
        """Close every kept connection."""
        self._pool.close()
        self._computers.shutdown(wait=False)

    def _results(self, means: Means, requests: list[Request], limit_s: float) -> Iterator[list[Result]]:
        for replies in exchange(means, requests, limit_s, self._monotonic):
            yield [_result(reply) for reply in replies]

    def _means(self) -> Means:
        self._pool.sweep()
        self._resolver.refresh()
        context = self._credentials.context()
        with self._lock:
            renewed = self._context is not None and context is not self._context
            self._context = context
        if renewed:
            self._pool.clear()
        return Means(
            context,
            self._pool,
            self._resolver.resolve,
            self._port,
            self._limits,
            self._connect_timeout_s,
            self._computers,
        )


def check_request_id(request_id: str) -> None:
    """Raise ConfigError for what cannot stand in the header; the empty one means none."""
    if request_id and not _REQUEST_ID.fullmatch(request_id):
        raise ConfigError(f"the request id {request_id!r} is not 1 to 64 letters, digits and dashes")


def _result(reply: Reply) -> Result:
    if reply.error is not None:
        return Result(reply.minion, error=reply.error)
    try:
        value = wire.decode_response(reply.body)
    except CallError as exc:
        return Result(reply.minion, error=exc)
    except WireError as exc:
        return Result(reply.minion, error=BadReply(f"its answer cannot be read: {exc}"))
    if wire.is_remote_error(value):
        return Result(reply.minion, error=wire.to_remote_fault(value))
    return Result(reply.minion, value)
