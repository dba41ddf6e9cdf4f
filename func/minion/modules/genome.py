"""The wire module `genome`, which is ours: have this host installed anew from a profile, at its next boot."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster.config import Setting
from func.errors import HostError
from func.minion import children
from func.minion.background import Background, Run
from func.minion.children import Interrupted
from func.minion.codes import BadSpec, Unsupported, WrongState
from func.minion.lane import Unanswered
from func.minion.module import FuncModule
from func.minion.operations import Attempt, Entry, Journal, Operations, check_operation
from func.minion.reinstall import ENV, Preparer, read_order

OPERATIONS_DIR = "var/lib/func/operations"
FOLDER = "var/lib/func/genome"
BOOT_ID = "proc/sys/kernel/random/boot_id"
PREPARE = "prepare"
REBOOT_S = 30.0
STOP_S = 20.0  # for a program to end that was told to; below what the cloud master waits for an answer
MAX_ARGUMENTS = 16 * 1024


class Genome(FuncModule):
    """Prepares with genome-replace-self, and reboots. What has been prepared can be taken back until then."""

    version = "0.0.1"
    description = "Have this host installed anew from a profile of a cobbler server"
    methods = ("prepare", "cancel", "reboot", "status")
    settings = (
        Setting("program", "/usr/sbin/genome-replace-self", "the program that prepares it"),
        Setting("reboot_program", "/usr/bin/systemctl reboot", "the command that reboots the host"),
    )

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(root)
        self._operations = Operations(Journal(root / OPERATIONS_DIR, clock))
        self._background = Background(self._operations)
        self._preparer = Preparer(self.options["program"], root / FOLDER)

    def prepare(self, operation: str, arguments_json: str) -> str:
        """JSON {state: running or done, boot_id, profile, detail}; asked again it reports.

        The arguments are {server, profile, force, metadata: {name: value}}.
        """
        order = read_order(_parsed(arguments_json))

        def act(attempt: Attempt, run: Run) -> Mapping[str, Any]:
            try:
                return self._preparer.prepare(operation, order, self._boot_id(), run.stop.wait)
            except Interrupted as exc:
                raise Unanswered("the preparation was interrupted; ask again", begun=True) from exc

        answer, _ = self._background.ask(operation, PREPARE, order.journaled(), act)
        return _text({"state": "running"} if answer is None else {"state": "done", **answer})

    def cancel(self, operation: str) -> str:
        """JSON {cancelled}: what `prepare` of this operation did, or is doing, is taken back for good."""
        check_operation(operation)
        self._background.stop(operation, STOP_S)

        def undo(entry: Optional[Entry]) -> bool:
            return entry is not None and self._preparer.cancel(operation)

        return _text({"cancelled": self._operations.revoke(operation, PREPARE, undo, "it was cancelled")})

    def reboot(self, operation: str, boot_id: str) -> str:
        """JSON {rebooting, boot_id}: false where the boot id is not the given one: it has rebooted since.

        A host that is fast may take the answer along.
        """
        check_operation(operation)
        now = self._boot_id()
        if boot_id != now:
            return _text({"rebooting": False, "boot_id": now})
        if self._preparer.prepared() is None:
            raise WrongState("this host is not prepared to be installed anew: it would come back as it is")
        command = str(self.options["reboot_program"]).split()
        try:
            done = children.run(command, REBOOT_S, ENV)
        except OSError as exc:
            text = f"{command[0]} cannot be run: {exc.strerror}; name another reboot_program in Genome.conf"
            raise Unsupported(text) from exc
        if done.code != 0:
            raise HostError(f"{' '.join(command)} ended with {done.code}: {done.err.strip()[-300:]}")
        return _text({"rebooting": True, "boot_id": now})

    def status(self) -> str:
        """JSON {boot_id, prepared, profile}: which boot this is, and whether the next one installs."""
        prepared = self._preparer.prepared()
        profile = None if prepared is None else prepared.get("profile")
        return _text({"boot_id": self._boot_id(), "prepared": prepared is not None, "profile": profile})

    def close(self) -> None:
        """End what is under way; it is taken up again when somebody asks."""
        self._background.close(STOP_S)

    def _boot_id(self) -> str:
        file = self.root / BOOT_ID
        try:
            return file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as exc:
            raise HostError(
                f"{file} cannot be read, so nobody could tell whether this host rebooted"
            ) from exc


def _parsed(text: Any) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > MAX_ARGUMENTS:
        raise BadSpec(f"the arguments are a JSON text of at most {MAX_ARGUMENTS} characters")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadSpec("the arguments are no JSON") from exc
    if not isinstance(found, dict):
        raise BadSpec('the arguments are a JSON object such as {"server": ...}')
    return found


def _text(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, separators=(",", ":"))
