"""Remember which keys an administrator rejected: minions ask again every ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Optional

from certmaster.certdir import PUBLIC, list_files, modified_at, remove_file, write_file

_SUFFIX = ".rejected"


class Rejections:
    """A file for each name and key, beside the requests that wait. Every method raises FileError."""

    def __init__(self, csrroot: Path) -> None:
        self._root = csrroot

    def add(self, name: str, key_fingerprint: str, csr_pem: bytes) -> None:
        """Reject that key under that name from now on."""
        write_file(self._file(name, key_fingerprint), csr_pem, PUBLIC)

    def since(self, name: str, key_fingerprint: str) -> Optional[datetime]:
        """When that key was rejected under that name; None where it was not."""
        return modified_at(self._file(name, key_fingerprint))

    def find(self, patterns: Sequence[str]) -> list[Path]:
        """The files of rejected keys whose names match one of the globs."""
        return [
            path
            for path in list_files(self._root, _SUFFIX)
            if any(fnmatch(self.name_of(path), pattern.lower()) for pattern in patterns)
        ]

    def forget(self, name: str) -> None:
        """Let every key ask again under that name."""
        for path in list_files(self._root, _SUFFIX):
            if self.name_of(path) == name:
                remove_file(path)

    def name_of(self, path: Path) -> str:
        """The name a file of a rejected key is about."""
        return path.name.rpartition("-")[0]

    def _file(self, name: str, key_fingerprint: str) -> Path:
        return self._root / f"{name}-{key_fingerprint}{_SUFFIX}"
