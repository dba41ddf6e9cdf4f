"""Keep a second cloud master off a database that one already has open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cloudmasterd.errors import StoreError, StoreLocked


class DatabaseLock:
    """An exclusive lock on a file beside the database, held until `release`, with our process id in it.

    The kernel drops the lock with the process, so a crash leaves nothing to clean up. The file stays:
    deleting it would let two processes each lock a file of that name. `unclean` tells that an owner
    did not release it; the one who has dealt with that sets it to False.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StoreError(
                f"cannot open the lock file {path}: {exc.strerror}; the account cloudmasterd runs under must"
                f" be able to create and write files in {path.parent}"
            ) from exc
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = self._owner()
            os.close(self._descriptor)
            if isinstance(exc, BlockingIOError):
                raise StoreLocked(
                    f"{path.with_suffix('')} is in use by another cloudmasterd, process {owner or 'unknown'}"
                    f" (lock file {path}); stop that one first, or give this one a database of its own"
                ) from exc
            raise StoreError(f"cannot lock {path}: {exc.strerror}") from exc
        self.unclean = bool(self._owner())
        self._write(f"{os.getpid()}\n")

    def release(self) -> None:
        """Give the database free and, unless it is still unclean, say that nothing was left undone."""
        if not self.unclean:
            self._write("")
        os.close(self._descriptor)

    def _owner(self) -> str:
        return os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()

    def _write(self, text: str) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode("ascii"), 0)
            # must reach the disk before the data it vouches for, or a power cut would pass for a clean stop
            os.fsync(self._descriptor)
        except OSError as exc:
            raise StoreError(f"cannot write {self.path}: {exc.strerror}") from exc
