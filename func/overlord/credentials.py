"""Find the certificate an overlord presents, and keep its TLS context in step with the files."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Optional

from certmaster.certdir import list_files, minion_files
from certmaster.config import CertmasterConfig
from certmaster.errors import CertmasterError, FileError
from func.config import OverlordConfig
from func.errors import ConfigError
from func.tls import client_context

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Files:
    """The three files a TLS context is made of."""

    cert_file: Path
    key_file: Path
    ca_file: Path

    def stamp(self) -> Optional[Stamp]:
        """What changes when one of them is replaced; None when one cannot be seen."""
        try:
            stats = [os.stat(path) for path in (self.cert_file, self.key_file, self.ca_file)]  # noqa: PTH116
        except OSError:
            return None
        # A new list of revoked certificates, too: connections are kept by context, and checked as they begin.
        with contextlib.suppress(OSError):
            stats.append(os.stat(self.ca_file.with_suffix(".crl")))  # noqa: PTH116
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


def find_files(config: OverlordConfig, certmaster: CertmasterConfig, host_name: str) -> Files:
    """Those of overlord.conf, else the certmaster's own, else this machine's; raises ConfigError."""
    if config.cert_file is not None and config.key_file is not None:
        return Files(config.cert_file, config.key_file, config.ca_file or _ca_file(certmaster))
    if config.cert_file is not None or config.key_file is not None:
        given, missing = ("cert_file", "key_file") if config.cert_file else ("key_file", "cert_file")
        raise ConfigError(f"overlord.conf: {given} is set but {missing} is not: set both or none")
    tried: list[str] = []
    for files in _candidates(config, certmaster, host_name):
        unreadable = _why_unreadable(files)
        if unreadable is None:
            return files
        tried.append(unreadable)
    raise ConfigError(
        "no certificate to call minions with: "
        + "; ".join(tried or [f"nothing in {certmaster.cadir} or {certmaster.cert_dir}"])
        + ". Run this on the certmaster as a user who may read its key, or set cert_file, key_file and "
        "ca_file in overlord.conf"
    )


@dataclass(frozen=True)
class Own:
    """The certificate an overlord calls with, as ACLs name it, and when it ends."""

    files: Files
    common_name: str
    subject_hash: int
    expires_at: datetime


def describe_own(
    config: OverlordConfig, certmaster: CertmasterConfig, host_name: Optional[str] = None
) -> Own:
    """What the overlord presents; raises ConfigError where there is none or it cannot be read."""
    # Imported late: it takes longer to load than a call on the command line to make.
    from certmaster import ca

    files = find_files(config, certmaster, host_name or socket.gethostname())
    try:
        pem = files.cert_file.read_bytes()
        return Own(files, ca.common_name(pem), ca.subject_hash(pem), ca.expires_at(pem))
    except OSError as exc:
        raise ConfigError(f"{files.cert_file}: cannot be read: {exc.strerror}") from exc
    except CertmasterError as exc:
        raise ConfigError(f"{files.cert_file}: {exc}") from exc


Find = Callable[[], Files]
"""Says which files an overlord calls with; raises ConfigError while it has none."""


class Credentials:
    """The overlord's TLS context, made again when its files are replaced. Thread-safe.

    `find` says which those are, where it is not overlord.conf or the certmaster's own that count.
    """

    def __init__(
        self,
        config: OverlordConfig,
        certmaster: CertmasterConfig,
        host_name: Optional[str] = None,
        find: Optional[Find] = None,
    ) -> None:
        self._config = config
        self._certmaster = certmaster
        self._host_name = host_name or socket.gethostname()
        self._find = find
        self._lock = threading.Lock()
        self._files: Optional[Files] = None
        self._stamp: Optional[Stamp] = None
        self._context: Optional[ssl.SSLContext] = None

    def context(self) -> ssl.SSLContext:
        """The context of the files as they are now; raises ConfigError while there is none at all."""
        with self._lock:
            if self._context is not None and self._files is not None:
                stamp = self._files.stamp()
                if stamp == self._stamp or stamp is None:
                    return self._context
            try:
                self._load()
            except ConfigError as exc:
                if self._context is None:
                    raise
                # In the middle of a renewal the files do not fit each other; the context at hand serves on.
                _log.warning("the overlord's new certificate cannot be used yet: %s", exc)
            assert self._context is not None
            return self._context

    def _load(self) -> None:
        if self._find is not None:
            files = self._find()
        else:
            files = find_files(self._config, self._certmaster, self._host_name)
        stamp = files.stamp()
        self._context = client_context(
            files.cert_file, files.key_file, files.ca_file, historic=self._config.historic_peers
        )
        self._files, self._stamp = files, stamp


def _ca_file(certmaster: CertmasterConfig) -> Path:
    own = certmaster.cadir / "certmaster.crt"
    return own if own.exists() else minion_files(certmaster.cert_dir, "ca").ca_file


def _candidates(config: OverlordConfig, certmaster: CertmasterConfig, host_name: str) -> Iterator[Files]:
    try:
        cadir, cert_dir = certmaster.cadir, certmaster.cert_dir
        ca_key, ca_cert = cadir / "certmaster.key", cadir / "certmaster.crt"
        if ca_key.exists():
            yield Files(ca_cert, ca_key, config.ca_file or ca_cert)
        stems = [path.stem for path in list_files(cert_dir, ".pem")]
        # The name enrolled under may be longer than the host name; where only one is there it is ours.
        wanted = [stem for stem in stems if stem.lower() == host_name.lower()]
        wanted += [stem for stem in stems if stem.lower().startswith(host_name.lower() + ".")]
        for stem in wanted or (stems if len(stems) == 1 else []):
            own = minion_files(cert_dir, stem)
            yield Files(own.cert_file, own.key_file, config.ca_file or own.ca_file)
    except (FileError, OSError) as exc:
        raise ConfigError(f"no certificate to call minions with: {exc}") from exc


def _why_unreadable(files: Files) -> Optional[str]:
    for path in (files.cert_file, files.key_file, files.ca_file):
        try:
            with path.open("rb"):
                pass
        except OSError as exc:
            return f"{path}: {exc.strerror}"
    return None
