"""What the authority signs with: its key, its certificate and the count of what it signed."""

from __future__ import annotations

import glob
import logging
import secrets
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from certmaster import ca
from certmaster.certdir import PUBLIC, SECRET, locked, read_file, write_file
from certmaster.errors import BadCertificate, FileError
from certmaster.names import authority_name

log = logging.getLogger(__name__)

_KEY = "certmaster.key"
_CERT = "certmaster.crt"
_ASIDE = ".before-restore-"  # in the name that cloudmasterctl gives a directory that it puts aside


class Seal:
    """The pair in `cadir`, made where there is none yet. Every method raises FileError.

    `now` tells the time in UTC, `chance(n)` gives n random bits. `next_serial` is called with `cadir` locked.
    """

    def __init__(
        self,
        cadir: Path,
        host_name: str,
        now: Callable[[], datetime],
        chance: Callable[[int], int] = secrets.randbits,
        key_bits: int = ca.CA_KEY_BITS,
    ) -> None:
        self._dir = cadir
        self._host_name = host_name
        self._now = now
        self._chance = chance
        self._key_bits = key_bits

    def prepare(self) -> bytes:
        """The authority's certificate, after a look at whether it can sign; made where there is none yet."""
        if not ((self._dir / _KEY).exists() and (self._dir / _CERT).exists()):
            with locked(self._dir):
                self._make_pair()
        self._close()
        cert_pem, key_pem = self.certificate(), self.key()
        where = f"{self._dir / _CERT} and {self._dir / _KEY}"
        try:
            is_pair = ca.key_matches(cert_pem, key_pem)
        except BadCertificate as exc:
            raise FileError(f"{where}: {exc}") from exc
        if not is_pair:
            raise FileError(f"{where} do not belong together: restore both from the same backup")
        return cert_pem

    def certificate(self) -> bytes:
        """The authority's certificate as it lies in its file."""
        return self._read(_CERT)

    def key(self) -> bytes:
        """The authority's key."""
        return self._read(_KEY)

    def next_serial(self) -> int:
        """A serial number of no other certificate of this authority; the count is kept before its use."""
        path = self._dir / "serial.txt"
        text = (read_file(path) or b"0").strip()
        if not text.isdigit():
            raise FileError(f"{path}: holds {text[:20]!r}: write the count of certificates signed so far")
        count = int(text) + 1
        write_file(path, b"%d\n" % count, PUBLIC)
        # The count never repeats, and the random half still tells apart should serial.txt be lost.
        return (count << 64) | self._chance(64)

    def _read(self, name: str) -> bytes:
        path = self._dir / name
        data = read_file(path)
        if data is None:
            raise FileError(f"{path} is missing: restore it, or start certmaster to begin a new authority")
        return data

    def _close(self) -> None:
        """Take the key from all but its owner: the cloud master read it by its group, and has its own now."""
        path = self._dir / _KEY
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(SECRET)
                log.warning("%s was readable by others than its owner, and is not any more", path)
        except OSError as exc:
            log.warning("%s: others than its owner may read it: chmod 0600 (%s)", path, exc.strerror)

    def _refuse_beside_aside(self) -> None:
        """Begin no new authority where a restore was killed after it put the old one aside."""
        for key in sorted(self._dir.parent.glob(f"{glob.escape(self._dir.name)}{_ASIDE}*/{_KEY}")):
            raise FileError(
                f"{self._dir} holds no authority, and a restore that did not come to its end put one aside in"
                f" {key.parent}: run `cloudmasterctl restore --force FILE` again, or move that directory"
                " back; for a new authority, which no cloud instance knows, move it away"
            )

    def _make_pair(self) -> None:
        """Make what is missing; the lock is held, and another process may just have done it."""
        key_file, cert_file = self._dir / _KEY, self._dir / _CERT
        key_pem = read_file(key_file)
        if key_pem is None and cert_file.exists():
            raise FileError(
                f"{key_file} is missing beside {cert_file}: restore it, or remove both for a new authority"
            )
        if key_pem is None:
            self._refuse_beside_aside()
            key_pem = ca.new_key(self._key_bits)
            write_file(key_file, key_pem, SECRET)
        if not cert_file.exists():
            name = authority_name(self._host_name)
            pem = ca.make_ca(name, key_pem, self.next_serial(), self._now())
            write_file(cert_file, pem, PUBLIC)
            log.info("made the authority %s: %s, SHA-256 %s", name, cert_file, ca.fingerprint(pem))
