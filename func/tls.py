"""Make the TLS contexts of minions and overlords, and say in words why a handshake failed.

Both sides present a certificate of the same certmaster. No session is ever resumed: connections are
kept instead. Whoever opens or accepts a socket sets TCP_NODELAY on it; TLS 1.3 with Nagle's algorithm costs
40 ms a call.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Optional

from func.errors import ConfigError
from func.revoked import RevokedList

_ISSUE_AGAIN = "issue it again with certmaster"
_NO_CERTIFICATE = "no certificate in PEM form can be read from it"

_CERTIFICATE_PROBLEMS = {
    10: f"its certificate has expired: {_ISSUE_AGAIN}",
    9: "its certificate is not valid yet: compare the clocks of both machines",
    18: "its certificate is signed by itself, not by our certmaster",
    19: "its certificate comes from another certmaster than ours: enrol it with ours, or correct ca_file",
    20: "its certificate comes from another certmaster than ours: enrol it with ours, or correct ca_file",
    7: "its certificate's signature is wrong: it comes from another certmaster than ours, of the same name",
    23: f"its certificate has been revoked: {_ISSUE_AGAIN} if that was a mistake",
    26: f"its certificate is not meant for this purpose: {_ISSUE_AGAIN}",
    62: "its certificate is for another name: correct the name asked for, or enrol it under this one",
    64: "its certificate is for another name: correct the name asked for, or enrol it under this one",
    66: f"its certificate's key is too small: {_ISSUE_AGAIN}, with a key of 2048 bits or more",
    67: f"our certmaster's key is too small: {_ISSUE_AGAIN}, with a key of 2048 bits or more",
    68: f"its certificate is signed with a digest no longer trusted (SHA-1 or MD5): {_ISSUE_AGAIN}",
}  # fmt: skip
"""X509_V_ERR_* of OpenSSL's x509_vfy.h -> what is wrong with the peer's certificate and what to do."""

_OUR = "does not trust our certificate"

_REASONS = {
    "TLSV1_ALERT_UNKNOWN_CA": f"it {_OUR}: it comes from another certmaster than the peer's",
    "SSLV3_ALERT_BAD_CERTIFICATE": f"it {_OUR}: it calls it bad",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"it {_OUR}: it has expired, {_ISSUE_AGAIN}",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"it {_OUR}: it has been revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": f"it {_OUR}",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": f"it {_OUR}: it is not meant for this purpose",
    "TLSV1_ALERT_ACCESS_DENIED": f"it {_OUR}: access denied",
    "TLSV1_ALERT_DECRYPT_ERROR": f"it {_OUR}: its signature is wrong",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it demands a certificate and we sent none",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it sent no certificate: it must present one of our certmaster",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS version we do: TLS 1.2 or later is needed",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS version we do: TLS 1.2 or later is needed",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the handshake: no cipher in common, or our certificate",
    "NO_SHARED_CIPHER": "no cipher in common",
    "CA_MD_TOO_WEAK": f"a certificate is signed with SHA-1 or MD5, no longer trusted: {_ISSUE_AGAIN}",
    "EE_KEY_TOO_SMALL": f"a certificate's key is too small: {_ISSUE_AGAIN}",
}  # fmt: skip

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL",
                     "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "BAD_PACKET_LENGTH"})  # fmt: skip


# ECDHE as at the default level, and beside it certificates that are signed with SHA-1.
_HISTORIC_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=0"
_REVOKED = 23  # X509_V_ERR_CERT_REVOKED


class _Socket(ssl.SSLSocket):
    """A TLS connection whose peer is looked up in the list of revoked certificates.

    Not by OpenSSL: that would look but once in a connection's life, where ours are kept for days, would
    want a new context for each list, and would let nobody in once a list had run out.
    """

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands; raises ssl.SSLCertVerificationError too where the peer is revoked."""
        super().do_handshake(block)
        check_revoked(self)


class _Context(ssl.SSLContext):
    """A context that knows who is revoked."""

    sslsocket_class = _Socket
    revoked: Optional[RevokedList] = None


def check_revoked(sock: Any) -> None:
    """Raise ssl.SSLCertVerificationError where the peer of a connection is revoked by now.

    Cheap enough for every call: a look at the file's date, and at the certificate. Only connections of
    contexts made here are known.
    """
    revoked = getattr(getattr(sock, "context", None), "revoked", None)
    if revoked is not None and revoked.has_certificate(sock.getpeercert(binary_form=True) or b""):
        exc = ssl.SSLCertVerificationError(1, "certificate revoked")
        exc.library, exc.reason = "SSL", "CERTIFICATE_VERIFY_FAILED"
        exc.verify_code, exc.verify_message = _REVOKED, "certificate revoked"
        raise exc


def server_context(
    cert_file: Path,
    key_file: Path,
    ca_file: Path,
    crl_file: Optional[Path] = None,
    *,
    historic: bool = False,
) -> ssl.SSLContext:
    """A minion's context: only clients with a certificate of the same certmaster; raises ConfigError.

    Who is in `crl_file`, by default the one beside `ca_file`, is refused. `historic` admits certificates
    that are signed with SHA-1.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, cert_file, key_file, ca_file, crl_file, historic)
    context.verify_mode = ssl.CERT_REQUIRED
    # A ticket is written after the handshake: to a client that left at once it would be an error of its own.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_ECDH_USE
    return context


def client_context(
    cert_file: Path,
    key_file: Path,
    ca_file: Path,
    crl_file: Optional[Path] = None,
    *,
    historic: bool = False,
) -> ssl.SSLContext:
    """An overlord's context: a minion must prove the name passed as `server_hostname`; raises ConfigError.

    `crl_file` and `historic` as for `server_context`.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, cert_file, key_file, ca_file, crl_file, historic)
    # Historic certificates carry a DNS SAN; a common name alone proves nothing.
    context.hostname_checks_common_name = False
    return context


def is_no_tls(exc: ssl.SSLError) -> bool:
    """Whether the peer's bytes were no TLS at all: not a matter of trust, but of a wrong port."""
    return exc.reason in _NO_TLS


def describe_tls_failure(exc: ssl.SSLError) -> str:
    """What went wrong between two peers and what to do about it; says "it" for the other side."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        known = _CERTIFICATE_PROBLEMS.get(exc.verify_code)
        detail = exc.verify_message
        return f"{known} ({detail})" if known else f"its certificate is refused: {detail}"
    if is_no_tls(exc):
        return "it does not speak TLS: is that a minion's port?"
    reason = exc.reason or ""
    known = _REASONS.get(reason)
    if known is not None:
        return known
    return f"TLS failed: {reason.replace('_', ' ').lower()}" if reason else f"TLS failed: {exc}"


def _context(
    protocol: int, cert_file: Path, key_file: Path, ca_file: Path, crl_file: Optional[Path], historic: bool
) -> ssl.SSLContext:
    cert_file, key_file, ca_file = Path(cert_file), Path(key_file), Path(ca_file)
    context = _Context(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if historic:
        context.set_ciphers(_HISTORIC_CIPHERS)
    for path, what in ((ca_file, "the certmaster's certificate"), (cert_file, "the certificate"),
                       (key_file, "the private key")):  # fmt: skip
        _check_readable(path, what)
    try:
        context.load_verify_locations(ca_file)
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigError(f"{ca_file}: {_NO_CERTIFICATE} ({_detail(exc)})") from exc
    try:
        context.load_cert_chain(cert_file, key_file, password=lambda: _refuse_password(key_file))
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigError(_chain_problem(exc, cert_file, key_file)) from exc
    context.revoked = RevokedList(crl_file or ca_file.with_suffix(".crl"), ca_file)
    return context


def _check_readable(path: Path, what: str) -> None:
    try:
        with path.open("rb"):
            return
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: {what} is not there: has this machine been enrolled?") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {what} cannot be read: {exc.strerror or exc}") from exc


def _refuse_password(key_file: Path) -> str:
    # Without this OpenSSL would ask on the terminal and wait.
    raise ConfigError(f"{key_file}: the private key is encrypted; a key without a passphrase is needed")


def _chain_problem(exc: Exception, cert_file: Path, key_file: Path) -> str:
    reason = getattr(exc, "reason", None) or ""
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return (
            f"{cert_file} and {key_file} do not belong together: the certificate is for another key; "
            "put that key back, or remove both, have the name cleaned (certmaster-ca --clean), and enrol anew"
        )
    if reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"{cert_file}: {_REASONS[reason]}"
    if "-----BEGIN CERTIFICATE-----" not in cert_file.read_text("latin-1"):
        return f"{cert_file}: {_NO_CERTIFICATE} ({_detail(exc)})"
    detail = _detail(exc)
    return f"{key_file}: no private key in PEM form can be read from it, or {cert_file} is damaged ({detail})"


def _detail(exc: Exception) -> str:
    return str(getattr(exc, "reason", None) or exc)
