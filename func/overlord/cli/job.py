"""What `func SPEC call` does with a job: follow it, show how it stands and what it prints."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any, Optional

from func import wire
from func.errors import FuncError
from func.overlord.cli.context import ERROR, NOT_ENDED, OK, Context
from func.overlord.cli.output import harmless, print_json, print_value
from func.overlord.cli.progress import Progress
from func.overlord.client import Client
from func.overlord.jobs import FINISHED, LOST, PARTIAL

_LOOK_EVERY_S = 0.5


@dataclass
class Output:
    """How results are printed that come in one after the other: a (minion, value) each, or all at the end."""

    shape: Optional[str]
    at_once: bool = False
    prints: bool = False
    seen: dict[str, Any] = field(default_factory=dict)

    def take(self, values: dict[str, Any], progress: Progress) -> None:
        """Print those that are new."""
        new = {minion: value for minion, value in values.items() if minion not in self.seen}
        self.seen.update(new)
        progress.add(len(new))
        if not self.at_once:
            with progress.hidden():
                for pair in sorted(new.items(), key=lambda pair: pair[0]):
                    print_value(pair, self.shape, indent=None)
                sys.stdout.flush()

    def finish(self) -> bool:
        """Print what is still to be printed; answers whether every value is one, and not an error."""
        if self.at_once:
            print_value(self.seen, self.shape)
        return not any(wire.is_remote_error(value) for value in self.seen.values())


def follow(client: Client, job_id: str, output: Output) -> bool:
    """Print a job's results as minions end; answers whether all went well. Ctrl-C leaves the job alone."""
    tail = Tail(client, job_id)
    last: Any = {}
    try:
        with Progress(len(client.targets()), "minions have ended") as progress:
            for code, values in client.follow(job_id, _LOOK_EVERY_S):
                last = values if isinstance(values, dict) else {}
                if code == LOST:
                    raise FuncError(f"nothing is known of the job {job_id} any more")
                if output.prints:
                    tail.show(progress)
                if code in (FINISHED, PARTIAL):
                    output.take(last, progress)
            output.take(last, progress)
    except KeyboardInterrupt:
        print(f"The job goes on; ask for it with: call --jobid {job_id!r}", file=sys.stderr)
        raise
    return output.finish()


def show_id(job_id: str, shape: Optional[str]) -> int:
    """Print the id of a job that was begun."""
    if shape == "json":
        print_json({"job_id": job_id})
    else:
        print("JOB_ID:", pformat(job_id))
    return OK


def show_status(context: Context, client: Client, job_id: str, shape: Optional[str]) -> int:
    """Print (code, {minion: value}) of a job; the exit status says whether it ended."""
    code, values = client.job_status(job_id)
    if code == LOST:
        raise FuncError(f"there is no job {job_id!r}, or no longer{_others(client)}")
    print_value((code, values), shape)
    if code != FINISHED:
        return NOT_ENDED
    return context.status(not any(wire.is_remote_error(value) for value in values.values()))


def follow_output(client: Client, job_id: str, minion: str) -> int:
    """Print what a job's method prints on one minion, until it ends."""
    tail = Tail(client, job_id, minion)
    with Progress(1, "minions have ended") as progress:
        while not tail.show(progress):
            time.sleep(_LOOK_EVERY_S)
    return _known(client, job_id)


def follow_progress(client: Client, job_id: str, minion: str) -> int:
    """Show how far a job's method is on one minion, until it ends."""
    value: Any = None
    ended = False
    with Progress(0, "steps done") as progress:
        while not ended:
            said, ended = client.check_progress(job_id, minion)
            value = (said or {}).get(minion)
            if _is_progress(value):
                progress.now(*value)
            if not ended:
                time.sleep(_LOOK_EVERY_S)
    if wire.is_remote_error(value):
        raise FuncError(f"{minion}: {': '.join(str(part) for part in value[1:3])}")
    if _is_progress(value):
        print(f"{value[0]} of {value[1]}")
    else:
        print("it does not tell how far it is", file=sys.stderr)
    return _known(client, job_id)


class Tail:
    """What a job's methods print, each line once."""

    def __init__(self, client: Client, job_id: str, minion: Optional[str] = None) -> None:
        self._client = client
        self._job_id = job_id
        self._minion = minion
        self._shown: dict[str, list[str]] = {}

    def show(self, progress: Progress) -> bool:
        """Print what is new; answers whether the job has ended."""
        said, ended = self._client.tail_log(self._job_id, self._minion)
        for minion, output in sorted((said or {}).items()):
            lines = _lines(output)
            new = after(self._shown.get(minion, []), lines)
            self._shown[minion] = lines
            if new:
                with progress.hidden():
                    print(f"------HOST : {minion} -------", *map(harmless, new), sep="\n", flush=True)
        return ended


def after(shown: list[str], lines: list[str]) -> list[str]:
    """Those of a log's last lines that come after the ones shown, which may have gone out at the top."""
    for start in range(len(shown)):
        rest = shown[start:]
        if lines[: len(rest)] == rest:
            return lines[len(rest) :]
    return lines


def _lines(output: Any) -> list[str]:
    if wire.is_remote_error(output) or not isinstance(output, list):
        return []
    return [line for part in output for line in str(part or "").splitlines()]


def _is_progress(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value)


def _known(client: Client, job_id: str) -> int:
    if client.job_status(job_id)[0] == LOST:
        print(f"ERROR: there is no job {job_id!r}, or no longer", file=sys.stderr)
        return ERROR
    return OK


def _others(client: Client) -> str:
    ids = list(client.open_job_ids())
    return f"; there are {', '.join(map(repr, ids))}" if ids else ""
