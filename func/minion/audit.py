"""Write one line for every call: who, from where, what, how it ended, how long it took, of which request."""

from __future__ import annotations

import logging
import logging.handlers
import os
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Optional

log = logging.getLogger(__name__)

FILE_NAME = "calls.log"
MAX_ARGS = 200

# Of the arguments of these only so many are written: the others hold what nobody may read in a log.
SHOWN = {
    "genome.prepare": 1, "machine.install": 1, "image.put_seed": 1,
    "copyfile.append": 1, "copyfile.copyfile": 1, "copyfile.checksum": 0,
}  # fmt: skip


def line_of(
    address: str,
    key: str,
    method: str,
    args: Sequence[Any],
    outcome: str,
    took_s: float,
    request_id: str = "",
) -> str:
    """One audit line without its time. Arguments are shortened; nothing in them can begin a new line."""
    most = SHOWN.get(method.removeprefix("async."), len(args))
    shown = ", ".join([*(_shown(arg) for arg in args[:most]), *(["..."] if args[most:] else [])])
    if len(shown) > MAX_ARGS:
        shown = shown[: MAX_ARGS - 3] + "..."
    request = f" request {request_id}" if request_id else ""
    return f"{address} {_plain(key)} {_plain(method)}({shown}) {outcome} {took_s * 1000:.1f} ms{request}"


def _shown(arg: Any) -> str:
    # repr() of a megabyte only to cut it off again would cost more than the call.
    return repr(arg[:MAX_ARGS]) if isinstance(arg, (str, bytes)) else _plain(repr(arg)[: MAX_ARGS + 1])


def _plain(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


class Audit:
    """Appends to `calls.log` in a directory; None as directory writes nowhere.

    The file may be renamed under it (logrotate): the next line opens it anew.
    """

    def __init__(self, directory: Optional[Path]) -> None:
        self._logger = logging.Logger("func.audit", logging.INFO)
        if directory is None:
            return
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handler = _Handler(directory / FILE_NAME, encoding="utf-8", errors="backslashreplace")
        except OSError as exc:
            log.error("%s: no call will be recorded there: %s", directory, exc.strerror or exc)
            return
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._logger.addHandler(handler)

    def record(
        self,
        address: str,
        key: str,
        method: str,
        args: Sequence[Any],
        outcome: str,
        took_s: float,
        request_id: str = "",
    ) -> None:
        """Write one line; `outcome` is ok, error or denied, or what became of a job."""
        if self._logger.handlers:
            self._logger.info("%s", line_of(address, key, method, args, outcome, took_s, request_id))

    def close(self) -> None:
        """Close the file."""
        for handler in list(self._logger.handlers):
            self._logger.removeHandler(handler)
            handler.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Handler(logging.handlers.WatchedFileHandler):
    """Says once, and not at every call, that the file cannot be written."""

    _complained = False

    def _open(self) -> TextIOWrapper:
        # Arguments of calls are nobody's business but root's.
        binary = open(self.baseFilename, "ab", opener=_private)  # noqa: SIM115 - the handler closes it
        return TextIOWrapper(binary, encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not self._complained:
            self._complained = True
            log.exception("%s cannot be written", self.baseFilename)
