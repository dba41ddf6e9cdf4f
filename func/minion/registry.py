"""The table of wire modules, and the one place where a call becomes a value or a REMOTE_ERROR."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

from func import wire
from func.errors import ConfigError
from func.minion import job_files, third_party
from func.minion.codes import InvalidMethodException, ModuleNotFoundException
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from func.minion.libvirt_connection import Links
from func.minion.libvirt_host import LibvirtHost
from func.minion.module import CONFIG_DIR, FuncModule
from func.minion.modules.certmastermod import CertMasterModule
from func.minion.modules.command import Command
from func.minion.modules.copyfile import CopyFile
from func.minion.modules.fact import FactsModule
from func.minion.modules.genome import Genome
from func.minion.modules.getfile import GetFile
from func.minion.modules.hardware import Hardware
from func.minion.modules.image import Image
from func.minion.modules.jobs import JobsModule
from func.minion.modules.machine import Machine
from func.minion.modules.process import ProcessModule
from func.minion.modules.reboot import Reboot
from func.minion.modules.service import Service
from func.minion.modules.system import System
from func.minion.modules.test import Test
from func.minion.modules.virt import Virt

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What modules are made of."""

    root: Path
    links: Links
    jobs: Jobs


MODULES: Mapping[str, Callable[[Parts], FuncModule]] = {
    "certmastermod": lambda parts: CertMasterModule(parts.root),
    "command": lambda parts: Command(parts.root),
    "copyfile": lambda parts: CopyFile(parts.root),
    "fact": lambda parts: FactsModule(parts.root),
    "genome": lambda parts: Genome(parts.root),
    "getfile": lambda parts: GetFile(parts.root),
    "hardware": lambda parts: Hardware(parts.root),
    "image": lambda parts: Image(parts.root, parts.links.get),
    "jobs": lambda parts: JobsModule(parts.root, parts.jobs),
    "machine": lambda parts: Machine(parts.root, parts.links.get),
    "process": lambda parts: ProcessModule(parts.root),
    "reboot": lambda parts: Reboot(parts.root),
    "service": lambda parts: Service(parts.root),
    "test": lambda parts: Test(parts.root),
    "virt": lambda parts: Virt(parts.root, lambda uri: LibvirtHost(parts.links.get(uri))),
}

OFF_UNLESS_ENABLED: Mapping[str, type[FuncModule]] = {
    "command": Command,
    "copyfile": CopyFile,
    "getfile": GetFile,
}

# IPython asks for these two names on every tab completion; Func answers them, so scripts may rely on it.
ALL_NAMES = ("trait_names", "_getAttributeNames")


class WireModule(Protocol):
    """What the table needs of a module, ours or another's."""

    def wire_methods(self) -> dict[str, Callable[..., Any]]:
        """Every wire method by its short name."""

    def close(self) -> None:
        """Let go of what the module holds."""


class Registry:
    """Finds the method for a name and runs it. Thread-safe: nothing in it changes."""

    def __init__(self, modules: Mapping[str, WireModule], off: Mapping[str, str] = {}) -> None:
        """`off` says of modules that are not there why."""
        self._modules = dict(modules)
        self._off = off
        self._methods: dict[str, Callable[..., Any]] = {}
        for name, module in self._modules.items():
            for short, method in module.wire_methods().items():
                self._methods[f"{name}.{short}"] = method
        system = System(self.list_modules, self.list_methods)
        for short, method in system.wire_methods().items():
            self._methods[f"system.{short}"] = method

    def list_modules(self) -> list[str]:
        """Names of the modules, sorted; `system` is not among them, as in Func."""
        return sorted(self._modules)

    def list_methods(self) -> list[str]:
        """Full names of all methods, sorted."""
        return sorted(self._methods)

    def find(self, method: str) -> Callable[..., Any]:
        """The function behind a wire name; raises InvalidMethodException or ModuleNotFoundException."""
        found = self._methods.get(method)
        if found is not None:
            return found
        if method in ALL_NAMES:
            return self.list_methods
        module, dot, short = method.rpartition(".")
        if not dot:
            raise ModuleNotFoundException(f"{method!r} names no module; call it as module.method")
        if module in self._off:
            raise ModuleNotFoundException(self._off[module])
        if module not in self._modules and module != "system":
            known = ", ".join([*self.list_modules(), "system"])
            raise ModuleNotFoundException(f"this minion has no module {module!r}; it has: {known}")
        raise InvalidMethodException(f"module {module!r} has no method {short!r}; ask {module}.list_methods")

    def call(self, method: str, args: Sequence[Any]) -> Any:
        """The method's value, or a REMOTE_ERROR list when it fails or is not there; never raises."""
        try:
            return self.find(method)(*args)
        except BaseException as exc:  # noqa: BLE001 - a result, whatever it is; asyncio's CancelledError too
            log.info("%s failed: %s: %s", method, type(exc).__name__, exc)
            stack = "".join(traceback.format_tb(exc.__traceback__))
            return wire.remote_error(kind_of(exc), str(exc), stack)

    def close(self) -> None:
        """Let every module let go of what it holds."""
        for module in self._modules.values():
            module.close()


def kind_of(exc: BaseException) -> str:
    """An exception's class as Func names it on the wire: `exceptions.ValueError`, `func.errors.HostError`."""
    kind = type(exc)
    # Python 2 kept its own exceptions in a module `exceptions`, and scripts compare that name.
    home = "exceptions" if kind.__module__ == "builtins" else kind.__module__
    return f"{home}.{kind.__qualname__}"


def open_jobs(root: Path) -> Jobs:
    """The jobs of the minion of that root; raises ConfigError."""
    options = JobsModule.read_options(root)
    return Jobs(JobFiles(root / job_files.FOLDER), options["at_once"], options["most_waiting"])


def load(
    root: Path, wanted: Sequence[str] = (), folder: Optional[Path] = None, jobs: Optional[Jobs] = None
) -> Registry:
    """The modules that a glob of `wanted` matches, all when empty; those of others are in `folder`.

    Raises ConfigError.
    """
    others = third_party.names(folder) if folder is not None else {}
    _check_wanted(wanted, [*MODULES, *others])
    off = {
        name: f"the module {name} is off here: enabled = yes in {root / CONFIG_DIR}/{kind.__name__}.conf"
        for name, kind in OFF_UNLESS_ENABLED.items()
        if not kind.read_options(root)["enabled"]
    }
    parts = Parts(root, Links(), jobs or open_jobs(root))
    found: dict[str, WireModule] = {
        name: make(parts) for name, make in MODULES.items() if _is_wanted(name, wanted) and name not in off
    }
    if folder is not None:
        files = {name: path for name, path in others.items() if _is_wanted(name, wanted)}
        found.update(third_party.load(root, files, folder, {*MODULES, "system", "func_module"}))
    return Registry(found, {name: why for name, why in off.items() if _is_wanted(name, wanted)})


def _is_wanted(name: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(fnmatchcase(name, glob) for glob in wanted)


def _check_wanted(wanted: Sequence[str], known: Sequence[str]) -> None:
    unknown = [
        glob for glob in wanted if glob != "system" and not any(_is_wanted(name, [glob]) for name in known)
    ]
    if unknown:
        raise ConfigError(
            f"module_list names {', '.join(unknown)}; this minion knows {', '.join(sorted(known))}"
        )
