"""The list of revoked certificates in a file, read again when the file changes."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from certmaster.errors import BadCertificate
from func.errors import ConfigError

if TYPE_CHECKING:
    from certmaster.ca import RevocationList

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]


class RevokedList:
    """Tells who is revoked, from `crl_file`, which `ca_file`'s authority must have signed. Thread-safe.

    Without a file nobody is. A list that ran out is still honoured, because whom it names stays revoked, and
    the machines must be within reach while the certmaster is down; it is told of. One that cannot be used
    raises ConfigError at first; later the one that was good stays in force.
    """

    def __init__(self, crl_file: Path, ca_file: Path, now: Callable[[], float] = time.time) -> None:
        self._crl_file = crl_file
        self._ca_file = ca_file
        self._now = now
        self._lock = threading.Lock()
        self._list: Optional[RevocationList] = None
        self._stamp = self._look()
        self._told = False
        self._failed = ""
        if self._stamp is not None:
            self._list = self._load()

    def has_certificate(self, der: bytes) -> bool:
        """Whether a certificate is revoked; one that cannot be read counts as such."""
        found = self._current()
        if found is None or not found.serials:
            return False
        from certmaster import ca

        try:
            return found.has(ca.identity(der))
        except BadCertificate:
            return True

    def _current(self) -> Optional[RevocationList]:
        stamp = self._look()
        with self._lock:
            # A file that was there and is gone revokes no less: it may be on its way from somewhere.
            if stamp != self._stamp and stamp is not None:
                self._take_up(stamp)
            found = self._list
            if found is not None and not self._told and found.next_update.timestamp() < self._now():
                self._told = True
                log.warning(
                    "%s should have been replaced by %s: is the certmaster running? It stays in force",
                    self._crl_file,
                    found.next_update.date(),
                )
            return found

    def _take_up(self, stamp: Stamp) -> None:
        try:
            self._list = self._load()
        except ConfigError as exc:
            # Tried again at the next look: what is in the way now, such as too many open files, may go.
            if self._failed != str(exc):
                self._failed = str(exc)
                log.error("%s; the list read before stays in force", exc)
            return
        self._stamp, self._told, self._failed = stamp, False, ""

    def _look(self) -> Optional[Stamp]:
        try:
            stat = os.stat(self._crl_file)  # noqa: PTH116
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _load(self) -> RevocationList:
        # Imported late: it takes longer to load than a call on the command line to make.
        from certmaster import ca

        try:
            return ca.read_crl(self._crl_file.read_bytes(), self._ca_file.read_bytes())
        except OSError as exc:
            raise ConfigError(f"{self._crl_file}: cannot be read: {exc.strerror or exc}") from exc
        except BadCertificate as exc:
            raise ConfigError(
                f"{self._crl_file}: {exc}: remove it, `certmaster-request --renew` gets it anew"
            ) from exc
