"""The wire module `getfile`: give out files to the overlord. Off unless its configuration says enabled."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from pathlib import Path
from typing import Any, Union

from certmaster.config import Setting
from func.minion.codes import FuncException
from func.minion.folders import Folders
from func.minion.module import ENABLED, FuncModule

log = logging.getLogger(__name__)

CHUNK = 60_000
PROBLEM = -1


class GetFile(FuncModule):
    """A file that cannot be read is answered by -1, as in Func, and its reason is in funcd's log."""

    version = "0.0.1"
    description = "Give out files, chunk by chunk"
    methods = ("chunkslen", "getchunk")
    settings = (ENABLED, Setting("folders", ("/",), "the folders below which files may be read"))

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._folders = Folders(root, self.options["folders"], "GetFile.conf")

    def chunkslen(self, filename: str) -> int:
        """How many chunks of 60,000 bytes the file has; -1 where it cannot be read."""
        try:
            with self._folders.reach(filename) as place, place.stream(os.O_RDONLY) as stream:
                size = os.fstat(stream.fileno()).st_size
        except OSError as exc:
            log.warning("%s: %s", filename, exc.strerror or exc)
            return PROBLEM
        return -(-size // CHUNK)

    def getchunk(self, chunknum: int, filename: str) -> list[Union[int, str]]:
        """[SHA-1 of the text, base64 as a text] of one chunk, counted from 0; [-1, ""]: it cannot be read."""
        number = _number(chunknum)
        try:
            with self._folders.reach(filename) as place, place.stream(os.O_RDONLY) as stream:
                stream.seek(number * CHUNK)
                text = base64.b64encode(stream.read(CHUNK))
        except OSError as exc:
            log.warning("%s: %s", filename, exc.strerror or exc)
            return [PROBLEM, ""]
        # SHA-1 because Func's overlords compare it; nothing is trusted for it.
        return [hashlib.sha1(text, usedforsecurity=False).hexdigest(), text.decode("ascii")]


def _number(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as exc:
        raise FuncException(f"chunks are counted from 0, {value!r:.40} is no number") from exc
    if not 0 <= number < 2**31:
        raise FuncException(f"chunks are counted from 0 to {2**31 - 1}, not {number}")
    return number
