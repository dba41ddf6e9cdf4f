"""The command cloudmaster-join: arguments, the token, what is printed, exit codes."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from certmaster import __version__, proof
from certmaster import config as certmaster_config
from certmaster.errors import CertmasterError
from certmaster.names import check_host_name
from func.errors import FuncError
from func.minion.join.carry_out import Joined, join
from func.minion.join.errors import JoinRefused
from func.minion.join.plan import Wanted
from func.minion.join.services import Services

WAIT_S = 3600
_STDIN = _ASK = "-"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run cloudmaster-join; 0 joined, 1 not or not all of it works, 2 wrong arguments."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(message)s")
    root = certmaster_config.root() if arguments.root is None else arguments.root.absolute()
    stopped: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    try:
        wanted = Wanted(
            arguments.master, arguments.port or 0, arguments.ca_fingerprint or "", _token(arguments),
            arguments.name or "", arguments.force,
        )  # fmt: skip
        if root == Path("/") and os.geteuid() != 0:
            raise JoinRefused("joining changes /etc and starts services: run this as root")
        wait_s = 0.0 if arguments.no_wait else float(arguments.wait)
        done = join(wanted, root, print, Services(root), wait_s=wait_s, stop=lambda: bool(stopped))
    except KeyboardInterrupt:
        print("cloudmaster-join: interrupted; everything here is as it was before", file=sys.stderr)
        return 1
    except (FuncError, CertmasterError, OSError) as exc:
        print(f"cloudmaster-join: {exc}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return _report(done, wanted, waited=not arguments.no_wait)


def _report(done: Joined, wanted: Wanted, *, waited: bool) -> int:
    for path in done.aside:
        print(f"put aside: {path}")
    if done.authority:
        pinned = "" if wanted.ca_fingerprint else " (compare with `certmaster-ca --fingerprint` there)"
        print(f"authority: {done.authority}{pinned}")
    if done.open_to_all:
        print("func on the master may call everything here: certmaster_overrides_acls in func's minion.conf")
    else:
        print("the master may call what cloudmasterd needs: /etc/func/minion-acl.d/cloudmasterd.acl")
    for fault in done.faults:
        print(f"cloudmaster-join: {fault}", file=sys.stderr)
    if not waited:
        print(f"{done.name} goes on asking {wanted.master}: certmaster-ca --sign {done.name} there")
    elif done.faults:
        print(f"{done.name} has its certificate from {wanted.master}, but not all of it works yet")
    else:
        print(f"{done.name} is a cloud instance of {wanted.master}; it appears there within a minute")
    if Path("/usr/bin/firewall-cmd").exists():
        print("firewall: firewall-cmd --permanent --add-service=func && firewall-cmd --reload")
    return 1 if done.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudmaster-join",
        description="Make this machine a cloud instance of the cloud master MASTER.",
        epilog="Exit codes: 0 joined; 1 not joined, and all is as it was before, or joined and something does"
        " not work yet, as it says; 2 wrong arguments.",
    )
    parser.add_argument("master", metavar="MASTER", type=_master, help="host name or address of the master")
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token",
        nargs="?",
        const=_ASK,
        metavar="T",
        help="a one-time token; asked for when T is left out. Given here, everybody on this machine can read"
        " it in the process list",
    )
    token.add_argument("--token-file", metavar="FILE", help="a file with the token; - for standard input")
    parser.add_argument(
        "--ca-fingerprint", type=_pin, metavar="HEX", help="trust this authority alone (SHA-256)"
    )
    parser.add_argument("--name", type=_host, metavar="NAME", help="what this machine is called there")
    parser.add_argument("--port", type=_port, metavar="N", help="the certmaster's port (51235)")
    parser.add_argument(
        "--wait", type=_seconds, default=WAIT_S, metavar="S", help=f"seconds to wait ({WAIT_S})"
    )
    parser.add_argument("--no-wait", action="store_true", help="leave the waiting to funcd")
    parser.add_argument("--force", action="store_true", help="although it belongs to another master")
    parser.add_argument("--root", type=Path, metavar="DIR", help="directory below which all paths lie")
    parser.add_argument("--version", action="version", version=f"cloudmaster-join {__version__}")
    return parser


def _token(arguments: argparse.Namespace) -> str:
    """The token, "" for none; raises JoinRefused for what is none. Never shown, not even when it is wrong."""
    if arguments.token_file == _STDIN or (arguments.token == _ASK and not sys.stdin.isatty()):
        text = sys.stdin.readline()
    elif arguments.token == _ASK:
        text = getpass.getpass("Token: ")
    elif arguments.token_file is not None:
        try:
            text = Path(arguments.token_file).read_text(encoding="latin-1")
        except OSError as exc:
            raise JoinRefused(f"{arguments.token_file} cannot be read: {exc.strerror}") from exc
    elif arguments.token is not None:
        text = arguments.token
    else:
        return ""
    token = str(text).strip()
    if not proof.TOKEN.fullmatch(token):
        raise JoinRefused("that is no token: one is of 43 letters, digits, - and _; nothing was changed")
    return token


def _checked(check: Any, text: str) -> Any:
    try:
        return check(text)
    except (ValueError, CertmasterError) as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _master(text: str) -> str:
    return str(_checked(check_host_name, text))


def _host(text: str) -> str:
    return str(_checked(check_host_name, text))


def _pin(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("give what `certmaster-ca --fingerprint` prints on the master")
    return str(_checked(certmaster_config.read_pin, text))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number of seconds, 1 or more; see --no-wait")
    return int(text)
