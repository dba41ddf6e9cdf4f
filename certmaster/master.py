"""Certify the cloud master of this machine, in a name that no request can ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from certmaster import ca
from certmaster.audit import Audit
from certmaster.certdir import PUBLIC, locked, write_file
from certmaster.config import CertmasterConfig
from certmaster.errors import KeyConflict
from certmaster.names import master_name
from certmaster.removal import Removal
from certmaster.revocation import Revocations
from certmaster.seal import Seal
from certmaster.shelf import Shelf

log = logging.getLogger(__name__)


class Masters:
    """Gives the cloud master its certificate. Who may ask is the matter of the local socket.

    One key has the name at a time: when another one asks, because the certificate is renewed or its files
    were lost, the one before is revoked.
    """

    def __init__(
        self,
        config: CertmasterConfig,
        host_name: str,
        shelf: Shelf,
        seal: Seal,
        revocations: Revocations,
        removal: Removal,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._host_name = host_name
        self._shelf = shelf
        self._seal = seal
        self._revocations = revocations
        self._removal = removal
        self._audit = audit
        self._now = now

    def certify(self, csr_pem: bytes) -> bytes:
        """The certificate for the key of a request, whatever name that asks for.

        The same key gets what it has again, while that is good. Raises BadRequest, KeyConflict, FileError.
        """
        issuer = self._seal.prepare()
        name = master_name(self._host_name)
        key = ca.read_request(csr_pem).key_fingerprint
        if self._revocations.has_key(key):
            raise KeyConflict(f"{name} asks with a key that was revoked: it has to make a new one")
        with locked(self._config.cadir):
            there = self._shelf.signed(name)
            if there is not None and self._is_good(there, key, issuer):
                return there
            if there is not None:
                self._shelf.set_aside(self._config.replacedroot, name, there)
                self._revocations.add([there, *self._removal.earlier(name)])
                self._audit.add("replace", name, f"serial {ca.serial_number(there):x} revoked")
            serial = self._seal.next_serial()
            days = self._config.cert_days
            pem = ca.sign_master(csr_pem, name, issuer, self._seal.key(), serial, self._now(), days)
            write_file(self._shelf.cert_file(name), pem, PUBLIC)
            self._audit.add("sign", name, f"signed, serial {serial:x}, key {key[:16]}")
        log.info("%s signed: serial %x, until %s", name, serial, ca.expires_at(pem).date())
        return pem

    def _is_good(self, cert: bytes, key: str, issuer: bytes) -> bool:
        return (
            ca.key_fingerprint(cert) == key
            and ca.is_issued_by(cert, issuer)
            and ca.expires_at(cert) > self._now()
            and not self._revocations.has(cert)
        )
