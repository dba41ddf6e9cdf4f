"""Put a file on minions, and fetch one from them, in the pieces Func cuts files into."""

from __future__ import annotations

import binascii
import hashlib
import os
import shutil
import stat
import tempfile
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

from func.errors import BadReply, CallError, FuncError, RemoteFault
from func.overlord.fanout import Result
from func.overlord.jobs import Calls

CHUNK_BYTES = 60_000
"""How large a piece is, in both directions: historic minions cut theirs exactly so."""

_FAILED = -1
"""What a historic minion answers when it could not open or write the file; it does not say why."""

Told = Callable[[int, int], None]
"""Called with the pieces that are done and how many there are."""


class Callers(Protocol):
    """What can call minions: a Client."""

    def targets(self) -> list[str]:
        """The minions to call."""

    def ask(self, calls: Calls) -> Iterator[list[Result]]:
        """Call {minion: (method, args)}."""


def tell_nobody(done: int, total: int) -> None:
    """The one who wants to know of no progress."""


def send_file(
    client: Callers, local: Path, remote: str, chunk_bytes: int = CHUNK_BYTES, told: Told = tell_nobody
) -> list[Result]:
    """Put `local` at the path `remote` on every minion, with its mode, owner and group by number.

    Answers one result a minion, sorted; a minion that fails is left where it was, with a part of the file.
    Raises FuncError where the local file cannot be read.
    """
    try:
        with local.open("rb") as file:
            facts = os.fstat(file.fileno())
            mode = stat.S_IMODE(facts.st_mode)
            opened = ("copyfile.open", (remote, mode, facts.st_uid, facts.st_gid))
            pieces = max(-(-facts.st_size // chunk_bytes), 1)
            outcomes = _Outcomes(client.targets())
            outcomes.take(client.ask(dict.fromkeys(outcomes.well, opened)), _opened)
            done = 0
            while outcomes.well:
                piece = file.read(chunk_bytes)
                if not piece:
                    break
                appended = ("copyfile.append", (remote, piece))
                outcomes.take(client.ask(dict.fromkeys(outcomes.well, appended)), _appended)
                done += 1
                told(done, max(pieces, done))
    except OSError as exc:
        raise FuncError(f"{local}: cannot be read: {exc.strerror}") from exc
    return outcomes.results(True)


def fetch_file(client: Callers, source: str, folder: Path, told: Told = tell_nobody) -> list[Result]:
    """Fetch the file `source` of every minion as FOLDER/MINION/NAME, which then only its owner may read.

    Answers one result a minion, sorted, the path as its value. A file that does not arrive whole is not
    there, and one that was there before stays. Raises FuncError where `folder` cannot be written.
    """
    name = source.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise FuncError(f"{source!r} names no file: give its whole path")
    outcomes = _Outcomes(client.targets())
    outcomes.take(client.ask(dict.fromkeys(outcomes.well, ("getfile.chunkslen", (source,)))), _counted)
    arriving: dict[str, _Arriving] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        outcomes.check(lambda minion: _check_room(folder, outcomes.values[minion]))
        for minion in outcomes.well:
            arriving[minion] = _Arriving.begin(folder / minion, name, outcomes.values[minion])
        most = max((file.pieces for file in arriving.values()), default=0)
        for number in range(most):
            asked = [minion for minion in outcomes.well if arriving[minion].pieces > number]
            if not asked:
                break
            calls = dict.fromkeys(asked, ("getfile.getchunk", (number, source)))
            append = partial(_append, arriving, number)
            outcomes.take(client.ask(calls), append)
            told(number + 1, most)
        for minion in outcomes.well:
            outcomes.values[minion] = arriving[minion].finish()
    except OSError as exc:
        raise FuncError(f"{exc.filename or folder}: cannot be written: {exc.strerror}") from exc
    finally:
        for file in arriving.values():
            file.part.unlink(missing_ok=True)
    return outcomes.results()


class _Outcomes:
    """Who is still well, in the order of names, and what became of the others."""

    def __init__(self, minions: Iterable[str]) -> None:
        self.well = sorted(minions)
        self.values: dict[str, Any] = {}
        self._errors: dict[str, CallError] = {}

    def take(self, groups: Iterator[list[Result]], read: Callable[[Result], Any]) -> None:
        """Take in the answers to one call; `read` gives what one means or raises CallError."""
        for group in groups:
            for result in group:
                try:
                    if result.error is not None:
                        raise result.error
                    self.values[result.minion] = read(result)
                except CallError as exc:
                    self._errors[result.minion] = exc
        self.well = [minion for minion in self.well if minion not in self._errors]

    def check(self, check: Callable[[str], None]) -> None:
        """Leave out those for whom `check` raises CallError."""
        for minion in self.well:
            try:
                check(minion)
            except CallError as exc:
                self._errors[minion] = exc
        self.well = [minion for minion in self.well if minion not in self._errors]

    def results(self, value: Optional[Any] = None) -> list[Result]:
        """One result for everybody: `value`, else what was read last, or the error."""
        well = [Result(minion, self.values.get(minion) if value is None else value) for minion in self.well]
        failed = [Result(minion, error=error) for minion, error in self._errors.items()]
        return sorted([*well, *failed], key=lambda result: result.minion)


@dataclass
class _Arriving:
    """A file on its way: its pieces go into `part`, which becomes `path` when it is whole."""

    path: Path
    part: Path
    pieces: int

    @classmethod
    def begin(cls, folder: Path, name: str, pieces: int) -> _Arriving:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
        os.close(descriptor)
        return cls(folder / name, Path(part), pieces)

    def append(self, piece: bytes, number: int) -> None:
        if len(piece) != CHUNK_BYTES and number + 1 < self.pieces:
            raise BadReply(
                f"piece {number + 1} of {self.pieces} has {len(piece)} bytes: does the file change?"
            )
        with self.part.open("ab") as file:
            file.write(piece)

    def finish(self) -> str:
        self.part.replace(self.path)
        return str(self.path)


def _opened(result: Result) -> None:
    if result.value == _FAILED:
        raise RemoteFault("IOError", "it cannot open the file for writing")


def _appended(result: Result) -> None:
    if result.value == _FAILED:
        raise RemoteFault("IOError", "it cannot append to the file: its disk may be full, or the file gone")


def _counted(result: Result) -> int:
    count = result.value
    if count == _FAILED:
        raise RemoteFault("IOError", "it cannot open the file for reading")
    if not isinstance(count, int) or count < 0:
        raise BadReply(f"it answered {count!r:.80} where the number of pieces should be")
    return count


def _append(arriving: Mapping[str, _Arriving], number: int, result: Result) -> None:
    arriving[result.minion].append(_piece(result), number)


def _check_room(folder: Path, pieces: int) -> None:
    """Raise BadReply for a file that cannot be kept: whatever a minion says, it does not fill this disk."""
    room = shutil.disk_usage(folder).free
    if (pieces - 1) * CHUNK_BYTES > room:
        raise BadReply(f"it says the file has {pieces * CHUNK_BYTES} bytes; {folder} has room for {room}")


def _piece(result: Result) -> bytes:
    value = result.value
    if isinstance(value, list) and value and value[0] == _FAILED:
        raise RemoteFault("IOError", "it cannot open the file for reading any more")
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], (str, bytes))):
        raise BadReply(f"it answered {value!r:.80} where a checksum and a piece should be")
    text = value[1].encode("ascii", "replace") if isinstance(value[1], str) else value[1]
    # Against accidents alone, as Func has it: TLS sees to who sent this.
    if hashlib.sha1(text).hexdigest() != value[0]:  # noqa: S324
        raise BadReply("a piece does not have the checksum it came with")
    try:
        piece = b64decode(text)
    except binascii.Error as exc:
        raise BadReply(f"a piece is no base64: {exc}") from exc
    if len(piece) > CHUNK_BYTES:
        raise BadReply(f"a piece has {len(piece)} bytes, more than the {CHUNK_BYTES} asked for")
    return piece
