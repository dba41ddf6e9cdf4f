"""Reach files below the folders that may be reached, and no others, whatever links lie on the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from func.minion.codes import FuncException

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OutOfBounds(FuncException):
    """The path is none, or leads out of the folders that the module's configuration allows."""


@dataclass(frozen=True)
class Place:
    """A file in a folder that is held open: nobody can put another folder in its place."""

    folder: int
    name: str
    path: str  # where it really is, for texts

    def stream(self, flags: int) -> IO[bytes]:
        """The file itself, opened, never what a link leads to, and a regular one. Raises OSError."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, 0o600, dir_fd=self.folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{self.path} is no regular file")
        return os.fdopen(descriptor, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb")

    def exists(self) -> bool:
        """Whether there is anything of that name."""
        try:
            os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


class Folders:
    """The folders below which files may be reached, as seen from inside the root."""

    def __init__(self, root: Path, allowed: Sequence[str], where: str) -> None:
        self._root = root
        self._allowed = tuple(allowed)
        self._where = where

    @contextmanager
    def reach(self, path: str, make: bool = False) -> Iterator[Place]:
        """The file of that absolute path; `make` makes its folders. Raises OutOfBounds, OSError."""
        if not isinstance(path, str) or not path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise OutOfBounds(f"{path!r:.200} is no absolute path without `..`")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or path.endswith("/"):
            raise OutOfBounds(f"{path!r:.200} is no file's path, but a folder's")
        folder = self._enter(parts[:-1], make)
        try:
            self._check(folder, path)
            yield Place(folder, parts[-1], f"{_path_of(folder)}/{parts[-1]}")
        finally:
            os.close(folder)

    def _enter(self, parts: Sequence[str], make: bool) -> int:
        folder = os.open(self._root, _DIRECTORY)
        for part in parts:
            try:
                below = self._step(folder, part, make)
            finally:
                os.close(folder)
            folder = below
        return folder

    def _step(self, folder: int, part: str, make: bool) -> int:
        try:
            return os.open(part, _DIRECTORY, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
        self._check(folder, part)
        os.mkdir(part, 0o700, dir_fd=folder)
        made = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        os.fchmod(made, 0o755)  # whatever the mask of this process: who may read the file is in its own mode
        return made

    def _check(self, folder: int, path: str) -> None:
        """Where the folder really is counts, after all links."""
        real = Path(_path_of(folder))
        for allowed in self._allowed:
            top = Path(os.path.realpath(self._root / allowed.lstrip("/")))
            if real == top or top in real.parents:
                return
        known = ", ".join(self._allowed) or "none"
        raise OutOfBounds(f"{path!r:.200} leads to {real}; {self._where} allows {known}")


def _path_of(folder: int) -> str:
    return os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH115 - of a descriptor
