"""The command line: arguments, the password, exit codes."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from genome_register_profiles.catalogue import Profile, choose, load_catalogue
from genome_register_profiles.errors import ServerError, Usage
from genome_register_profiles.registering import Outcome, register
from genome_register_profiles.server import Server

DONE, FAILED, USAGE, COBBLER = 0, 1, 2, 4  # exit codes
FOLDER = Path(__file__).resolve().parents[1]
LOCAL = ("localhost", "127.0.0.1", "::1")
DESCRIPTION = """\
Register the GenomeCloud profiles and their kickstarts in a cobbler server, or bring them up to date there."""
EPILOG = """\
exit codes: 0 all is registered, or there was nothing to do; 1 something that was asked for could not be
registered; 2 wrong usage; 4 cobbler does not answer, or does not allow it"""


def parser() -> argparse.ArgumentParser:
    """The options; genome-register-profiles.8 says more about each."""
    made = argparse.ArgumentParser(
        prog="genome-register-profiles", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument(
        "profiles", nargs="*", metavar="PROFILE", help="names or globs; all of the catalogue if not given"
    )
    made.add_argument(
        "--server", required=True, metavar="S", help="name or address of the cobbler server, or http(s)://..."
    )
    made.add_argument("--user", required=True, metavar="U", help="cobbler user who may change profiles")
    made.add_argument(
        "--password-file", metavar="F", help="file with the password in its first line, - for standard input"
    )
    made.add_argument(
        "--distro", action="append", default=[], metavar="PROFILE=DISTRO", help="take this distro"
    )
    made.add_argument(
        "-n", "--dry-run", action="store_true", help="change nothing, say what would be changed"
    )
    made.add_argument(
        "--templates", type=Path, metavar="DIR", help="folder with the kickstarts and their catalogue"
    )
    made.add_argument("--json", action="store_true", help="print the outcome as JSON")
    return made


def url_of(server: str) -> str:
    """http://S/cobbler_api, or the URL that was given; raises Usage."""
    url = server if "://" in server else f"http://{server}"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.username or parts.password or parts.query or parts.fragment:
        raise Usage(f"--server {server}: write a host name, or a URL such as https://cobbler.example.org")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/cobbler_api'}"


def password_of(path: Optional[str], user: str, url: str) -> str:
    """The password, from a file or from a terminal; raises Usage."""
    if path is None:
        if not sys.stdin.isatty():
            raise Usage(
                "there is no terminal to ask for the password on: --password-file names a file with it"
            )
        return getpass.getpass(f"Password of {user} at {url}: ")
    try:
        text = sys.stdin.readline() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Usage(f"--password-file {path}: {getattr(exc, 'strerror', None) or 'is no text'}") from exc
    first = text.split("\n")[0].rstrip("\r")
    if not first:
        raise Usage(f"--password-file {path}: its first line is empty, and should be the password")
    return first


def mapping(texts: Sequence[str], profiles: Sequence[Profile]) -> dict[str, str]:
    """PROFILE=DISTRO as a dictionary; raises Usage."""
    found = {}
    for text in texts:
        name, equals, distro = text.partition("=")
        if not (equals and distro):
            raise Usage(f"--distro {text}: write PROFILE=DISTRO")
        if name not in {profile.name for profile in profiles}:
            raise Usage(f"--distro {text}: {name} is not among the profiles to register")
        found[name] = distro
    return found


def show(outcomes: Sequence[Outcome], dry: bool) -> None:
    """Print the outcomes, for people."""
    would = {"created": "would be created", "updated": "would be updated", "refreshed": "would be refreshed"}
    for each in outcomes:
        state = would.get(each.state, each.state) if dry else each.state
        if each.state != "unchanged":
            print(f"{each.kind} {each.name}: {state}{', ' if each.detail else ''}{each.detail}")
    if all(each.state in ("unchanged", "skipped") for each in outcomes):
        print("nothing to do")


def run(arguments: argparse.Namespace) -> int:
    """Register what was asked for; gives the exit code, raises Usage and ServerError."""
    folder = arguments.templates or FOLDER
    profiles = choose(load_catalogue(folder), arguments.profiles)
    asked = mapping(arguments.distro, profiles)
    server = Server(url_of(arguments.server))
    password = password_of(arguments.password_file, arguments.user, server.url)
    if server.url.startswith("http:") and urlsplit(server.url).hostname not in LOCAL:
        print(
            "the password goes to cobbler unencrypted: --server https://... where it has TLS", file=sys.stderr
        )
    server.login(arguments.user, password)
    outcomes = register(server, folder, profiles, asked, arguments.dry_run)
    if arguments.json:
        print(
            json.dumps(
                {"dry_run": arguments.dry_run, "outcomes": [vars(each) for each in outcomes]}, indent=2
            )
        )
    else:
        show(outcomes, arguments.dry_run)
    # A distro that nobody has imported is a failure only where its profile was asked for by its whole name.
    names = {profile.name for profile in profiles} & set(arguments.profiles)
    bad = [o for o in outcomes if o.state == "failed" or (o.state == "skipped" and o.name in names)]
    return FAILED if bad else DONE


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command line; gives the exit code."""
    try:
        return run(parser().parse_args(argv))
    except Usage as exc:
        print(f"genome-register-profiles: {exc}", file=sys.stderr)
        return USAGE
    except ServerError as exc:
        print(f"genome-register-profiles: {exc}", file=sys.stderr)
        return COBBLER
