"""The wire module `system`: what this minion can do."""

from __future__ import annotations

from typing import Any, Callable


class System:
    """Answers about the registry itself; it is no module of the list, as in Func."""

    methods = ("listMethods", "list_methods", "list_modules", "inventory", "grep")

    def __init__(self, modules: Callable[[], list[str]], methods: Callable[[], list[str]]) -> None:
        self._modules = modules
        self._all_methods = methods

    def wire_methods(self) -> dict[str, Callable[..., Any]]:
        """Every wire method by its short name."""
        return {name: getattr(self, name) for name in self.methods}

    def list_methods(self) -> list[str]:
        """Full names of all methods, sorted."""
        return self._all_methods()

    # The name XML-RPC introspection gave it.
    listMethods = list_methods  # noqa: N815

    def list_modules(self) -> list[str]:
        """Names of all modules, sorted."""
        return self._modules()

    def inventory(self) -> dict[str, list[str]]:
        """{module: [short method names]}."""
        found: dict[str, list[str]] = {name: [] for name in self._modules()}
        for method in self._all_methods():
            module, _, short = method.rpartition(".")
            if module in found:
                found[module].append(short)
        return found

    def grep(self, word: str) -> dict[str, list[str]]:
        """Modules and methods whose names contain `word`."""
        wanted = word.strip().lower()
        found = {
            "system.list_modules": [name for name in self._modules() if wanted in name.lower()],
            "system.list_methods": [name for name in self._all_methods() if wanted in name.lower()],
        }
        return {where: names for where, names in found.items() if names}
