"""The command funcd: obtain a certificate, serve until TERM or INT."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster import __version__  # one distribution, one version
from certmaster import config as certmaster_config
from certmaster.certdir import minion_files
from certmaster.errors import CertmasterError
from certmaster.logs import start_logging
from certmaster.names import find_minion_name
from certmaster.request import Certificates, obtain_certificate
from certmaster.service import Service
from func import tls
from func.config import MinionConfig, load_minion_config
from func.errors import ConfigError, FuncError
from func.minion import registry
from func.minion.acl import Acl, certificates_of
from func.minion.audit import Audit
from func.minion.dispatch import Dispatcher
from func.minion.fact_query import FactFilter
from func.minion.facts import Facts
from func.minion.server import MinionServer
from func.minion.upkeep import Upkeep, subject_of

log = logging.getLogger("funcd")

JOBS_GRACE_S = 2.0
HANGS_S = 60.0  # longer than a call of the certmaster may take
ACCEPT_S = 20.0


class _Stop:
    """TERM and INT, as something to ask and to wait for."""

    def __init__(self) -> None:
        self._asked = False
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        # An Event set in a handler can meet its own lock, held by the very thread the handler runs in.
        signal.set_wakeup_fd(self._writer.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked

    def wait(self) -> None:
        while not self._asked:
            self._reader.recv(16)

    def _ask(self, *_: Any) -> None:
        self._asked = True


class _Waiting:
    """`stop` for the loop that waits for the certificate; by asking, that loop shows that it is alive."""

    def __init__(self, stop: _Stop, service: Service, name: str) -> None:
        self._stop = stop
        self._service = service
        self._name = name
        self._asked_at: Optional[float] = None

    def __call__(self) -> bool:
        is_first, self._asked_at = self._asked_at is None, time.monotonic()
        if is_first:
            # That may take days, and who started the service is not to be kept waiting.
            self._service.ready(f"{self._name} has no certificate yet and asks the certmaster for it")
            self._service.watch(self._find_trouble)
        return self._stop()

    def _find_trouble(self) -> str:
        silent_s = time.monotonic() - (self._asked_at or 0.0)
        return f"asking the certmaster hangs for {silent_s:.0f} s" if silent_s > HANGS_S else ""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run funcd in the foreground; 0 when it was told to end, 1 with one line of text when it cannot work."""
    arguments = _parser().parse_args(argv)
    start_logging("INFO")
    root = certmaster_config.root() if arguments.root is None else arguments.root.absolute()
    try:
        config = load_minion_config(root)
        if arguments.list_modules:
            return _list_modules(config)
        if arguments.info:
            return _info(config)
        return _serve(config)
    except (FuncError, CertmasterError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="funcd", description="A Func minion, in the foreground.")
    parser.add_argument("--root", type=Path, metavar="DIR", help="directory below which all paths lie")
    parser.add_argument("-v", "--version", action="version", version=f"funcd {__version__}")
    parser.add_argument("--list-modules", action="store_true", help="show the modules this minion loads")
    parser.add_argument("--info", action="store_true", help="show the name, files and address it would use")
    return parser


def _list_modules(config: MinionConfig) -> int:
    print("loaded modules:")
    for name in _loaded(config):
        print(f"\t{name}")
    return 0


def _loaded(config: MinionConfig) -> list[str]:
    methods = registry.load(config.root, config.module_list, config.modules_dir)
    try:
        return methods.list_modules()
    finally:
        methods.close()


def _info(config: MinionConfig) -> int:
    name = _name(config)
    files = _files(config, name)
    print(f"minion_name: {name}")
    print(f"address: {config.listen_addr or '*'} port {config.listen_port}")
    for what, path in (("key", files.key_file), ("certificate", files.cert_file), ("ca", files.ca_file)):
        print(f"{what}: {path}{'' if path.exists() else ' (not there yet)'}")
    print(f"acls: {config.acl_dir}")
    print(f"modules: {', '.join(_loaded(config))}")
    print(f"modules of others: {config.modules_dir}")
    return 0


def _serve(config: MinionConfig) -> int:
    logging.getLogger().setLevel(config.log_level)
    stop, service = _Stop(), Service(os.environ)
    name = _name(config)
    files = _certificates(config, name, _Waiting(stop, service, name))
    if files is None:
        return 0
    crl_file = config.crl_location or files.ca_file.with_suffix(".crl")

    def make_context() -> ssl.SSLContext:
        return tls.server_context(
            files.cert_file, files.key_file, files.ca_file, crl_file, historic=config.historic_peers
        )

    context = make_context()
    trusted = certificates_of(files.ca_file.read_text(encoding="latin-1"))
    acl = Acl(config.acl_dir, trusted, config.certmaster_overrides_acls)
    jobs = registry.open_jobs(config.root)
    methods = registry.load(config.root, config.module_list, config.modules_dir, jobs)
    audit = Audit(config.method_log_dir)
    try:
        dispatcher = Dispatcher(FactFilter(methods, Facts()), acl, audit, jobs)
        server = MinionServer(config.listen_addr, config.listen_port, context, dispatcher)
        upkeep = Upkeep(subject_of(config, name, files, crl_file), make_context, server.use)
        threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
        address, port = server.server_address
        upkeep.start()
        log.info("funcd is ready: %s at %s port %d", name, address, port)
        service.ready(f"{name} at {address} port {port}")
        service.watch(partial(server.find_trouble, ACCEPT_S))
        stop.wait()
        service.stopping()
        upkeep.close()
        server.shutdown()
        jobs.close(JOBS_GRACE_S)
    finally:
        methods.close()
        audit.close()
    log.info("funcd ends")
    return 0


def _name(config: MinionConfig) -> str:
    settings = certmaster_config.load_minion_config(config.root)
    return find_minion_name(
        config.minion_name, settings.certmaster, settings.certmaster_port, config.listen_addr
    )


def _files(config: MinionConfig, name: str) -> Certificates:
    """The files of minion.conf, and where it names none those the certmaster's client keeps."""
    kept = minion_files(certmaster_config.load_minion_config(config.root).cert_dir, name)
    return Certificates(
        config.cert_file or kept.cert_file, config.key_file or kept.key_file, config.ca_file or kept.ca_file
    )


def _certificates(config: MinionConfig, name: str, stop: Callable[[], bool]) -> Optional[Certificates]:
    """None when it was told to end before the certmaster had signed."""
    if config.use_certmaster:
        settings = certmaster_config.load_minion_config(config.root)
        if obtain_certificate(settings, name, stop=stop) is None:
            return None
    files = _files(config, name)
    if not files.ca_file.exists():
        raise ConfigError(f"{files.ca_file}: not there; set use_certmaster = yes, or ca_file in minion.conf")
    return files
