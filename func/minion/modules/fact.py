"""The wire module `fact`: what the facts of fact filters are here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from func.minion.facts import SOURCES, Facts, source_of
from func.minion.module import FuncModule


class FactsModule(FuncModule):
    """Facts have two names each: a short one, Func's tag, and one with the group before it."""

    version = "0.0.1"
    description = "Facts about the machine, as fact filters see them"
    methods = ("list_fact_modules", "list_fact_methods", "show_fact_module", "show_fact_method", "call_fact")

    def __init__(self, root: Path, facts: Optional[Facts] = None) -> None:
        super().__init__(root)
        self._facts = facts or Facts()

    def list_fact_modules(self) -> list[str]:
        """The groups of facts."""
        return sorted({source.full_name.partition(".")[0] for source in SOURCES.values()})

    def list_fact_methods(self) -> list[str]:
        """Both names of all facts."""
        return self._facts.names()

    def show_fact_module(self, module_name: str) -> dict[str, str]:
        """{name, description, version} of a group, {} where there is none."""
        if module_name not in self.list_fact_modules():
            return {}
        return {"name": module_name, "description": f"Facts about the {module_name}", "version": self.version}

    def show_fact_method(self, method_name: str) -> dict[str, str]:
        """{name, tag, description} of a fact, {} where there is none."""
        try:
            tag, source = source_of(method_name)
        except KeyError:
            return {}
        return {"name": source.full_name, "tag": tag, "description": source.help}

    def call_fact(self, method_name: str) -> Any:
        """The fact, {} where there is none."""
        try:
            return self._facts.find(method_name)
        except KeyError:
            return {}

    def grep(self, word: str) -> dict[str, Any]:
        """Facts whose names or values contain `word`."""
        wanted = word.strip().lower()
        texts = [f"{name}: {self._facts.find(name)}" for name in SOURCES]
        found = [text for text in texts if wanted in text.lower()]
        return {"fact.list_fact_methods": found} if found else {}
