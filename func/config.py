"""Read minion.conf and overlord.conf in /etc/func, with the keys Func 0.30 knows.

A file that is not there means the defaults; a bad value raises ConfigError naming file, key and what would be
right. Every path lies below a root directory, so that several minions and overlords can run side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from certmaster import config as certmaster_config
from certmaster.config import LOG_LEVELS, CertmasterConfig, Setting, below, read_main
from certmaster.errors import ConfigError as CertmasterConfigError
from func.errors import ConfigError

MINION_SETTINGS = (
    Setting("log_level", "INFO", "how much funcd logs", choices=LOG_LEVELS),
    Setting("acl_dir", Path("/etc/func/minion-acl.d"), "where the *.acl files are"),
    Setting("certmaster_overrides_acls", True, "whether the certmaster's certificate may call everything"),
    Setting("listen_addr", "", "address to listen on; empty: all"),
    Setting("listen_port", 51234, "port to listen on", limits=(0, 65535)),
    Setting("minion_name", "", "this minion's name; empty: the name the certmaster's network knows it by"),
    Setting("method_log_dir", Path("/var/log/func/methods"), "where the output of running methods goes"),
    Setting("use_certmaster", True, "whether funcd asks the certmaster for its certificate"),
    Setting("ca_file", Path(), "the certmaster's certificate, where use_certmaster is off"),
    Setting("cert_file", Path(), "this minion's certificate, where use_certmaster is off"),
    Setting("key_file", Path(), "this minion's private key, where use_certmaster is off"),
    Setting("crl_location", Path(), "where revoked certificates are listed"),
    Setting("historic_peers", False, "admit certificates signed with SHA-1, while a fleet is migrated"),
    Setting("module_list", (), "the modules to load, globs; empty: all"),
    Setting("modules_dir", Path("/usr/lib/func/modules.d"), "where modules that others wrote are"),
)

OVERLORD_SETTINGS = (
    Setting("log_level", "INFO", "how much the overlord logs", choices=LOG_LEVELS),
    Setting("socket_timeout", 0.0, "seconds a minion has to answer; 0: 60", limits=(0, 86400)),
    Setting("listen_port", 51234, "port the minions listen on", limits=(1, 65535)),
    Setting("backend", "conf", "where groups are kept", choices=("conf",)),
    Setting("group_db", Path("/etc/func/groups"), "the file of groups"),
    Setting("key_file", Path(), "the overlord's private key; empty: the certmaster's, else its own"),
    Setting("cert_file", Path(), "the overlord's certificate; empty: the certmaster's, else its own"),
    Setting("ca_file", Path(), "the certmaster's certificate; empty: the one beside the certificate used"),
    Setting("historic_peers", False, "admit certificates signed with SHA-1, while a fleet is migrated"),
    Setting("delegate", False, "whether calls go through other overlords; not supported, kept for old files"),
    Setting("host_down_list", Path("/var/lib/func/hosts_down.lst"), "names of minions known to be down"),
    Setting("allow_unknown_minions", False, "whether a name may be called that has no certificate here"),
    Setting(
        "hosts_file", Path("/etc/func/hosts"), "addresses of minions, as in /etc/hosts; asked before the DNS"
    ),
)


ASYNC_SETTINGS = (
    Setting("force_async", (), "methods the command func always calls asynchronously, e.g. virt.install"),
)


@dataclass(frozen=True)
class MinionConfig:
    """/etc/func/minion.conf as it holds: every key once, every path below the root."""

    log_level: str
    acl_dir: Path
    certmaster_overrides_acls: bool
    listen_addr: str
    listen_port: int
    minion_name: str
    method_log_dir: Path
    use_certmaster: bool
    ca_file: Optional[Path]
    cert_file: Optional[Path]
    key_file: Optional[Path]
    crl_location: Optional[Path]
    historic_peers: bool
    module_list: tuple[str, ...]
    modules_dir: Path
    root: Path


@dataclass(frozen=True)
class OverlordConfig:
    """/etc/func/overlord.conf as it holds: every key once, every path below the root."""

    log_level: str
    socket_timeout: float
    listen_port: int
    backend: str
    group_db: Path
    key_file: Optional[Path]
    cert_file: Optional[Path]
    ca_file: Optional[Path]
    historic_peers: bool
    delegate: bool
    host_down_list: Path
    allow_unknown_minions: bool
    hosts_file: Path
    root: Path


def load_minion_config(root: Path, path: Optional[Path] = None) -> MinionConfig:
    """Read minion.conf; `path` is taken as it is, without the root. Raises ConfigError."""
    values = _read(path or root / "etc/func/minion.conf", MINION_SETTINGS, root)
    return MinionConfig(root=root, **values)


def load_overlord_config(root: Path, path: Optional[Path] = None) -> OverlordConfig:
    """Read overlord.conf; `path` is taken as it is, without the root. Raises ConfigError."""
    values = _read(path or root / "etc/func/overlord.conf", OVERLORD_SETTINGS, root)
    return OverlordConfig(root=root, **values)


def load_async_methods(root: Path) -> tuple[str, ...]:
    """The methods async_methods.conf names; raises ConfigError."""
    values = _read(root / "etc/func/async_methods.conf", ASYNC_SETTINGS, root)
    return tuple(values["force_async"])


def load_certmaster_config(root: Path, path: Optional[Path] = None) -> CertmasterConfig:
    """Read certmaster.conf, which says where the minions' certificates are. Raises Func's ConfigError."""
    try:
        return certmaster_config.load_certmaster_config(root, path)
    except CertmasterConfigError as exc:
        raise ConfigError(str(exc)) from exc


def _read(path: Path, settings: Sequence[Setting], root: Path) -> dict[str, Any]:
    try:
        values = read_main(path, settings, root)
    except CertmasterConfigError as exc:
        raise ConfigError(str(exc)) from exc
    for setting in settings:
        if values[setting.key] == Path():
            default = setting.default
            values[setting.key] = None if default == Path() else below(root, default)
    return values
