"""Minions to call: real ones, a process each, or a crowd of which some hang, in a few processes.

`python -m benchmarks.minions real ROOT PORT FIRST LAST` forks a funcd for each number; the imports are
shared, the rest is as the command does it. `... crowd ROOT PORT FIRST LAST` serves all of them from one
process by funcd's own server; every tenth of those hangs. Both end with their standard input. Certificates
are taken from ROOT; `benchmarks.simulated.make_certificates` puts them there.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.simulated import name_of
from func import tls
from func.minion import cli
from func.minion.server import MinionServer

HANGS = 10
"""Every tenth of a crowd does: the odd ones in the call, the others before the TLS handshake."""


def address_of(number: int) -> str:
    """Where the minion of that number listens."""
    return f"127.0.{number // 200 + 1}.{number % 200 + 1}"


def serve_real(root: Path, port: int, numbers: Sequence[int]) -> None:
    """A funcd for each number, until standard input ends."""
    children = [_fork(root, port, number) for number in numbers]
    print("ready", flush=True)
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGTERM)
    for child in children:
        os.waitpid(child, 0)


def _fork(root: Path, port: int, number: int) -> int:
    below, name = root / name_of(number), name_of(number)
    settings, files = below / "etc/func/minion.conf", below / "etc/pki/certmaster"
    for folder in (settings.parent, files):
        folder.mkdir(parents=True)
    shutil.copy(_certificate(root, number), files / f"{name}.cert")
    shutil.copy(_authority(root), files / "ca.cert")
    shutil.copy(root / "minion.key", files / f"{name}.pem")
    settings.write_text(
        f"[main]\nminion_name = {name}\nlisten_addr = {address_of(number)}\nlisten_port = {port}\n"
        "use_certmaster = no\nmodule_list = test\nlog_level = WARNING\n",
        encoding="utf-8",
    )
    child = os.fork()
    if child == 0:
        os._exit(cli.main(["--root", str(below)]))
    return child


def serve_crowd(root: Path, port: int, numbers: Sequence[int]) -> None:
    """All of them in this process, until standard input ends."""
    deaf = []
    for number in numbers:
        if number % (2 * HANGS) == 0:
            deaf.append(socket.create_server((address_of(number), port)))
            continue
        context = tls.server_context(_certificate(root, number), root / "minion.key", _authority(root))
        dispatch = _hang if number % HANGS == 0 else _ping
        server = MinionServer(address_of(number), port, context, dispatch)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    for listener in deaf:
        listener.close()


def _certificate(root: Path, number: int) -> Path:
    return root / f"var/lib/certmaster/certs/{name_of(number)}.cert"


def _authority(root: Path) -> Path:
    return root / "etc/pki/certmaster/ca/certmaster.crt"


def _ping(peer: object, method: str, args: Sequence[Any]) -> int:
    return 1


def _hang(peer: object, method: str, args: Sequence[Any]) -> int:
    threading.Event().wait()
    return 0


def main(argv: Sequence[str]) -> int:
    """Serve until standard input ends."""
    serve = {"real": serve_real, "crowd": serve_crowd}[argv[0]]
    serve(Path(argv[1]), int(argv[2]), range(int(argv[3]), int(argv[4]) + 1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
