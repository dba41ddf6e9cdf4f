"""Read the settings of cloudmasterd from their file, check them and document them."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from cloudmasterd.cobbler import Address
from cloudmasterd.errors import ConfigError
from cloudmasterd.flavors import Flavor
from cloudmasterd.placement import Policy
from cloudmasterd.rights import Role
from cloudmasterd.setting_values import WrongValue
from cloudmasterd.settings import SETTINGS, Setting

DEFAULT_FILE = "/etc/cloudmasterd/cloudmasterd.conf"
SECTION = "main"


@dataclass(frozen=True)
class Config:
    """The effective settings; SETTINGS says what each means."""

    listen_addr: str
    listen_port: int
    behind_proxy: bool
    proxy_addr: tuple[str, ...]
    proxy_secret_file: Optional[Path]
    remote_user_role: Optional[Role]
    session_idle_s: int
    session_max_s: int
    database: Path
    image_dir: Path
    name: str
    func_root: Path
    certmaster_socket: Path
    pki_dir: Path
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
    _check_together(values, file)
    return Config(**values)


def _check_together(values: Mapping[str, Any], file: Path) -> None:
    """What fits each for itself may not fit beside another; raises ConfigError."""
    for larger, smaller in (
        ("breaker_max_interval_s", "poll_interval_s"),
        ("session_max_s", "session_idle_s"),
    ):
        if values[larger] < values[smaller]:
            raise ConfigError(
                f"{file}: {larger} = {values[larger]} is less than {smaller} = {values[smaller]}: give it at"
                " least that value"
            )
    if values["proxy_secret_file"] is not None and not values["behind_proxy"]:
        raise ConfigError(
            f"{file}: proxy_secret_file is set and behind_proxy is not: set behind_proxy = yes, or leave"
            " proxy_secret_file out"
        )
    if values["remote_user_role"] is not None and values["proxy_secret_file"] is None:
        raise ConfigError(
            f"{file}: remote_user_role = {values['remote_user_role'].value} needs proxy_secret_file, without"
            " which nobody is believed to have been signed in by the web server"
        )


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
