"""`func SPEC grep WORD`: which modules of which minions know a word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pprint import pformat
from typing import Any

from func.overlord.cli.context import Context, complain, counted, gather, parser
from func.overlord.cli.output import add_json, print_json
from func.overlord.client import Client
from func.overlord.fanout import Result

SUMMARY = "search the modules of minions for a word"


def run(context: Context, words: Sequence[str]) -> int:
    """Print what the modules of each minion find."""
    options = parser("grep", "Search the modules of minions for a word.")
    add_json(options)
    options.add_argument(
        "-m", "--modules", action="append", default=[], metavar="MODULE", help="only this; may come again"
    )
    options.add_argument("word")
    wishes = options.parse_args(words)
    found: dict[str, dict[str, Any]] = {}
    with context.client() as client:
        inventories = gather(client, "system", "inventory")
        failed = [result for result in inventories if result.error is not None]
        for module, results in _searched(client, inventories, wishes.modules, wishes.word):
            failed += [result for result in results if result.error is not None]
            for result in results:
                if result.value:
                    found.setdefault(result.minion, {})[module] = result.value
    if wishes.json:
        print_json(found)
    else:
        for minion, modules in sorted(found.items()):
            for value in modules.values():
                print(f"{minion}: {pformat(value)}")
    complain(failed)
    return context.status(not failed)


def _searched(
    client: Client, inventories: Sequence[Result], wanted: Sequence[str], word: str
) -> Iterator[tuple[str, list[Result]]]:
    """Each module that somebody has and that can be searched, with what its minions found."""
    having: dict[str, list[str]] = {}
    for result in inventories:
        methods = result.value if isinstance(result.value, dict) else {}
        for module, names in methods.items():
            if isinstance(names, list) and "grep" in names and (not wanted or module in wanted):
                having.setdefault(module, []).append(result.minion)
    for module, minions in sorted(having.items()):
        calls = dict.fromkeys(minions, (f"{module}.grep", (word,)))
        yield module, list(counted(client.ask(calls), len(minions)))
