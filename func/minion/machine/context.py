"""What every verb is given: the connection, its run in the journal, how this host is set up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from func.minion.codes import NoSuchMachine, WrongState
from func.minion.host import STATE_NAMES
from func.minion.images import ImageCache
from func.minion.libvirt_connection import error_types, is_code
from func.minion.operations import Attempt
from func.minion.seeds import Seeds


@dataclass(frozen=True)
class Setup:
    """How this host is set up: `virt_type` auto, kvm or qemu; whether a boot proved KVM; folders."""

    virt_type: str
    kvm_works: Callable[[str], bool]
    console_log_dir: Optional[Path] = None
    nvram_dir: Optional[Path] = None
    net_dir: Path = Path("/sys/class/net")
    images: Optional[ImageCache] = None
    seeds: Optional[Seeds] = None


@dataclass(frozen=True)
class Context:
    """What a verb works with."""

    connection: Any
    attempt: Attempt
    setup: Setup


def look_up(connection: Any, uuid: str) -> Any:
    """The domain with that uuid, or None."""
    try:
        return connection.lookupByUUIDString(uuid)
    except error_types() as exc:
        if is_code(exc, "VIR_ERR_NO_DOMAIN"):
            return None
        raise


def find(connection: Any, uuid: str) -> Any:
    """The domain with that uuid; raises NoSuchMachine."""
    domain = look_up(connection, uuid)
    if domain is None:
        raise NoSuchMachine(f"no machine with the uuid {uuid} on this host")
    return domain


def name_holder(connection: Any, name: str) -> Optional[str]:
    """The uuid of the machine with that name, None where there is none."""
    try:
        return str(connection.lookupByName(name).UUIDString())
    except error_types() as exc:
        if is_code(exc, "VIR_ERR_NO_DOMAIN"):
            return None
        raise


def state_name(domain: Any) -> str:
    """The state in the cloud master's words."""
    return STATE_NAMES.get(domain.info()[0], "unknown")


def must_be_off(domain: Any, what: str) -> None:
    """Raises WrongState for a machine that is not off."""
    if domain.isActive():
        raise WrongState(f"cannot {what} {domain.name()!r}: it is {state_name(domain)}; shut it down first")
