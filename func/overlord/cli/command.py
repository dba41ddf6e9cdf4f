"""Read the command line of `func` up to the command's name, run that command, and exit as scripts expect."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Optional

from certmaster import __version__  # one distribution, one version
from certmaster.config import root as default_root
from func.errors import FuncError, NoMinions
from func.overlord.cli import (
    call,
    check,
    copyfile,
    dump_config,
    getfile,
    grep,
    group,
    list_minions,
    ping,
    show,
)
from func.overlord.cli.context import ERROR, INTERRUPTED, Context
from func.overlord.cli.output import harmless

COMMANDS: Mapping[str, ModuleType] = {
    "call": call,
    "ping": ping,
    "list_minions": list_minions,
    "show": show,
    "check": check,
    "copyfile": copyfile,
    "getfile": getfile,
    "grep": grep,
    "group": group,
    "dump_config": dump_config,
}
"""Each has SUMMARY, one line, and run(context, words), which answers the exit status."""

_EXITS = (
    "exit status: 0 done; 1 not possible, e.g. no minion matches; 2 usage; 4 a minion failed (call, ping, "
    "show, grep: with --strict); 5 the job has not ended"
)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; answers its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    command = COMMANDS.get(options.command)
    if command is None:
        parser.error(_unknown(options.spec, options.command))
    try:
        status = int(command.run(_context(options), options.rest))
        sys.stdout.flush()
        return status
    except NoMinions as exc:
        print(f"ERROR: {harmless(str(exc))}", file=sys.stderr)
        if exc.near:
            print(f"Did you mean {' or '.join(exc.near)}?", file=sys.stderr)
        return ERROR
    except FuncError as exc:
        print(f"ERROR: {harmless(str(exc))}", file=sys.stderr)
        return ERROR
    except BrokenPipeError:
        # Whoever read the output has seen enough; without this the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<13} {command.SUMMARY}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="func",
        description="Call methods on minions.",
        epilog=f"commands, each of which takes --help:\n{listed}\n\n{_EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='func [options] "SPEC" COMMAND ...',
    )
    parser.add_argument("-t", "--timeout", type=_seconds, metavar="SEC", help="how long each minion has")
    parser.add_argument("-e", "--exclude", default="", metavar="SPEC", help="minions to leave out")
    parser.add_argument("-c", "--conf", type=Path, metavar="FILE", help="read this in place of overlord.conf")
    parser.add_argument("--root", type=Path, metavar="DIR", help="all paths lie below; else $CERTMASTER_ROOT")
    parser.add_argument("--strict", action="store_true", help="exit with 4 when a minion failed")
    parser.add_argument("--request-id", default="", metavar="ID", help="goes into the minions' audit logs")
    parser.add_argument("--version", action="version", version=f"func {__version__}")
    parser.add_argument("spec", metavar="SPEC", help='globs and @groups, split by ";", e.g. "*.example.org"')
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _context(options: argparse.Namespace) -> Context:
    return Context(
        spec=options.spec,
        root=options.root.absolute() if options.root else default_root(),
        timeout_s=options.timeout,
        exclude=options.exclude,
        conf=options.conf,
        strict=options.strict,
        request_id=options.request_id,
    )


def _unknown(spec: str, command: str) -> str:
    if spec in COMMANDS:
        return f'{spec!r} is a command, and before it comes who is meant: func "*" {spec} {command} ...'
    near = difflib.get_close_matches(command, COMMANDS, 1, 0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"no command {command!r}: {guess}the commands are {', '.join(COMMANDS)}"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: seconds, more than 0, are meant")
    return seconds
