"""What a machine does for its certificate while it has one: renew it in time, and know who is revoked."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from certmaster import ca, client, renewal
from certmaster.certdir import PUBLIC, SECRET, MinionFiles, locked, read_file, write_file
from certmaster.config import MinionConfig
from certmaster.errors import BadCertificate, FileError, NoCertificate, NotSupported
from certmaster.pending import finish, next_file
from certmaster.request import check_answer

log = logging.getLogger(__name__)

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_SOUND_DIGESTS = ("sha256", "sha384", "sha512")


def fetch_crl(
    config: MinionConfig, ca_file: Path, crl_file: Path, timeout_s: float = client.CALL_TIMEOUT_S
) -> bool:
    """Get the list of revoked certificates; whether a new one was written.

    It comes over plain HTTP: nothing is written that the authority in `ca_file` did not sign, nor a list
    that is older than the one there. Raises NoCertificate, FileError.
    """
    answer = client.call(config, timeout_s, "get_crl")
    if not isinstance(answer, str):
        raise client.unlike_certmaster(config, f"its list of revoked certificates is {type(answer).__name__}")
    new, known, authority = answer.encode(), read_file(crl_file), read_file(ca_file)
    if authority is None:
        raise FileError(f"{ca_file} is missing: has this machine been enrolled?")
    try:
        found = ca.read_crl(new, authority)
    except BadCertificate as exc:
        raise NoCertificate(f"the list of revoked certificates of {client.where_is(config)}: {exc}") from exc
    if known == new or _number(known, authority) > found.number:
        return False
    write_file(crl_file, new, PUBLIC)
    log.info("%s: %d certificates are revoked", crl_file, len(found.serials))
    return True


def _number(crl_pem: object, authority: bytes) -> int:
    """The number of the list that is there, -1 where there is none that can be used."""
    try:
        return ca.read_crl(crl_pem, authority).number if isinstance(crl_pem, bytes) else -1
    except BadCertificate:
        return -1


def due_at(files: MinionFiles, chance: float) -> datetime:
    """When the certificate is to be renewed; at once where its digest is weak. Raises FileError."""
    pem = read_file(files.cert_file)
    try:
        if pem is None:
            raise FileError(f"{files.cert_file} is missing: has this machine been enrolled?")
        if ca.digest(pem) not in _SOUND_DIGESTS:
            return _LONG_AGO
        return renewal.due_at(ca.begins_at(pem), ca.expires_at(pem), chance)
    except BadCertificate as exc:
        raise FileError(f"{files.cert_file}: {exc}") from exc


def renew(
    config: MinionConfig,
    files: MinionFiles,
    name: str,
    timeout_s: float = client.CALL_TIMEOUT_S,
    new_key: Callable[[], bytes] = ca.new_key,
) -> None:
    """Put a new key and certificate in place of those there, which must still be good.

    May be cut off and repeated anywhere: the new key is kept until its certificate has come, and `finish`
    completes what lies there whole. Raises NoCertificate, FileError.
    """
    with locked(config.cert_dir):
        finish(files)
        next_key = next_file(files.key_file)
        key_pem, cert_pem, new_pem = (read_file(f) for f in (files.key_file, files.cert_file, next_key))
        if key_pem is None or cert_pem is None:
            raise FileError(f"{files.cert_file} or its key is missing: has this machine been enrolled?")
        if new_pem is None:
            new_pem = new_key()
            write_file(next_key, new_pem, SECRET)
        csr_pem = ca.make_request(new_pem, name)
        said = renewal.message(name, cert_pem, ca.read_request(csr_pem).key_fingerprint)
        signature = base64.b64encode(ca.sign_bytes(key_pem, said)).decode()
        answer = client.call(config, timeout_s, "renew", csr_pem.decode(), signature)
        signed, new_cert, authority = client.read_certificates(config, answer)
        try:
            if not signed:
                raise client.unlike_certmaster(config, "it neither renews nor refuses")
            check_answer(config, files, name, new_pem, new_cert, authority)
        except BadCertificate as exc:
            raise NoCertificate(f"the answer of {client.where_is(config)}: {exc}") from exc
        write_file(next_file(files.cert_file), new_cert, PUBLIC)
        finish(files)
    log.info("certificate of %s renewed, until %s", name, ca.expires_at(new_cert).date())


def take_again(
    config: MinionConfig, files: MinionFiles, name: str, timeout_s: float = client.CALL_TIMEOUT_S
) -> bool:
    """Get the certificate of this key as the certmaster has it now; whether it is another than the one here.

    So a machine comes by what `certmaster-ca --upgrade` signed anew. Raises NoCertificate, FileError.
    """
    key_pem = read_file(files.key_file) or b""
    csr_pem = ca.make_request(key_pem, name)
    answer = client.call(config, timeout_s, "wait_for_cert", csr_pem.decode())
    signed, cert_pem, authority = client.read_certificates(config, answer)
    if not signed or cert_pem == read_file(files.cert_file):
        return False
    try:
        check_answer(config, files, name, key_pem, cert_pem, authority)
    except BadCertificate as exc:
        raise NoCertificate(f"the answer of {client.where_is(config)}: {exc}") from exc
    write_file(files.cert_file, cert_pem, PUBLIC)
    return True


def keep_good(config: MinionConfig, files: MinionFiles, name: str, now: datetime, chance: float) -> bool:
    """Renew where that is due; whether there is a new certificate. Raises NoCertificate, FileError."""
    if due_at(files, chance) > now:
        return False
    pem = read_file(files.cert_file) or b""
    if ca.digest(pem) not in _SOUND_DIGESTS and take_again(config, files, name):
        return True
    try:
        renew(config, files, name)
    except NotSupported as exc:
        log.info("the certificate of %s is not renewed: %s", name, exc)
        return False
    if due_at(files, chance) <= now:
        log.warning("the new certificate of %s is due again at once: is the clock here right?", name)
    return True
