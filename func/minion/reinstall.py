"""Have genome-replace-self prepare this host for its reinstallation, once for each operation."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from func.errors import HostError
from func.minion import children
from func.minion.children import Interrupted
from func.minion.codes import BadSpec, Unsupported, WrongState

log = logging.getLogger(__name__)

MAX_METADATA = 2048  # what a kernel of today takes as its whole command line
LIMIT_S = 1800.0  # to fetch a kernel and an initial RAM disk, over a slow line too
CANCEL_LIMIT_S = 120.0
GRACE_S = 15.0  # for the program to put the boot entry back when it is told to end: grubby takes its time
SECRETS = ("genome_token", "genome_report")  # metadata that must be in no error and no log
MAX_SAID = 600
PREPARED = "prepared.json"
OUTPUT = "output"
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9._:/@,+-]+")
_KEYS = frozenset({"server", "profile", "force", "metadata"})

# The exit codes of genome-replace-self that say more than that it failed.
_CODES: Mapping[int, type[HostError]] = {2: BadSpec, 5: WrongState}
_BEFORE_ANY_CHANGE = frozenset({2, 3, 4, 5})


@dataclass(frozen=True)
class Order:
    """What to reinstall this host from; `metadata` goes to the installer's kernel command line."""

    server: str
    profile: str
    force: bool
    metadata: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The metadata as the program reads it."""
        return "".join(f"{key}={value}\n" for key, value in self.metadata)

    def journaled(self) -> dict[str, Any]:
        """What tells this order from another one, without its secrets."""
        digest = hashlib.sha256(self.text.encode("utf-8")).hexdigest()
        return {"server": self.server, "profile": self.profile, "force": self.force, "metadata": digest}


def read_order(given: Mapping[str, Any]) -> Order:
    """The arguments of `genome.prepare`: server and profile, force and metadata at will. Raises BadSpec."""
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        raise BadSpec(f"unknown arguments {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    force, metadata = given.get("force", False), given.get("metadata", {})
    if not isinstance(force, bool):
        raise BadSpec("force is true or false")
    if not isinstance(metadata, dict):
        raise BadSpec("metadata is an object of texts, or of lists of texts")
    pairs = tuple((key, value) for key in sorted(metadata, key=str) for value in _all_of(metadata[key]))
    for key, value in pairs:
        if not _fits(_KEY, key) or not _fits(_VALUE, value):
            raise BadSpec(
                f"metadata {str(key)[:40]!r} cannot be: its name is of a-z 0-9 _, its value of A-Z a-z 0-9"
                " . _ : / @ , + -"
            )
    order = Order(_one("server", _SERVER, given), _one("profile", _NAME, given), force, pairs)
    if len(order.text) > MAX_METADATA:
        raise BadSpec(f"the metadata has {len(order.text)} characters; at most {MAX_METADATA} fit")
    return order


def _all_of(value: Any) -> list[Any]:
    """One that is given several times comes as a list."""
    return value if isinstance(value, list) else [value]


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _one(key: str, pattern: re.Pattern[str], given: Mapping[str, Any]) -> str:
    value = given.get(key)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise BadSpec(f"{key} is a name of letters, digits, dots and dashes, not {str(value)[:60]!r}")
    return value


class Preparer:
    """Runs the program, one at a time, in a folder that is its owner's alone. Thread-safe."""

    def __init__(self, program: str, folder: Path, limit_s: float = LIMIT_S) -> None:
        self._program = program
        self._folder = folder
        self._limit_s = limit_s
        self._turn = threading.Lock()

    def prepare(
        self, operation: str, order: Order, boot_id: str, stopped: Callable[[float], bool]
    ) -> Mapping[str, Any]:
        """Prepare the host; raises HostError with the end of what the program said, or Interrupted.

        After an error the next boot installs nothing: whoever is told of one takes nothing back any more.
        """
        argv = [self._program, "-y", "--json", "--metadata-file", "-", "-c", order.server]
        argv += ["-p", order.profile, *(["--force"] if order.force else [])]
        with self._turn:
            # What a process that is gone left running would do the same at the same time.
            children.end_all(self._folder, grace_s=GRACE_S)
            code: Optional[int] = None
            try:
                code, said = self._run(argv, self._limit_s, stopped, order)
                self._check(code, said)
                self._write({"operation": operation, "profile": order.profile, "boot_id": boot_id})
            except (Interrupted, Unsupported):
                raise
            except HostError as exc:
                if code not in _BEFORE_ANY_CHANGE:
                    self._take_back_after(exc)
                raise
        log.info("this host is prepared to be installed anew from the profile %s", order.profile)
        return {"profile": order.profile, "boot_id": boot_id, "detail": said}

    def cancel(self, operation: str) -> bool:
        """Take back what an operation that has begun, and is not under way, did; whether that is so now."""
        with self._turn:
            prepared = self.prepared()
            if prepared is not None and prepared.get("operation") != operation:
                return False
            self._take_back()
        log.info("this host is not to be installed anew any more")
        return True

    def _take_back(self) -> None:
        """Have the old boot entry be the default again; raises HostError."""
        children.end_all(self._folder, grace_s=GRACE_S)
        self._check(*self._run([self._program, "--cancel", "-y", "--json"], CANCEL_LIMIT_S, _never))
        (self._folder / PREPARED).unlink(missing_ok=True)

    def _take_back_after(self, failure: HostError) -> None:
        """The same where the program may have been cut off between the boot entry and its end."""
        try:
            self._take_back()
        except HostError as exc:
            raise HostError(
                f"{failure}. What it began could not be taken back: {exc}. Do not reboot this host before"
                " `genome-replace-self --cancel` there has succeeded, or it may be erased"
            ) from failure

    def prepared(self) -> Optional[Mapping[str, Any]]:
        """The operation that prepared the host, its profile, and the boot id it had then; None: it is not."""
        file = self._folder / PREPARED
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise HostError(f"{file} cannot be read: {exc}; look at the boot entry, then remove it") from exc
        return found if isinstance(found, dict) else {}

    def _run(
        self, argv: list[str], limit_s: float, stopped: Callable[[float], bool], order: Optional[Order] = None
    ) -> tuple[int, str]:
        """Its exit code and what it says of what it did; nothing of it runs any more. Raises HostError."""
        if not os.access(self._program, os.X_OK):
            raise Unsupported(
                f"there is no {self._program} on this host; install genome-replace-self, or name another"
                " program in Genome.conf"
            )
        output = self._folder / OUTPUT
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                child = children.start(argv, ENV, self._folder, number, "" if order is None else order.text)
            finally:
                os.close(number)
        except OSError as exc:
            raise Unsupported(f"{self._program} cannot be started: {exc}") from exc
        try:
            code = child.wait(limit_s, stopped)
        finally:
            child.end(self._folder, GRACE_S)
            said = _said(output, order)
            output.unlink(missing_ok=True)  # it may hold the one-time token
        return code, said

    def _check(self, code: int, said: str) -> None:
        if code != 0:
            raise _CODES.get(code, HostError)(f"{Path(self._program).name} ended with {code}: {said}")

    def _write(self, prepared: Mapping[str, Any]) -> None:
        file = self._folder / PREPARED
        new = file.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as stream:
                json.dump(prepared, stream)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(file)
        except OSError as exc:
            raise HostError(f"{file} cannot be written: {exc}") from exc


def _never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _said(output: Path, order: Optional[Order]) -> str:
    """The detail of the outcome it prints, or the end of all it printed; without secrets."""
    text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    for key, value in order.metadata if order is not None else ():
        if key in SECRETS:
            text = text.replace(value, "...")
    for line in reversed(text.splitlines()):
        try:
            outcome = json.loads(line)
        except ValueError:
            continue
        if isinstance(outcome, dict):
            return str(outcome.get("detail", ""))[:MAX_SAID]
    return " ".join(text.split())[-MAX_SAID:] or "it said nothing"
