"""The networks of libvirt, the bridges of the host, and QEMU's own network, that a machine can be on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from func.minion.codes import NoSuchNetwork
from func.minion.libvirt_connection import error_types, is_code, libvirt
from func.minion.machine.machine_xml import USER


def active_networks(connection: Any) -> list[str]:
    """Names of the networks a machine can be on: libvirt's active ones, and `user` in a session."""
    own = [USER] if _is_session(connection) else []
    return sorted({*own, *(network.name() for network in _active(connection))})


def bridges(connection: Any, net_dir: Path) -> list[str]:
    """The bridges of the host, those of libvirt's networks among them; `net_dir` is /sys/class/net."""
    names = {_bridge(network) for network in _active(connection)}
    names |= {path.parent.name for path in net_dir.glob("*/bridge")}
    return sorted(names - {""})


def kind_of(connection: Any, net_dir: Path, name: str) -> str:
    """network, bridge or user: what has that name, in this order. Raises NoSuchNetwork."""
    try:
        network = connection.networkLookupByName(name)
    except error_types() as exc:
        if not is_code(exc, "VIR_ERR_NO_NETWORK", "VIR_ERR_NO_SUPPORT"):
            raise
        found = bridges(connection, net_dir)
        if name in found:
            return "bridge"
        if name == USER and _is_session(connection):
            return USER
        there = ", ".join(active_networks(connection)) or "none"
        more = f"; bridges: {', '.join(found)}" if found else ""
        raise NoSuchNetwork(f"no network {name!r} on this host; there are: {there}{more}") from exc
    if not network.isActive():
        raise NoSuchNetwork(f"network {name!r} is not active; start it with virsh net-start")
    return "network"


def _active(connection: Any) -> list[Any]:
    try:
        return list(connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE))
    except error_types():  # a host without the network driver has none
        return []


def _is_session(connection: Any) -> bool:
    return "/session" in str(connection.getURI())


def _bridge(network: Any) -> str:
    try:
        return str(network.bridgeName())
    except error_types():  # not every kind of network has one
        return ""
