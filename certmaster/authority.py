"""Decide which requests become certificates, and keep the authority's files in step with that."""

from __future__ import annotations

import difflib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Optional

from certmaster import ca, proof
from certmaster.certdir import (
    PUBLIC,
    SECRET,
    find_file,
    list_files,
    locked,
    modified_at,
    read_file,
    remove_file,
    secret_mode,
    write_file,
)
from certmaster.config import CertmasterConfig
from certmaster.errors import (
    BadCertificate,
    BadRequest,
    FileError,
    KeyConflict,
    TokenRefused,
    UnknownName,
)
from certmaster.names import authority_name
from certmaster.tokens import Tokens

log = logging.getLogger(__name__)

# Anyone on the network may leave a request: what waits must not fill the disk.
MOST_WAITING = 1000

_KEY = "certmaster.key"
_CERT = "certmaster.crt"


@dataclass(frozen=True)
class Signed:
    """One signed certificate."""

    name: str
    path: Path
    expires_at: datetime


@dataclass(frozen=True)
class Waiting:
    """One request that waits; its key is the empty string where the file cannot be read as a request."""

    name: str
    key_fingerprint: str
    since: datetime


class Authority:
    """A certificate authority in the files of certmaster.conf.

    Safe to use from several threads and processes at once. `now` tells the time in UTC, `chance(n)` gives n
    random bits. Every method raises FileError where a file is in the way.
    """

    def __init__(
        self,
        config: CertmasterConfig,
        host_name: str,
        now: Callable[[], datetime],
        chance: Callable[[int], int] = secrets.randbits,
        key_bits: int = ca.CA_KEY_BITS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._config = config
        self._host_name = host_name
        self._now = now
        self._chance = chance
        self._key_bits = key_bits
        self._most_waiting = most_waiting
        self.tokens = Tokens(config.tokenroot, now, lambda: locked(config.cadir))

    def prepare(self) -> bytes:
        """The authority's certificate; key and certificate are made where there are none yet."""
        if not ((self._config.cadir / _KEY).exists() and (self._config.cadir / _CERT).exists()):
            with locked(self._config.cadir):
                self._make_pair()
        return self._check_pair()

    def certificate(self) -> bytes:
        """The authority's certificate as it lies in its file."""
        return self._read(_CERT)

    def enrol(self, csr_pem: bytes) -> Optional[bytes]:
        """The certificate for a request, None while it waits for an administrator.

        Raises BadRequest for an unsound one, KeyConflict where the name belongs to another key, TokenRefused
        where it shows a token that is not good; such a request is not kept waiting.
        """
        request = ca.read_request(csr_pem)
        if proof.is_proof(request.challenge):
            return self._enrol_by_token(request, csr_pem)
        # Most calls are polls; those find what is there without keeping a signature waiting.
        issued = self._issued(request)
        if issued is not None:
            return issued
        with locked(self._config.cadir):
            issued = self._issued(request)
            if issued is not None:
                return issued
            is_waiting = self._is_waiting(request)
            if self._config.autosign:
                return self._sign(request, csr_pem)
            if not is_waiting:
                self._keep_waiting(request, csr_pem)
        return None

    def _enrol_by_token(self, request: ca.CertRequest, csr_pem: bytes) -> bytes:
        """Sign once for whoever proves to have a token; the same request gets its certificate again."""
        name, key = request.name, request.key_fingerprint
        with locked(self._config.cadir):
            there = self._signed(name)
            conflict = "" if there is None else self._conflict(request, there)
            if there is not None and not conflict and ca.expires_at(there) > self._now():
                self.tokens.end_claims(name)  # what a crash cut off is done
                return there
            token = self.tokens.proved(request.challenge, name, key)
            if conflict and not token.replace:
                raise TokenRefused(f"{conflict}; so does a token made with --replace. Its own is not used up")
            # Claimed first: whatever moment this is cut off at, nobody else gets in by this token.
            token = self.tokens.claim(token, name, key)
            if there is not None and conflict:
                self.tokens.end_claims(name, but=token.id)
                self._set_aside(name, there)
            if find_file(self._config.csrroot, f"{name}.csr").exists():
                log.warning(
                    "the request that waited under %s is dropped: %s came with a token", name, key[:16]
                )
            pem = self._sign(request, csr_pem)
            self.tokens.use_up(token)
        return pem

    def list_waiting(self) -> list[str]:
        """The names that wait for a signature, sorted."""
        return [path.stem for path in list_files(self._config.csrroot, ".csr")]

    def describe_waiting(self) -> list[Waiting]:
        """The requests that wait, by name, with what tells them apart."""
        found = []
        for path in list_files(self._config.csrroot, ".csr"):
            pem = read_file(path)
            if pem is None:
                continue  # just signed or cleaned
            try:
                key = ca.read_request(pem).key_fingerprint
            except BadRequest:
                key = ""
            found.append(Waiting(path.stem, key, modified_at(path) or self._now()))
        return found

    def list_signed(self, patterns: Sequence[str] = ()) -> list[Signed]:
        """The signed certificates whose names match one of the globs (all without one), by name."""
        found = []
        for path in list_files(self._config.certroot, self._suffix):
            name = path.name[: -len(self._suffix)]
            if not patterns or _matches(name, patterns):
                found.append(Signed(name, path, ca.expires_at(self._certificate(path))))
        return found

    def list_hashes(self, patterns: Sequence[str] = ()) -> list[str]:
        """`CN-HASH` of each signed certificate that matches, as Func's access lists write it."""
        pems = [self._certificate(signed.path) for signed in self.list_signed(patterns)]
        return [f"{ca.common_name(pem)}-{ca.subject_hash(pem)}" for pem in pems]

    def sign(self, name: str) -> Path:
        """Sign what waits under that name; the certificate's file.

        Raises UnknownName, BadRequest, KeyConflict.
        """
        self.prepare()
        with locked(self._config.cadir):
            path = find_file(self._config.csrroot, f"{_file_stem(name)}.csr")
            csr_pem = read_file(path)
            if csr_pem is None:
                raise UnknownName(self._nothing_under(name))
            request = ca.read_request(csr_pem)
            if request.name != path.stem.lower():
                raise BadRequest(f"{path} asks for the name {request.name!r}: clean it and let it ask again")
            if self._issued(request) is None:
                self._sign(request, csr_pem)
            else:
                remove_file(path)
        return self._cert_file(request.name)

    def clean(self, pattern: str) -> list[Path]:
        """Remove the requests and certificates whose names match a glob; what was removed.

        Raises UnknownName.
        """
        with locked(self._config.cadir):
            waiting = list_files(self._config.csrroot, ".csr")
            found = [p for p in waiting if _matches(p.stem, [pattern])]
            signed = list_files(self._config.certroot, self._suffix)
            found += [p for p in signed if _matches(p.name[: -len(self._suffix)], [pattern])]
            if not found:
                names = self.list_waiting() + [p.name[: -len(self._suffix)] for p in signed]
                raise UnknownName(f"nothing waits or is signed for {pattern!r}{_nearest(pattern, names)}")
            for path in found:
                if path.name.endswith(self._suffix):
                    self.tokens.end_claims(path.name[: -len(self._suffix)].lower())
                remove_file(path)
        return found

    @property
    def _suffix(self) -> str:
        return f".{self._config.cert_extension}"

    def _cert_file(self, name: str) -> Path:
        return find_file(self._config.certroot, f"{name}{self._suffix}")

    def _certificate(self, path: Path) -> bytes:
        """The bytes of a signed certificate, looked at once so that every error names the file."""
        pem = read_file(path)
        if pem is None:
            raise FileError(f"{path}: has just been removed")
        try:
            ca.common_name(pem)
        except BadCertificate as exc:
            raise FileError(f"{path}: {exc}") from exc
        return pem

    def _issued(self, request: ca.CertRequest) -> Optional[bytes]:
        """The certificate that the request's key has and can still use, if any; raises KeyConflict."""
        pem = self._signed(request.name)
        if pem is None:
            return None
        conflict = self._conflict(request, pem)
        if conflict:
            raise KeyConflict(conflict)
        return pem if ca.expires_at(pem) > self._now() else None

    def _signed(self, name: str) -> Optional[bytes]:
        path = self._cert_file(name)
        return self._certificate(path) if path.exists() else None

    def _conflict(self, request: ca.CertRequest, pem: bytes) -> str:
        """Why the certificate under the request's name stands against it; empty where it does not."""
        free = f"`certmaster-ca --clean {request.name}` frees the name"
        if ca.key_fingerprint(pem) != request.key_fingerprint:
            return f"{request.name} is signed for another key than {request.key_fingerprint[:16]}...: {free}"
        if not ca.is_issued_by(pem, self._read(_CERT)):
            return f"{self._cert_file(request.name)} is from another authority: {free}"
        return ""

    def _set_aside(self, name: str, pem: bytes) -> None:
        """Keep a certificate that is about to be replaced: it is good until its end, unless it is revoked.

        The copy is written before the original goes: one that is still in certroot was never replaced.
        """
        path = self._config.replacedroot / f"{name}-{ca.serial_number(pem):x}{self._suffix}"
        write_file(path, pem, PUBLIC)
        log.warning("the certificate of %s is replaced: the old one is kept in %s", name, path)

    def _is_waiting(self, request: ca.CertRequest) -> bool:
        path = find_file(self._config.csrroot, f"{request.name}.csr")
        waiting = read_file(path)
        if waiting is None:
            return False
        try:
            key = ca.read_request(waiting).key_fingerprint
        except BadRequest as exc:
            raise FileError(f"{path}: {exc}: `certmaster-ca --clean {path.stem}` removes it") from exc
        if key != request.key_fingerprint:
            raise KeyConflict(
                f"{request.name} waits for another key than {request.key_fingerprint[:16]}...: "
                f"`certmaster-ca --clean {path.stem}` removes that request"
            )
        return True

    def _keep_waiting(self, request: ca.CertRequest, csr_pem: bytes) -> None:
        if len(self.list_waiting()) >= self._most_waiting:
            raise KeyConflict(f"{self._most_waiting} requests wait already: sign or clean some of them first")
        # Other tools put passwords of people into requests.
        mode = SECRET if request.challenge else PUBLIC
        write_file(self._config.csrroot / f"{request.name}.csr", csr_pem, mode)
        log.info("%s waits: `certmaster-ca --sign %s` signs it", request.name, request.name)

    def _sign(self, request: ca.CertRequest, csr_pem: bytes) -> bytes:
        """Sign and store; to be called with the lock held."""
        cert_pem, key_pem = self._read(_CERT), self._read(_KEY)
        serial = self._next_serial()
        pem = ca.sign(csr_pem, cert_pem, key_pem, serial, self._now(), self._config.cert_days)
        path = self._cert_file(request.name)
        write_file(path, pem, PUBLIC)
        remove_file(find_file(self._config.csrroot, f"{request.name}.csr"))
        log.info("%s signed: %s, serial %x, until %s", request.name, path, serial, ca.expires_at(pem).date())
        return pem

    def _next_serial(self) -> int:
        """A serial number of no other certificate of this authority; the count is kept before its use."""
        path = self._config.cadir / "serial.txt"
        text = (read_file(path) or b"0").strip()
        if not text.isdigit():
            raise FileError(f"{path}: holds {text[:20]!r}: write the count of certificates signed so far")
        count = int(text) + 1
        write_file(path, b"%d\n" % count, PUBLIC)
        # The count never repeats, and the random half still tells apart should serial.txt be lost.
        return (count << 64) | self._chance(64)

    def _check_pair(self) -> bytes:
        """The authority's certificate, after a look at whether it can sign."""
        cert_pem, key_pem = self._read(_CERT), self._read(_KEY)
        where = f"{self._config.cadir / _CERT} and {self._config.cadir / _KEY}"
        try:
            is_pair = ca.key_matches(cert_pem, key_pem)
        except BadCertificate as exc:
            raise FileError(f"{where}: {exc}") from exc
        if not is_pair:
            raise FileError(f"{where} do not belong together: restore both from the same backup")
        return cert_pem

    def _read(self, name: str) -> bytes:
        path = self._config.cadir / name
        data = read_file(path)
        if data is None:
            raise FileError(f"{path} is missing: restore it, or start certmaster to begin a new authority")
        return data

    def _make_pair(self) -> None:
        """Make what is missing; the lock is held, and another process may just have done it."""
        key_file, cert_file = self._config.cadir / _KEY, self._config.cadir / _CERT
        key_pem = read_file(key_file)
        if key_pem is None and cert_file.exists():
            raise FileError(
                f"{key_file} is missing beside {cert_file}: restore it, or remove both for a new authority"
            )
        if key_pem is None:
            key_pem = ca.new_key(self._key_bits)
            write_file(key_file, key_pem, secret_mode(key_file.parent))
        if not cert_file.exists():
            name = authority_name(self._host_name)
            pem = ca.make_ca(name, key_pem, self._next_serial(), self._now())
            write_file(cert_file, pem, PUBLIC)
            log.info("made the authority %s: %s, SHA-256 %s", name, cert_file, ca.fingerprint(pem))

    def _nothing_under(self, name: str) -> str:
        waiting = self.list_waiting()
        if self._cert_file(_file_stem(name)).exists():
            return f"{name} is signed already; nothing waits under that name"
        if not waiting:
            return f"nothing waits for a signature, {name} neither"
        return f"nothing waits under the name {name!r}{_nearest(name, waiting)}"


def _file_stem(name: str) -> str:
    """A name as typed, unable to point out of its directory."""
    return name.replace("/", "").replace("\\", "")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name.lower(), pattern.lower()) for pattern in patterns)


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"; the nearest is {close[0]}"
    return f"; there is {', '.join(names[:5])}" if names else ""
