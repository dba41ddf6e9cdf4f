"""The wire module `machine`, which is ours: make, change and delete machine instances, each step once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster.config import Setting, below
from func.minion.background import Background
from func.minion.codes import BadSpec
from func.minion.images import ImageCache
from func.minion.install import koan as koans
from func.minion.install import order as orders
from func.minion.install.koan import Installer, Koan
from func.minion.install.machines import CANCELLED, Machines
from func.minion.libvirt_connection import Calls, Link, Links, chosen_uri
from func.minion.machine import arguments
from func.minion.machine.context import Context, Setup
from func.minion.machine.describe import describe, resources
from func.minion.machine.kvm import KvmProof
from func.minion.machine.verbs import DESCRIBE, VERBS
from func.minion.module import FuncModule
from func.minion.modules.image import Image
from func.minion.modules.virt import Virt
from func.minion.operations import Attempt, Journal, Operations, check_operation
from func.minion.seeds import Seeds

OPERATIONS_DIR = "var/lib/func/operations"
CONSOLE_LOG_DIR = Path("/var/log/libvirt/qemu")
NVRAM_DIR = Path("/var/lib/libvirt/qemu/nvram")
MAX_ARGUMENTS = 256 * 1024
READ_LIMIT_S, ACT_LIMIT_S = 25.0, 50.0  # below what the cloud master waits for an answer
STOP_LIMIT_S = 40.0
INSTALL = "install"


class Machine(FuncModule):
    """Its libvirt is the one of the module `virt`, named in Virt.conf."""

    version = "0.0.1"
    description = "Make, change and delete machine instances, each operation once"
    methods = ("perform", "operation", "resources", "install", "cancel_install")
    settings = (
        Setting(
            "virt_type",
            "auto",
            "kvm, qemu, or auto: kvm where a boot proves it",
            choices=("auto", "kvm", "qemu"),
        ),
        Setting(
            "console_log_dir",
            CONSOLE_LOG_DIR,
            "where the machines' serial consoles are written; used where it exists",
        ),
        Setting(
            "nvram_dir",
            NVRAM_DIR,
            "where the settings of the machines' UEFI are kept; used where it exists",
        ),
        *koans.SETTINGS,
    )

    def __init__(
        self,
        root: Path,
        open_link: Optional[Callable[[str], Link]] = None,
        clock: Callable[[], float] = time.time,
        kvm_works: Optional[Callable[[str], bool]] = None,
        installer: Optional[Installer] = None,
    ) -> None:
        super().__init__(root)
        uri = chosen_uri(Virt.read_options(root)["uri"])
        self._link = (open_link or Links().get)(uri)
        self._calls = Calls(self._link, READ_LIMIT_S, ACT_LIMIT_S)
        self._operations = Operations(Journal(root / OPERATIONS_DIR, clock))
        self._setup = Setup(
            self.options["virt_type"],
            kvm_works or KvmProof(),
            self._folder("console_log_dir", uri),
            self._folder("nvram_dir", uri),
            root / "sys/class/net",
            *_kept(root),
        )
        self._installer = installer or Koan(koans.setup_of(root, self.options))
        self._machines = Machines(self._calls, self._link, self._setup, self._installer)
        self._background = Background(self._operations, self._installer.forget)

    def perform(self, operation: str, verb: str, arguments_json: str = "{}") -> str:
        """JSON of what `verb` answers; an operation that ended before answers what it answered then."""
        check_operation(operation)
        given = _parsed(arguments_json)
        if verb == DESCRIBE:  # changes nothing, so asking twice does no harm
            target = arguments.target(given)
            seed = "" if self._setup.seeds is None else str(self._setup.seeds.path(target.uuid))
            return _text(self._calls.read(lambda connection: describe(connection, target, seed)))
        if not isinstance(verb, str) or verb not in VERBS:
            raise BadSpec(f"unknown verb {verb!r}; known are {', '.join(sorted([*VERBS, DESCRIBE]))}")
        request = VERBS[verb].parse(given)

        def act(attempt: Attempt) -> Mapping[str, Any]:
            def acting(connection: Any) -> Mapping[str, Any]:
                try:
                    return VERBS[verb].act(Context(connection, attempt, self._setup), request)
                finally:
                    self._link.tell(request.uuid)  # not every change has an event

            return self._calls.act(acting)

        return _text(self._operations.perform(operation, verb, given, act))

    def operation(self, operation: str) -> str:
        """JSON {"state": unknown, running, ended, or cut-off: it may or may not have been done}."""
        return _text({"state": self._operations.state(operation)})

    def install(self, operation: str, arguments_json: str) -> str:
        """JSON {state: running or done, detail, uuid}; the first call begins it, all others tell of it."""
        check_operation(operation)
        given = _parsed(arguments_json)
        order = orders.order(given)
        result, stage = self._background.ask(
            operation, INSTALL, orders.hidden(given), partial(self._machines.install, order)
        )
        return _text(result or {"state": "running", "detail": stage, "uuid": order.machine.uuid})

    def cancel_install(self, operation: str) -> str:
        """JSON {"cancelled"}: neither koan nor the machine is there any more; false where neither was."""
        stopped = self._background.stop(operation, STOP_LIMIT_S)
        undo = partial(self._machines.cancel, operation)
        left = self._operations.revoke(operation, INSTALL, undo, CANCELLED)
        return _text({"cancelled": stopped or left})

    def resources(self) -> str:
        """JSON {arch, firmwares, networks, bridges, pools, isos, virt_type, machine_types, koan}."""

        def look(connection: Any) -> Mapping[str, Any]:
            koan = not self._installer.why_not(str(connection.getType()))
            return {**resources(connection, self._setup), "koan": koan}

        return _text(self._calls.read(look))

    def _folder(self, key: str, uri: str) -> Optional[Path]:
        folder: Path = self.options[key]
        default = {setting.key: setting.default for setting in self.settings}[key]
        # A session's emulator is nobody's but its user's, and cannot write where the system's does.
        useless = folder == below(self.root, default) and "/session" in uri
        return None if folder == Path() or useless else folder

    def close(self) -> None:
        """Let go of the threads and the connection; an installation is gone on with when it is asked for."""
        self._background.close(STOP_LIMIT_S)
        self._calls.close()
        self._link.close()


def _kept(root: Path) -> tuple[ImageCache, Seeds]:
    """What the module `image` keeps for machines."""
    options = Image.read_options(root)
    return ImageCache(options["image_dir"], 0), Seeds(options["seed_dir"])


def _parsed(text: Any) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > MAX_ARGUMENTS:
        raise BadSpec(f"the arguments are a JSON text of at most {MAX_ARGUMENTS} characters")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadSpec(f"the arguments are no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadSpec(f'the arguments are a JSON object such as {{"uuid": ...}}, not {text[:60]}')
    return found


def _text(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, separators=(",", ":"))
