"""The command line of cloudmasterd: arguments, logging, signals, exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from cloudmasterd import __version__
from cloudmasterd.app import StopQueue, build, run
from cloudmasterd.config import DEFAULT_FILE, Config, documentation, load_config, shown_settings
from cloudmasterd.errors import CloudError, ConfigError
from cloudmasterd.logs import start_logging
from cloudmasterd.service import Service

log = logging.getLogger(__name__)

OK, CANNOT_START, BAD_CONFIG = 0, 1, 2


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run cloudmasterd; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.list_settings:
        sys.stdout.write(documentation())
        return OK
    try:
        config = load_config(arguments.config, arguments.root.absolute())
    except ConfigError as exc:
        return _fail(str(exc), BAD_CONFIG)
    if arguments.check_config:
        sys.stdout.write(shown_settings(config))
        return OK
    start_logging(config.log_level)
    return _serve(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudmasterd",
        description="The cloud master: shows and steers machine instances on cloud instances. Runs in the"
        " foreground, logs to standard error, ends on TERM or INT.",
        epilog="Exit codes: 0 ended when told to; 1 cannot start or had to give up (database in use, port"
        " taken ...); 2 wrong arguments or configuration.",
    )
    parser.add_argument("--version", action="version", version=f"cloudmasterd {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the configuration file (default: {DEFAULT_FILE})"
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("CERTMASTER_ROOT") or "/"),
        help="put the default configuration file and every configured path below DIR"
        " (default: $CERTMASTER_ROOT, else /)",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--check-config",
        action="store_true",
        help="read the configuration, print the effective settings and end",
    )
    only.add_argument(
        "--list-settings",
        action="store_true",
        help="print every setting, its default and its meaning, and end",
    )
    return parser


def _serve(config: Config) -> int:
    stop: StopQueue[str] = StopQueue()

    def on_signal(number: int, _: Any) -> None:
        stop.put(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        reason = run(build(config), stop, Service(os.environ))
    except ConfigError as exc:
        return _fail(str(exc), BAD_CONFIG)
    except CloudError as exc:
        return _fail(str(exc), CANNOT_START)
    return CANNOT_START if reason == "server" else OK


def _fail(text: str, code: int) -> int:
    print(f"cloudmasterd: {text}", file=sys.stderr)
    return code
