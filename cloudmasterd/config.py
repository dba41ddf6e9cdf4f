"""The settings of cloudmasterd: one table that reads the file, checks it and writes its documentation."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from cloudmasterd.cobbler import Address
from cloudmasterd.errors import ConfigError
from cloudmasterd.flavors import DEFAULT_FLAVORS, Flavor, format_flavors
from cloudmasterd.placement import Policy
from cloudmasterd.setting_values import (
    Parse,
    WrongValue,
    absolute_path,
    address,
    base_url,
    cobbler_address,
    flavors,
    one_of,
    policy,
    profile_name,
    title,
    whole_number,
)

DEFAULT_FILE = "/etc/cloudmasterd/cloudmasterd.conf"
SECTION = "main"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Setting:
    """One setting: its key, its default, what it is for, and how its text becomes a value."""

    key: str
    default: Any
    help: str
    parse: Parse
    shown_default: str = ""  # for a default that is worked out when the file is read
    show: Callable[[Any], str] = str  # the way back: the text that gives a value


SETTINGS = (
    Setting(
        "listen_addr",
        "127.0.0.1",
        "Address the pages and the REST interface listen on. There is no login yet: whoever reaches this"
        " address can use them.",
        address,
    ),
    Setting("listen_port", 8107, "TCP port they listen on.", whole_number(1, 65535)),
    Setting(
        "database",
        Path("/var/lib/cloudmasterd/cloudmasterd.db"),
        "The SQLite file; it is made when it is not there. Only one cloudmasterd can have it open.",
        absolute_path,
    ),
    Setting(
        "image_dir",
        Path("/var/lib/cloudmasterd/images"),
        "Where the data of images is kept; it is made when it is not there, for its owner alone.",
        absolute_path,
    ),
    Setting(
        "name",
        "",
        "What the pages call this cloud.",
        title,
        shown_default="the host name of the cloud master",
    ),
    Setting(
        "func_root",
        Path("/"),
        "The directory below which the files of Func and certmaster lie, e.g. etc/func/overlord.conf.",
        absolute_path,
    ),
    Setting(
        "certmaster_socket",
        Path("/run/certmaster/admin.sock"),
        "Where certmaster is asked for one-time tokens: admin_socket of its certmaster.conf. The user"
        " cloudmasterd runs as must be in the group that admin_group names there.",
        absolute_path,
    ),
    Setting(
        "poll_interval_s",
        15,
        "Seconds between two looks at a cloud instance, give or take 10 %.",
        whole_number(1, 3600),
    ),
    Setting(
        "minion_timeout_s",
        10,
        "Seconds a cloud instance may take for one answer before it counts as unreachable.",
        whole_number(1, 300),
    ),
    Setting(
        "breaker_max_interval_s",
        300,
        "A cloud instance that fails three times in a row is asked less and less often, at last once in"
        " this many seconds. At least poll_interval_s.",
        whole_number(1, 86400),
    ),
    Setting(
        "reserve_memory_min_mb",
        1024,
        "MB of each cloud instance's memory that no machine instance gets, at least.",
        whole_number(0, 1 << 30),
    ),
    Setting(
        "reserve_memory_percent",
        5,
        "The same in percent of its memory; the larger of the two counts.",
        whole_number(0, 100),
    ),
    Setting(
        "machine_overhead_mb",
        128,
        "MB counted for each active machine instance on top of its own memory.",
        whole_number(0, 1 << 20),
    ),
    Setting(
        "placement_policy",
        Policy.MOST_FREE_MEMORY,
        "Which of the cloud instances that can take a new machine instance gets it: most-free-memory, pack"
        " (the fullest) or spread (the one with the fewest active).",
        policy,
        show=lambda policy: str(policy.value),
    ),
    Setting(
        "flavors",
        DEFAULT_FLAVORS,
        "Named sizes, NAME=MEMORY_MB:VCPUS:DISK_GB joined with commas, all in one line.",
        flavors,
        show=format_flavors,
    ),
    Setting(
        "tasks_per_cloud",
        4,
        "Tasks that may be under way at once on one cloud instance; more wait in line.",
        whole_number(1, 64),
    ),
    Setting(
        "task_patience_s",
        600,
        "Seconds a task keeps trying while its cloud instance does not answer, before it fails.",
        whole_number(10, 86400),
    ),
    Setting(
        "shutdown_timeout_s",
        120,
        "Seconds a machine instance may take to shut down when it is asked to. Then the task fails and"
        " offers to power it off; nothing is powered off unasked.",
        whole_number(5, 3600),
    ),
    Setting(
        "cobbler_server",
        None,
        "The cobbler server whose profiles machine instances are installed from: HOST, http://HOST or"
        " https://HOST, the last with the authorities this machine trusts. Its catalogue is read without a"
        " login; koan on the cloud instances goes to the same host. Empty: no profiles.",
        cobbler_address,
        shown_default="none",
        show=lambda address: str(address or ""),
    ),
    Setting(
        "profile_refresh_s",
        60,
        "Seconds between two looks whether the cobbler server's profiles have changed.",
        whole_number(1, 86400),
    ),
    Setting(
        "public_url",
        "",
        "Where installing machines reach this cloud master, through Apache: what they report goes there.",
        base_url,
        shown_default="`http://HOST/` with the host name of the cloud master",
    ),
    Setting(
        "install_silent_s",
        900,
        "Seconds without a word from an installing machine after which its task says that it is silent.",
        whole_number(1, 86400),
    ),
    Setting(
        "install_timeout_s",
        7200,
        "Seconds an installation may take; then its task fails.",
        whole_number(1, 604800),
    ),
    Setting(
        "rebuild_profile",
        "",
        "The cobbler profile a cloud instance is rebuilt from when the request names none; empty: the one it"
        " was last rebuilt from.",
        profile_name,
        shown_default="none",
    ),
    Setting("log_level", "INFO", f"The least that is logged: {', '.join(LOG_LEVELS)}.", one_of(*LOG_LEVELS)),
)


@dataclass(frozen=True)
class Config:
    """The effective settings; SETTINGS says what each means."""

    listen_addr: str
    listen_port: int
    database: Path
    image_dir: Path
    name: str
    func_root: Path
    certmaster_socket: Path
    poll_interval_s: int
    minion_timeout_s: int
    breaker_max_interval_s: int
    reserve_memory_min_mb: int
    reserve_memory_percent: int
    machine_overhead_mb: int
    placement_policy: Policy
    flavors: tuple[Flavor, ...]
    tasks_per_cloud: int
    task_patience_s: int
    shutdown_timeout_s: int
    cobbler_server: Optional[Address]
    profile_refresh_s: int
    public_url: str
    install_silent_s: int
    install_timeout_s: int
    rebuild_profile: str
    log_level: str


def load_config(path: Optional[Path] = None, root: Path = Path("/")) -> Config:
    """Read the settings; raises ConfigError.

    A `path` that is named must be there; without one the default file below `root` is read where it is
    there. The paths among the settings, defaults included, are put below `root`.
    """
    file = path if path is not None else _below(root, Path(DEFAULT_FILE))
    text = _read(file, must_exist=path is not None)
    values: dict[str, Any] = {setting.key: setting.default for setting in SETTINGS}
    values.update(_parse(text, file))
    for key, value in values.items():
        if isinstance(value, Path):
            values[key] = _below(root, value)
    values["name"] = values["name"] or socket.gethostname()
    values["public_url"] = values["public_url"] or f"http://{socket.gethostname()}/"
    if values["breaker_max_interval_s"] < values["poll_interval_s"]:
        raise ConfigError(
            f"{file}: breaker_max_interval_s = {values['breaker_max_interval_s']} is less than"
            f" poll_interval_s = {values['poll_interval_s']}: give it at least that value"
        )
    return Config(**values)


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _read(file: Path, *, must_exist: bool) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        if not must_exist:
            return ""
        raise ConfigError(f"{file}: there is no such file; name one that is there with --config") from exc
    except OSError as exc:
        raise ConfigError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file} is not text in UTF-8: byte {exc.start + 1} is wrong") from exc


def _parse(text: str, file: Path) -> Mapping[str, Any]:
    by_key = {setting.key: setting for setting in SETTINGS}
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    in_section = False
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.split(r"\s;", raw, maxsplit=1)[0].strip()  # as Func's files: " ;" begins a comment
        where = f"{file}:{number}"
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            _check_section(line, where)
            in_section = True
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise ConfigError(f"{where}: {_quote(line)} has no '=': write key = value")
        if not in_section:
            raise ConfigError(f"{where}: {key} stands above any section: write [{SECTION}] before it")
        if key not in by_key:
            raise ConfigError(f"{where}: unknown key {_quote(key)}{_nearest(key, by_key)}")
        if key in lines:
            raise ConfigError(f"{where}: {key} is set already, in line {lines[key]}: keep one of the two")
        lines[key] = number
        values[key] = _value(by_key[key], value, where)
    return values


def _check_section(line: str, where: str) -> None:
    if line != f"[{SECTION}]":
        raise ConfigError(f"{where}: unknown section {_quote(line)}: every setting stands in [{SECTION}]")


def _value(setting: Setting, text: str, where: str) -> Any:
    try:
        return setting.parse(text)
    except WrongValue as exc:
        raise ConfigError(f"{where}: {setting.key} = {_quote(text)} is not right: give {exc}") from exc


def _nearest(key: str, known: Mapping[str, Setting]) -> str:
    close = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    if close:
        return f": did you mean {close[0]}?"
    return f": the keys are {', '.join(known)}"


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def shown_settings(config: Config) -> str:
    """The effective settings as a file that would give them."""
    lines = [f"{setting.key} = {setting.show(getattr(config, setting.key))}" for setting in SETTINGS]
    return "\n".join([f"[{SECTION}]", *lines]) + "\n"


def documentation() -> str:
    """The text of docs/configuration.md."""
    rows = []
    for setting in SETTINGS:
        default = setting.shown_default or f"`{setting.show(setting.default)}`"
        rows.append(f"| `{setting.key}` | {default} | {setting.help} |")
    return _DOCUMENTATION.format(file=DEFAULT_FILE, section=SECTION, rows="\n".join(rows))


_DOCUMENTATION = """\
# Configuration

<!-- Generated from SETTINGS: `cloudmasterd --list-settings > docs/configuration.md` -->

`cloudmasterd` reads `{file}`, or the file named with `--config`. Without that file every setting has its
default. The file has one section:

```ini
[{section}]
# a line that begins with # or ; is a comment, and so is what follows a blank and a ;
listen_port = 8107
```

A key that is unknown, set twice or has a value that does not fit stops the start with the file, the line and
what would be right. `cloudmasterd --check-config` reads the file, prints the effective settings and ends.
With `--root DIR` the default file and every path among the settings lie below `DIR`; `CERTMASTER_ROOT` in the
environment is the same, as for the commands of certmaster and Func.

| key | default | meaning |
|---|---|---|
{rows}

The files of Func and certmaster below `func_root` keep their historic names and keys; see `wire.md`.
"""
