"""`func SPEC show hardware [NAME ...]`: what minions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pprint import pprint
from typing import Any

from func.overlord.cli.context import Context, complain, gather, parser
from func.overlord.cli.output import add_json, harmless, print_json

SUMMARY = "show what minions are made of: show hardware systemMemory"


def run(context: Context, words: Sequence[str]) -> int:
    """Print what hardware.info says, whole or the values of some names."""
    options = parser("show", "Show what minions say of themselves, whole or some of it.")
    add_json(options)
    options.add_argument("what", choices=["hardware"], help="what to show")
    options.add_argument("names", nargs="*", metavar="NAME", help="one of its values, e.g. systemMemory")
    wishes = options.parse_args(words)
    with context.client() as client:
        results = gather(client, wishes.what, "info")
    facts = {result.minion: _chosen(result.value, wishes.names) for result in results if not result.error}
    if wishes.json:
        print_json(facts)
    else:
        for minion, found in facts.items():
            _print_minion(minion, found, wishes.names)
    complain(results)
    return context.status(len(facts) == len(results))


def _chosen(facts: Any, names: Sequence[str]) -> Any:
    if not names or not isinstance(facts, dict):
        return facts
    return {name: facts[name] for name in names if name in facts}


def _print_minion(minion: str, found: Any, names: Sequence[str]) -> None:
    print(f"{minion}:")
    if not names or not isinstance(found, dict):
        pprint(found)
        return
    for value in found.values():
        print(harmless(str(value)))
