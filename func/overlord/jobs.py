"""Asynchronous calls: start a job on many minions, and gather what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from func import wire
from func.errors import RemoteFault, XMLRPCFault
from func.overlord.fanout import Result
from func.overlord.job_book import Call, Job, JobBook
from func.overlord.results import as_func_error

RUNNING, FINISHED, LOST, PARTIAL, REMOTE_ERROR = range(5)
"""Func's codes: the calls are being sent; all ended; unknown; some ended; some cannot be asked just now."""

NOTHING_YET, NO_SUCH_JOB = -1, 0
"""What stands in place of results beside RUNNING and LOST."""

Calls = Mapping[str, tuple[str, tuple[Any, ...]]]
Ask = Callable[[Calls], Iterator[list[Result]]]

_LOST_JOB = wire.remote_error("lost job", "the minion does not know this job, or no longer")
_NEVER_SENT = wire.remote_error("lost job", "whoever began this job ended before the call was sent")

PATIENCE_S = 60.0
"""How long minions that cannot be asked are waited for: as long as one that is restarted may take."""

_SENDING_SLACK_S = 30.0


@dataclass(frozen=True)
class Standing:
    """How a job stands: Func's code and, by minion, the values Func's users see.

    With PARTIAL only minions that ended are in it. With REMOTE_ERROR those that could not be asked are
    in it with the error of this attempt; that is not final, and asking again may give more.
    """

    code: int
    values: dict[str, Any]


class Jobs:
    """The asynchronous calls of an overlord, over its book and a way to ask minions."""

    def __init__(
        self,
        book: JobBook,
        ask: Ask,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._book = book
        self._ask = ask
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep

    def start(
        self, spec: str, method: str, args: Sequence[Any], minions: Sequence[str], timeout_s: float
    ) -> str:
        """Have every minion run `module.method` in the background; answers the overlord's id of the job.

        Returns when every minion took it or failed to within `timeout_s`; a failure is that minion's result.
        """
        # Arguments that cannot be sent are refused here; nothing is sent before the first group is taken.
        groups = self._ask(dict.fromkeys(minions, (f"async.{method}", tuple(args))))
        job_id = self._book.begin(job_name(spec, method), minions, timeout_s + _SENDING_SLACK_S)
        for group in groups:
            taken = {result.minion: result.value for result in group if _is_job(result)}
            failed = {result.minion: _not_taken(result) for result in group if result.minion not in taken}
            self._book.enter(job_id, taken, failed)
        return job_id

    def status(self, job_id: str) -> Standing:
        """How a job stands now; asks only those minions that had not ended when it was last looked at."""
        job = self._book.find(job_id)
        if job is None:
            return Standing(LOST, {})
        unsent = [call.minion for call in job.calls if not call.ended and call.minion_job is None]
        if unsent and self._now() < job.sent_by:
            return Standing(RUNNING, {})
        values = {call.minion: call.value for call in job.calls if call.ended}
        values.update(dict.fromkeys(unsent, _NEVER_SENT))
        running, unasked = self._look(job, values)
        if unasked and not running:
            return Standing(REMOTE_ERROR, {**values, **unasked})
        return Standing(PARTIAL if running else FINISHED, values)

    def follow(
        self, job_id: str, interval_s: float = 0.5, patience_s: float = PATIENCE_S
    ) -> Iterator[Standing]:
        """How it stands, every `interval_s` until it ended or nobody could be asked for `patience_s`."""
        unasked_since: Optional[float] = None
        while True:
            standing = self.status(job_id)
            yield standing
            if standing.code in (FINISHED, LOST):
                return
            if standing.code != REMOTE_ERROR:
                unasked_since = None
            else:
                unasked_since = self._monotonic() if unasked_since is None else unasked_since
                if self._monotonic() - unasked_since >= patience_s:
                    return
            self._sleep(interval_s)

    def minion_jobs(self, job_id: str) -> dict[str, str]:
        """{minion: its own id of the job}, of those that took it; empty for an unknown job."""
        job = self._book.find(job_id)
        return {call.minion: call.minion_job for call in job.calls if call.minion_job} if job else {}

    def open_ids(self) -> dict[str, int]:
        """{id: code} of every job that is remembered, without asking anybody."""
        return {job.job_id: self._code(job) for job in self._book.list_jobs()}

    def _look(self, job: Job, values: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Ask the minions that have not ended; adds to `values`, answers who runs and who cannot be asked."""
        open_calls = [call for call in job.calls if not call.ended and call.minion_job is not None]
        running: list[str] = []
        unasked: dict[str, Any] = {}
        asked = {call.minion: ("jobs.job_status", (call.minion_job,)) for call in open_calls}
        for group in self._ask(asked) if asked else ():
            ended: dict[str, Any] = {}
            for result in group:
                outcome = _read_status(result)
                if outcome is None:
                    running.append(result.minion)
                elif outcome.ended:
                    ended[result.minion] = outcome.value
                else:
                    unasked[result.minion] = outcome.value
            self._book.enter(job.job_id, {}, ended)
            values.update(ended)
        return running, unasked

    def _code(self, job: Job) -> int:
        if all(call.ended for call in job.calls):
            return FINISHED
        unsent = any(not call.ended and call.minion_job is None for call in job.calls)
        return RUNNING if unsent and self._now() < job.sent_by else PARTIAL


def job_name(spec: str, method: str) -> str:
    """What an overlord's id begins with: `spec-module-method`, dashes inside them made underscores."""
    module, _, short = method.partition(".")
    return "-".join(part.replace("-", "_") for part in (spec, module, short))


def _is_job(result: Result) -> bool:
    return result.error is None and isinstance(result.value, str) and bool(result.value)


def _not_taken(result: Result) -> list[str]:
    if result.error is not None:
        return as_func_error(result.error)
    shown = f"{result.value!r:.80}"
    return wire.remote_error(
        "xmlrpclib.ProtocolError", f"it answered {shown} where the id of a job should be"
    )


def _read_status(result: Result) -> Optional[Call]:
    """The call as it stands now, None while it runs; one that has not ended could not be asked."""
    if result.error is not None:
        # It answered and refused: asking again would change nothing. Else it may be restarting.
        final = isinstance(result.error, (RemoteFault, XMLRPCFault))
        return Call(result.minion, ended=final, value=as_func_error(result.error))
    value = result.value
    code = value[0] if isinstance(value, list) and len(value) == 2 else None
    if code == RUNNING:
        return None
    if code in (FINISHED, REMOTE_ERROR):
        return Call(result.minion, ended=True, value=value[1])
    if code == LOST:
        # Minions of this project say why; historic ones have a 0 there.
        said = value[1] if wire.is_remote_error(value[1]) else _LOST_JOB
        return Call(result.minion, ended=True, value=said)
    shown = f"{value!r:.80}"
    error = wire.remote_error("xmlrpclib.ProtocolError", f"it answered {shown} where a job's code should be")
    return Call(result.minion, ended=True, value=error)
