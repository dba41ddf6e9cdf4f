"""The command cloudmasterctl: arguments, what is printed, exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from cloudmasterd import __version__
from cloudmasterd.clock import Clock, SystemClock
from cloudmasterd.config import DEFAULT_FILE, Config, load_config
from cloudmasterd.control import archive, status
from cloudmasterd.control.archive import Manifest
from cloudmasterd.control.backup import write_backup
from cloudmasterd.control.check_clouds import check_clouds
from cloudmasterd.control.check_here import check_here
from cloudmasterd.control.cli_audit import add_audit
from cloudmasterd.control.cli_people import add_people
from cloudmasterd.control.findings import Level, worst
from cloudmasterd.control.places import Kind, Places, places
from cloudmasterd.control.restore import restore
from cloudmasterd.errors import CloudError, ConfigError
from cloudmasterd.func_fabric import ACL_FILE, acl_text, open_func, open_own
from cloudmasterd.passwords import Cost

WELL, NOT_WELL, BAD_CONFIG = 0, 1, 2


def main(argv: Optional[Sequence[str]] = None, cost: Cost = Cost()) -> int:  # noqa: B008  frozen
    """Run cloudmasterctl; returns the exit code. `cost` is what a new password is kept with."""
    arguments = _parser().parse_args(argv, argparse.Namespace(cost=cost))
    arguments.root = arguments.root.absolute()
    clock: Clock = SystemClock()
    try:
        return int(arguments.act(arguments, clock))
    except ConfigError as exc:
        return _fail(exc, BAD_CONFIG)
    except CloudError as exc:
        return _fail(exc, NOT_WELL)


def _fail(exc: CloudError, code: int) -> int:
    print(f"cloudmasterctl: {exc}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudmasterctl",
        description="Look at a cloud master, find what is wrong with it, back it up and put it back.",
        epilog="Exit codes: 0 all is well, or done; 1 something is missing or wrong, or nothing was done;"
        " 2 wrong arguments or configuration.",
    )
    parser.add_argument("--version", action="version", version=f"cloudmasterctl {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"cloudmasterd's file (default: {DEFAULT_FILE})"
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("CERTMASTER_ROOT") or "/"),
        help="the directory below which every path lies (default: $CERTMASTER_ROOT, else /)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, act, said in (
        ("status", _status, "where the browser view and the first password are, and what is missing"),
        ("check", _check, "look for the usual faults, and say what to do about each"),
    ):
        one = commands.add_parser(name, help=said, description=said)
        one.add_argument("--json", action="store_true", help="for scripts")
        one.set_defaults(act=act)
    acl = commands.add_parser(
        "acl",
        help="what a minion has to allow this cloud master",
        description=f"Print /etc/func/minion-acl.d/{ACL_FILE} of minions, which allows a cloud master what it"
        " calls and no more. cloudmasterd-minion and cloudmaster-join bring it; this is for other minions.",
    )
    acl.set_defaults(act=_acl)
    _add_backup(commands)
    _add_restore(commands)
    add_people(commands)
    add_audit(commands)
    return parser


def _add_backup(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser(
        "backup",
        help="write, list or verify a backup",
        description="Write database, authority, certificates and configuration into FILE while all goes on.",
    )
    one.add_argument("file", type=Path, metavar="FILE", help="a tar.gz; whoever has it commands the cloud")
    what = one.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show what FILE holds")
    what.add_argument("--verify", action="store_true", help="check every byte of FILE")
    one.add_argument("--with-images", action="store_true", help="the data of images, too")
    one.add_argument("--force", action="store_true", help="overwrite FILE")
    one.set_defaults(act=_backup)


def _add_restore(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser(
        "restore",
        help="put a backup back",
        description="Make this machine the cloud master that FILE is a backup of. No daemon may run.",
    )
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--force", action="store_true", help="put aside the data that is here")
    one.add_argument(
        "--keep-tasks",
        action="store_true",
        help="let tasks that were under way go on, but for installations: right when nothing happened since",
    )
    one.set_defaults(act=_restore)


def _load(arguments: argparse.Namespace) -> tuple[Config, Places]:
    config = load_config(arguments.config, arguments.root)
    file = arguments.config.absolute() if arguments.config else arguments.root / DEFAULT_FILE.lstrip("/")
    return config, places(config, file, arguments.root)


def _status(arguments: argparse.Namespace, clock: Clock) -> int:
    config, _ = _load(arguments)
    found = status.judge(status.look(config, arguments.root))
    print(json.dumps(found.to_dict(), indent=1) if arguments.json else "\n".join(found.lines()))
    return NOT_WELL if found.missing else WELL


def _check(arguments: argparse.Namespace, clock: Clock) -> int:
    config, where = _load(arguments)
    findings = list(check_here(config, where, clock))
    own = open_own(config.func_root, config.pki_dir, clock.now)
    fabric = open_func(config.func_root, config.minion_timeout_s, own)
    try:
        findings += check_clouds(fabric, where.func, clock, config.minion_timeout_s)
    finally:
        fabric.close()
    level = worst(findings)
    if arguments.json:
        body = {"level": level.value, "findings": [finding.to_dict() for finding in findings]}
        print(json.dumps(body, indent=1))
    else:
        for finding in findings:
            print("\n".join(finding.lines()))
    return NOT_WELL if level is Level.FAULT else WELL


def _acl(arguments: argparse.Namespace, clock: Clock) -> int:
    print(acl_text(), end="")
    return WELL


def _backup(arguments: argparse.Namespace, clock: Clock) -> int:
    file = arguments.file.absolute()
    if arguments.list:
        print("\n".join(_listing(archive.read_manifest(file))))
    elif arguments.verify:
        print(f"{file}: every byte is right; {_summary(archive.read(file))}")
    else:
        _, where = _load(arguments)
        done = write_backup(where, file, clock, images=arguments.with_images, force=arguments.force)
        print(f"{file}: {_summary(done)}")
        print("Whoever has this file commands every cloud instance: keep it as you keep root's password.")
    return WELL


def _summary(manifest: Manifest) -> str:
    size = sum(entry.size for entry in manifest.entries)
    return (
        f"{len(manifest.entries)} files, {size / 2**20:.1f} MB, of {manifest.host} at {manifest.created_at},"
        f" cloudmasterd {manifest.version}, schema version {manifest.schema}"
        f"{'' if manifest.with_images else ', without the data of images'}"
    )


def _listing(manifest: Manifest) -> list[str]:
    rows = [f"{one.kind.value:<13} {one.mode:04o} {one.size:>12} {one.path}" for one in manifest.entries]
    return [_summary(manifest), f"authority {manifest.authority or 'none'}", *rows]


def _restore(arguments: argparse.Namespace, clock: Clock) -> int:
    done = restore(
        arguments.file.absolute(),
        arguments.root,
        clock,
        force=arguments.force,
        keep_tasks=arguments.keep_tasks,
    )
    print(f"restored: {_summary(done.manifest)}")
    for path in done.aside:
        print(f"put aside: {path}")
    if done.ended_tasks:
        print(f"{done.ended_tasks} tasks that were under way are ended as failed; their pages say more")
    if done.missing_images:
        print(f"the data of these images is not here: {', '.join(done.missing_images)}")
        print("delete each on the page Images, and upload it again; or put its file into image_dir")
    if any(entry.kind is Kind.AUTHORITY for entry in done.manifest.entries):
        print(f"authority: {done.manifest.authority}")
    print("next: systemctl enable --now certmaster cloudmasterd httpd; cloudmasterctl check")
    return WELL
