"""The command `func`: call methods on minions, ping and list them."""

from __future__ import annotations

import argparse
import base64
import difflib
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from pprint import pprint
from typing import Any, Callable, Optional

from func import wire
from func.errors import FuncError
from func.overlord.client import Client, as_func_value

OK, ERROR, USAGE, MINION_FAILED, INTERRUPTED = 0, 1, 2, 4, 130

_EXITS = "exit status: 0 done; 1 not possible, e.g. no minion matches; 2 usage; 4 a minion failed (--strict)"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; answers its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    command = COMMANDS.get(options.command)
    if command is None:
        parser.error(_unknown(options.command))
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except FuncError as exc:
        print(f"ERROR: {exc}", file=sys.stderr)
        return ERROR
    except BrokenPipeError:
        # Whoever read the output has seen enough; without this the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def call(options: argparse.Namespace) -> int:
    """Call a method and print {minion: value}."""
    wishes = _call_parser().parse_args(options.rest)
    if wishes.asynchronous or wishes.nopoll:
        raise FuncError("asynchronous calls (-a, -n) are not there yet: leave them away")
    with _client(options, wishes.port) as client:
        if wishes.verbose:
            names = client.list_minions()
            print(f"calling {wishes.module}.{wishes.method} on {', '.join(names)}", file=sys.stderr)
        results = client.results(wishes.module, wishes.method, wishes.args)
    values = {result.minion: as_func_value(result) for result in results}
    if wishes.json:
        print(json.dumps(values, default=_as_json, indent=2))
    elif wishes.xmlrpc:
        print(wire.encode_result(values).decode(), end="")
    elif wishes.raw:
        print(values)
    else:
        pprint(values)
    return _exit(options, all(result.error is None for result in results))


def ping(options: argparse.Namespace) -> int:
    """Print for every minion whether it answers."""
    wishes = _ping_parser().parse_args(options.rest)
    with _client(options) as client:
        results = client.results("test", "ping")
    for result in results:
        print(f"{'[ FAILED ]' if result.error else '[ ok ... ]'} {result.minion}")
        if result.error and wishes.verbose:
            print(f"{result.minion}: {result.error}", file=sys.stderr)
    return _exit(options, all(result.error is None for result in results))


def list_minions(options: argparse.Namespace) -> int:
    """Print the names of the minions meant."""
    argparse.ArgumentParser(prog="func SPEC list_minions").parse_args(options.rest)
    with _client(options) as client:
        for name in client.list_minions():
            print(name)
    return OK


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "call": call,
    "ping": ping,
    "list_minions": list_minions,
}


def _parser() -> argparse.ArgumentParser:
    commands = ", ".join(COMMANDS)
    parser = argparse.ArgumentParser(
        prog="func",
        description="Call methods on minions.",
        epilog=_EXITS,
        usage='func [options] "SPEC" COMMAND ...',
    )
    parser.add_argument("-t", "--timeout", type=_seconds, metavar="SEC", help="how long each minion has")
    parser.add_argument("-e", "--exclude", default="", metavar="SPEC", help="minions to leave out")
    parser.add_argument("-c", "--conf", type=Path, metavar="FILE", help="read this in place of overlord.conf")
    parser.add_argument("--root", type=Path, metavar="DIR", help="all paths lie below; else $CERTMASTER_ROOT")
    parser.add_argument("--strict", action="store_true", help="exit with 4 when a minion failed")
    parser.add_argument("spec", metavar="SPEC", help='globs and @groups, split by ";", e.g. "*.example.org"')
    parser.add_argument("command", metavar="COMMAND", help=f"one of: {commands}; each takes --help")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _call_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="func SPEC call", description="Call a method. Arguments are strings."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say first whom is called")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("-j", "--json", action="store_true", help="print JSON")
    shape.add_argument("-x", "--xmlrpc", action="store_true", help="print XML-RPC")
    shape.add_argument("--raw", action="store_true", help="print in one line")
    parser.add_argument("-p", "--port", type=_port, help="port the minions listen on")
    parser.add_argument("-f", "--forks", metavar="N", help="without effect: calls are always parallel")
    parser.add_argument("--sort", action="store_true", help="without effect: always sorted by name")
    parser.add_argument("-a", "--async", dest="asynchronous", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-n", "--nopoll", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("module")
    parser.add_argument("method")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    return parser


def _ping_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="func SPEC ping", description="Ask every minion for a sign of life")
    parser.add_argument("-v", "--verbose", action="store_true", help="say why on standard error")
    return parser


def _client(options: argparse.Namespace, port: Optional[int] = None) -> Client:
    return Client(
        options.spec,
        port=port,
        timeout=options.timeout,
        exclude_spec=options.exclude,
        config=options.conf,
        root=options.root.absolute() if options.root else None,
    )


def _exit(options: argparse.Namespace, all_well: bool) -> int:
    return OK if all_well or not options.strict else MINION_FAILED


def _unknown(command: str) -> str:
    near = difflib.get_close_matches(command, COMMANDS, 1, 0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"no command {command!r}: {guess}the commands are {', '.join(COMMANDS)}"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: seconds, more than 0, are meant")
    return seconds


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{text}: a port is a number from 1 to 65535")
    return port


def _as_json(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else str(value)
