"""The small ISO images that cloud-init reads in a machine at its first start, one a machine."""

from __future__ import annotations

import os
from pathlib import Path

from func.errors import HostError

MAX_BYTES = 1024 * 1024


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
            self.path(uuid).with_suffix(".new").unlink(missing_ok=True)
            self.path(uuid).unlink()
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise HostError(f"the seed {self.path(uuid)} cannot be removed: {exc}") from exc
        return True
