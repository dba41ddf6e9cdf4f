"""Tell systemd how this service is: ready, at what, alive, stopping; nobody where systemd did not start it.

The protocol is that of sd_notify(3). certmaster and cloudmasterd each have a copy of this file, for neither
may import the other.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import threading
from collections.abc import MutableMapping
from typing import Callable, Optional

log = logging.getLogger(__name__)

# How often is looked within what WatchdogSec= allows: one look may come late, or find trouble that passes.
_LOOKS = 3
_SEND_S = 5.0


class Service:
    """This process as systemd sees it.

    Takes systemd's variables out of `environ`: what this process starts is not to speak in its name.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        ours = self._address and pid in ("", str(os.getpid()))
        self.watchdog_s = int(usec) / 1e6 if ours and usec.isdecimal() else 0.0
        self._status = ""
        self._ended = threading.Event()
        self._find_trouble: Optional[Callable[[], str]] = None

    def ready(self, status: str) -> None:
        """It does its work now; `status` says at what, as `systemctl status` shows it. May be told again."""
        self._status = _one_line(status)
        self._tell(f"READY=1\nSTATUS={self._status}")

    def watch(self, find_trouble: Callable[[], str]) -> None:
        """Tell from now on, in a thread of its own, that it is alive, while `find_trouble` gives no text.

        Once it gave one, or did not return, for as long as WatchdogSec= says, systemd aborts the process,
        which writes the stacks of its threads to stderr, and starts it again. Without WatchdogSec= nobody
        asks. A second call puts another `find_trouble` in the place of the first.
        """
        is_first, self._find_trouble = self._find_trouble is None, find_trouble
        if self.watchdog_s and is_first:
            if not faulthandler.is_enabled():
                faulthandler.enable()
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stopping(self) -> None:
        """It ends now, as it was told to; it is not asked any more whether it is alive."""
        self._ended.set()
        self._tell("STOPPING=1\nSTATUS=stopping")

    def _watch(self) -> None:
        before = ""
        while self._find_trouble is not None:
            trouble = _one_line(self._find_trouble())
            if self._ended.is_set():
                return
            if trouble != before:
                if trouble:
                    log.error("%s: unless that ends, systemd starts this service anew", trouble)
                self._tell(f"STATUS={trouble or self._status}")
            before = trouble
            if not trouble:
                self._tell("WATCHDOG=1")
            if self._ended.wait(self.watchdog_s / _LOOKS):
                return

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        # "@" is how systemd writes the name of a socket that is in no directory.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_S)
                sender.sendto(text.encode(), address)
        except OSError as exc:
            log.warning("systemd cannot be told %r: %s", text.split("\n")[0], exc)


def _one_line(text: str) -> str:
    return " ".join(text.split())
