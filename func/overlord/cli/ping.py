"""`func SPEC ping`: who answers."""

from __future__ import annotations

from collections.abc import Sequence

from func.overlord.cli.context import Context, complain, gather, parser
from func.overlord.cli.output import add_json, print_json

SUMMARY = "ask every minion for a sign of life"


def run(context: Context, words: Sequence[str]) -> int:
    """Print for every minion whether it answers."""
    options = parser("ping", "Ask every minion for a sign of life; -v says why one gives none.")
    add_json(options)
    wishes = options.parse_args(words)
    with context.client() as client:
        results = gather(client, "test", "ping")
    if wishes.json:
        print_json(
            {
                result.minion: {"ok": result.error is None, "error": str(result.error or "") or None}
                for result in results
            }
        )
    else:
        for result in results:
            print(f"{'[ FAILED ]' if result.error else '[ ok ... ]'} {result.minion}")
    if wishes.verbose:
        complain(results)
    return context.status(all(result.error is None for result in results))
