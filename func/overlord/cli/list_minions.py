"""`func SPEC list_minions`: whom a specification means."""

from __future__ import annotations

from collections.abc import Sequence

from func.overlord.cli.context import OK, Context, parser
from func.overlord.cli.output import add_json, print_json

SUMMARY = "show whom the specification means"


def run(context: Context, words: Sequence[str]) -> int:
    """Print the names of the minions meant."""
    options = parser("list_minions", "Show the names of the minions meant; nobody is asked.")
    add_json(options)
    wishes = options.parse_args(words)
    with context.client() as client:
        names = client.list_minions()
    if wishes.json:
        print_json(names)
    else:
        for name in names:
            print(name)
    return OK
