"""Choose ports that stay free until whoever was told of one comes to listen there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

# Below are ports that services of a machine have.
_LOWEST = 10240
_HIGHEST = 65535
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that nobody has on any address of this machine, and that no other caller of this is given.

    Not one of those the kernel hands out by itself: it could hand it out, to a connection or to whoever
    listens on port 0, before the program that it is meant for has started.
    """
    ports = _never_handed_out()
    begin = os.getpid() * 101 % len(ports)  # processes of the same moment do not all try the same ones
    for number in range(len(ports)):
        port = ports[(begin + number) % len(ports)]
        if _claim(port) and _is_free(port):
            return port
    raise OSError(f"no port from {ports[0]} to {ports[-1]} is free")


def _never_handed_out() -> range:
    lowest, highest = (int(word) for word in _EPHEMERAL.read_text(encoding="ascii").split())
    below, above = range(_LOWEST, lowest), range(highest + 1, _HIGHEST + 1)
    most = max(below, above, key=len)
    return most if len(most) > 0 else range(_LOWEST, _HIGHEST + 1)


def _claim(port: int) -> bool:
    """Take the name that says to other processes that a port is given out."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0cloudmasterd-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # open for as long as this process lives, and so long is the name taken
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
