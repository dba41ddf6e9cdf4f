"""The certificate of the cloud master itself: its key made here, signed by certmaster, renewed in time."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Optional

from certmaster import ca, renewal
from certmaster.certdir import PUBLIC, SECRET, MinionFiles, locked, read_file, remove_file, write_file
from certmaster.errors import BadCertificate, CertmasterError, FileError
from certmaster.pending import finish, next_file
from func.errors import ConfigError
from func.overlord.credentials import Files

log = logging.getLogger(__name__)

# Certmaster gives the name, whatever a request asks for.
_ASKS_AS = "cloudmaster"
_STEM = "cloudmaster"

Ask = Callable[[str], tuple[str, str]]
"""Sends a request to certmaster; gives the certificate and the authority it is of, all PEM."""


@dataclass(frozen=True)
class _Judged:
    """Files that were found to be good, as they looked, and until when they are."""

    stamp: tuple[Optional[tuple[int, int, int]], ...]
    good_until: datetime


def _mark(path: Path) -> Optional[tuple[int, int, int]]:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class OwnCertificate:
    """Key and certificate in `pki_dir`, of the authority in `ca_file`. Safe to use from several threads."""

    def __init__(
        self,
        pki_dir: Path,
        ca_file: Path,
        now: Callable[[], datetime],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._dir = pki_dir
        self._now = now
        self._chance = chance()
        self._files = MinionFiles(
            key_file=pki_dir / f"{_STEM}.pem",
            csr_file=pki_dir / f"{_STEM}.csr",
            cert_file=pki_dir / f"{_STEM}.cert",
            ca_file=ca_file,
        )
        self._missing = "certmaster has not been asked for one yet"
        self._judged: Optional[_Judged] = None

    def find(self) -> Files:
        """The files to call minions with; raises ConfigError while there are none."""
        files = self._files
        for path in (files.cert_file, files.key_file):
            if not path.exists():
                raise ConfigError(f"it has no certificate of its own yet: {self._missing}")
        return Files(files.cert_file, files.key_file, files.ca_file)

    def trouble(self) -> str:
        """Why minions would not take the certificate; empty where they would.

        Cheap enough for every probe: the files are read again when they have changed.
        """
        stamp, judged = self._look(), self._judged
        if judged is not None and judged.stamp == stamp and self._now() < judged.good_until:
            return ""
        try:
            text = self._find_trouble()
        except (CertmasterError, OSError) as exc:
            text = str(exc)
        end = self.expires_at()
        self._judged = _Judged(stamp, end) if not text and end is not None else None
        return text

    def expires_at(self) -> Optional[datetime]:
        """When the certificate ends; None where there is none."""
        try:
            pem = read_file(self._files.cert_file)
            return None if pem is None else ca.expires_at(pem)
        except CertmasterError:
            return None

    def note_missing(self, why: str) -> None:
        """Say from now on that this is why there is no certificate yet."""
        self._missing = why

    def is_due(self) -> bool:
        """Whether a new certificate is to be asked for: none is good, or the one there is renewed by now."""
        if self.trouble():
            return True
        try:
            pem = read_file(self._files.cert_file) or b""
            return renewal.due_at(ca.begins_at(pem), ca.expires_at(pem), self._chance) <= self._now()
        except CertmasterError:
            return True

    def obtain(self, ask: Ask) -> None:
        """Have a new key certified and put both in the place of those there; raises ConfigError.

        May be cut off and repeated anywhere: the new key is kept until its certificate has come.
        """
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._dir):
                finish(self._files)
                if self.is_due():
                    self._obtain(ask)
        except (CertmasterError, OSError) as exc:
            raise ConfigError(f"{self._dir}: the certificate of this cloud master: {exc}") from exc

    def drop_new_key(self) -> None:
        """Begin with another key the next time: certmaster does not want the one it was asked for."""
        with contextlib.suppress(FileError):  # it is asked for again then, and refused as now
            remove_file(next_file(self._files.key_file))

    def _obtain(self, ask: Ask) -> None:
        next_key = next_file(self._files.key_file)
        key_pem = read_file(next_key)
        if key_pem is None:
            key_pem = ca.new_key()
            write_file(next_key, key_pem, SECRET)
        certificate, authority = ask(ca.make_request(key_pem, _ASKS_AS).decode())
        cert_pem = certificate.encode()
        if not ca.key_matches(cert_pem, key_pem) or not ca.is_issued_by(cert_pem, authority.encode()):
            raise BadCertificate("certmaster sent one that is not for its key, or not of its own authority")
        known = read_file(self._files.ca_file)
        if known is None or ca.pin(known) != ca.pin(authority.encode()):
            raise BadCertificate(
                f"certmaster signs with the authority {ca.pin(authority.encode())}, and {self._files.ca_file}"
                " is another, or not there: func_root and certmaster_socket of cloudmasterd.conf have to be"
                " those of one certmaster"
            )
        write_file(next_file(self._files.cert_file), cert_pem, PUBLIC)
        finish(self._files)
        log.info("%s is certified, until %s", ca.common_name(cert_pem), ca.expires_at(cert_pem).date())

    def _look(self) -> tuple[Optional[tuple[int, int, int]], ...]:
        files = self._files
        return tuple(_mark(path) for path in (files.cert_file, files.key_file, files.ca_file, files.crl_file))

    def _find_trouble(self) -> str:
        files = self._files
        cert_pem, key_pem, ca_pem = (read_file(f) for f in (files.cert_file, files.key_file, files.ca_file))
        if cert_pem is None or key_pem is None:
            return f"this cloud master has no certificate of its own yet: {self._missing}"
        if ca_pem is None:
            raise FileError(f"{files.ca_file} is missing: it is made when certmaster is started")
        if not ca.key_matches(cert_pem, key_pem):
            return f"{files.cert_file} and {files.key_file} do not belong together"
        if not ca.is_issued_by(cert_pem, ca_pem):
            return f"{files.cert_file} is from another authority than {files.ca_file}"
        if ca.expires_at(cert_pem) <= self._now():
            return f"{files.cert_file} ended on {ca.expires_at(cert_pem):%Y-%m-%d}"
        crl_pem = read_file(files.crl_file)
        if crl_pem is not None and ca.read_crl(crl_pem, ca_pem).has(ca.identity(cert_pem)):
            return f"{files.cert_file} is revoked"
        return ""
