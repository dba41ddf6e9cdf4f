"""The wire module `certmastermod`: administer this machine's certmaster, if it has one, and its peers."""

from __future__ import annotations

import hashlib
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import certmaster
from certmaster import ca
from certmaster.authority import Authority
from certmaster.certdir import PUBLIC, list_files, read_file, remove_file, write_file
from certmaster.config import CertmasterConfig
from certmaster.errors import BadCertificate
from certmaster.names import check_host_name
from func.config import load_certmaster_config
from func.minion import children
from func.minion.codes import FuncException
from func.minion.module import FuncModule

MAX_CERTIFICATE = 64 * 1024
CHANGE_LIMIT_S = 120.0  # triggers may take their time
_CERTMASTER_CA = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from certmaster.cli import certmaster_ca; sys.exit(certmaster_ca())"
)


class CertMasterModule(FuncModule):
    """Whoever may call it decides who is a minion and who an overlord here."""

    version = "0.0.1"
    description = "Certificates: the requests that wait, those signed, and peers"
    methods = (
        "get_hosts_to_sign", "get_signed_certs", "sign_hosts", "cleanup_hosts", "peering_enabled",
        "known_peers", "remove_peer_certs", "copy_peer_cert",
    )  # fmt: skip

    def get_hosts_to_sign(self) -> list[str]:
        """Names whose requests wait for a signature."""
        return self._authority().list_waiting()

    def get_signed_certs(self) -> list[str]:
        """Names that have a certificate."""
        return [signed.name for signed in self._authority().list_signed()]

    def sign_hosts(self, list_of_hosts: Any) -> bool:
        """True when what waits under these names is signed; raises what certmaster-ca said otherwise."""
        return self._change("--sign", list_of_hosts)

    def cleanup_hosts(self, list_of_hosts: Any) -> bool:
        """True when requests and certificates of these names are removed; raises as `sign_hosts` does."""
        return self._change("--clean", list_of_hosts)

    def peering_enabled(self) -> bool:
        """Whether minions may be overlords of each other."""
        return self._config().peering

    def known_peers(self) -> list[list[str]]:
        """[[name, SHA-1 of the file in hexadecimal], ...] of the peers whose certificates are here."""
        found = []
        for path in list_files(self._config().peerroot, self._suffix()):
            data = read_file(path)
            if data is not None:
                # SHA-1 because certmaster-sync compares it; nothing is trusted for it.
                digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
                found.append([path.name[: -len(self._suffix())], digest])
        return found

    def remove_peer_certs(self, peers: Any) -> bool:
        """True when none of these is a peer any more; it need not have been one."""
        for name in _names(peers):
            remove_file(self._peer_file(name))
        return True

    def copy_peer_cert(self, peer: str, certblob: Any) -> int:
        """1 when the certificate (PEM, base64 on the wire) is the peer's now, 0 when it was before."""
        (name,) = _names([peer])
        if not self.peering_enabled():
            raise FuncException("peering is off here: peering = yes in certmaster.conf")
        pem = certblob.encode("utf-8") if isinstance(certblob, str) else certblob
        if not isinstance(pem, bytes) or len(pem) > MAX_CERTIFICATE:
            raise FuncException(f"a certificate is PEM of at most {MAX_CERTIFICATE} bytes")
        try:
            ca.common_name(pem)
        except BadCertificate as exc:
            raise FuncException(f"what is sent for {name} is no certificate: {exc}") from exc
        if read_file(self._peer_file(name)) == pem:
            return 0
        write_file(self._peer_file(name), pem, PUBLIC)
        return 1

    def _config(self) -> CertmasterConfig:
        return load_certmaster_config(self.root)

    def _authority(self) -> Authority:
        config = self._config()
        if not (config.cadir / "certmaster.crt").exists():
            raise FuncException(f"this machine is no certmaster: there is no {config.cadir}/certmaster.crt")
        return Authority(config, socket.gethostname(), lambda: datetime.now(timezone.utc))

    def _change(self, option: str, hosts: Any) -> bool:
        names = _names(hosts)
        self._authority()
        # A process of its own, because that becomes the user whose files these are.
        home = str(Path(certmaster.__file__).parents[1])
        command = [sys.executable, "-I", "-c", _CERTMASTER_CA, home, "--root", str(self.root), option, *names]
        try:
            done = children.run(command, CHANGE_LIMIT_S)
        except OSError as exc:
            raise FuncException(f"certmaster-ca cannot be run: {exc}") from exc
        if done.code != 0:
            raise FuncException(done.err.strip()[-1000:] or f"certmaster-ca ended with {done.code}")
        return True

    def _suffix(self) -> str:
        return f".{self._config().cert_extension}"

    def _peer_file(self, name: str) -> Path:
        return self._config().peerroot / f"{name}{self._suffix()}"


def _names(given: Any) -> list[str]:
    """One name or several, as host names: no globs, nothing that leads out of a folder."""
    names = given if isinstance(given, list) else [given]
    for name in names:
        if not isinstance(name, str):
            raise FuncException(f"{name!r:.60} is no host name")
    return [check_host_name(name.strip()) for name in names]
