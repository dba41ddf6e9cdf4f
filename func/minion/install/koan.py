"""Run koan with a fixed argument list, a folder and a log of its own, and a deadline."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Protocol, Union

from certmaster.config import Setting, below, read_main
from certmaster.errors import ConfigError as CertmasterConfigError
from func.errors import ConfigError, HostError
from func.minion import children
from func.minion.install import stand_in
from func.minion.install.order import ClassicOrder, Order

log = logging.getLogger(__name__)

WORK_DIR = Path("/var/lib/func/koan")
KEEP_LOGS = 100
_NOISE = (" ", "Traceback", "- [")
MAX_GIST = 600
TAIL_BYTES = 4000
BIN = Path(stand_in.__file__).parent / "bin"
QEMU_IMG = "/usr/bin/qemu-img"  # koan looks for it in no other place
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = ("HOME", "XDG_RUNTIME_DIR")  # where a session's libvirt is found
# koan touches no disk with it: it is there already, and is neither a folder nor a volume group.
NO_DISK = "/dev/null"
NO_BRIDGE = "none"  # koan wants one, of the profile or of its caller; the machine has its networks already

SETTINGS = (
    Setting("koan", "/usr/bin/koan", "the program that installs machines from cobbler's profiles"),
    Setting("virt_install", "/usr/bin/virt-install", "the program that koan needs for it"),
    Setting(
        "koan_log_dir", Path("/var/log/func/koan"), "where it is written what koan says, a file a machine"
    ),
)


@dataclass(frozen=True)
class KoanSetup:
    """Where koan is, and where it may write."""

    koan: str
    virt_install: str
    log_dir: Path
    work_dir: Path


@dataclass(frozen=True)
class Ended:
    """How koan ended: its exit code, None where its time was over; the last it said; whether it came to
    virt-install, and that ended well."""

    code: Optional[int]
    said: str
    started: bool

    @property
    def gist(self) -> str:
        """What a person wants to read of its words: neither stacks nor the commands it ran."""
        lines = [line for line in self.said.splitlines() if line.strip() and not line.startswith(_NOISE)]
        return "; ".join(lines)[-MAX_GIST:] or "nothing"


class Installer(Protocol):
    """What the module needs of koan."""

    def why_not(self, driver: str) -> str:
        """Why there is no koan to be had under that driver of libvirt; empty where there is."""

    def install(self, operation: str, order: Order, uri: str, stopped: Callable[[float], bool]) -> Ended:
        """Have the machine, which is defined, boot its installer. Raises HostError, Interrupted."""

    def started(self, operation: str) -> bool:
        """Whether that operation's virt-install has ended well, whoever waited for it."""

    def sweep(self, operation: str) -> None:
        """End all processes that work for the operation. Raises HostError."""

    def forget(self, operation: str) -> None:
        """Remove what is kept of the operation, but for the log."""


def setup_of(root: Path, options: Mapping[str, Any]) -> KoanSetup:
    """What the settings say."""
    return KoanSetup(options["koan"], options["virt_install"], options["koan_log_dir"], below(root, WORK_DIR))


def read_setup(root: Path, file: Path) -> KoanSetup:
    """The same from the file of the module `machine`; raises ConfigError."""
    try:
        return setup_of(root, read_main(file, SETTINGS, root))
    except CertmasterConfigError as exc:
        raise ConfigError(str(exc)) from exc


class Koan:
    """An Installer by koan 3.0.1; thread-safe, as each operation has a folder of its own."""

    def __init__(self, setup: KoanSetup) -> None:
        self._setup = setup

    def why_not(self, driver: str) -> str:
        """Why there is no koan to be had under that driver of libvirt; empty where there is."""
        if driver.upper() != "QEMU":
            return f"koan installs through libvirt's QEMU driver, and this host has {driver}"
        for program, package in ((self._setup.koan, "koan"), (self._setup.virt_install, "virt-install")):
            if not os.access(program, os.X_OK):
                return f"there is no {program} on this host; install {package}, or name it in Machine.conf"
        if not os.access(QEMU_IMG, os.X_OK):
            return f"there is no {QEMU_IMG} on this host; install qemu-img"
        if not os.access(BIN / "virt-install", os.X_OK):  # koan would find the real one in its place
            return f"{BIN}/virt-install cannot be run; install func again"
        return ""

    def install(self, operation: str, order: Order, uri: str, stopped: Callable[[float], bool]) -> Ended:
        """Have the machine, which is defined, boot its installer. Raises HostError, Interrupted."""
        said = {"uuid": order.machine.uuid, "virt_type": "qemu", "options": order.options}
        return self.run(operation, machine_arguments(order), said, uri, order.deadline_s, stopped)

    def run(
        self,
        operation: str,
        arguments: Sequence[str],
        said: Mapping[str, Any],
        uri: str,
        deadline_s: float,
        stopped: Callable[[float], bool],
    ) -> Ended:
        """Run koan; whatever way it ended, nothing of it runs any more. Raises HostError, Interrupted."""
        work = self.work(operation)
        try:
            self._prepare(work, said, uri)
            output = self._open_log(operation)
            try:
                command = [self._setup.koan, *arguments]
                child = children.start(command, self._environment(work, uri), work, output)
            finally:
                os.close(output)
        except OSError as exc:
            raise HostError(f"koan cannot be started: {exc}") from exc
        log.info("%s: koan runs as process %d: %s", operation, child.pid, " ".join(arguments))
        code = None
        try:
            code = child.wait(deadline_s, stopped)
        except children.Overdue:
            log.warning("%s: koan was not done within %.0f s", operation, deadline_s)
        finally:
            child.end(work)
            (work / stand_in.ORDER).unlink(missing_ok=True)  # it has the one-time token in it
        return Ended(code, self._tail(operation), self.started(operation))

    def started(self, operation: str) -> bool:
        """Whether that operation's virt-install has ended well, whoever waited for it."""
        return (self.work(operation) / stand_in.STARTED).exists()

    def sweep(self, operation: str) -> None:
        """End all processes that work for the operation. Raises HostError."""
        if children.end_all(self.work(operation)):
            log.warning("%s: koan still ran for it, and was ended", operation)

    def forget(self, operation: str) -> None:
        """Remove what is kept of the operation, but for the log."""
        shutil.rmtree(self.work(operation), ignore_errors=True)

    def work(self, operation: str) -> Path:
        """The operation's folder."""
        return self._setup.work_dir / operation

    def log_file(self, operation: str) -> Path:
        """Where it is written what koan says for the operation."""
        return self._setup.log_dir / f"{operation}.log"

    def _prepare(self, work: Path, said: Mapping[str, Any], uri: str) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, mode=0o700)
        tools = {"uri": uri, "virt_install": self._setup.virt_install, "qemu_img": QEMU_IMG}
        with open(work / stand_in.ORDER, "w", encoding="utf-8", opener=_private) as stream:
            json.dump({**tools, **said}, stream)

    def _environment(self, work: Path, uri: str) -> dict[str, str]:
        return {
            **{key: os.environ[key] for key in PASSED_ON if key in os.environ},
            "PATH": f"{BIN}:{PATH}",
            "LC_ALL": "C.UTF-8",
            "LIBVIRT_DEFAULT_URI": uri,
            "XDG_CACHE_HOME": str(work / "cache"),  # virt-install writes the kernel's options to a log there
            "PYTHONUNBUFFERED": "1",  # what koan said last is in its log even when it was killed
            "FUNC_PYTHON": sys.executable,
            "FUNC_STAND_IN": stand_in.__file__,
        }

    def _open_log(self, operation: str) -> int:
        folder = self._setup.log_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        old = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in old[: max(0, len(old) - KEEP_LOGS + 1)]:
            path.unlink(missing_ok=True)
        return os.open(self.log_file(operation), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _tail(self, operation: str) -> str:
        with self.log_file(operation).open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            if size > TAIL_BYTES:
                stream.readline()  # the rest of a line whose beginning nobody knows
            return stream.read().decode("utf-8", "replace").strip()


def machine_arguments(order: Order) -> list[str]:
    """What koan is told for a machine that is defined already: where it boots from is all that matters."""
    return [
        "--virt",
        f"--server={order.server}",
        f"--profile={order.profile}",
        f"--virt-name={order.machine.name}",
        "--virt-type=qemu",
        f"--virt-path={NO_DISK}",
        f"--virt-bridge={NO_BRIDGE}",
        "--force-path",
    ]


def classic_arguments(order: ClassicOrder) -> list[str]:
    """What koan is told where it decides by itself."""
    found = ["--virt", f"--server={order.server}", "--virt-type=qemu"]
    found.append(f"--{'system' if order.system else 'profile'}={order.target}")
    if order.name is not None:
        found.append(f"--virt-name={order.name}")
    if order.path is not None:
        found.append(f"--virt-path={order.path}")  # without --force-path: what is there already is somebody's
    found.append(f"--graphics={'vnc' if order.graphics else 'none'}")
    return found


def _private(path: Union[str, Path], flags: int) -> int:
    return os.open(path, flags, 0o600)
