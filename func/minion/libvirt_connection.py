"""Hold a connection to libvirt, bound every call in time, put every error in words; alone imports libvirt."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from typing import Any, Callable, Optional, TypeVar

from func.errors import HostError
from func.minion.lane import Lane, Unanswered

try:
    import libvirt as libvirt  # under its own name: the rest of the adapter takes it from here
except ImportError:  # a minion without virtualisation is still a minion
    libvirt = None

log = logging.getLogger(__name__)

T = TypeVar("T")
DEFAULT_URI = "qemu:///system"
READ_LIMIT_S = 10.0
ACT_LIMIT_S = 60.0
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 3

_event_lock = threading.Lock()
_event_loop: Optional[threading.Thread] = None


def chosen_uri(configured: str) -> str:
    """The URI that holds: the configured one, else LIBVIRT_DEFAULT_URI, else qemu:///system."""
    return configured or os.environ.get("LIBVIRT_DEFAULT_URI") or DEFAULT_URI


def open_connection(uri: str) -> Any:
    """Open a connection with events; needs python3-libvirt. Raises libvirt's own error, or HostError."""
    global _event_loop  # libvirt's event loop belongs to the process, not to a connection
    if libvirt is None:
        raise HostError("libvirt's Python binding is not installed; install python3-libvirt")
    with _event_lock:
        if _event_loop is None:
            libvirt.registerErrorHandler(lambda context, error: None, None)  # it would write to stderr
            libvirt.virEventRegisterDefaultImpl()
            _event_loop = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
            _event_loop.start()
    return libvirt.open(uri)


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def error_types() -> tuple[type[Exception], ...]:
    """What to catch as libvirt's error; nothing where the binding is absent."""
    return () if libvirt is None else (libvirt.libvirtError,)


def is_code(exc: Exception, *codes: str) -> bool:
    """Whether libvirt's error has one of these codes, e.g. `VIR_ERR_NO_DOMAIN`."""
    return exc.get_error_code() in {getattr(libvirt, code) for code in codes}  # type: ignore[attr-defined]


def quietly(work: Callable[[], Any]) -> None:
    """Do what need not work."""
    try:
        work()
    except error_types() as exc:
        log.debug("libvirt: %s", exc)


class Link:
    """One connection, opened at the first call and again when it was lost; all parts of a minion share it.

    Sharing is a must with libvirt's test driver, which keeps a host of its own for each connection.
    """

    def __init__(self, uri: str, connect: Callable[[str], Any] = open_connection) -> None:
        self.uri = uri
        self._connect = connect
        self._opening = threading.Lock()
        self._connection: Any = None
        self._unwatch: list[Callable[[], Any]] = []
        self._listeners: list[Callable[[Optional[str]], None]] = []

    def listen(self, listener: Callable[[Optional[str]], None]) -> None:
        """Have `listener` told the uuid of each domain that changed, and None when the connection is new."""
        self._listeners.append(listener)

    def tell(self, uuid: Optional[str]) -> None:
        """Tell the listeners of a change, for those changes of which libvirt sends no event."""
        for listener in self._listeners:
            listener(uuid)

    def connection(self) -> Any:
        """The connection, alive as far as is known. Raises HostError when it cannot be opened."""
        with self._opening:
            if self._connection is not None and self._connection.isAlive() == 1:
                return self._connection
            if self._connection is not None:
                log.warning("libvirt: the connection to %s was lost, opening it again", self.uri)
                self._drop()
            self.tell(None)
            try:
                connection = self._connect(self.uri)
            except error_types() as exc:
                raise HostError(f"libvirt at {self.uri} cannot be opened: {exc}") from exc
            self._watch(connection)
            self._connection = connection
            return connection

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        # Each of them holds the connection, its socket too, however often it is closed.
        for unwatch in self._unwatch:
            quietly(unwatch)
        self._unwatch.clear()
        quietly(connection.close)

    def _watch(self, connection: Any) -> None:
        # Without keepalive a call to a libvirtd that died silently would wait for ever.
        quietly(lambda: connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT))
        for event in (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE):
            quietly(partial(self._watch_event, connection, event))

    def _watch_event(self, connection: Any, event: int) -> None:
        number = connection.domainEventRegisterAny(None, event, self._on_event, None)
        self._unwatch.append(partial(connection.domainEventDeregisterAny, number))

    def _on_event(self, connection: Any, domain: Any, *rest: Any) -> None:
        self.tell(domain.UUIDString())


class Links:
    """The link to each URI, once for the whole minion."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    def get(self, uri: str) -> Link:
        """The link to `uri`."""
        return self._links.setdefault(uri, Link(uri))


class Calls:
    """The two threads that one part of a minion has for its calls: one for reading, one for acting.

    A start which takes its time delays no inventory, and a stuck libvirt holds two threads, never more.
    """

    def __init__(
        self, link: Link, read_limit_s: float = READ_LIMIT_S, act_limit_s: float = ACT_LIMIT_S
    ) -> None:
        self._link = link
        self._reading = Lane("libvirt", read_limit_s, changes=False)
        self._acting = Lane("libvirt", act_limit_s)

    def read(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of the connection; asked once more where the connection broke meanwhile."""

        def reading() -> T:
            connection = self._link.connection()
            try:
                return work(connection)
            except error_types() as exc:
                if connection.isAlive():
                    raise _translated(exc) from exc
            # It broke while we asked. Reading twice does no harm.
            return _in_words(lambda: work(self._link.connection()))

        return self._reading.run(reading)

    def act(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of the connection; one after the other. Raises Unanswered, HostError."""

        def acting() -> T:
            try:
                connection = self._link.connection()
            except HostError as exc:
                raise Unanswered(str(exc), begun=False) from exc
            try:
                return work(connection)
            except error_types() as exc:
                if connection.isAlive():
                    raise _translated(exc) from exc
                text = f"libvirt went away in the middle ({exc}); what was asked may have happened"
                raise Unanswered(text, begun=True) from exc

        return self._acting.run(acting)

    def close(self) -> None:
        """Let go of the threads; a stuck one is left to the end of the process."""
        self._reading.close()
        self._acting.close()


def _translated(exc: Exception) -> HostError:
    if is_code(exc, "VIR_ERR_NO_SUPPORT"):
        return HostError(f"this kind of host cannot do that: {exc}")
    return HostError(f"libvirt: {exc}")


def _in_words(work: Callable[[], T]) -> T:
    try:
        return work()
    except error_types() as exc:
        raise _translated(exc) from exc
