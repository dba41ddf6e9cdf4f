"""Check what a caller wants installed before any of it comes near koan; no libvirt in here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from func.minion.codes import BadSpec
from func.minion.machine.arguments import MAX_NAME, NewMachine, new_machine

MAX_OPTIONS = 2048  # what a kernel of today takes as its whole command line
MIN_DEADLINE_S, MAX_DEADLINE_S = 10, 7200
DEADLINE_S = 900
SECRETS = frozenset({"genome_token", "genome_report"})
"""Kernel options that nobody but the machine itself may get to see, where that can be helped."""

# koan pastes names into command lines, some of which a shell reads.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_PATH = re.compile(r"/[A-Za-z0-9._/+@-]*")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9._:/@,+-]+")
# What the installer's own command line is made of; a caller's `ks` would have it install something else.
_RESERVED = frozenset({"root", "init", "ip", "ks", "console", "quiet"})
_OWN = ("server", "profile", "kernel_options", "deadline_s")


@dataclass(frozen=True)
class Order:
    """A machine to make, the profile to install it from, and what its kernel is told besides."""

    machine: NewMachine
    server: str
    profile: str
    options: tuple[tuple[str, str], ...]
    deadline_s: int


@dataclass(frozen=True)
class ClassicOrder:
    """What Func's own `virt.install` is asked for: koan decides the rest by the profile, or the system."""

    server: str
    target: str
    system: bool
    name: Optional[str]
    path: Optional[str]
    graphics: bool
    deadline_s: int = DEADLINE_S


def order(raw: Mapping[str, Any]) -> Order:
    """The arguments of `machine.install`: those of the verb `define`, and server, profile, kernel_options,
    deadline_s. Raises BadSpec."""
    machine = new_machine({key: value for key, value in raw.items() if key not in _OWN})
    if machine.cdrom is not None or machine.seed is not None:
        raise BadSpec("a machine that is installed from a profile has neither cdrom nor seed; leave them out")
    for what, there in (("disks", machine.disks), ("networks", machine.nics)):
        if not there:
            raise BadSpec(f"{what} is empty; an installation needs at least one")
    if machine.boot != ("hd",):
        raise BadSpec("boot is left out: once it is installed, the machine boots from its disk")
    return Order(
        machine,
        check_server(raw.get("server")),
        check_name("profile", raw.get("profile")),
        _options(raw.get("kernel_options")),
        _deadline(raw.get("deadline_s")),
    )


def classic_order(
    server: Any, target: Any, system: Any = False, name: Any = None, path: Any = None, graphics: Any = False
) -> ClassicOrder:
    """The arguments of Func's `virt.install`, which the command `func` sends as texts. Raises BadSpec."""
    return ClassicOrder(
        check_server(server),
        check_name("target_name", target),
        _flag(system),
        None if _is_none(name) else check_name("virt_name", name),
        None if _is_none(path) else _path(path),
        _flag(graphics),
    )


def hidden(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments, fit to be kept: of the secrets among the kernel options only their SHA-256."""
    options = raw.get("kernel_options")
    if not isinstance(options, Mapping):
        return dict(raw)
    return {
        **raw,
        "kernel_options": {
            key: f"sha256:{hashlib.sha256(repr(value).encode()).hexdigest()}" if key in SECRETS else value
            for key, value in options.items()
        },
    }


def redacted(text: str, options: tuple[tuple[str, str], ...]) -> str:
    """A text without the secrets among the kernel options."""
    for key, value in options:
        if key in SECRETS:
            text = text.replace(value, "***")
    return text


def check_name(where: str, value: Any) -> str:
    """A name as koan may be given it; raises BadSpec."""
    if not isinstance(value, str) or len(value) > MAX_NAME or not _NAME.fullmatch(value):
        right = f"1 to {MAX_NAME} letters, digits, dots, dashes and underscores, a letter or digit first"
        raise BadSpec(f"{where} is no name: {_shown(value)}; right are {right}")
    return value


def check_server(value: Any) -> str:
    """A cobbler server as koan may be given it; raises BadSpec."""
    if not isinstance(value, str) or len(value) > 253 or not _SERVER.fullmatch(value):
        raise BadSpec(
            f"server is a host name or an IPv4 address such as cobbler.example.org, not {_shown(value)}"
        )
    return value


def _options(raw: Any) -> tuple[tuple[str, str], ...]:
    if raw is None:
        return ()
    if not isinstance(raw, Mapping):
        raise BadSpec(f"kernel_options is a JSON object, not {_shown(raw)}")
    found = []
    for key, value in raw.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key in _RESERVED:
            raise BadSpec(
                f"kernel_options: {_shown(key)} is no key of ours; right are lower-case letters, digits and "
                f"underscores, a letter first, and none of {', '.join(sorted(_RESERVED))}"
            )
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str) or not _VALUE.fullmatch(each):
                shown = "a secret" if key in SECRETS else _shown(each)
                raise BadSpec(
                    f"kernel_options.{key} is a text of letters, digits and ._:/@,+- (or a list of such), "
                    f"not {shown}"
                )
            found.append((key, each))
    length = sum(len(key) + len(value) + 2 for key, value in found)
    if length > MAX_OPTIONS:
        raise BadSpec(f"kernel_options are at most {MAX_OPTIONS} characters in all, not {length}")
    return tuple(found)


def _deadline(value: Any) -> int:
    if value is None:
        return DEADLINE_S
    if isinstance(value, bool) or not isinstance(value, int) or not MIN_DEADLINE_S <= value <= MAX_DEADLINE_S:
        raise BadSpec(
            f"deadline_s is a whole number from {MIN_DEADLINE_S} to {MAX_DEADLINE_S}, not {_shown(value)}"
        )
    return int(value)


def _path(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255 or not _PATH.fullmatch(value) or ".." in value:
        raise BadSpec(
            f"virt_path is an absolute path of letters, digits and ._/+@-, not {_shown(value)}; volume "
            "groups are not taken, since what koan makes in them could not be cleaned up"
        )
    return value


def _flag(value: Any) -> bool:
    return str(value).lower() not in ("0", "no", "false", "off", "none", "")


def _is_none(value: Any) -> bool:
    return value is None or value in ("", "None")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
