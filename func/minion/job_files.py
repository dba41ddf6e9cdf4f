"""Keep what is known of asynchronous calls in files, one each, until an hour after their end.

1299012345.678901-minion.json    what was called and how it ended; there whole or not at all
1299012345.678901-minion/        out, err: what it says; progress; rc: how its program ended
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from certmaster.certdir import SECRET, write_file
from certmaster.errors import FileError
from func.errors import HostError

log = logging.getLogger(__name__)

FOLDER = "var/lib/func/jobs"
KEEP_S = 3600.0
KEEP_COUNT = 10_000
TAIL_LINES = 50
TAIL_BYTES = 64 * 1024

WAITING, RUNNING, FINISHED = "waiting", "running", "finished"

_ID = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?-minion")


@dataclass(frozen=True)
class Record:
    """What is known of one job; `result` is the body of the reply it would have been, once it is finished."""

    job_id: str
    method: str
    state: str
    changed_at: float
    result: str = ""


class JobFiles:
    """The files of a minion's jobs. Thread-safe."""

    def __init__(
        self,
        directory: Path,
        clock: Callable[[], float] = time.time,
        keep_s: float = KEEP_S,
        keep_count: int = KEEP_COUNT,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._keep_s = keep_s
        self._keep_count = keep_count
        self._lock = threading.Lock()
        self._last_us = 0

    def add(self, method: str) -> Record:
        """A job of a new id, written down as waiting. Raises HostError."""
        with self._lock:
            # Never the same twice, whatever the clock does and whoever ran here before.
            self._last_us = max(int(self._clock() * 1_000_000), self._last_us + 1)
            while self._file(_id_of(self._last_us)).exists():
                self._last_us += 1
            job_id = _id_of(self._last_us)
        record = Record(job_id, method, WAITING, self._clock())
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder(job_id).mkdir(mode=0o700)
        except OSError as exc:
            raise HostError(f"a job cannot be written down: {exc}") from exc
        self.write(record)
        return record

    def write(self, record: Record) -> None:
        """Put a record in place; it is on the disk when this returns. Raises HostError."""
        try:
            write_file(self._file(record.job_id), json.dumps(asdict(record)).encode(), SECRET)
        except FileError as exc:
            raise HostError(f"a job cannot be written down: {exc}") from exc

    def find(self, job_id: Any) -> Optional[Record]:
        """What is known of a job; None where nothing is, or where that is no job's id."""
        if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
            return None
        try:
            return Record(**json.loads(self._file(job_id).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as exc:
            log.error("%s: what is known of a job cannot be read: %s", self._file(job_id), exc)
            return None

    def folder(self, job_id: str) -> Path:
        """Where the job keeps what it says while it runs."""
        return self._directory / job_id

    def tail(self, job_id: str, name: str) -> str:
        """The last lines of what the job said, on `out` or `err`."""
        try:
            with (self.folder(job_id) / name).open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:  # it has said nothing
            return ""
        return "".join(text.splitlines(keepends=True)[-TAIL_LINES:])

    def progress(self, job_id: str) -> list[int]:
        """[how far it is, of how much]; [0, 0] where it never said."""
        try:
            said = (self.folder(job_id) / "progress").read_text(encoding="ascii").split()
            current, total = (int(number) for number in said)
        except (OSError, ValueError):  # it never said, or is about to
            return [0, 0]
        return [current, total]

    def prune(self, is_alive: Callable[[str], bool]) -> None:
        """Remove jobs whose end is too long ago, and the oldest where there are too many.

        `is_alive(job_id)` says of one that has no end yet whether it can still have one.
        """
        # By the time they began, which the name tells: not everything need be read to find what is old.
        # A folder alone is of a job that was never written down.
        found = {path.name.removesuffix(".json") for path in self._directory.glob("*-minion*")}
        names = sorted((name for name in found if _ID.fullmatch(name)), key=_began_at)
        too_old = self._clock() - self._keep_s
        for number, job_id in enumerate(names):
            is_spare = number < len(names) - self._keep_count
            if not is_spare and _began_at(job_id) >= too_old:
                return
            record = self.find(job_id)
            if record is not None and record.state != FINISHED and is_alive(job_id):
                continue
            if record is None or is_spare or record.changed_at < too_old:
                self._remove(job_id)

    def _remove(self, job_id: str) -> None:
        try:
            self._file(job_id).unlink(missing_ok=True)
        except OSError as exc:
            log.error("%s: cannot be removed: %s", self._file(job_id), exc.strerror)
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def _file(self, job_id: str) -> Path:
        return self._directory / f"{job_id}.json"


def _began_at(job_id: str) -> float:
    return float(job_id.partition("-")[0])


def _id_of(microseconds: int) -> str:
    """Func's form of a job's id on a minion: `<unix time>-minion`."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}-minion"
