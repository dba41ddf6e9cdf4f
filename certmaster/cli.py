"""The commands certmaster, certmaster-ca and certmaster-request."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pwd
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Optional

from certmaster import __version__, ca, config, upkeep
from certmaster.admin_socket import AdminSocket
from certmaster.audit import acting
from certmaster.authority import Authority
from certmaster.certdir import minion_files
from certmaster.errors import CertmasterError, FileError
from certmaster.logs import start_logging
from certmaster.names import find_minion_name
from certmaster.request import obtain_certificate, unsigned
from certmaster.server import CertmasterServer
from certmaster.service import Service
from certmaster.shelf import Signed
from certmaster.token_text import new_token_lines, read_duration, token_lines, waiting_lines
from certmaster.tokens import DEFAULT_S

log = logging.getLogger("certmaster")

_SOON = timedelta(days=30)
_TURN_S = 20.0

Arguments = Optional[Sequence[str]]


def certmaster(argv: Arguments = None) -> int:
    """The daemon, in the foreground until SIGTERM or SIGINT; 0 then, 1 where it cannot work."""
    parser = _parser("certmaster", "Sign the certificates of a Func network, in the foreground.")
    return _run(_serve, parser.parse_args(argv))


def certmaster_ca(argv: Arguments = None) -> int:
    """Look at, sign and remove certificates; 0, or 1 where a name is unknown or a file cannot be used."""
    parser = _ca_parser()
    arguments = parser.parse_args(argv)
    if arguments.new_token is None and (arguments.expires is not None or arguments.replace):
        parser.error("--expires and --replace go with --new-token")
    return _run(_manage, arguments)


def _ca_parser() -> argparse.ArgumentParser:
    parser = _parser("certmaster-ca", "Look at, sign, revoke and remove the certificates of this certmaster.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-l", "--list", action="store_true", help="names that wait for a signature")
    what.add_argument("-s", "--sign", nargs="+", metavar="NAME", help="sign what waits under these names")
    what.add_argument(
        "--reject", nargs="+", metavar="NAME", help="let what waits under these names wait no more"
    )
    what.add_argument("-c", "--clean", nargs="+", metavar="GLOB", help="remove requests, revoke certificates")
    what.add_argument("--revoke", nargs="+", metavar="GLOB", help="the same, and refuse their keys for ever")
    what.add_argument(
        "--upgrade", action="store_true", help="sign SHA-1 and MD5 certificates anew, same keys"
    )
    what.add_argument("--list-signed", nargs="*", metavar="GLOB", help="names of signed certificates")
    what.add_argument("--list-cert-hash", nargs="*", metavar="GLOB", help="CN-HASH as minion-acl.d wants it")
    what.add_argument(
        "--fingerprint", action="store_true", help="SHA-256 of the authority, as minions pin it"
    )
    what.add_argument("--new-token", metavar="NAME", help="make a one-time token for a name or a glob")
    what.add_argument("--list-tokens", action="store_true", help="tokens of the last days, and their states")
    what.add_argument("--delete-token", nargs="+", metavar="ID", help="take tokens back")
    parser.add_argument("--long", action="store_true", help="with --list and --list-signed: say more of each")
    parser.add_argument(
        "--expires", type=_duration, metavar="TIME", help="with --new-token: how long it is good (1h)"
    )
    parser.add_argument(
        "--replace", action="store_true", help="with --new-token: also where the name has a certificate"
    )
    parser.epilog = _CA_NOTES
    return parser


def certmaster_request(argv: Arguments = None) -> int:
    """Get this machine's certificate; 0 once it is there, 1 where it is not."""
    parser = _parser("certmaster-request", "Get this machine's certificate from the certmaster.")
    parser.add_argument("--name", default="", help="what this machine is called (default: found out)")
    parser.add_argument(
        "--renew", action="store_true", help="get the list of revoked certificates; renew where it is time"
    )
    parser.add_argument("--once", action="store_true", help="ask once instead of until it is signed")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="a one-time token; removed once it has served"
    )
    parser.add_argument(
        "--ca-fingerprint", type=_pin, metavar="HEX", help="trust this authority alone (SHA-256)"
    )
    parser.epilog = _REQUEST_NOTES
    return _run(_request, parser.parse_args(argv))


_CA_NOTES = """\
A token lets one machine of that name in, at once, without --sign. NAME may be a glob such as
'cloud*.example.org'. The machine proves that it has the token and never sends it; no other key can
use what it sends. With --replace (one name, no glob) it also takes a name that has a certificate
already, such as that of a machine that was installed anew; the old certificate is kept aside.
TIME is a number and s, m, h or d, from 60s to 30d.

The first line of --new-token is fit for scripts: genome_token=TOKEN genome_ca=FINGERPRINT,
and genome_name=NAME where the token is for one name.

--clean frees a name: its certificate is revoked, and the same machine may ask again. --revoke is for a
machine that is not to be trusted any more. --list-signed warns of what ends within 30 days.
--reject is for what waits: that key waits no more under that name until it is cleaned, or shows a token.

The cloud master of this machine has a certificate, too. It is no machine's to be called, so names and globs
mean it only where they have its sign, such as --list-signed 'cloudmaster@*'. When it is revoked the cloud
master makes another key by itself.

exit status: 0 done; 1 a name or token is unknown, refused or not all could be done, or a file cannot be
used; 2 wrong usage
"""

_REQUEST_NOTES = """\
What --token-file and --ca-fingerprint say stands above token_file and ca_fingerprint of
/etc/certmaster/minion.conf. Keep the token's file 0600. `certmaster-ca --fingerprint` on the certmaster
prints the fingerprint; with it no answer of another certmaster is taken.

funcd does what --renew does by itself. A certificate that has ended cannot be renewed: ask without --renew,
by hand or with a token made with --replace.

exit status: 0 the certificate is there; 1 it is not; 2 wrong usage
"""


def _duration(text: str) -> int:
    try:
        return read_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _pin(text: str) -> str:
    try:
        return config.read_pin(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="directory below which all paths lie")
    parser.add_argument("--version", action="version", version=f"{name} {__version__}")
    return parser


def _run(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    start_logging("INFO")
    arguments.root = config.root() if arguments.root is None else arguments.root.absolute()
    try:
        status = command(arguments)
        sys.stdout.flush()
        return status
    except CertmasterError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from flushing into the closed pipe.
        sys.stdout = None
        return 1


@contextmanager
def _terminated_by(act: Callable[[], object]) -> Iterator[None]:
    """Let SIGTERM do that and no more until the end of the block."""
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _authority(settings: config.CertmasterConfig) -> Authority:
    return Authority(settings, socket.gethostname(), _now)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _serve(arguments: argparse.Namespace) -> int:
    settings = config.load_certmaster_config(arguments.root)
    logging.getLogger().setLevel(settings.log_level)
    authority = _authority(settings)
    with _terminated_by(lambda: sys.exit(0)):
        authority.prepare()
        authority.crl()
    admin = None
    if settings.admin_socket != Path():
        admin = AdminSocket(settings.admin_socket, settings.admin_group)
    server = CertmasterServer(authority, settings.listen_addr, settings.listen_port, admin_socket=admin)
    service = Service(os.environ)

    def ready(addr: str, port: int) -> None:
        signing = "signs every request" if settings.autosign else "requests wait for certmaster-ca"
        log.info("certmaster is ready: http://%s:%d/ (%s)", addr, port, signing)
        service.ready(f"http://{addr}:{port}/, {signing}")
        service.watch(partial(_loop_trouble, asyncio.get_running_loop()))

    async def main() -> None:
        stop = asyncio.Event()

        def end() -> None:
            service.stopping()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        await server.run(stop, ready)

    asyncio.run(main())
    log.info("certmaster ends")
    return 0


def _loop_trouble(loop: asyncio.AbstractEventLoop) -> str:
    """Why the event loop cannot be said to turn; from another thread."""
    turned = threading.Event()
    try:
        loop.call_soon_threadsafe(turned.set)
    except RuntimeError:
        return "the event loop has ended"
    return "" if turned.wait(_TURN_S) else f"the event loop has not turned for {_TURN_S:g} s"


def _manage(arguments: argparse.Namespace) -> int:
    settings = config.load_certmaster_config(arguments.root)
    _become_owner(settings.cadir, settings.audit_log)
    authority = _authority(settings)
    logging.getLogger().setLevel(logging.WARNING)  # what it did, it prints
    with acting(_user()):
        return _change(authority, arguments) if _changes(arguments) else _look(authority, arguments)


def _changes(arguments: argparse.Namespace) -> bool:
    names = ("new_token", "delete_token", "sign", "reject", "clean", "revoke")
    return arguments.upgrade or any(getattr(arguments, name) is not None for name in names)


def _look(authority: Authority, arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _show(waiting_lines(authority.describe_waiting(), arguments.long))
    if arguments.list_cert_hash is not None:
        return _show(authority.list_hashes(arguments.list_cert_hash))
    if arguments.fingerprint:
        return _show([ca.pin(authority.certificate())])
    if arguments.list_tokens:
        tokens = authority.tokens
        return _show(token_lines([(token, tokens.state(token)) for token in tokens.list()]))
    return _list_signed(authority.list_signed(arguments.list_signed), arguments.long)


def _change(authority: Authority, arguments: argparse.Namespace) -> int:
    if arguments.new_token is not None:
        return _new_token(authority, arguments)
    if arguments.delete_token is not None:
        return _each(arguments.delete_token, lambda one: _delete_token(authority, one))
    if arguments.sign is not None:
        return _each(arguments.sign, lambda name: f"{name} signed: {authority.sign(name)}")
    if arguments.reject is not None:
        return _each(arguments.reject, lambda name: f"{name} rejected: removed {authority.reject(name)}")
    if arguments.upgrade:
        return _show([f"signed anew: {path}" for path in authority.upgrade()])
    remove, globs = authority.clean, arguments.clean
    if arguments.revoke is not None:
        remove, globs = authority.revoke, arguments.revoke
    return _each(globs, lambda glob: "\n".join(f"removed {p}" for p in remove(glob)))


def _list_signed(signed: Sequence[Signed], long: bool) -> int:
    """Names, as certmaster 0.28 prints them, or with the days left; what ends soon goes to stderr as well."""
    now = _now()
    width = max((len(one.name) for one in signed), default=0)
    for one in signed:
        left = _days_left(one.expires_at, now)
        print(f"{one.name:<{width}}  {left}" if long else one.name)
        if one.expires_at - now < _SOON:
            print(f"warning: {one.name}: {left}", file=sys.stderr)
    return 0


def _user() -> str:
    uid = os.getuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name}, certmaster-ca"
    except KeyError:
        return f"user {uid}, certmaster-ca"


def _become_owner(cadir: Path, audit_log: Path) -> None:
    """As root, go on as the user whose authority it is: certmaster must be able to read what is written."""
    if os.geteuid() != 0 or not cadir.exists():
        return
    owner = cadir.stat()
    if owner.st_uid != 0:
        if audit_log != Path() and not audit_log.parent.exists():
            audit_log.parent.mkdir(mode=0o750, parents=True)
            os.chown(audit_log.parent, owner.st_uid, owner.st_gid)
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _new_token(authority: Authority, arguments: argparse.Namespace) -> int:
    pin = ca.pin(authority.prepare())
    expires_s = DEFAULT_S if arguments.expires is None else arguments.expires
    token, secret = authority.tokens.add(arguments.new_token, expires_s, arguments.replace)
    authority.audit.add("new-token", token.name, f"token {token.id}, until {token.expires_at}")
    return _show(new_token_lines(token, secret, pin, socket.gethostname()))


def _delete_token(authority: Authority, token_id: str) -> str:
    authority.tokens.delete(token_id)
    authority.audit.add("delete-token", token_id, "deleted")
    return f"deleted {token_id}"


def _each(names: Sequence[str], act: Callable[[str], str]) -> int:
    """Do it for every name, those after a failure included; 1 where one failed."""
    status = 0
    for name in names:
        try:
            print(act(name))
        except CertmasterError as exc:
            print(f"error: {exc}", file=sys.stderr)
            status = 1
    return status


def _show(lines: Sequence[str]) -> int:
    for line in lines:
        print(line)
    return 0


def _days_left(end: datetime, now: datetime) -> str:
    days = (end - now).days
    return f"{days} days left" if end > now else f"expired {-days} days ago"


def _request(arguments: argparse.Namespace) -> int:
    settings = config.load_minion_config(arguments.root)
    logging.getLogger().setLevel(settings.log_level)
    if arguments.token_file is not None:
        if not arguments.token_file.is_file():
            raise FileError(f"{arguments.token_file}: there is no such file: --token-file names one")
        settings = replace(settings, token_file=arguments.token_file.absolute())
    if arguments.ca_fingerprint is not None:
        settings = replace(settings, ca_fingerprint=arguments.ca_fingerprint)
    name = find_minion_name(arguments.name, settings.certmaster, settings.certmaster_port)
    if arguments.renew:
        return _renew(settings, name)
    stopped = threading.Event()
    with _terminated_by(stopped.set):
        found = obtain_certificate(settings, name, once=arguments.once, stop=stopped.is_set)
    if found is not None:
        print(f"{name}: {found.cert_file}")
        return 0
    if not stopped.is_set():
        print(unsigned(settings, name), file=sys.stderr)
    return 1


def _renew(settings: config.MinionConfig, name: str) -> int:
    files = minion_files(settings.cert_dir, name)
    upkeep.fetch_crl(settings, files.ca_file, files.crl_file)
    renewed = upkeep.keep_good(settings, files, name, _now(), 0.0)
    left = _days_left(ca.expires_at(files.cert_file.read_bytes()), _now())
    print(f"{name}: {files.cert_file}: {'renewed' if renewed else 'not time to renew yet'}, {left}")
    return 0
