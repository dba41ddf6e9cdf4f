"""Change a few files so that all of it stays, or none of it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from certmaster.certdir import read_file, remove_file, write_file


class Undoable:
    """Remembers how every file was before; leaving the block without `keep` puts all of them back."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def __enter__(self) -> Undoable:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def write(self, path: Path, text: str, mode: int) -> None:
        """Write a file; one that is there keeps its mode, unless it is a secret. Raises FileError."""
        before = read_file(path)
        found = path.stat().st_mode & 0o777 if before is not None else mode
        write_file(path, text.encode(), found & mode if mode & 0o077 == 0 else found)
        if before is None:
            self._undo.callback(remove_file, path)
        else:
            self._undo.callback(write_file, path, before, found)

    def put_aside(self, path: Path, ending: str) -> Path:
        """Give a file another name; raises OSError."""
        to = path.with_name(path.name + ending)
        path.rename(to)
        self._undo.callback(to.rename, path)
        return to

    def keep(self) -> None:
        """All stays as it is now."""
        self._undo.pop_all()
