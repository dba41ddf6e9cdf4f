"""The wire module `copyfile`: take in files from the overlord. Off unless its configuration says enabled."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Union

from certmaster.config import Setting
from func.minion.codes import FuncException
from func.minion.folders import Folders, Place
from func.minion.module import ENABLED, FuncModule

log = logging.getLogger(__name__)

PROBLEM, UNCHANGED, DONE = -1, 0, 1
_READ = 2**20


class CopyFile(FuncModule):
    """A problem with the file is answered by -1, as in Func, and its reason is in funcd's log."""

    version = "0.0.1"
    api_version = "0.0.2"
    description = "Take in files"
    methods = ("open", "append", "copyfile", "checksum")
    settings = (ENABLED, Setting("folders", ("/",), "the folders below which files may be written"))

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._folders = Folders(root, self.options["folders"], "CopyFile.conf")

    def open(self, filepath: str, mode: Any = None, uid: int = -1, gid: int = -1) -> Union[str, int]:
        """The path, of a new and empty file there now; `append` fills it. -1 where there is a problem."""
        try:
            with self._folders.reach(filepath, make=True) as place:
                _put(place, b"", _number(mode, 0o644), _number(uid, -1), _number(gid, -1))
        except OSError as exc:
            return _problem(filepath, exc)
        return filepath

    def append(self, filepath: str, filebuf: Any) -> int:
        """1 when the bytes (base64 on the wire) were added to the file, -1 where there is a problem."""
        data = _bytes(filebuf)
        try:
            with self._folders.reach(filepath) as place, place.stream(os.O_WRONLY | os.O_APPEND) as stream:
                stream.write(data)
        except OSError as exc:
            return _problem(filepath, exc)
        return DONE

    def copyfile(
        self, filepath: str, filebuf: Any, mode: int = 0o644, uid: int = 0, gid: int = 0, force: Any = None
    ) -> int:
        """1 when the file was put in place in one step, 0 when it had that content already, -1: a problem.

        The one before is kept as NAME.YYYY-MM-DD@HH:MM~. With `force` it is written in any case.
        """
        data = _bytes(filebuf)
        try:
            with self._folders.reach(filepath, make=True) as place:
                before = _sha1_of(place)
                if before == hashlib.sha1(data, usedforsecurity=False).hexdigest() and force is None:
                    return UNCHANGED
                if before:
                    _back_up(place)
                _put(place, data, _number(mode, 0o644), _number(uid, 0), _number(gid, 0))
        except OSError as exc:
            return _problem(filepath, exc)
        return DONE

    def checksum(self, thing: Any) -> str:
        """SHA-1, in hexadecimal, of the file of that path, or of the text where there is no such file."""
        text = thing if isinstance(thing, str) else _bytes(thing).decode("utf-8", "surrogateescape")
        if text.startswith("/"):
            try:
                with self._folders.reach(text) as place:
                    found = _sha1_of(place)
            except OSError:
                found = ""
            if found:
                return found
        return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def _put(place: Place, data: bytes, mode: int, uid: int, gid: int) -> None:
    """A new file in one step, whole and never with more rights than it shall have. Raises OSError."""
    new = Place(place.folder, f".{place.name[:200]}.{secrets.token_hex(4)}.new", place.path)
    try:
        with new.stream(os.O_WRONLY | os.O_CREAT | os.O_EXCL) as stream:
            stream.write(data)
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode & 0o7777)  # after the owner: a change of that takes rights away
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(new.name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    finally:
        if new.exists():
            os.unlink(new.name, dir_fd=new.folder)


def _back_up(place: Place) -> None:
    """Copy the file, with its rights, to NAME and the minute."""
    kept = Place(place.folder, f"{place.name}.{time.strftime('%Y-%m-%d@%H:%M')}~", place.path)
    with place.stream(os.O_RDONLY) as source:
        found = os.fstat(source.fileno())
        if kept.exists():
            os.unlink(kept.name, dir_fd=kept.folder)
        with kept.stream(os.O_WRONLY | os.O_CREAT | os.O_EXCL) as copy:
            shutil.copyfileobj(source, copy, _READ)
            os.fchown(copy.fileno(), found.st_uid, found.st_gid)
            os.fchmod(copy.fileno(), found.st_mode & 0o7777)


def _sha1_of(place: Place) -> str:
    """Of the file; empty where there is none. Raises OSError where it is no regular one."""
    try:
        stream = place.stream(os.O_RDONLY)
    except FileNotFoundError:
        return ""
    # SHA-1 because Func's peers compare it; nothing is trusted for it.
    digest = hashlib.sha1(usedforsecurity=False)
    with stream:
        while piece := stream.read(_READ):
            digest.update(piece)
    return digest.hexdigest()


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):  # what the `func` command sends
        return value.encode("utf-8")
    raise FuncException(f"a file's content is base64 or text, not {type(value).__name__}")


def _number(value: Any, otherwise: int) -> int:
    if value is None or value == "":
        return otherwise
    try:
        return int(value)
    except (TypeError, ValueError) as exc:
        raise FuncException(f"mode, uid and gid are numbers, in decimal, not {value!r:.40}") from exc


def _problem(path: str, exc: OSError) -> int:
    log.warning("%s: %s", path, exc.strerror or exc)
    return PROBLEM
