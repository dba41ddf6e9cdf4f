"""The command `cloudmasterctl audit`: list, export and verify the audit record."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Callable, Optional, TextIO

from cloudmasterd.acting import RESULTS
from cloudmasterd.clock import Clock
from cloudmasterd.config import load_config
from cloudmasterd.errors import StoreError
from cloudmasterd.record import Entry, Filter, Head, Verdict, parse_head
from cloudmasterd.record_text import csv_lines, json_lines
from cloudmasterd.store.audit import AuditStore
from cloudmasterd.store.audit_verify import judge_export
from cloudmasterd.store.beside import open_beside
from cloudmasterd.times import read_time

Commands = argparse._SubParsersAction  # argparse has no public name for it

FORMATS: dict[str, Callable[[Iterable[Entry]], Iterator[str]]] = {"jsonl": json_lines, "csv": csv_lines}


def add_audit(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to those there are."""
    said = "list, export and verify the audit record; whether cloudmasterd runs or not"
    what = commands.add_parser("audit", help=said, description=said).add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    said = "show who did what, the newest last"
    one = what.add_parser("list", help=said, description=said)
    one.add_argument("-n", "--lines", type=_lines, default=50, metavar="N", help="the last N; default: 50")
    _add_filter(one)
    one.set_defaults(act=_list)
    said = "write the record as JSON lines or CSV, the oldest first"
    one = what.add_parser("export", help=said, description=said)
    one.add_argument("--format", choices=sorted(FORMATS), default="jsonl", help="default: jsonl")
    one.add_argument("--file", type=Path, metavar="FILE", help="a new file (0600); default: standard output")
    _add_filter(one)
    one.set_defaults(act=_export)
    said = "look whether a record was changed, removed, put in, moved or cut off; exit code 1 where it was"
    one = what.add_parser("verify", help=said, description=said)
    one.add_argument(
        "--head", type=_head, metavar="COUNT:HASH", help="as an earlier verify printed it, kept elsewhere"
    )
    one.add_argument("--export", type=Path, metavar="FILE", help="look at JSON lines, not at the database")
    one.set_defaults(act=_verify)


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="NAME", help="of this user or cloud instance")
    parser.add_argument("--action", metavar="NAME", help="of this kind, e.g. deleteMachine")
    parser.add_argument("--target", metavar="PATH", help="of this path and what lies below it")
    parser.add_argument("--result", choices=RESULTS)
    parser.add_argument("--request-id", metavar="ID", help="of this request")
    parser.add_argument("--since", type=_time, metavar="TIME", help="e.g. 2026-11-22 or 2026-11-22T08:00:00Z")
    parser.add_argument("--until", type=_time, metavar="TIME", help="not itself")


def _time(text: str) -> datetime:
    try:
        return read_time(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _head(text: str) -> Head:
    head = parse_head(text)
    if head is None:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not COUNT:HASH with 64 hexadecimal digits")
    return head


def _lines(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines: give 1 to 100000")
    return int(text)


def _filter(arguments: argparse.Namespace) -> Filter:
    return Filter(
        who=arguments.who,
        action=arguments.action,
        target=arguments.target,
        result=arguments.result,
        request_id=arguments.request_id,
        since=arguments.since,
        until=arguments.until,
    )


@contextmanager
def _opened(arguments: argparse.Namespace, clock: Clock) -> Iterator[AuditStore]:
    database = load_config(arguments.config, arguments.root).database
    with open_beside(database, clock) as rows:
        yield rows.audit


def _list(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock) as audit:
        found = audit.list(_filter(arguments), limit=arguments.lines)
    for entry in reversed(found):
        print(_line(entry))
    return 0


def _line(entry: Entry) -> str:
    deed = entry.deed
    parts = [
        str(entry.id),
        entry.at[:19].replace("T", " "),
        deed.who or "nobody",
        deed.result if deed.status is None else f"{deed.result} ({deed.status})",
        deed.action,
        deed.target,
        *(f"{name}={value}" for name, value in sorted(deed.detail.items())),
    ]
    if deed.reason:
        parts.append(f"why: {deed.reason}")
    return "  ".join(parts)


def _export(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock) as audit, _output(arguments.file) as out:
        for line in FORMATS[arguments.format](audit.walk(_filter(arguments))):
            out.write(line)
    return 0


@contextmanager
def _output(file: Optional[Path]) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
    except OSError as exc:
        raise StoreError(f"cannot write {file}: {exc.strerror or exc}; name a new file") from exc


def _verify(arguments: argparse.Namespace, clock: Clock) -> int:
    if arguments.export is not None:
        return _tell(_verify_export(arguments.export, arguments.head), str(arguments.export))
    with _opened(arguments, clock) as audit:
        return _tell(audit.verify(noted=arguments.head), "the audit record")


def _verify_export(file: Path, noted: Optional[Head]) -> Verdict:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return judge_export(lines, noted)
    except OSError as exc:
        raise StoreError(f"cannot read {file}: {exc.strerror or exc}") from exc


def _tell(verdict: Verdict, what: str) -> int:
    if verdict.whole:
        print(f"{what} is whole: records {verdict.first} to {verdict.head.count}")
        print(f"head: {verdict.head}")
        print("Note the head elsewhere, and give it to a later verify as --head.")
        return 0
    print(f"{what} is NOT whole:")
    for text in verdict.wrong:
        print(f"  {text}")
    return 1
