"""Keep the certificate good with which this cloud master calls cloud instances: ask certmaster, and again."""

from __future__ import annotations

import logging
import threading
from typing import Optional

from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import CloudError, Conflict
from cloudmasterd.func_fabric import OwnCertificate, obtain

log = logging.getLogger(__name__)

RETRY_S = 5.0  # while there is none that is good
LOOK_S = 60.0
STOP_S = 1.0


class CertificateKeeper:
    """A thread that asks the certmaster of this machine whenever a certificate is due.

    Without one the pages are served all the same, and every call of a cloud instance says why it is not made.
    """

    def __init__(self, own: Optional[OwnCertificate], enrolment: Enrolment) -> None:
        self._own = own
        self._enrolment = enrolment
        self._said = ""
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Look once and wait for it, so that the first round of calls has a certificate; then go on."""
        if self._own is None:
            return
        self.look()
        self._thread = threading.Thread(target=self._run, name="certificate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a call of certmaster that is under way is left to itself."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def look(self) -> None:
        """Ask for a certificate where one is due; what fails is logged whenever its reason changes."""
        own = self._own
        if own is None or not own.is_due():
            return
        try:
            obtain(own, self._ask)
            self._said = ""
        except CloudError as exc:
            if isinstance(exc, Conflict):
                own.drop_new_key()  # it was revoked
            own.note_missing(str(exc))
            if str(exc) != self._said:
                self._said = str(exc)
                log.warning("no new certificate for this cloud master: %s", exc)

    def problems(self) -> list[str]:
        """Why cloud instances cannot be called; empty when all is well."""
        trouble = "" if self._own is None else self._own.trouble()
        return [f"cloud instances cannot be called: {trouble}"] if trouble else []

    def _ask(self, csr_pem: str) -> tuple[str, str]:
        made = self._enrolment.master_certificate(csr_pem)
        return made.certificate, made.authority

    def _run(self) -> None:
        while not self._stopping.wait(RETRY_S if self.problems() else LOOK_S):
            self.look()
