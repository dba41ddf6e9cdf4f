"""The small ISO images that cloud-init reads in a machine at its first start, one a machine."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from func.errors import HostError

MAX_BYTES = 1024 * 1024
KEEP_S = 7 * 86400.0  # how long a machine may be away, to be defined anew, before its seed goes


class Seeds:
    """Seeds by the uuid of the machine; they may hold secrets, so nobody else reads them.

    libvirt hands the file to QEMU's own user when the machine starts. Raises HostError.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, uuid: str) -> Path:
        """Where the seed of a machine is, or would be."""
        return self.directory / f"{uuid}.iso"

    def put(self, uuid: str, data: bytes) -> bool:
        """Write a seed, whole or not at all; whether there was none before."""
        file = self.path(uuid)
        new = file.with_suffix(".new")
        try:
            if not self.directory.is_dir():
                self.directory.mkdir(parents=True, exist_ok=True)
                self.directory.chmod(0o711)
            fresh = not file.exists()
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(file)
        except OSError as exc:
            raise HostError(f"the seed {file} cannot be written: {exc}") from exc
        return fresh

    def delete(self, uuid: str) -> bool:
        """Remove a seed; whether there was one."""
        try:
            for suffix in (".new", ".gone"):
                self.path(uuid).with_suffix(suffix).unlink(missing_ok=True)
            self.path(uuid).unlink()
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise HostError(f"the seed {self.path(uuid)} cannot be removed: {exc}") from exc
        return True

    def sweep(self, machines: Collection[str], now: float) -> list[str]:
        """Remove the seeds of machines that were seen to be gone a week ago and still are; their uuids.

        A machine is deleted together with its seed, but one that somebody undefined by hand leaves it behind.
        A file beside the seed notes since when; one that is not defined yet is younger than that.
        """
        swept = []
        for file in sorted(self.directory.glob("*.iso")) if self.directory.is_dir() else ():
            gone = file.with_suffix(".gone")
            try:
                if file.stem in machines:
                    gone.unlink(missing_ok=True)
                elif not gone.exists():
                    gone.touch(mode=0o600)
                    os.utime(gone, (now, now))
                elif gone.stat().st_mtime < now - KEEP_S:
                    self.delete(file.stem)
                    swept.append(file.stem)
            except OSError as exc:
                raise HostError(f"the seeds in {self.directory} cannot be swept: {exc}") from exc
        return swept
