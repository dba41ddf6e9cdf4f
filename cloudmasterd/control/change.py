"""Change files on this machine so that all of it holds, or nothing of it."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Optional

from cloudmasterd.control.archive import BLOCK, Source
from cloudmasterd.control.places import ASIDE, MASTER, ROOT, Owner
from cloudmasterd.errors import BackupError
from cloudmasterd.store.copying import Claim


class Change:
    """What is changed between `with` and `done`; without `done` it is taken back in reverse order.

    Inside `with`, an OSError becomes a BackupError that says so.
    """

    def __init__(self, root: Path, stamp: str) -> None:
        self._root = root
        self._stamp = stamp
        self._undo = ExitStack()
        self._claim: Optional[Claim] = None
        self.written = 0
        self.aside: list[Path] = []

    def __enter__(self) -> Change:
        return self

    def __exit__(self, kind: object, exc: object, trace: object) -> None:
        if self._claim is not None:
            self._claim.release()
        self._undo.close()
        if isinstance(exc, OSError):
            where = exc.filename or self._root
            raise BackupError(
                f"{where} cannot be written: {exc.strerror or exc}; all is as it was before"
            ) from exc

    def claim(self, database: Path) -> None:
        """Keep cloud masters away until the end; StoreLocked where one runs."""
        self.folder(database.parent, 0o750, MASTER)
        existed = Path(f"{database}.lock").exists()
        self._claim = claim = Claim(database)
        if not existed:
            self._undo.callback(claim.file.unlink, missing_ok=True)
            _own(claim.file, MASTER)

    def put_aside(self, path: Path) -> None:
        """Rename what stands in the way; a directory gets an empty successor of the same owner and mode."""
        if not path.exists():
            return
        to = path.with_name(f"{path.name}{ASIDE}{self._stamp}")
        found = path.stat()
        path.rename(to)
        self._undo.callback(to.rename, path)
        self.aside.append(to)
        if to.is_dir():
            path.mkdir(mode=0o700)
            self._undo.callback(_remove_empty, path)
            if os.geteuid() == 0:
                os.chown(path, found.st_uid, found.st_gid)
            path.chmod(found.st_mode & 0o7777)

    def folder(self, path: Path, mode: int, owner: Owner) -> None:
        """Make a directory where there is none, and those above it."""
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700)
            self._undo.callback(_remove_empty, folder)
            _own(folder, owner if folder == path else ROOT)
            folder.chmod(mode if folder == path else 0o755)

    def write(self, path: Path, data: Source, mode: int, owner: Owner) -> None:
        """Write one new file, which appears whole, with its mode and owner."""
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        part = Path(name)
        self._undo.callback(part.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as out:
            shutil.copyfileobj(data, out, BLOCK)
            out.flush()
            _own(part, owner)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        part.rename(path)
        self._undo.callback(path.unlink, missing_ok=True)
        self.written += 1

    def done(self, folders: Sequence[Path]) -> None:
        """All is there, and outlasts a power cut once `folders` are on the disk: nothing is taken back."""
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if self._claim is not None:
            self._claim.replaced()
        self._undo.pop_all()


def _own(path: Path, owner: Owner) -> None:
    """Give a file to whom the packages would, where there are such users and we may."""
    if os.geteuid() != 0:
        return
    try:
        user, group = pwd.getpwnam(owner.user).pw_uid, grp.getgrnam(owner.group).gr_gid
    except KeyError:
        return  # no packages here: all programs run as the one who does this
    os.chown(path, user, group)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
