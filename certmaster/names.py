"""Names a certificate may carry, and what a minion is called."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Optional, Protocol

from certmaster.errors import BadRequest, ConfigError

# RFC 5280 allows no more in a common name.
LONGEST_NAME = 64
CA_SUFFIX = "-CA-KEY"

# What the certificate of a cloud master is called by. No host name has the sign, so none can be asked for.
MASTER_SIGN = "@"
MASTER_PREFIX = f"cloudmaster{MASTER_SIGN}"

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)


def check_host_name(name: str) -> str:
    """The name in lower case, fit for a certificate and for a file name; raises BadRequest saying why not."""
    lowered = name.lower()
    if not name:
        raise BadRequest("the name is empty: a host name is needed")
    if len(name) > LONGEST_NAME:
        raise BadRequest(f"the name {name[:LONGEST_NAME]!r}... is longer than {LONGEST_NAME} characters")
    # A Kelvin sign lowers to a plain k, hence the look at the name as it came.
    if not name.isascii() or not _HOST_NAME.fullmatch(lowered):
        raise BadRequest(f"{name!r} is not a host name: letters, digits, `-` and `_` in parts joined by dots")
    if lowered.endswith(CA_SUFFIX.lower()):
        raise BadRequest(f"{name!r} ends in {CA_SUFFIX}, which only an authority may be called")
    if lowered.rpartition(".")[2].isdigit() and not is_address(lowered):
        raise BadRequest(f"{name!r} is neither a host name nor an address: its last part is a number")
    return lowered


def is_address(name: str) -> bool:
    """Whether the name is an IPv4 address."""
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def authority_name(host_name: str) -> str:
    """The common name of the authority made on that host, cut to what a certificate can hold."""
    return host_name[: LONGEST_NAME - len(CA_SUFFIX)] + CA_SUFFIX


def master_name(host_name: str) -> str:
    """The common name of the cloud master on that host, cut to what a certificate can hold; BadRequest."""
    host = host_name.lower()[: LONGEST_NAME - len(MASTER_PREFIX)].rstrip(".-")
    return MASTER_PREFIX + check_host_name(host)


class Network(Protocol):
    """What this machine knows of its own names and addresses; an empty string where it knows nothing."""

    def address_towards(self, host: str, port: int) -> str:
        """This machine's address on the way to `host`."""

    def reverse(self, address: str) -> str:
        """The name of an address."""

    def host_name(self) -> str:
        """The machine's own idea of its name."""


class SystemNetwork:
    """The system's routes, resolver and host name."""

    def address_towards(self, host: str, port: int) -> str:
        """This machine's address on the way to `host`; no packet is sent."""
        try:
            found = socket.getaddrinfo(host, port or 51235, socket.AF_INET, socket.SOCK_DGRAM)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(found[0][4])
                return str(probe.getsockname()[0])
        except OSError:
            return ""

    def reverse(self, address: str) -> str:
        """The name of an address."""
        try:
            return socket.gethostbyaddr(address)[0]
        except OSError:
            return ""

    def host_name(self) -> str:
        """The kernel's host name."""
        return socket.gethostname()


def find_minion_name(
    minion_name: str,
    certmaster: str,
    certmaster_port: int,
    listen_addr: str = "",
    network: Optional[Network] = None,
) -> str:
    """What this minion is called, in lower case.

    As Func finds it: `minion_name` where it is set, else the name of the address towards the certmaster, else
    that of `listen_addr`, else the host name, else the address. Names of the loopback are nobody's name.
    Raises ConfigError where minion_name cannot be one, or where nothing gives a name.
    """
    network = network or SystemNetwork()
    if minion_name:
        try:
            return check_host_name(minion_name.strip())
        except BadRequest as exc:
            raise ConfigError(f"minion_name = {minion_name}: {exc}") from exc
    route = network.address_towards(certmaster, certmaster_port)
    for address in (route, listen_addr):
        name = network.reverse(address) if address else ""
        if _is_own(name) and name != address:
            return name.lower()
    for name in (network.host_name(), route):
        if _is_own(name):
            return name.lower()
    raise ConfigError("this machine has no name but localhost: set minion_name in /etc/func/minion.conf")


def _is_own(name: str) -> bool:
    if name.lower().split(".")[0] == "localhost" or name.startswith("127."):
        return False
    try:
        check_host_name(name)
    except BadRequest:
        return False
    return True
