"""`func SPEC getfile --localdir=DIR --remotesource=FILE`: fetch a file from minions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from func.overlord.cli.context import MINION_FAILED, OK, Context, complain, parser
from func.overlord.cli.output import add_json, harmless, print_json
from func.overlord.cli.progress import Progress
from func.overlord.files import fetch_file

SUMMARY = "fetch a file from minions"


def run(context: Context, words: Sequence[str]) -> int:
    """Fetch a file of every minion into DIR/MINION/NAME and say who did not give it."""
    options = parser("getfile", "Fetch a file of every minion as DIR/MINION/NAME, which its owner may read.")
    add_json(options)
    options.add_argument("-l", "--localdir", type=Path, required=True, metavar="DIR", help="where it goes")
    options.add_argument("-r", "--remotesource", required=True, metavar="FILE", help="the file there")
    wishes = options.parse_args(words)
    with context.client() as client, Progress(0, "pieces fetched") as progress:
        results = fetch_file(client, wishes.remotesource, wishes.localdir, told=progress.now)
    if wishes.json:
        print_json(
            {
                result.minion: {"path": result.value, "error": str(result.error or "") or None}
                for result in results
            }
        )
    elif wishes.verbose:
        for result in results:
            print(
                harmless(f"{result.minion}: {result.value}")
                if result.error is None
                else f"{result.minion}: failed"
            )
    complain(results)
    return OK if all(result.error is None for result in results) else MINION_FAILED
