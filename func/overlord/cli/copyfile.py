"""`func SPEC copyfile --file=FILE --remotepath=PATH`: put a file on minions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from func.overlord.cli.context import MINION_FAILED, OK, Context, complain, parser
from func.overlord.cli.output import add_json, print_json
from func.overlord.cli.progress import Progress
from func.overlord.files import send_file

SUMMARY = "put a file on minions"


def run(context: Context, words: Sequence[str]) -> int:
    """Copy a file to every minion and say who did not take it."""
    options = parser("copyfile", "Put a file on minions, with its mode, owner and group by number.")
    add_json(options)
    options.add_argument("-f", "--file", type=Path, required=True, metavar="FILE", help="the file here")
    options.add_argument("--remotepath", required=True, metavar="PATH", help="where it goes there")
    options.add_argument("--force", action="store_true", help="without effect: it is always written")
    wishes = options.parse_args(words)
    with context.client() as client, Progress(0, "pieces sent") as progress:
        results = send_file(client, wishes.file, wishes.remotepath, told=progress.now)
    if wishes.json:
        print_json({result.minion: str(result.error or "") or None for result in results})
    elif wishes.verbose:
        for result in results:
            print(f"{'[ FAILED ]' if result.error else '[ ok ... ]'} {result.minion}")
    complain(results)
    return OK if all(result.error is None for result in results) else MINION_FAILED
