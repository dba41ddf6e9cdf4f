"""Read the INI files of certmaster and Func into frozen settings, below a root directory."""

from __future__ import annotations

import configparser
import difflib
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

from certmaster.errors import ConfigError
from certmaster.options import (
    BaseConfig,
    BoolOption,
    FloatOption,
    IntOption,
    ListOption,
    Option,
    SelectionOption,
)

# The latter are imported from here by third-party modules of Func.
__all__ = ["BaseConfig", "BoolOption", "FloatOption", "IntOption", "ListOption", "Option", "SelectionOption"]

log = logging.getLogger(__name__)

ROOT_VARIABLE = "CERTMASTER_ROOT"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PORTS = (0, 65535)

# How alike two keys are when one of them is the other mistyped; old files have keys of their own.
_TYPO = 0.75

_TRUE = ("1", "yes", "true")
_FALSE = ("0", "no", "false")


@dataclass(frozen=True)
class Setting:
    """One key of a configuration file; what kind of value it takes follows from the default's type.

    str, int, float, bool, Path and tuple (a list split on commas or spaces) are the kinds. `choices` are the
    only words allowed (in any case), `limits` the smallest and largest number allowed.
    """

    key: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    limits: Optional[tuple[float, float]] = None
    read: Optional[Callable[[str], str]] = None  # for text of a form; raises ValueError saying what is right


_PIN = re.compile(r"[0-9a-f]{64}")


def read_pin(text: str) -> str:
    """A pinned fingerprint in lower case without colons, "" for none; raises ValueError."""
    plain = text.replace(":", "").lower()
    if text and not _PIN.fullmatch(plain):
        raise ValueError("write the 64 hexadecimal digits that `certmaster-ca --fingerprint` prints there")
    return plain


CERTMASTER_SETTINGS = (
    Setting("log_level", "INFO", "how much to log", choices=LOG_LEVELS),
    Setting("listen_addr", "", "address to listen on; empty for every IPv4 address"),
    Setting("listen_port", 51235, "port to listen on", limits=PORTS),
    Setting("cadir", Path("/etc/pki/certmaster/ca"), "the authority's key, certificate and serial number"),
    Setting("cert_dir", Path("/etc/pki/certmaster"), "this machine's own key and certificate"),
    Setting("certroot", Path("/var/lib/certmaster/certs"), "the certificates that were signed"),
    Setting("csrroot", Path("/var/lib/certmaster/csrs"), "the requests that wait for a signature"),
    Setting("cert_extension", "cert", "how the names of signed certificates end"),
    Setting("autosign", False, "sign every sound request at once"),
    Setting("cert_days", 3650, "how long a certificate lasts, in days", limits=(1, 36500)),
    Setting("sync_certs", False, "copy certificates to minions that are overlords themselves"),
    Setting("peering", True, "let minions be overlords of each other"),
    Setting("peerroot", Path("/var/lib/certmaster/peers"), "the certificates of peers"),
    Setting(
        "masterroot", Path("/var/lib/certmaster/masters"), "the certificate of this machine's cloud master"
    ),
    Setting("tokenroot", Path("/var/lib/certmaster/tokens"), "the one-time tokens"),
    Setting("replacedroot", Path("/var/lib/certmaster/replaced"), "certificates whose name has a new key"),
    Setting("renewedroot", Path("/var/lib/certmaster/renewed"), "certificates that were renewed or upgraded"),
    Setting("revokedroot", Path("/var/lib/certmaster/revoked"), "certificates whose keys were revoked"),
    Setting("trigger_dir", Path("/var/lib/certmaster/triggers"), "programs to run before and after"),
    Setting("audit_log", Path("/var/log/certmaster/audit.log"), "who asked what; empty: no record"),
    Setting("historic_requests", False, "sign requests with MD5 or SHA-1, as certmaster 0.28 made them"),
    Setting(
        "admin_socket", Path("/run/certmaster/admin.sock"), "where programs of this machine ask; empty: not"
    ),
    Setting(
        "admin_group", "", "the group that may use that socket; empty: nobody but the owner and its group"
    ),
)

MINION_SETTINGS = (
    Setting("log_level", "INFO", "how much to log", choices=LOG_LEVELS),
    Setting("certmaster", "localhost", "host name or address of the certmaster"),
    Setting("certmaster_port", 51235, "port of the certmaster", limits=PORTS),
    Setting("cert_dir", Path("/etc/pki/certmaster"), "this machine's own key and certificate"),
    Setting("ca_fingerprint", "", "SHA-256 of the only authority to be trusted, in hex", read=read_pin),
    Setting(
        "upkeep_interval_s",
        600,
        "seconds between looks for revoked certificates and for a renewal",
        limits=(1, 86400),
    ),
    Setting("token_file", Path("/etc/certmaster/token"), "a one-time token to enrol with, removed when used"),
)


@dataclass(frozen=True)
class CertmasterConfig:
    """What /etc/certmaster/certmaster.conf says; every path is below the root already."""

    log_level: str
    listen_addr: str
    listen_port: int
    cadir: Path
    cert_dir: Path
    certroot: Path
    csrroot: Path
    cert_extension: str
    autosign: bool
    cert_days: int
    sync_certs: bool
    peering: bool
    peerroot: Path
    masterroot: Path
    tokenroot: Path
    replacedroot: Path
    renewedroot: Path
    revokedroot: Path
    trigger_dir: Path
    audit_log: Path
    historic_requests: bool
    admin_socket: Path
    admin_group: str


@dataclass(frozen=True)
class MinionConfig:
    """What /etc/certmaster/minion.conf says; every path is below the root already."""

    log_level: str
    certmaster: str
    certmaster_port: int
    cert_dir: Path
    ca_fingerprint: str = ""
    token_file: Path = Path()
    upkeep_interval_s: int = 600


def root() -> Path:
    """The directory below which every path lies: $CERTMASTER_ROOT, else `/`."""
    return Path(os.environ.get(ROOT_VARIABLE) or "/").absolute()


def below(root: Path, path: Path) -> Path:
    """`path` as seen from inside `root`: below(Path("/srv"), Path("/etc/x")) is /srv/etc/x."""
    return root / path.relative_to(path.anchor)


def load_certmaster_config(root: Path, path: Optional[Path] = None) -> CertmasterConfig:
    """Read certmaster.conf, `path` itself where it is given; raises ConfigError."""
    path = path or root / "etc/certmaster/certmaster.conf"
    return CertmasterConfig(**read_main(path, CERTMASTER_SETTINGS, root))


def load_minion_config(root: Path, path: Optional[Path] = None) -> MinionConfig:
    """Read certmaster's minion.conf, `path` itself where it is given; raises ConfigError."""
    return MinionConfig(**read_main(path or root / "etc/certmaster/minion.conf", MINION_SETTINGS, root))


def read_main(path: Path, settings: Sequence[Setting], root: Path) -> dict[str, Any]:
    """The section [main] of an INI file as {key: value}, every setting present.

    A missing file or key means the default; a key nobody knows is left out, as Func always did, with a
    warning where it looks mistyped. An empty path stays `Path()`, which means "not set"; every other path
    is put below `root`. Raises ConfigError, also for a file that has other sections only.
    """
    written = _main_section(path)
    known = {setting.key for setting in settings}
    for key in sorted(set(written) - known):
        meant = difflib.get_close_matches(key, known - set(written), 1, _TYPO)
        if meant:
            log.warning("%s: nobody knows the key %r: ignored; is %s meant?", path, key, meant[0])
        else:
            log.debug("%s: nobody knows the key %r: ignored", path, key)
    values: dict[str, Any] = {}
    for setting in settings:
        value = setting.default
        if setting.key in written:
            try:
                value = _convert(setting, written[setting.key].strip())
            except ValueError as exc:
                shown = f"{path}: {setting.key} = {written[setting.key]}"
                raise ConfigError(f"{shown}: {exc} ({setting.help})") from exc
        if isinstance(value, Path) and value != Path():
            value = below(root, value)
        values[setting.key] = value
    return values


_Config = TypeVar("_Config", bound=BaseConfig)


def read_config(path: Union[Path, str], kind: type[_Config]) -> _Config:
    """The settings of that class as an INI file has them, defaults without one. Raises ConfigError."""
    found = kind()
    try:
        found.populate(_main_section(Path(path)))
    except ValueError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    return found


def _main_section(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, inline_comment_prefixes=(";",))
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_file(file, source=str(path))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: byte {exc.start} is not UTF-8: save the file as UTF-8") from exc
    except configparser.MissingSectionHeaderError as exc:
        text = f"{path}, line {exc.lineno}: {exc.line.strip()!r} stands before any section: begin with [main]"
        raise ConfigError(text) from exc
    except configparser.ParsingError as exc:
        number, line = exc.errors[0]
        raise ConfigError(f"{path}, line {number}: {line} is not of the form `key = value`") from exc
    if parser.has_section("main"):
        return dict(parser["main"])
    if parser.sections():
        found = ", ".join(f"[{name}]" for name in parser.sections())
        raise ConfigError(f"{path}: has no section [main], only {found}: its settings belong below [main]")
    return {}


def _convert(setting: Setting, text: str) -> Any:
    kind = type(setting.default)
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError("write yes or no")
    if isinstance(setting.default, Path):
        return Path(text)
    if kind is tuple:
        return tuple(text.replace(",", " ").split())
    if kind in (int, float):
        return _number(setting, text)
    if setting.choices:
        for choice in setting.choices:
            if choice.lower() == text.lower():
                return choice
        raise ValueError(f"write one of {', '.join(setting.choices)}")
    return setting.read(text) if setting.read is not None else text


def _number(setting: Setting, text: str) -> Any:
    kind = type(setting.default)
    try:
        value = kind(text)
    except ValueError as exc:
        raise ValueError(f"write a {'whole ' if kind is int else ''}number") from exc
    if setting.limits is not None and not setting.limits[0] <= value <= setting.limits[1]:
        raise ValueError(f"write a number from {setting.limits[0]} to {setting.limits[1]}")
    return value
