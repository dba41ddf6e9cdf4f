"""The table of wire modules, and the one place where a call becomes a value or a REMOTE_ERROR."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from func import wire
from func.errors import ConfigError
from func.minion.codes import InvalidMethodException, ModuleNotFoundException
from func.minion.libvirt_connection import Links
from func.minion.libvirt_host import LibvirtHost
from func.minion.module import FuncModule
from func.minion.modules.genome import Genome
from func.minion.modules.hardware import Hardware
from func.minion.modules.image import Image
from func.minion.modules.machine import Machine
from func.minion.modules.system import System
from func.minion.modules.test import Test
from func.minion.modules.virt import Virt

log = logging.getLogger(__name__)

MODULES: Mapping[str, Callable[[Path, Links], FuncModule]] = {
    "genome": lambda root, links: Genome(root),
    "hardware": lambda root, links: Hardware(root),
    "image": lambda root, links: Image(root, links.get),
    "machine": lambda root, links: Machine(root, links.get),
    "test": lambda root, links: Test(root),
    "virt": lambda root, links: Virt(root, lambda uri: LibvirtHost(links.get(uri))),
}

# IPython asks for these two names on every tab completion; Func answers them, so scripts may rely on it.
ALL_NAMES = ("trait_names", "_getAttributeNames")


class Registry:
    """Finds the method for a name and runs it. Thread-safe: nothing in it changes."""

    def __init__(self, modules: Mapping[str, FuncModule]) -> None:
        self._modules = dict(modules)
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
        if module not in self._modules and module != "system":
            known = ", ".join([*self.list_modules(), "system"])
            raise ModuleNotFoundException(f"this minion has no module {module!r}; it has: {known}")
        raise InvalidMethodException(f"module {module!r} has no method {short!r}; ask {module}.list_methods")

    def call(self, method: str, args: Sequence[Any]) -> Any:
        """The method's value, or a REMOTE_ERROR list when it fails or is not there; never raises."""
        try:
            return self.find(method)(*args)
        except Exception as exc:  # noqa: BLE001 - the wire's contract: whatever a method raises is a result
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


def names(wanted: Sequence[str] = ()) -> list[str]:
    """Names of all modules, or of those in `module_list`; raises ConfigError for one that does not exist."""
    unknown = sorted(set(wanted) - set(MODULES) - {"system"})
    if unknown:
        known = ", ".join(sorted(MODULES))
        raise ConfigError(f"module_list names {', '.join(unknown)}; this minion knows {known}")
    return sorted(name for name in MODULES if not wanted or name in wanted)


def load(root: Path, wanted: Sequence[str] = ()) -> Registry:
    """The modules `wanted`, all when empty; raises ConfigError."""
    links = Links()
    return Registry({name: MODULES[name](root, links) for name in names(wanted)})
