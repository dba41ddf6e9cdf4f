"""Get a certificate for this machine from its certmaster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Optional

from certmaster import ca, client, proof, token_file
from certmaster.certdir import PUBLIC, SECRET, MinionFiles, locked, minion_files, read_file, write_file
from certmaster.config import MinionConfig
from certmaster.errors import (
    BadCertificate,
    BadRequest,
    FileError,
    NoCertificate,
    TokenNotTaken,
)
from certmaster.names import check_host_name
from certmaster.pending import finish, next_file

log = logging.getLogger(__name__)

_STOP_CHECK_S = 0.1


@dataclass(frozen=True)
class Certificates:
    """The files that prove who this machine is, and whom it trusts."""

    cert_file: Path
    key_file: Path
    ca_file: Path


def obtain_certificate(
    config: MinionConfig,
    name: str,
    *,
    wait_s: float = 10.0,
    once: bool = False,
    stop: Callable[[], bool] = lambda: False,
    timeout_s: float = client.CALL_TIMEOUT_S,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Optional[Certificates]:
    """The certificate files of `name`, asked for every `wait_s` seconds until the certmaster signs.

    Returns at once, without a call, when cert_dir holds a matching set that has not expired; None where
    `stop` got true. With `once` it asks but once: None where it is not signed yet, NoCertificate raised
    where that fails. Without it a failure is logged whenever its reason changes. Raises FileError, and
    BadRequest for a bad name, in either case. A token is removed once it has served.
    """
    name = check_host_name(name)
    files = minion_files(config.cert_dir, name)
    _check_known_authority(config, files)
    if next_file(files.cert_file).exists():
        with locked(config.cert_dir):
            finish(files)
    if _is_complete(files, now()):
        token_file.remove(config.token_file)
        return _certificates(files)
    token_file.warn_of(
        config.token_file, trusts_somebody=bool(config.ca_fingerprint) or files.ca_file.exists()
    )
    with locked(config.cert_dir):
        csr_pem = _key_and_request(files, name)
    ask = partial(_ask_and_accept, config, files, name, csr_pem, timeout_s)
    return ask() if once else _ask_until(ask, stop, wait_s, unsigned(config, name))


def _ask_until(
    ask: Callable[[], Optional[Certificates]], stop: Callable[[], bool], wait_s: float, not_yet: str
) -> Optional[Certificates]:
    said = ""
    while not stop():
        try:
            found = ask()
            if found is not None:
                return found
            reason = not_yet
        except NoCertificate as exc:
            reason = str(exc)
        if reason != said:
            log.warning("%s; asking again every %g s", reason, wait_s)
            said = reason
        _pause(wait_s, stop)
    return None


def unsigned(config: MinionConfig, name: str) -> str:
    """What to say while the certmaster answers without a certificate."""
    return (
        f"the certmaster at {config.certmaster} port {config.certmaster_port} has not signed {name} yet: "
        f"`certmaster-ca --sign {name}` does it there; its log says where it refuses to"
    )


def _ask_and_accept(
    config: MinionConfig, files: MinionFiles, name: str, csr_pem: bytes, timeout_s: float
) -> Optional[Certificates]:
    """One round; None where the certmaster has not signed yet. Raises NoCertificate, FileError."""
    refused = ""
    try:
        answer = _ask(config, _with_proof(config, files, name, csr_pem), timeout_s)
    except TokenNotTaken as exc:
        # A machine nobody can log in to must not be stranded by a token that ended during its installation:
        # it waits as one without a token, and an administrator may sign it by hand.
        refused = f"{exc}. It asked without the token: `certmaster-ca --sign {name}` signs it there"
        answer = _ask(config, csr_pem, timeout_s)
    if answer is None:
        if refused:
            raise NoCertificate(refused)
        return None
    _accept(config, files, name, *answer)
    log.info("certificate of %s received from %s port %d", name, config.certmaster, config.certmaster_port)
    token_file.remove(config.token_file)
    return _certificates(files)


def _with_proof(config: MinionConfig, files: MinionFiles, name: str, csr_pem: bytes) -> bytes:
    """The request with the proof of this machine's token in it, as it is where there is no token.

    Made for the wire alone: the file of the request stays without. Raises TokenNotTaken for what is no token.
    """
    token = token_file.read(config.token_file)
    key_pem = read_file(files.key_file)
    if not token or key_pem is None:
        return csr_pem
    fingerprint = ca.read_request(csr_pem).key_fingerprint
    return ca.make_request(key_pem, name, proof.make(token, name, fingerprint))


def _check_known_authority(config: MinionConfig, files: MinionFiles) -> None:
    known = read_file(files.ca_file)
    if known is None or not config.ca_fingerprint:
        return
    try:
        there = ca.pin(known)
    except BadCertificate as exc:
        raise FileError(f"{files.ca_file}: {exc}: restore it, or remove it to get it anew") from exc
    if there != config.ca_fingerprint:
        raise FileError(
            f"{files.ca_file} is the authority {there}, and ca_fingerprint says {config.ca_fingerprint}: "
            "remove the file if this machine is to join another certmaster, else correct the setting"
        )


def _pause(wait_s: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + wait_s
    while not stop() and time.monotonic() < end:
        time.sleep(min(_STOP_CHECK_S, max(0.0, end - time.monotonic())))


def _certificates(files: MinionFiles) -> Certificates:
    return Certificates(files.cert_file, files.key_file, files.ca_file)


def _is_complete(files: MinionFiles, now: datetime) -> bool:
    cert_pem, key_pem, ca_pem = (read_file(f) for f in (files.cert_file, files.key_file, files.ca_file))
    if cert_pem is None or key_pem is None or ca_pem is None:
        return False
    try:
        if _is_revoked(files, cert_pem, ca_pem):
            log.warning("%s is revoked: asking for a new one", files.cert_file)
            return False
        if ca.key_matches(cert_pem, key_pem) and ca.is_issued_by(cert_pem, ca_pem):
            end = ca.expires_at(cert_pem)
            if end <= now:
                log.warning("%s ended on %s: asking for a new one", files.cert_file, end.date())
            return end > now
    except BadCertificate as exc:
        log.warning("%s, %s, %s: %s", files.cert_file, files.key_file, files.ca_file, exc)
        return False
    log.warning("%s, its key and %s do not belong together: asking again", files.cert_file, files.ca_file)
    return False


def _is_revoked(files: MinionFiles, cert_pem: bytes, ca_pem: bytes) -> bool:
    crl_pem = read_file(files.crl_file)
    return crl_pem is not None and ca.read_crl(crl_pem, ca_pem).has(ca.identity(cert_pem))


def _key_and_request(files: MinionFiles, name: str) -> bytes:
    """The request to send; the key is made where there is none."""
    key_pem = read_file(files.key_file)
    if key_pem is None:
        key_pem = ca.new_key()
        write_file(files.key_file, key_pem, SECRET)
    try:
        csr_pem = ca.make_request(key_pem, name)
        ca.read_request(csr_pem)
    except (BadCertificate, BadRequest) as exc:
        raise FileError(f"{files.key_file}: {exc}: restore it, or remove it to begin with a new key") from exc
    if read_file(files.csr_file) != csr_pem:
        write_file(files.csr_file, csr_pem, PUBLIC)
    return csr_pem


def _ask(config: MinionConfig, csr_pem: bytes, timeout_s: float) -> Optional[tuple[bytes, bytes]]:
    """Certificate and authority as the certmaster sends them, None while unsigned. Raises NoCertificate."""
    answer = client.call(config, timeout_s, "wait_for_cert", csr_pem.decode())
    signed, cert_pem, ca_pem = client.read_certificates(config, answer)
    return (cert_pem, ca_pem) if signed else None


def _accept(config: MinionConfig, files: MinionFiles, name: str, cert_pem: bytes, ca_pem: bytes) -> None:
    """Write what came once it proved good; raises NoCertificate where it is not."""
    key_pem, known = read_file(files.key_file) or b"", read_file(files.ca_file)
    try:
        check_answer(config, files, name, key_pem, cert_pem, ca_pem)
        if known is None:
            log.info("trusting the authority %s from now on", ca.fingerprint(ca_pem))
            write_file(files.ca_file, ca_pem, PUBLIC)
    except BadCertificate as exc:
        raise NoCertificate(f"the certmaster's answer, or a file in {files.ca_file.parent}: {exc}") from exc
    write_file(files.cert_file, cert_pem, PUBLIC)


def check_answer(
    config: MinionConfig, files: MinionFiles, name: str, key_pem: bytes, cert_pem: bytes, ca_pem: bytes
) -> None:
    """Look whether a certificate that came is this machine's; raises NoCertificate, BadCertificate."""
    if config.ca_fingerprint and ca.pin(ca_pem) != config.ca_fingerprint:
        raise NoCertificate(
            f"the authority of {client.where_is(config)} is {ca.pin(ca_pem)}, and ca_fingerprint says "
            f"{config.ca_fingerprint}: somebody answers in its place, or the setting is of another "
            "certmaster. Nothing was taken from it"
        )
    if not ca.key_matches(cert_pem, key_pem):
        raise NoCertificate(
            f"the certmaster sent a certificate for another key than {files.key_file}: "
            f"`certmaster-ca --clean {name}` there frees the name"
        )
    if ca.common_name(cert_pem).lower() != name.lower():
        raise NoCertificate(
            f"the certmaster sent a certificate of {ca.common_name(cert_pem)!r}, not {name!r}"
        )
    if not ca.is_issued_by(cert_pem, ca_pem):
        raise NoCertificate("the certmaster sent a certificate that its own authority did not sign")
    known = read_file(files.ca_file)
    if known is not None and ca.fingerprint(known) != ca.fingerprint(ca_pem):
        raise NoCertificate(
            f"the certmaster's authority {ca.fingerprint(ca_pem)} is not the one in {files.ca_file}: "
            f"remove that file only if the certmaster was really set up anew"
        )
