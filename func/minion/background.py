"""Run operations that take minutes in threads of their own, so that whoever asks is answered at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from func.errors import HostError
from func.minion.lane import Unanswered
from func.minion.operations import Attempt, Operations, check_operation


@dataclass
class Run:
    """One run of an operation: what it is at, in words for people, and whether it shall stop."""

    verb: str
    arguments: Mapping[str, Any]
    stage: str = "it begins"
    closing: bool = False  # it shall stop because this process ends, and be asked for again
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    failure: Optional[HostError] = None


class Background:
    """Operations under way; thread-safe. Those that ended are known by the journal alone.

    `ended(operation)` is called when the journal has its end.
    """

    def __init__(self, operations: Operations, ended: Callable[[str], None] = lambda operation: None) -> None:
        self._operations = operations
        self._ended = ended
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def ask(
        self,
        operation: str,
        verb: str,
        arguments: Mapping[str, Any],
        act: Callable[[Attempt, Run], Mapping[str, Any]],
    ) -> tuple[Optional[Mapping[str, Any]], str]:
        """The operation's result, or None and what it is at; one that is not under way is begun.

        Raises what `act` raised. After Unanswered the next to ask begins it again.
        """
        check_operation(operation)
        with self._lock:
            run = self._runs.get(operation)
            if run is None or run.over.is_set():
                self._runs.pop(operation, None)
                if run is not None and run.failure is not None:
                    raise run.failure
                result = self._operations.ended(operation, verb, arguments)
                if result is not None:
                    return result, ""
                run = self._runs[operation] = Run(verb, arguments)
                self._start(operation, run, act)
        if run.arguments != arguments:
            self._operations.ended(operation, verb, arguments)  # says what is another
        return None, run.stage

    def stop(self, operation: str, limit_s: float) -> bool:
        """Have an operation end early and wait for that; whether it was under way. Raises Unanswered."""
        with self._lock:
            run = self._runs.get(operation)
        if run is None or run.over.is_set():
            return False
        run.stop.set()
        if not run.over.wait(limit_s):
            raise Unanswered(f"operation {operation} did not stop within {limit_s:.0f} s", begun=True)
        return True

    def close(self, limit_s: float) -> None:
        """Have all end early, and wait for that."""
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.closing = True
            run.stop.set()
        for run in runs:
            run.over.wait(limit_s)

    def _start(self, operation: str, run: Run, act: Callable[[Attempt, Run], Mapping[str, Any]]) -> None:
        def work() -> None:
            run.failure = Unanswered(f"operation {operation} broke off; see funcd's log", begun=True)
            try:
                self._operations.perform(
                    operation, run.verb, run.arguments, lambda attempt: act(attempt, run)
                )
                run.failure = None
            except HostError as exc:
                run.failure = exc
            finally:
                if not isinstance(run.failure, Unanswered):
                    self._ended(operation)
                run.over.set()

        threading.Thread(target=work, name=f"operation-{operation}", daemon=True).start()
