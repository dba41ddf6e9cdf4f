"""Run asynchronous calls, so many at once, and answer how they stand, as Func's own jobs do."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from func import wire
from func.errors import HostError, WireError
from func.minion import job_context, programs
from func.minion.codes import JobLost, TooManyJobs
from func.minion.job_context import JobContext
from func.minion.job_files import FINISHED, RUNNING, WAITING, JobFiles, Record

log = logging.getLogger(__name__)

IS_RUNNING, IS_FINISHED, IS_LOST = 0, 1, 2
"""Func's codes; 3 and 4 are an overlord's, of calls to several minions."""

NO_DATA_YET, NO_DATA = -1, 0
PRUNE_EVERY_S = 60.0

_LOST = {
    WAITING: "funcd ended before it was this call's turn: nothing of it was done",
    RUNNING: "funcd ended while this call ran: what it did until then is done, the rest is not",
}

Ended = Callable[[str, Any, float], None]


@dataclass(frozen=True)
class _Job:
    record: Record
    call: Callable[[], Any]
    ended: Ended


class Jobs:
    """The jobs of a minion; thread-safe. Threads are there while there is work."""

    def __init__(
        self,
        files: JobFiles,
        at_once: int = 16,
        most_waiting: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._live: set[str] = set()  # waiting or under way in this process
        self._unwritten: dict[str, str] = {}  # results that have no room on the disk
        self._threads = 0
        self._stop = threading.Event()
        self._pruned_at = float("-inf")

    def begin(self, method: str, call: Callable[[], Any], ended: Ended = lambda job, value, s: None) -> str:
        """The id of a new job that does `call`, now or when it is its turn. Raises TooManyJobs, HostError.

        `ended(id, value, seconds)` is called when it has.
        """
        self._prune()
        with self._changed:
            waiting = len(self._waiting)
        if waiting >= self._most_waiting:
            raise TooManyJobs(f"{waiting} calls wait for their turn on this minion already: ask again later")
        job = _Job(self._files.add(method), call, ended)
        with self._changed:
            self._live.add(job.record.job_id)
            self._waiting.append(job)
            if self._threads < self._at_once:
                self._threads += 1
                threading.Thread(target=self._work, name="job", daemon=True).start()
        return job.record.job_id

    def status(self, job_id: Any) -> list[Any]:
        """[code, data]: 0 and -1 while it runs or waits, 1 and its value, 2 and why it is lost, or 0."""
        record = self._files.find(job_id)
        if record is None:
            return [IS_LOST, NO_DATA]
        with self._changed:
            is_live = record.job_id in self._live
            unwritten = self._unwritten.get(record.job_id)
        if is_live:
            return [IS_RUNNING, NO_DATA_YET]
        if unwritten is None and record.state != FINISHED:
            record = self._files.find(job_id) or record  # it may have ended between the two looks
        if unwritten is None and record.state != FINISHED:
            return self._orphaned(record)
        return [IS_FINISHED, wire.decode_response((unwritten or record.result).encode())]

    def tail(self, job_id: Any) -> list[str]:
        """[what it says, what it complains of], the last lines of each."""
        record = self._files.find(job_id)
        if record is None:
            return ["", f"no job {str(job_id)[:80]!r} is known here: they are kept for an hour\n"]
        return [self._files.tail(record.job_id, name) for name in (programs.OUT, programs.ERR)]

    def progress(self, job_id: Any) -> list[int]:
        """[how far it is, of how much]; [0, 0] where it never said."""
        record = self._files.find(job_id)
        return [0, 0] if record is None else self._files.progress(record.job_id)

    def close(self, limit_s: float) -> None:
        """Begin nothing any more, and wait for those under way. Commands of theirs go on."""
        self._stop.set()
        with self._changed:
            if not self._changed.wait_for(lambda: self._threads == 0, limit_s):
                log.warning("%d jobs are still under way and are lost", self._threads)

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._stop.is_set() or not self._waiting:
                    self._threads -= 1
                    self._changed.notify_all()
                    return
                job = self._waiting.popleft()
            self._run(job)

    def _run(self, job: _Job) -> None:
        record = replace(job.record, state=RUNNING, changed_at=self._clock())
        began = time.monotonic()
        context = JobContext(self._files.folder(record.job_id), self._stop)
        self._write(record)
        job_context.enter(context)
        try:
            value = job.call()
        finally:
            job_context.enter(None)
        if context.is_left:
            log.info("%s: its command goes on without funcd", record.job_id)
            return
        self._finish(record, value)
        job.ended(record.job_id, value, time.monotonic() - began)

    def _finish(self, record: Record, value: Any) -> None:
        finished = replace(
            record, state=FINISHED, changed_at=self._clock(), result=_encoded(record.method, value)
        )
        is_written = self._write(finished)
        with self._changed:
            if not is_written:
                self._unwritten[record.job_id] = finished.result
            self._live.discard(record.job_id)

    def _write(self, record: Record) -> bool:
        try:
            self._files.write(record)
        except HostError as exc:
            log.error("%s: %s; it is known until funcd ends", record.job_id, exc)
            return False
        return True

    def _orphaned(self, record: Record) -> list[Any]:
        """How a job stands that another process began: its command may have ended, or still run."""
        folder = self._files.folder(record.job_id)
        is_alive = programs.is_alive(folder)  # asked first: it may end between the two
        outcome = programs.outcome(folder)
        if outcome is not None:
            self._finish(record, outcome)
            return [IS_FINISHED, outcome]
        if is_alive:
            return [IS_RUNNING, NO_DATA_YET]
        kind = f"{JobLost.__module__}.{JobLost.__name__}"
        return [IS_LOST, wire.remote_error(kind, f"{record.method}: {_LOST[record.state]}")]

    def _prune(self) -> None:
        with self._changed:
            now = time.monotonic()
            if now - self._pruned_at < PRUNE_EVERY_S:
                return
            self._pruned_at = now
        self._files.prune(self._is_alive)
        for job_id in list(self._unwritten):
            if self._files.find(job_id) is None:
                self._unwritten.pop(job_id, None)

    def _is_alive(self, job_id: str) -> bool:
        with self._changed:
            is_live = job_id in self._live
        return is_live or programs.is_alive(self._files.folder(job_id))


def _encoded(method: str, value: Any) -> str:
    """The value as the reply it would have been; a value that cannot be sent is an error, as it is there."""
    try:
        return wire.encode_result(value).decode()
    except WireError as exc:
        log.error("the result of %s cannot be sent: %s", method, exc)
        # The writer's own reason, named as a fault of a call that is waited for names it.
        kind = f"exceptions.{type(exc.__cause__).__name__}"
        return wire.encode_result(wire.remote_error(kind, str(exc))).decode()
