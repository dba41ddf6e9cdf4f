"""The requests that wait and the certificates that were signed, as they lie in their files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Optional

from certmaster import ca
from certmaster.certdir import PUBLIC, SECRET, find_file, list_files, modified_at, read_file, write_file
from certmaster.errors import BadCertificate, BadRequest, FileError, KeyConflict
from certmaster.names import MASTER_SIGN

# PEM allows lines of text before what it is about.
_FROM = "Requested-From: "


@dataclass(frozen=True)
class Signed:
    """One signed certificate."""

    name: str
    path: Path
    expires_at: datetime


@dataclass(frozen=True)
class Waiting:
    """One request that waits.

    Its key is the empty string where the file cannot be read as a request, its address where nobody knows it.
    """

    name: str
    key_fingerprint: str
    since: datetime
    address: str = ""


class Shelf:
    """The files of certroot, masterroot and csrroot. Every method raises FileError."""

    def __init__(
        self, certroot: Path, csrroot: Path, masterroot: Path, extension: str, admit_weak: bool
    ) -> None:
        self._certroot = certroot
        self._csrroot = csrroot
        self._masterroot = masterroot
        self.suffix = f".{extension}"
        self._admit_weak = admit_weak

    def cert_file(self, name: str) -> Path:
        """Where the certificate of that name is, or would be."""
        # Apart from the others: whose name is in certroot is a minion to be called.
        root = self._masterroot if MASTER_SIGN in name else self._certroot
        return find_file(root, f"{name}{self.suffix}")

    def csr_file(self, name: str) -> Path:
        """Where the request of that name waits, or would."""
        return find_file(self._csrroot, f"{name}.csr")

    def signed(self, name: str) -> Optional[bytes]:
        """The certificate signed under a name, if any."""
        path = self.cert_file(name)
        return self.certificate(path) if path.exists() else None

    def certificate(self, path: Path) -> bytes:
        """The bytes of a signed certificate, looked at once so that every error names the file."""
        pem = read_file(path)
        if pem is None:
            raise FileError(f"{path}: has just been removed")
        try:
            ca.common_name(pem)
        except BadCertificate as exc:
            raise FileError(f"{path}: {exc}") from exc
        return pem

    def list_waiting(self) -> list[str]:
        """The names that wait for a signature, sorted."""
        return [path.stem for path in self.find_waiting(())]

    def nothing_under(self, name: str) -> str:
        """Why no request of that name can be signed."""
        waiting = self.list_waiting()
        if self.cert_file(file_stem(name)).exists():
            return f"{name} is signed already; nothing waits under that name"
        if not waiting:
            return f"nothing waits for a signature, {name} neither"
        return f"nothing waits under the name {name!r}{nearest(name, waiting)}"

    def keep(self, request: ca.CertRequest, csr_pem: bytes, address: str) -> None:
        """Store a request that waits, and the address it came from."""
        # Other tools put passwords of people into requests.
        mode = SECRET if request.challenge else PUBLIC
        write_file(self._csrroot / f"{request.name}.csr", f"{_FROM}{address}\n".encode() + csr_pem, mode)

    def set_aside(self, directory: Path, name: str, pem: bytes) -> None:
        """Keep a certificate that another takes the place of.

        The copy is written before the original goes: one that is still in certroot was never replaced.
        """
        write_file(directory / f"{name}-{ca.serial_number(pem):x}{self.suffix}", pem, PUBLIC)

    def is_waiting(self, request: ca.CertRequest) -> bool:
        """Whether that key waits under its name; raises KeyConflict where another does."""
        path = self.csr_file(request.name)
        waiting = read_file(path)
        if waiting is None:
            return False
        try:
            key = ca.read_request(waiting, admit_weak=self._admit_weak).key_fingerprint
        except BadRequest as exc:
            raise FileError(f"{path}: {exc}: `certmaster-ca --clean {path.stem}` removes it") from exc
        if key != request.key_fingerprint:
            raise KeyConflict(
                f"{request.name} waits for another key than {request.key_fingerprint[:16]}...: "
                f"`certmaster-ca --clean {path.stem}` removes that request"
            )
        return True

    def describe_waiting(self) -> list[Waiting]:
        """The requests that wait, by name, with what tells them apart."""
        found = []
        for path in self.find_waiting(()):
            pem, since = read_file(path), modified_at(path)
            if pem is None or since is None:
                continue  # just signed or cleaned
            try:
                key = ca.read_request(pem, admit_weak=self._admit_weak).key_fingerprint
            except BadRequest:
                key = ""
            found.append(Waiting(path.stem, key, since, _address(pem)))
        return found

    def list_signed(self, patterns: Sequence[str] = ()) -> list[Signed]:
        """The signed certificates whose names match one of the globs (all without one), by name."""
        return [
            Signed(self.name_of(path), path, ca.expires_at(self.certificate(path)))
            for path in self.find_signed(patterns)
        ]

    def find_signed(self, patterns: Sequence[str]) -> list[Path]:
        """The files of signed certificates whose names match one of the globs; all without one.

        Those of cloud masters are among them where a glob has their sign.
        """
        found = [p for p in list_files(self._certroot, self.suffix) if _matches(self.name_of(p), patterns)]
        of_masters = [pattern for pattern in patterns if MASTER_SIGN in pattern]
        if of_masters:
            files = list_files(self._masterroot, self.suffix)
            found += [p for p in files if _matches(self.name_of(p), of_masters)]
        return found

    def find_waiting(self, patterns: Sequence[str]) -> list[Path]:
        """The files of waiting requests whose names match one of the globs; all without one."""
        return [p for p in list_files(self._csrroot, ".csr") if _matches(p.stem, patterns)]

    def name_of(self, cert_file: Path) -> str:
        """The name a signed certificate's file says."""
        return cert_file.name[: -len(self.suffix)]


def _address(csr_pem: bytes) -> str:
    """Where a request came from, by its first line, which is ours and no part of what was sent."""
    first = csr_pem.partition(b"\n")[0].decode("ascii", "replace")
    return first[len(_FROM) :] if first.startswith(_FROM) else ""


def file_stem(name: str) -> str:
    """A name as typed, unable to point out of its directory."""
    return name.replace("/", "").replace("\\", "")


def nearest(name: str, names: Sequence[str]) -> str:
    """A clause that names what may have been meant."""
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"; the nearest is {close[0]}"
    return f"; there is {', '.join(names[:5])}" if names else ""


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch(name.lower(), pattern.lower()) for pattern in patterns)
