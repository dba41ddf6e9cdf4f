"""What every wire module is: a table of methods, a version, and a small configuration file of its own."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from certmaster.certdir import PUBLIC, write_file
from certmaster.config import Setting, read_main
from certmaster.errors import ConfigError as CertmasterConfigError
from certmaster.errors import FileError
from func.errors import ConfigError

CONFIG_DIR = "etc/func/modules"

ENABLED = Setting("enabled", False, "whether the module is there at all; it can do harm in wrong hands")
"""The setting of modules that are off unless somebody turned them on."""

_WIRE_TYPES = {"int": "int", "float": "float", "str": "string", "bool": "boolean"}


class FuncModule:
    """Base of the wire modules.

    A subclass fills `methods` with the names of its wire methods; nothing else of it can be called from
    outside. Its settings are read from `etc/func/modules/CLASS.conf` below `root`.
    """

    version = "0.0.1"
    api_version = "0.0.1"
    description = "No description provided"
    methods: tuple[str, ...] = ()
    settings: Sequence[Setting] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / CONFIG_DIR / f"{type(self).__name__}.conf"
        self.options = self.read_options(root)

    @classmethod
    def read_options(cls, root: Path) -> dict[str, Any]:
        """The settings of this kind of module as they hold below `root`; raises ConfigError."""
        try:
            return read_main(root / CONFIG_DIR / f"{cls.__name__}.conf", cls.settings, root)
        except CertmasterConfigError as exc:
            raise ConfigError(str(exc)) from exc

    def wire_methods(self) -> dict[str, Callable[..., Any]]:
        """Every wire method by its short name: the module's own table and what all modules answer."""
        return {name: getattr(self, name) for name in (*_BASE_METHODS, *self.methods)}

    def module_version(self) -> str:
        """The module's version."""
        return self.version

    def module_api_version(self) -> str:
        """The version of the module's interface."""
        return self.api_version

    def module_description(self) -> str:
        """What the module is for, in one sentence."""
        return self.description

    def list_methods(self) -> list[str]:
        """Short names of all methods of the module, sorted."""
        return sorted(self.wire_methods())

    def get_method_args(self) -> dict[str, Any]:
        """{method: {"args": {name: {type, optional, description, order, default}}, "description"}}."""
        return {name: _describe(getattr(self, name)) for name in self.methods}

    def grep(self, word: str) -> dict[str, Any]:
        """{where: [what]} for everything in the module that contains `word`: its methods, its settings."""
        wanted = word.strip().lower()
        name = type(self).__module__.rpartition(".")[2]  # the file's, which is the wire's
        described = [(method, inspect.getdoc(getattr(self, method)) or "") for method in self.methods]
        found: dict[str, Any] = {
            f"{name}.list_methods": [
                method for method, text in described if wanted in f"{method} {text}".lower()
            ],
            f"{name}.config_items": [
                item for item in self.config_items() if wanted in f"{item[0]} {item[1]}".lower()
            ],
        }
        return {where: what for where, what in found.items() if what}

    def config_items(self) -> list[list[Any]]:
        """[[key, value], ...] of the module's settings as they are in use."""
        return [
            [key, str(value) if isinstance(value, Path) else value] for key, value in self.options.items()
        ]

    def save_config(self) -> bool:
        """Write the settings in use to the module's configuration file."""
        lines = ["[main]"] + [f"{key} = {self._written(value)}" for key, value in self.options.items()]
        try:
            write_file(self.config_file, ("\n".join(lines) + "\n").encode(), PUBLIC)
        except FileError as exc:
            raise ConfigError(f"cannot write {self.config_file}: {exc}") from exc
        return True

    def _written(self, value: Any) -> str:
        """A value as its file has it, where paths are those seen from inside the root."""
        if isinstance(value, Path):
            return f"/{value.relative_to(self.root)}" if value != Path() else ""
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    def close(self) -> None:
        """Let go of what the module holds; called once, when the minion ends."""


_BASE_METHODS = (
    "module_version", "module_api_version", "module_description", "list_methods", "get_method_args",
    "grep", "config_items", "save_config",
)  # fmt: skip


def _describe(method: Callable[..., Any]) -> dict[str, Any]:
    args: dict[str, Any] = {}
    for order, parameter in enumerate(inspect.signature(method).parameters.values()):
        optional = parameter.default is not parameter.empty
        # Annotations are text here (`from __future__ import annotations`), which is all that is needed.
        kind = _WIRE_TYPES.get(str(parameter.annotation), "string")
        args[parameter.name] = {
            "type": kind,
            "optional": optional,
            "order": order,
            "description": parameter.name,
        }
        if optional and parameter.default is not None:
            args[parameter.name]["default"] = parameter.default
    return {"args": args, "description": inspect.getdoc(method) or ""}
