"""Say which files make a machine the certmaster and overlord it is, for backups and checks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Optional

from certmaster import ca
from certmaster.certdir import list_files, locked
from certmaster.errors import CertmasterError
from func.config import load_certmaster_config, load_overlord_config
from func.errors import ConfigError, MinionUnreachable
from func.overlord.resolve import Resolver

# Paths of certmaster.conf that are no state of the authority: said apart, made anew, or only a record.
_APART = ("cadir", "cert_dir", "admin_socket", "audit_log")


@dataclass(frozen=True)
class FuncFiles:
    """Where certmaster and the overlord keep what they are, every path below the root."""

    config_dirs: tuple[Path, ...]
    cadir: Path
    cert_dir: Path
    state: tuple[Path, ...]
    tokens: Path
    listen_addr: str
    listen_port: int
    minion_port: int
    hosts_file: Path

    @property
    def ca_key(self) -> Path:
        """The key that commands every minion."""
        return self.cadir / "certmaster.key"

    @property
    def ca_cert(self) -> Path:
        """The authority's certificate."""
        return self.cadir / "certmaster.crt"

    @property
    def ca_crl(self) -> Path:
        """The authority's list of revoked certificates."""
        return self.cadir / "certmaster.crl"


def func_files(root: Path) -> FuncFiles:
    """What certmaster.conf and overlord.conf below `root` say; raises ConfigError."""
    certmaster, overlord = load_certmaster_config(root), load_overlord_config(root)
    values = {field.name: getattr(certmaster, field.name) for field in fields(certmaster)}
    state = [
        path
        for key, path in values.items()
        if isinstance(path, Path) and path != Path() and key not in _APART
    ]
    return FuncFiles(
        config_dirs=(root / "etc/certmaster", root / "etc/func"),
        cadir=certmaster.cadir,
        cert_dir=certmaster.cert_dir,
        state=tuple(state),
        tokens=certmaster.tokenroot,
        listen_addr=certmaster.listen_addr,
        listen_port=certmaster.listen_port,
        minion_port=overlord.listen_port,
        hosts_file=overlord.hosts_file,
    )


@contextmanager
def held_still(cadir: Path) -> Iterator[None]:
    """Keep certmaster from writing meanwhile, where there is one that could; raises ConfigError."""
    # A lock file made here would be root's, and certmaster, which is not root, could not open it.
    made = (cadir / ".lock").exists()
    try:
        with locked(cadir) if made else nullcontext():
            yield
    except CertmasterError as exc:
        raise ConfigError(str(exc)) from exc


def authority_pin(cert_file: Path) -> str:
    """The authority's fingerprint as minions pin it, "" where there is no certificate to read."""
    try:
        return ca.pin(cert_file.read_bytes())
    except (OSError, CertmasterError):
        return ""


def newer_list(authority: bytes, here: bytes, other: bytes) -> bool:
    """Whether the list of revoked certificates `here` is of that authority, and newer than another."""
    return _number(here, authority) > _number(other, authority)


def _number(crl: bytes, authority: bytes) -> int:
    try:
        return ca.read_crl(crl, authority).number
    except CertmasterError:
        return -1


def certificate_ends(files: FuncFiles) -> list[tuple[Path, Optional[datetime]]]:
    """The authority's certificate and those of this machine, with their ends; None for one that is none."""
    try:
        own = list_files(files.cert_dir, ".cert")
    except CertmasterError as exc:
        raise ConfigError(str(exc)) from exc
    return [(path, _end(path)) for path in (files.ca_cert, *own) if path.exists()]


def _end(path: Path) -> Optional[datetime]:
    try:
        return ca.expires_at(path.read_bytes())
    except (OSError, CertmasterError):
        return None


def addresses(hosts_file: Path, name: str, timeout_s: float) -> list[str]:
    """Where the overlord would look for a minion; raises MinionUnreachable saying why it knows no place."""
    resolver = Resolver(hosts_file)
    resolver.refresh()
    try:
        return resolver.resolve(name).result(timeout_s)
    except FutureTimeout as exc:
        raise MinionUnreachable(f"the DNS did not answer within {timeout_s:g} s (looking up {name})") from exc
