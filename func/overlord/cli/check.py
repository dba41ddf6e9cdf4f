"""`func SPEC check`: what could keep calls from working, on this machine and with the minions meant."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from certmaster.certdir import list_files, minion_files, read_file
from certmaster.config import load_minion_config as load_certmaster_minion_config
from certmaster.errors import CertmasterError
from certmaster.names import find_minion_name
from func.config import load_certmaster_config, load_minion_config
from func.errors import ConfigError, FuncError, NoMinions
from func.overlord.cli.context import MINION_FAILED, OK, Context, gather, parser
from func.overlord.cli.output import add_json, print_json
from func.overlord.credentials import describe_own

SUMMARY = "look for what keeps calls from working"

SOON_DAYS = 30
"""A certificate that ends within so many days is worth a word."""

_CONNECT_S = 5.0


def run(context: Context, words: Sequence[str]) -> int:
    """Print what is found; 0 where that is nothing, else 4."""
    options = parser(
        "check",
        "Look for what keeps calls from working: by default what this overlord needs and its minions.",
    )
    options.add_argument("-c", "--certmaster", action="store_true", help="look at the certmaster here, too")
    options.add_argument("-m", "--minion", action="store_true", help="look at the minion here, too")
    add_json(options)
    wishes = options.parse_args(words)
    found: list[str] = []
    for wanted, look in ((wishes.minion, check_minion), (wishes.certmaster, check_certmaster)):
        found += look(context.root) if wanted else ()
    found += check_overlord(context)
    if wishes.json:
        print_json(found)
    else:
        print("SCAN RESULTS:", *(f"* {line}" for line in found), "End of Report.", sep="\n")
    return MINION_FAILED if found else OK


def check_overlord(context: Context) -> Iterator[str]:
    """What is wrong with the certificate calls go out with, and with the minions meant."""
    try:
        with context.client() as client:
            own = describe_own(client.overlord_config, client.certmaster_config)
            yield from _ending(f"the overlord's certificate {own.files.cert_file}", own.expires_at)
            for result in gather(client, "test", "add", [1, 2]):
                if result.error is not None:
                    yield f"{result.minion} does not answer: {result.error}"
                elif result.value != 3:
                    yield f"{result.minion} cannot add: test.add(1, 2) gave {result.value!r:.80}"
    except NoMinions as exc:
        near = f" Did you mean {' or '.join(exc.near)}?" if exc.near else ""
        yield f"{exc}{near} `certmaster-ca --list-signed` shows who has a certificate"
    except FuncError as exc:
        yield str(exc)


def check_minion(root: Path) -> Iterator[str]:
    """What is wrong with the minion on this machine."""
    try:
        config = load_minion_config(root)
        certmaster = load_certmaster_minion_config(root)
        name = find_minion_name(
            config.minion_name, certmaster.certmaster, certmaster.certmaster_port, config.listen_addr
        )
    except (ConfigError, CertmasterError) as exc:
        yield str(exc)
        return
    kept = minion_files(certmaster.cert_dir, name)
    cert_file = config.cert_file or kept.cert_file
    yield from _certificate(
        cert_file, f"start funcd or certmaster-request, and sign it on {certmaster.certmaster}"
    )
    yield from _listening(config.listen_addr, config.listen_port, "funcd")
    if config.use_certmaster:
        yield from _reachable(certmaster.certmaster, certmaster.certmaster_port)


def check_certmaster(root: Path) -> Iterator[str]:
    """What is wrong with the certmaster on this machine, and what waits for somebody."""
    try:
        config = load_certmaster_config(root)
        waiting = [path.stem for path in list_files(config.csrroot, ".csr")]
        signed = list_files(config.certroot, f".{config.cert_extension.lstrip('.')}")
    except (FuncError, CertmasterError) as exc:
        yield str(exc)
        return
    yield from _listening(config.listen_addr, config.listen_port, "certmaster")
    yield from _certificate(config.cadir / "certmaster.crt", "start certmaster, which makes one")
    for path in signed:
        yield from _certificate(path, "sign it again")
    if waiting:
        yield f"{len(waiting)} wait for a signature: {', '.join(waiting)}: `certmaster-ca --sign NAME`"


def _certificate(path: Path, remedy: str) -> Iterator[str]:
    # Imported late: it takes longer to load than all other commands together.
    from certmaster import ca

    try:
        data = read_file(path)
        if data is None:
            yield f"{path} is not there: {remedy}"
        else:
            yield from _ending(str(path), ca.expires_at(data))
    except CertmasterError as exc:
        yield str(exc)


def _ending(what: str, at: datetime) -> Iterator[str]:
    left = (at - datetime.now(timezone.utc)).days
    if left < 0:
        yield f"{what} ended {at:%Y-%m-%d}"
    elif left < SOON_DAYS:
        yield f"{what} ends in {left} days"


def _listening(address: str, port: int, program: str) -> Iterator[str]:
    where = address if address not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    try:
        socket.create_connection((where, port), _CONNECT_S).close()
    except OSError as exc:
        yield f"{program} does not listen on {where} port {port}: {exc}"


def _reachable(host: str, port: int) -> Iterator[str]:
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as exc:
        yield f"the certmaster {host} cannot be reached on port {port}: {exc} (/etc/certmaster/minion.conf)"
