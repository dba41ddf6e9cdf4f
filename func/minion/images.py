"""Images of the cloud master, kept here for machines to stand on: received in pieces, checked, evicted."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from func.errors import HostError
from func.minion.codes import BadSpec, DiskFull, NoSuchVolume

log = logging.getLogger(__name__)

MIB = 2**20
FORMATS = ("qcow2", "raw")
YOUNG_S = 3600.0  # who was asked for so lately is about to be used
FORGOTTEN_S = 86400.0  # half an image that nobody went on with
WAIT_S = 5.0  # how long one question waits for a checksum

_SHA256 = re.compile(r"[0-9a-f]{64}")
_QCOW2 = b"QFI\xfb"
_FULL = (errno.ENOSPC, errno.EDQUOT)

# The paths that disks of this host stand on; None where that cannot be told.
InUse = Callable[[], Optional[frozenset[str]]]


@dataclass(frozen=True)
class ImageFile:
    """An image that is here, whole and checked; sizes in bytes."""

    path: Path
    format: str
    virtual_size: int


class _Check:
    """A checksum that is being reckoned by a thread of its own: large files take minutes."""

    def __init__(self, path: Path) -> None:
        self.done = 0
        self.sum: Optional[str] = None
        self.error: Optional[OSError] = None
        self._path = path
        self.thread = threading.Thread(target=self._run, name="image-check", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        sums = hashlib.sha256()
        try:
            with self._path.open("rb") as stream:
                while block := stream.read(MIB):
                    sums.update(block)
                    self.done += len(block)
                os.fsync(stream.fileno())
        except OSError as exc:
            self.error = exc
            return
        self.sum = sums.hexdigest()


class ImageCache:
    """Image files by their SHA-256, `<sha256>.<format>`; the half of one is `<sha256>.part`. Thread-safe.

    Raises HostError: BadSpec, DiskFull, and for what the file system says.
    """

    def __init__(
        self,
        directory: Path,
        keep_bytes: int,
        in_use: InUse = lambda: None,
        clock: Callable[[], float] = time.time,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._directory = directory
        self._keep_bytes = keep_bytes
        self._in_use = in_use
        self._clock = clock
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._checks: dict[str, _Check] = {}

    def status(self, sha256: str, form: str, size_bytes: int) -> Mapping[str, Any]:
        """{"have", "received"}; of one that is not here, makes room for what is missing. Raises DiskFull."""
        _check(sha256, form, size_bytes)
        with self._lock, self._translated():
            if self._touch(sha256, form):
                return {"have": True, "received": size_bytes}
            self._make_directory()
            part = self._part(sha256)
            received = part.stat().st_size if part.exists() else 0
            if received > size_bytes:
                part.unlink()
                received = 0
            self._make_room(sha256, size_bytes, size_bytes - received)
            return {"have": False, "received": received}

    def put(self, sha256: str, offset: int, data: bytes) -> Mapping[str, Any]:
        """{"received"}: where to go on. A piece that does not follow what is here changes nothing."""
        _check(sha256, FORMATS[0], 1)
        with self._lock, self._translated():
            whole = self.find(sha256)
            if whole is not None or sha256 in self._checks:
                return {"received": (whole.path if whole else self._part(sha256)).stat().st_size}
            self._make_directory()
            with os.fdopen(os.open(self._part(sha256), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
                received = stream.seek(0, os.SEEK_END)
                if offset == received:
                    try:
                        stream.write(data)
                        stream.flush()
                    except OSError:
                        stream.truncate(received)  # what did not fit whole is not there
                        raise
                    received += len(data)
            return {"received": received}

    def finish(self, sha256: str, form: str, size_bytes: int) -> Mapping[str, Any]:
        """{"have", "received", "checked", "wrong"}: where neither, ask again, or put what is missing.

        `wrong` is the checksum of what came where it is not the one wanted; that is gone then.
        """
        _check(sha256, form, size_bytes)
        with self._lock, self._translated():
            if self._touch(sha256, form):
                return _answer(size_bytes, have=True, checked=size_bytes)
            part = self._part(sha256)
            received = part.stat().st_size if part.exists() else 0
            if received != size_bytes:
                return _answer(received)
            check = self._checks.get(sha256) or _Check(part)
            self._checks[sha256] = check
        check.thread.join(WAIT_S)
        if check.thread.is_alive():
            return _answer(size_bytes, checked=check.done)
        with self._lock, self._translated():
            return self._end(sha256, form, size_bytes, check)

    def find(self, sha256: str) -> Optional[ImageFile]:
        """The image, if it is here."""
        for form in FORMATS:
            path = self._directory / f"{sha256}.{form}"
            try:
                return ImageFile(path, form, _virtual_size(path, form))
            except FileNotFoundError:
                continue
        return None

    @contextmanager
    def using(self, sha256: str) -> Iterator[ImageFile]:
        """The image, which is not evicted meanwhile; raises NoSuchVolume."""
        _check(sha256, FORMATS[0], 1)
        with self._translated(), self._held(fcntl.LOCK_SH):
            found = self.find(sha256)
            if found is None:
                raise NoSuchVolume(f"image {sha256[:12]} is not on this host; have the cloud master send it")
            os.utime(found.path, (self._clock(), self._clock()))
            yield found

    def _end(self, sha256: str, form: str, size_bytes: int, check: _Check) -> Mapping[str, Any]:
        if self._checks.get(sha256) is check:
            del self._checks[sha256]
        if self._touch(sha256, form):  # another who asked was first
            return _answer(size_bytes, have=True, checked=size_bytes)
        part = self._part(sha256)
        if check.error is not None:
            raise check.error
        if check.sum != sha256:
            part.unlink(missing_ok=True)
            return _answer(0, wrong=check.sum)
        try:
            _virtual_size(part, form)
        except BadSpec:
            part.unlink()
            raise
        part.chmod(0o644)  # QEMU's own user reads it
        os.utime(part, (self._clock(), self._clock()))
        part.replace(self._directory / f"{sha256}.{form}")
        with self._held(fcntl.LOCK_SH) as folder:
            os.fsync(folder)
        return _answer(size_bytes, have=True, checked=size_bytes)

    def _touch(self, sha256: str, form: str) -> bool:
        try:
            os.utime(self._directory / f"{sha256}.{form}", (self._clock(), self._clock()))
        except FileNotFoundError:
            return False
        return True

    def _part(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.part"

    def _make_directory(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(parents=True, exist_ok=True)
            self._directory.chmod(0o711)  # QEMU opens what it is told the name of, and sees no list

    @contextmanager
    def _held(self, how: int) -> Iterator[int]:
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, how)
            yield folder
        finally:
            os.close(folder)

    def _make_room(self, sha256: str, size_bytes: int, missing: int) -> None:
        too_many = sum(file.stat().st_size for file in self._images()) + size_bytes - self._keep_bytes
        too_full = missing - self._free_bytes(self._directory)
        if max(too_many, too_full) > 0:
            self._evict(max(too_many, too_full), but=sha256)
        free = self._free_bytes(self._directory)
        if missing > free:
            raise DiskFull(
                f"an image of {_mb(size_bytes)} MB needs {_mb(missing)} MB more in {self._directory}, and"
                f" {free // MIB} MB are free there; the {len(self._images())} images there are in use"
            )

    def _images(self) -> list[Path]:
        """The whole ones, those that were not asked for longest first."""
        files = [file for form in FORMATS for file in self._directory.glob(f"*.{form}")]
        return sorted(files, key=lambda file: file.stat().st_mtime)

    def _evict(self, wanted: int, but: str) -> None:
        now = self._clock()
        for part in self._directory.glob("*.part"):
            if (
                part.stem != but
                and part.stem not in self._checks
                and now - part.stat().st_mtime > FORGOTTEN_S
            ):
                wanted -= part.stat().st_size
                part.unlink()
        old = [file for file in self._images() if now - file.stat().st_mtime > YOUNG_S]
        used = self._in_use() if old and wanted > 0 else None
        if used is None:
            return
        with self._held(fcntl.LOCK_EX):
            for file in old:
                real = os.path.realpath(file)
                if wanted <= 0 or {str(file), real} & used or now - file.stat().st_mtime <= YOUNG_S:
                    continue
                wanted -= file.stat().st_size
                log.info("image %s is used by nobody and makes room", file)
                file.unlink()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in _FULL:
                free = self._free_bytes(self._directory) // MIB
                raise DiskFull(f"no room for images in {self._directory}: {free} MB are free") from exc
            raise HostError(f"images in {self._directory}: {exc}") from exc


def _answer(
    received: int, *, have: bool = False, checked: int = 0, wrong: Optional[str] = None
) -> Mapping[str, Any]:
    return {"have": have, "received": received, "checked": checked, "wrong": wrong}


def _check(sha256: Any, form: Any, size_bytes: Any) -> None:
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise BadSpec(f"{str(sha256)[:80]!r} is no SHA-256; right are 64 hex digits in lower case")
    if form not in FORMATS:
        raise BadSpec(f"format is one of {', '.join(FORMATS)}, not {str(form)[:40]!r}")
    if isinstance(size_bytes, bool) or not isinstance(size_bytes, int) or size_bytes < 1:
        raise BadSpec(f"size is a number of bytes, not {str(size_bytes)[:40]!r}")


def _virtual_size(path: Path, form: str) -> int:
    with path.open("rb") as stream:
        if form == "raw":
            return stream.seek(0, os.SEEK_END)
        head = stream.read(32)
    if len(head) < 32 or head[:4] != _QCOW2:
        raise BadSpec(f"the image {path.stem} is no QCOW2 file, which it was said to be")
    (size,) = struct.unpack_from(">Q", head, 24)
    return int(size)


def _mb(size_bytes: int) -> int:
    return -(-size_bytes // MIB)
