"""The authority's list of revoked certificates: kept, signed anew in time, and served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Optional

from certmaster import ca
from certmaster.certdir import PUBLIC, list_files, locked, read_file, write_file
from certmaster.errors import BadCertificate, FileError
from certmaster.seal import Seal

# Minions ask every hour: a list that reached none of them for a week is worth a warning.
LASTS = timedelta(days=7)
_SIGNED_ANEW_AFTER = timedelta(days=1)


class Revocations:
    """The list in cadir/certmaster.crl, which is also the only record of what is revoked.

    Certificates in `revokedroot` were revoked by name: their keys are never certified again. The first list,
    and one in place of a lost one, begins with these and with what `replaced` gives. Every method raises
    FileError; `add` is called with `cadir` locked.
    """

    def __init__(
        self,
        cadir: Path,
        revokedroot: Path,
        seal: Seal,
        now: Callable[[], datetime],
        replaced: Callable[[], Sequence[bytes]],
    ) -> None:
        self._cadir = cadir
        self._path = cadir / "certmaster.crl"
        self._root = revokedroot
        self._seal = seal
        self._now = now
        self._replaced = replaced

    def publish(self) -> bytes:
        """The list, signed anew where that is due."""
        if self._is_due():
            with locked(self._cadir):
                if self._is_due():
                    self.add(())
        return read_file(self._path) or b""

    def add(self, certs: Sequence[bytes]) -> None:
        """Revoke these certificates; those of other authorities cannot be and are left out."""
        issuer, now = self._seal.certificate(), self._now().replace(microsecond=0)
        before = self._read()
        serials = dict(before.serials) if before else {}
        known = () if before else (*self._replaced(), *(pem for _, pem in kept(self._root, "")))
        for cert in (*known, *certs):
            if ca.is_issued_by(cert, issuer):
                serials.setdefault(ca.serial_number(cert), now)
        # Minions take no list of a lower number: the time keeps it growing, also where the file was lost.
        number = max(int(now.timestamp()), before.number + 1 if before else 0)
        pem = ca.make_crl(issuer, self._seal.key(), serials, number, now, now + LASTS)
        write_file(self._path, pem, PUBLIC)

    def has(self, cert: bytes) -> bool:
        """Whether a certificate is on the list."""
        found = self._read()
        return found is not None and found.has(ca.identity(cert))

    def keep(self, name: str, cert: bytes, extension: str) -> None:
        """Keep a certificate that was revoked by name, so that its key is known."""
        write_file(self._root / f"{name}-{ca.serial_number(cert):x}.{extension}", cert, PUBLIC)

    def has_key(self, key_fingerprint: str) -> bool:
        """Whether a key was revoked by name."""
        return any(ca.key_fingerprint(pem) == key_fingerprint for _, pem in kept(self._root, ""))

    def _is_due(self) -> bool:
        found = self._read()
        return found is None or self._now() - found.made_at > _SIGNED_ANEW_AFTER

    def _read(self) -> Optional[ca.RevocationList]:
        pem = read_file(self._path)
        if pem is None:
            return None
        try:
            return ca.read_crl(pem, self._seal.certificate())
        except BadCertificate as exc:
            raise FileError(f"{self._path}: {exc}: restore it from a backup of {self._cadir}") from exc


def kept(directory: Path, suffix: str) -> list[tuple[str, bytes]]:
    """The certificates that others took the place of, each with its name; raises FileError."""
    found = []
    for path in list_files(directory, suffix):
        pem = read_file(path)
        try:
            if pem is not None:
                found.append((ca.common_name(pem).lower(), pem))
        except BadCertificate as exc:
            raise FileError(f"{path}: {exc}: restore it, or remove it") from exc
    return found


def count_good(directory: Path, suffix: str, name: str, now: datetime) -> int:
    """How many of the certificates kept there under a name have not ended; raises FileError."""
    paths = [path for path in list_files(directory, suffix) if path.name.rpartition("-")[0] == name]
    pems = [pem for pem in map(read_file, paths) if pem is not None]
    return sum(ca.expires_at(pem) > now for pem in pems)
