"""Decide who may call what, from Func's ACL files."""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Optional

from certmaster import ca
from certmaster.errors import BadCertificate

log = logging.getLogger(__name__)

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)

# Two changes within one tick of the kernel's clock look the same: files that young are read again each time.
SETTLED_S = 2.0


@dataclass(frozen=True)
class Peer:
    """Who calls: the address and the certificate (DER) of the connection the call came in on.

    `request_id` is what the caller names this one call by in its own log, empty where it does not say.
    """

    address: str
    certificate: bytes
    request_id: str = ""

    @property
    def key(self) -> str:
        """`CN-HASH` as ACL files name a peer; HASH is decimal."""
        return _key_of(self.certificate)


@lru_cache(maxsize=1024)
def _key_of(certificate: bytes) -> str:
    try:
        return f"{ca.common_name(certificate)}-{ca.subject_hash(certificate)}"
    except BadCertificate as exc:  # OpenSSL lets pass what the parser does not
        log.error("a peer's certificate has no name that ACLs could grant anything to: %s", exc)
        return ""


@dataclass(frozen=True)
class Rule:
    """One line of an ACL file: a glob over peers' keys, lower-cased, and globs over methods."""

    peers: str
    methods: tuple[str, ...]


def parse(text: str, where: str) -> tuple[list[Rule], list[str]]:
    """The rules of one file, and a complaint for each line that is none; `where` names the file."""
    rules, complaints = [], []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        peers, equals, methods = content.partition("=")
        names = tuple(methods.replace(",", " ").split())
        if not equals or not peers.strip() or not names:
            complaints.append(
                f"{where}:{number}: not of the form CN-HASH = method1, method2: {content[:100]!r}"
            )
            continue
        rules.append(Rule(peers.strip().lower(), names))
    return rules, complaints


class Acl:
    """The rules of a directory of `*.acl` files, read again whenever one of them changes. Thread-safe.

    Nothing matches: denied. The certmaster's own certificate may do everything when `ca_may_all`: it is
    told by its bytes, as anybody could ask for a certificate with the same subject.
    """

    def __init__(
        self,
        directory: Path,
        ca_certificates: frozenset[bytes],
        ca_may_all: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._trusted = ca_certificates if ca_may_all else frozenset()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: Optional[_Look] = None
        self._rules: tuple[Rule, ...] = ()
        self._told: frozenset[str] = frozenset()

    def allows(self, peer: Peer, method: str) -> bool:
        """Whether the peer may call the method."""
        if peer.certificate in self._trusted:
            return True
        key = peer.key.lower()
        return bool(key) and any(
            fnmatchcase(key, rule.peers) and any(fnmatchcase(method, glob) for glob in rule.methods)
            for rule in self._current()
        )

    def _current(self) -> tuple[Rule, ...]:
        with self._lock:
            seen = self._look()
            if self._seen is None or seen.files != self._seen.files or not self._seen.is_settled:
                # Both change together and only once all is read: nobody is judged by half of the rules.
                self._rules, self._seen = self._load(), seen
            return self._rules

    def _look(self) -> _Look:
        # The time first: what changes after it is found by the next look.
        settled_before = self._clock() - SETTLED_S
        files = tuple((path.name, _look_at(path)) for path in self._files())
        changed_at = max((mark[0] for _, mark in files if mark), default=0) / 1e9
        return _Look(files, changed_at < settled_before)

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*.acl"))

    def _load(self) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        complaints: list[str] = []
        for path in self._files():
            try:
                text = path.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as exc:
                complaints.append(f"{path}: not read, its rules allow nothing: {exc}")
                continue
            found, wrong = parse(text, str(path))
            rules.extend(found)
            complaints.extend(wrong)
        for complaint in complaints:
            if complaint not in self._told:
                log.error("%s", complaint)
        self._told = frozenset(complaints)
        return tuple(rules)


@dataclass(frozen=True)
class _Look:
    """What the files look like, and whether a later change is sure to look different."""

    files: tuple[tuple[str, tuple[int, ...]], ...]
    is_settled: bool


def _look_at(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:  # taken away this moment, or a link to nothing, as editors leave it
        return ()
    return stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size, stat.st_ino


def certificates_of(pem: str) -> frozenset[bytes]:
    """Every certificate of a PEM text, as DER."""
    return frozenset(ssl.PEM_cert_to_DER_cert(block) for block in _PEM.findall(pem))
