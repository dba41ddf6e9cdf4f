"""Say which minions a certmaster's certificates name, and until when those are good."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Optional

from certmaster.certdir import list_files, read_file
from certmaster.config import CertmasterConfig
from certmaster.errors import CertmasterError
from func.errors import ConfigError

_log = logging.getLogger(__name__)


class KnownMinions:
    """The signed certificates of a certmaster: its own in certroot, its peers' in peerroot."""

    def __init__(self, certmaster: CertmasterConfig) -> None:
        self._roots = (certmaster.certroot, certmaster.peerroot)
        self._suffix = "." + certmaster.cert_extension.lstrip(".")
        self._expiries: dict[Path, tuple[tuple[int, int], Optional[datetime]]] = {}

    def names(self) -> list[str]:
        """The names of all minions, sorted; raises ConfigError when a directory cannot be read."""
        try:
            files = [path for root in self._roots for path in list_files(root, self._suffix)]
        except CertmasterError as exc:
            raise ConfigError(f"{exc}; the overlord finds its minions' names there") from exc
        return sorted({path.name[: -len(self._suffix)] for path in files})

    def has(self, minion: str) -> bool:
        """Whether a minion of that name has a certificate here; where nobody may look, it may have one."""
        for root in self._roots:
            try:
                (root / f"{minion}{self._suffix}").stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError):
                return True
            return True
        return False

    def expires_at(self, minion: str) -> Optional[datetime]:
        """When the certificate signed for a minion ends, in UTC; None where it is not known."""
        for root in self._roots:
            path = root / f"{minion}{self._suffix}"
            try:
                stat = path.stat()
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._expiries.get(path)
            if known is None or known[0] != stamp:
                known = self._expiries[path] = (stamp, _read_expiry(path))
            if known[1] is not None:
                return known[1]
        return None


def _read_expiry(path: Path) -> Optional[datetime]:
    # Imported late: it takes longer to load than a call on the command line to make.
    from certmaster import ca

    try:
        data = read_file(path)
        return None if data is None else ca.expires_at(data)
    except CertmasterError as exc:
        _log.warning("%s: %s", path, exc)
        return None
