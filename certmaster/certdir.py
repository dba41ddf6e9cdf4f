"""The files of keys and certificates: written whole, found in any case, one writer at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from certmaster.errors import FileError

SECRET = 0o600
PUBLIC = 0o644


@dataclass(frozen=True)
class MinionFiles:
    """Where a minion keeps what proves its name; the files may not be there yet."""

    key_file: Path
    csr_file: Path
    cert_file: Path
    ca_file: Path

    @property
    def crl_file(self) -> Path:
        """The list of revoked certificates, beside the authority's own certificate."""
        return self.ca_file.with_suffix(".crl")


def minion_files(cert_dir: Path, name: str) -> MinionFiles:
    """The files of the minion `name`, under whatever case they were written."""
    return MinionFiles(
        key_file=find_file(cert_dir, f"{name}.pem"),
        csr_file=find_file(cert_dir, f"{name}.csr"),
        cert_file=find_file(cert_dir, f"{name}.cert"),
        ca_file=find_file(cert_dir, "ca.cert"),
    )


def find_file(directory: Path, file_name: str) -> Path:
    """The file of that name in any case, the exact one first; the exact path where there is none."""
    exact = directory / file_name
    if exact.exists():
        return exact
    for other in list_files(directory):
        if other.name.lower() == file_name.lower():
            return other
    return exact


def list_files(directory: Path, suffix: str = "") -> list[Path]:
    """The files whose names end in `suffix`, sorted; none without the directory. Raises FileError."""
    try:
        found = [p for p in directory.iterdir() if p.name.endswith(suffix) and not p.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise FileError(f"{directory}: cannot be listed: {exc.strerror}") from exc
    return sorted(found)


def read_file(path: Path) -> Optional[bytes]:
    """The bytes of a file, None where it is missing. Raises FileError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise FileError(f"{path}: cannot be read: {exc.strerror}") from exc


def modified_at(path: Path) -> Optional[datetime]:
    """When a file was last written, in UTC; None where it is missing. Raises FileError."""
    try:
        return datetime.fromtimestamp(int(path.stat().st_mtime), timezone.utc)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise FileError(f"{path}: cannot be looked at: {exc.strerror}") from exc


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Put `data` in place of the file in one step that outlasts a crash; the directory is made if need be.

    At no moment does the file exist with less than all of its bytes or with a wider mode. Raises FileError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink()
            raise
        _sync_directory(path.parent)
    except OSError as exc:
        raise FileError(f"{path}: cannot be written: {exc.strerror}") from exc


def remove_file(path: Path) -> None:
    """Remove a file that may be gone already. Raises FileError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise FileError(f"{path}: cannot be removed: {exc.strerror}") from exc


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep every other thread and process that locks `directory` waiting. Raises FileError."""
    path = directory / ".lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Opened anew by each holder: flock tells descriptors apart, so threads exclude each other too.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET)
    except OSError as exc:
        raise FileError(f"{path}: cannot be locked: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
