"""What is asked: the command line, and /etc/genome/replace-self.conf for what it leaves open."""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Optional, TextIO

from genome_replace_self import __version__, metadata
from genome_replace_self.errors import Usage

CONFIG_FILE = Path("/etc/genome/replace-self.conf")
DEFAULT_PROFILE = "GenomeCloud-F8-i386"

# koan hands names on to a shell, so nothing else may get there.
PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
KERNEL_OPTION = re.compile(r"[A-Za-z0-9._-]+(=[A-Za-z0-9._:/@,+=\[\]-]+)?")

PREPARE, SHOW, LIST, CANCEL = "prepare", "show", "list", "cancel"

EPILOG = """exit codes: 0 prepared (or listed, shown, cancelled), 1 koan or the boot loader failed, 2 usage,
3 not root, 4 the cobbler server or the profile, 5 declined. See genome-replace-self(8)."""


@dataclass(frozen=True)
class Config:
    """/etc/genome/replace-self.conf as it holds."""

    cobbler: str = ""
    profile: str = DEFAULT_PROFILE
    kernel_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What somebody wants done; everything in it has been checked."""

    action: str
    server: str
    profile: str
    pairs: tuple[metadata.Pair, ...] = ()
    kernel_options: tuple[str, ...] = ()
    yes: bool = False
    force: bool = False
    reboot: bool = False
    as_json: bool = False

    @property
    def role(self) -> str:
        """What the machine becomes."""
        master = dict(self.pairs).get("certmaster")
        return f"a cloud instance of {master}" if master else "a cloud master"


class Parser(argparse.ArgumentParser):
    """Raises Usage where argparse would end the program, so that --json holds for that as well."""

    def error(self, message: str) -> NoReturn:
        """Raise Usage."""
        raise Usage(f"{message}; genome-replace-self --help says what is possible")


def parser() -> Parser:
    """The command line, as the README of 2008 has it and some more."""
    made = Parser(
        prog="genome-replace-self", allow_abbrev=False, epilog=EPILOG,
        description="Prepare this machine to be erased and installed anew at its next boot, as a cloud master"
        " or, with -m certmaster=NAME, as a cloud instance of that cloud master.",
    )  # fmt: skip
    add = made.add_argument
    add("-c", "--cobbler", metavar="SERVER", help="the cobbler server")
    add("-p", "--profile", metavar="PROFILE", help=f"its profile to install (default: {DEFAULT_PROFILE})")
    add(
        "-m",
        "--metadata",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="told to the kickstart; repeatable",
    )
    add(
        "--metadata-file",
        metavar="FILE",
        help="the same, one a line, out of a file or, with -, of standard input",
    )
    add("-y", "--yes", action="store_true", help="do not ask for the machine's name")
    add("--force", action="store_true", help="also where machine instances are running on this machine")
    add("--json", action="store_true", dest="as_json", help="say the outcome in JSON")
    one = made.add_mutually_exclusive_group()
    one.add_argument(
        "-n", "--dry-run", action="store_true", help="check everything, show the boot entry, change nothing"
    )
    one.add_argument("--reboot", action="store_true", help="reboot at once when everything is prepared")
    one.add_argument("--list", action="store_true", help="list the profiles of the cobbler server")
    one.add_argument("--cancel", action="store_true", help="put the old boot entry back")
    add("--version", action="version", version=f"genome-replace-self {__version__}")
    return made


def read(argv: Sequence[str], config_file: Path = CONFIG_FILE, stdin: Optional[TextIO] = None) -> Request:
    """The request that a command line and the configuration make; raises Usage."""
    given = parser().parse_args(argv)
    config = read_config(config_file)
    lines = list(given.metadata)
    if given.metadata_file is not None:
        lines += metadata.parse_lines(read_text(given.metadata_file, stdin or sys.stdin))
    action = SHOW if given.dry_run else LIST if given.list else CANCEL if given.cancel else PREPARE
    server = given.cobbler if given.cobbler is not None else config.cobbler
    return Request(
        action=action,
        server=server if action == CANCEL else check_server(server),
        profile=check_profile(given.profile if given.profile is not None else config.profile),
        pairs=metadata.parse(lines),
        kernel_options=config.kernel_options,
        yes=given.yes,
        force=given.force,
        reboot=given.reboot,
        as_json=given.as_json,
    )


def read_text(name: str, stdin: TextIO) -> str:
    """The text of the metadata file; raises Usage."""
    try:
        return stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Usage(f"the metadata file {name} cannot be read: {exc}") from exc


def check_server(name: str) -> str:
    """A host name or address without a port; raises Usage."""
    if not name:
        raise Usage(
            "no cobbler server is given: -c SERVER, or `cobbler = SERVER` in /etc/genome/replace-self.conf"
        )
    if not metadata.HOST_NAME.fullmatch(name):
        raise Usage(
            f"{name!r} is not right: give the cobbler server's host name, without http:// and without a port,"
            " e.g. cobbler.example.org (koan only speaks to port 80)"
        )
    return name


def check_profile(name: str) -> str:
    """A name that is safe to hand on; raises Usage."""
    if not PROFILE.fullmatch(name):
        raise Usage(
            f"{name!r} cannot be a profile: up to 63 letters, digits and ._- are possible,"
            f" e.g. {DEFAULT_PROFILE}"
        )
    return name


def read_config(path: Path) -> Config:
    """The configuration file, or the defaults where there is none; raises Usage."""
    reader = configparser.ConfigParser(interpolation=None)
    try:
        with path.open(encoding="utf-8") as file:
            reader.read_file(file)
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError, configparser.Error) as exc:
        raise Usage(f"{path} cannot be read: {' '.join(str(exc).split())}") from exc
    values = dict(reader["main"]) if reader.has_section("main") else {}
    unknown = sorted(set(values) - {"cobbler", "profile", "kernel_options"})
    if unknown or set(reader.sections()) - {"main"}:
        raise Usage(
            f"{path}: {', '.join(unknown) or 'a section'} is unknown: [main] has"
            " cobbler, profile and kernel_options"
        )
    options = tuple(values.get("kernel_options", "").split())
    for option in options:
        if not KERNEL_OPTION.fullmatch(option):
            raise Usage(f"{path}: the kernel option {option!r} has a character that is not possible there")
    return Config(
        cobbler=check_server(values["cobbler"]) if values.get("cobbler") else "",
        profile=check_profile(values.get("profile") or DEFAULT_PROFILE),
        kernel_options=options,
    )
