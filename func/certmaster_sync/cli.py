"""The command certmaster-sync: give every minion that wants peers the certificates of the others."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from certmaster import __version__
from certmaster import config as certmaster_config
from certmaster.certdir import list_files, read_file
from certmaster.errors import CertmasterError
from func.certmaster_sync.plan import Change, plan
from func.config import load_certmaster_config, load_overlord_config
from func.errors import BadReply, FuncError, NoMinions
from func.overlord.fanout import Fanout
from func.overlord.known import KnownMinions

_NOTES = """\
Link it into /var/lib/certmaster/triggers/sign/post and remove/post to have it run by itself. It does nothing
unless sync_certs = yes in certmaster.conf, or with --force. A minion takes part where peering = yes and its
module certmastermod is loaded.

exit status: 0 all that take part have what they should; 1 some could not be told; 2 wrong usage
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run certmaster-sync; 0 when all that take part are in step, 1 when one could not be told."""
    parser = argparse.ArgumentParser(
        prog="certmaster-sync",
        description="Copy the signed certificates to minions that are each other's peers.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="directory below which all paths lie")
    parser.add_argument("--version", action="version", version=f"certmaster-sync {__version__}")
    parser.add_argument("-f", "--force", action="store_true", help="also where sync_certs is off")
    parser.add_argument("name", nargs="?", help="the name a trigger was run for; without meaning")
    arguments = parser.parse_args(argv)
    root = certmaster_config.root() if arguments.root is None else arguments.root.absolute()
    try:
        settings = load_certmaster_config(root)
        if not (settings.sync_certs or arguments.force):
            return 0
        return _sync(root, settings)
    except NoMinions:
        return 0
    except (FuncError, CertmasterError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1


def _sync(root: Path, settings: certmaster_config.CertmasterConfig) -> int:
    suffix = f".{settings.cert_extension}"
    files = list_files(settings.certroot, suffix)
    certs = {path.name[: -len(suffix)]: read_file(path) or b"" for path in files}
    wanted = {name: hashlib.sha1(pem, usedforsecurity=False).hexdigest() for name, pem in certs.items()}
    fanout = Fanout(load_overlord_config(root), settings)
    told = _Told(fanout)
    try:
        names = list(KnownMinions(settings).names())
        peering = told.ask(dict.fromkeys(names, ("certmastermod.peering_enabled", ())))
        taking = [name for name, is_on in peering.items() if is_on]
        known = told.ask(dict.fromkeys(taking, ("certmastermod.known_peers", ())))
        for name in sorted(known):
            _bring_in_step(told, name, known[name], certs, wanted)
    finally:
        fanout.close()
    return 1 if told.failed else 0


def _bring_in_step(
    told: _Told, name: str, known: Any, certs: Mapping[str, bytes], wanted: Mapping[str, str]
) -> None:
    try:
        change = plan(name, known, wanted)
    except BadReply as exc:
        told.fail(name, exc)
        return
    for other in change.copy:
        if not told.ask({name: ("certmastermod.copy_peer_cert", (other, certs[other]))}):
            return  # it is told again next time; one that hangs keeps the others waiting once
    if change.remove:
        told.ask({name: ("certmastermod.remove_peer_certs", (list(change.remove),))})
    if change != Change((), ()):
        print(f"{name}: {len(change.copy)} copied, {len(change.remove)} removed")


class _Told:
    """Asks minions, tells of those that fail, and remembers that one did."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self.failed = False

    def ask(self, calls: Mapping[str, tuple[str, tuple[Any, ...]]]) -> dict[str, Any]:
        """The values of those that answered."""
        values = {}
        for group in self._fanout.ask(dict(calls)) if calls else ():
            for result in group:
                if result.error is None:
                    values[result.minion] = result.value
                else:
                    self.fail(result.minion, result.error)
        return values

    def fail(self, minion: str, error: FuncError) -> None:
        """Tell of one that is not in step."""
        self.failed = True
        print(f"error: {minion}: {error}", file=sys.stderr)
