"""Remember every operation a caller asked for, so that asking twice never acts twice."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from func.errors import HostError
from func.minion.codes import REFUSALS, BadSpec, OperationMismatch
from func.minion.lane import Unanswered

log = logging.getLogger(__name__)

T = TypeVar("T")
KEEP_S = 7 * 86400.0
KEEP_COUNT = 10_000
UNWRITTEN = "the journal of operations cannot be written"
BEGUN, ENDED = "begun", "ended"

_OPERATION = re.compile(r"[A-Za-z0-9-]{8,64}")


@dataclass(frozen=True)
class Entry:
    """What is known of one operation; `result` or the error's `kind` and `text` once it ended."""

    operation: str
    verb: str
    arguments: Mapping[str, Any]
    state: str = BEGUN
    notes: tuple[str, ...] = ()
    result: Optional[Mapping[str, Any]] = None
    kind: str = ""
    text: str = ""

    def answer(self) -> Mapping[str, Any]:
        """The stored result; raises the stored error."""
        if self.result is None:
            raise REFUSALS.get(self.kind, HostError)(self.text)
        return self.result


class Journal:
    """The operations as files, one each; a file is there whole or not at all.

    Raises OSError when it cannot write.
    """

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
        self._prune_every = max(1, keep_count // 100)
        self._lock = threading.Lock()
        self._begun = 0

    def find(self, operation: str) -> Optional[Entry]:
        """What is known of an operation; None where nothing is."""
        try:
            found = json.loads(self._file(operation).read_text(encoding="utf-8"))
            return Entry(**{**found, "notes": tuple(found["notes"])})
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise HostError(f"the journal of operations cannot be read: {exc}") from exc
        except (ValueError, TypeError, KeyError) as exc:
            # To know nothing would let it act as if for the first time.
            text = f"{self._file(operation)} is damaged ({exc}); look at the machine, then remove the file"
            raise HostError(text) from exc

    def begin(self, entry: Entry) -> None:
        """Write a new operation, and now and then drop those that are too old or too many."""
        with self._lock:
            due = self._begun % self._prune_every == 0
            self._begun += 1
            if due:
                self._prune()
        self.write(entry)

    def write(self, entry: Entry) -> None:
        """Write an operation; it is on the disk when this returns."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._file(entry.operation)
        new = file.with_suffix(".new")
        with new.open("w", encoding="utf-8") as stream:
            json.dump(asdict(entry), stream)
            stream.flush()
            now = self._clock()
            os.utime(stream.fileno(), (now, now))
            os.fsync(stream.fileno())
        new.replace(file)
        self._sync()

    def drop(self, operation: str) -> None:
        """Forget an operation that did nothing."""
        self._file(operation).unlink(missing_ok=True)
        self._sync()

    def _file(self, operation: str) -> Path:
        return self._directory / f"{operation}.json"

    def _sync(self) -> None:
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prune(self) -> None:
        if not self._directory.is_dir():
            return
        with os.scandir(self._directory) as found:
            files = sorted(filter(None, map(_written_at, found)))
        room = self._keep_count - self._prune_every
        too_many = max(0, len(files) - room)
        oldest = self._clock() - self._keep_s
        for number, (written, path) in enumerate(files):
            if number < too_many or written < oldest:
                Path(path).unlink(missing_ok=True)


def _written_at(file: os.DirEntry[str]) -> Optional[tuple[float, str]]:
    try:
        return file.stat().st_mtime, file.path
    except FileNotFoundError:  # another operation has just put it in place, or dropped it
        return None


class Attempt:
    """One run of an operation: whether it ran before and was cut off, and what it noted down then."""

    def __init__(self, journal: Journal, operation: str, again: bool) -> None:
        self.again = again
        self.operation = operation
        self._journal = journal

    def noted(self, note: str) -> bool:
        """Whether this operation noted this down, in this run or an earlier one."""
        entry = self._journal.find(self.operation)
        return entry is not None and note in entry.notes

    def notes(self) -> tuple[str, ...]:
        """All that this operation noted, in this run or an earlier one."""
        entry = self._journal.find(self.operation)
        return () if entry is None else entry.notes

    def note(self, note: str) -> None:
        """Note something down that a later run must know; it is on the disk when this returns."""
        entry = self._journal.find(self.operation)
        if entry is None or note in entry.notes:
            return
        try:
            self._journal.write(replace(entry, notes=(*entry.notes, note)))
        except OSError as exc:
            raise Unanswered(f"{UNWRITTEN}: {exc}; ask again", begun=True) from exc


@dataclass(frozen=True)
class _Running:
    verb: str
    arguments: Mapping[str, Any]
    future: Future[Mapping[str, Any]] = field(default_factory=Future)


class Operations:
    """Runs each operation once; thread-safe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def perform(
        self,
        operation: str,
        verb: str,
        arguments: Mapping[str, Any],
        act: Callable[[Attempt], Mapping[str, Any]],
    ) -> Mapping[str, Any]:
        """The operation's result: of `act`, of the run that is under way, or of the one that ended before.

        Raises what `act` raises. Unanswered leaves the operation begun, so that the next one acts again.
        """
        check_operation(operation)
        with self._lock:
            before = self._running.get(operation)
            if before is None:
                mine = self._running[operation] = _Running(verb, arguments)
        if before is not None:
            _same(operation, verb, arguments, before.verb, before.arguments)
            return before.future.result()
        try:
            mine.future.set_result(self._run(Entry(operation, verb, arguments), act))
        except HostError as exc:
            mine.future.set_exception(exc)
        finally:
            with self._lock:
                del self._running[operation]
            if not mine.future.done():  # those who joined must not wait for ever
                text = f"operation {operation} broke off; what was asked may have happened"
                mine.future.set_exception(Unanswered(text, begun=True))
        return mine.future.result()

    def ended(self, operation: str, verb: str, arguments: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
        """The result of an operation that ended, else None; raises what it raised, OperationMismatch."""
        check_operation(operation)
        entry = self._journal.find(operation)
        if entry is None:
            return None
        _same(operation, verb, arguments, entry.verb, entry.arguments)
        return entry.answer() if entry.state == ENDED else None

    def revoke(self, operation: str, verb: str, undo: Callable[[Optional[Entry]], T], text: str) -> T:
        """What `undo` makes of an operation that is not under way, or that nobody ever asked for.

        From then on the operation answers the error `text`, unless it had ended in one before: so it cannot
        begin any more, however late a request for it comes. Raises Unanswered while it is under way.
        """
        check_operation(operation)
        with self._lock:
            if operation in self._running:
                raise Unanswered(f"operation {operation} is under way; ask again", begun=True)
            mine = self._running[operation] = _Running(verb, {})
        try:
            entry = self._journal.find(operation)
            if entry is not None and entry.verb != verb:
                raise OperationMismatch(f"operation {operation} was {entry.verb}, not {verb}")
            found = undo(entry)
            if entry is None or entry.state != ENDED or entry.result is not None:
                known = entry or Entry(operation, verb, {})
                self._end(replace(known, result=None, kind=HostError.__name__, text=text))
            return found
        finally:
            with self._lock:
                del self._running[operation]
            mine.future.set_exception(Unanswered(f"operation {operation} is being undone", begun=True))

    def state(self, operation: str) -> str:
        """unknown, running, ended or cut-off."""
        check_operation(operation)
        with self._lock:
            if operation in self._running:
                return "running"
        entry = self._journal.find(operation)
        if entry is None:
            return "unknown"
        return "ended" if entry.state == ENDED else "cut-off"

    def _run(self, new: Entry, act: Callable[[Attempt], Mapping[str, Any]]) -> Mapping[str, Any]:
        entry = self._journal.find(new.operation)
        again = entry is not None
        if entry is None:
            entry = new
            try:
                self._journal.begin(entry)
            except OSError as exc:
                raise HostError(
                    f"the journal of operations cannot be written: {exc}; nothing was done"
                ) from exc
        _same(new.operation, new.verb, new.arguments, entry.verb, entry.arguments)
        if entry.state == ENDED:
            return entry.answer()
        try:
            result = act(Attempt(self._journal, new.operation, again))
        except Unanswered as exc:
            if exc.begun or again:
                raise
            self._journal.drop(new.operation)
            raise HostError(str(exc)) from exc
        except HostError as exc:
            self._end(replace(entry, kind=type(exc).__name__, text=str(exc)))
            raise
        self._end(replace(entry, result=result))
        return result

    def _end(self, entry: Entry) -> None:
        noted = self._journal.find(entry.operation) or entry
        try:
            self._journal.write(replace(entry, state=ENDED, notes=noted.notes))
        except OSError as exc:
            # Still begun: whoever asks again has it acted again, which does no harm.
            text = f"{entry.verb} was done, but {UNWRITTEN}: {exc}"
            raise Unanswered(text, begun=True) from exc


def check_operation(operation: str) -> None:
    """Raises BadSpec for what is no id of an operation."""
    if not isinstance(operation, str) or not _OPERATION.fullmatch(operation):
        raise BadSpec(f"{operation!r} is no operation; right are 8 to 64 letters, digits and dashes")


def _same(
    operation: str, verb: str, arguments: Mapping[str, Any], old_verb: str, old: Mapping[str, Any]
) -> None:
    if verb != old_verb:
        raise OperationMismatch(f"operation {operation} was {old_verb}, not {verb}; take a new id")
    if arguments != old:
        changed = sorted(key for key in {*arguments, *old} if arguments.get(key) != old.get(key))
        raise OperationMismatch(
            f"operation {operation} was {verb} with another {', '.join(changed)}; take a new id"
        )
