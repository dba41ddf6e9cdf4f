"""The verbs set_shape and set_autostart: live where libvirt can, else from the next start on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from func.minion.libvirt_connection import error_types, is_code, libvirt
from func.minion.machine.arguments import Autostart, NextShape, Shape
from func.minion.machine.context import Context, find

NOW, NEXT_START = "now", "next-start"
# What libvirt says of a live change that this machine, guest or driver cannot take.
_CANNOT = (
    "VIR_ERR_OPERATION_INVALID", "VIR_ERR_OPERATION_FAILED", "VIR_ERR_OPERATION_UNSUPPORTED",
    "VIR_ERR_NO_SUPPORT", "VIR_ERR_INVALID_ARG", "VIR_ERR_CONFIG_UNSUPPORTED", "VIR_ERR_ARGUMENT_UNSUPPORTED",
    "VIR_ERR_INTERNAL_ERROR",
)  # fmt: skip


def set_autostart(context: Context, wanted: Autostart) -> Mapping[str, Any]:
    """Whether the machine starts with its host; {"changed"}."""
    domain = find(context.connection, wanted.uuid)
    if bool(domain.autostart()) == wanted.on:
        return {"changed": False}
    domain.setAutostart(int(wanted.on))
    return {"changed": True}


def set_shape(context: Context, shape: Shape) -> Mapping[str, Any]:
    """Give a machine another size; {"memory_mb", "vcpus"}: each "now", "next-start", or None if not asked.

    With `next` its configuration gets what stands there: so a change is taken back whole where the machine
    runs with less memory than it may have, or with another size than from its next start on.
    """
    domain, later = find(context.connection, shape.uuid), shape.next
    return {
        "memory_mb": _when(shape.memory_mb, lambda memory_mb: _set_memory(domain, memory_mb, later)),
        "vcpus": _when(shape.vcpus, lambda count: _set_vcpus(domain, count, later.vcpus or count)),
    }


def _when(value: Optional[int], change: Callable[[int], bool]) -> Optional[str]:
    if value is None:
        return None
    return NOW if change(value) else NEXT_START


def _set_memory(domain: Any, memory_mb: int, later: NextShape) -> bool:
    """Whether the running machine has it; its configuration has it in any case, maximum and all.

    The maximum follows, down as well as up: it is what the cloud master keeps free for the machine.
    """
    config, most = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_MEM_MAXIMUM
    kib = memory_mb * 1024
    if domain.isPersistent():
        next_mb = later.memory_mb or memory_mb
        domain.setMemoryFlags((later.max_memory_mb or next_mb) * 1024, config | most)
        domain.setMemoryFlags(next_mb * 1024, config)
    if not domain.isActive() or kib > domain.maxMemory():
        return False
    return _live(lambda: domain.setMemoryFlags(kib, libvirt.VIR_DOMAIN_AFFECT_LIVE))


def _set_vcpus(domain: Any, count: int, next_count: int) -> bool:
    config, live = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE
    most = libvirt.VIR_DOMAIN_VCPU_MAXIMUM
    if domain.isPersistent():
        if next_count > domain.vcpusFlags(config | most):
            domain.setVcpusFlags(next_count, config | most)
        domain.setVcpusFlags(next_count, config)
    if not domain.isActive() or count > domain.vcpusFlags(live | most):
        return False
    return _live(lambda: domain.setVcpusFlags(count, live))


def _live(change: Callable[[], Any]) -> bool:
    try:
        change()
    except error_types() as exc:
        if is_code(exc, *_CANNOT):
            return False
        raise
    return True
