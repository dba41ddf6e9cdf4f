"""Change one domain of libvirt: its size, and whether it is there at all."""

from __future__ import annotations

from typing import Any, Callable

from func.errors import HostError
from func.minion.host import STATE_NAMES
from func.minion.libvirt_connection import error_types, is_code, libvirt
from func.minion.machine.machine_facts import mark_says_managed
from func.minion.machine.machine_xml import NAMESPACE


def everywhere(domain: Any, change: Callable[[int], Any]) -> None:
    """Change the running machine and its configuration, as far as it has either.

    One after the other: not every driver takes both flags in one call.
    """
    if domain.isActive():
        change(libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if domain.isPersistent():
        change(libvirt.VIR_DOMAIN_AFFECT_CONFIG)


def is_managed(domain: Any) -> bool:
    """Whether the domain carries our mark and it says that it is ours."""
    try:
        mark = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except error_types() as exc:
        if is_code(exc, "VIR_ERR_NO_DOMAIN_METADATA", "VIR_ERR_NO_DOMAIN", "VIR_ERR_NO_SUPPORT"):
            return False
        raise
    return mark_says_managed(mark)


def undefine(domain: Any) -> None:
    """Forget the domain with all libvirt keeps of it: managed save, NVRAM, metadata of snapshots."""
    saved = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    more = libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    for flags in (saved | more, saved):
        try:
            domain.undefineFlags(flags)
            return
        except error_types() as exc:  # a driver without NVRAM, or without flags at all
            if not is_code(exc, "VIR_ERR_NO_SUPPORT", "VIR_ERR_INVALID_ARG"):
                raise
    domain.undefine()


def max_vcpus(domain: Any) -> int:
    """How many CPUs the domain can have at most."""
    where = libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else libvirt.VIR_DOMAIN_AFFECT_CONFIG
    return int(domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_MAXIMUM | where))


def set_vcpus(domain: Any, count: int) -> None:
    """How many CPUs the domain has; raises the most it can have where it is off."""
    most = max_vcpus(domain)
    if count > most and domain.isActive():
        raise HostError(f"{domain.name()!r} runs with at most {most} CPUs; shut it down to give it {count}")
    if count > most:
        config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        domain.setVcpusFlags(count, config | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    everywhere(domain, lambda scope: domain.setVcpusFlags(count, scope))


def set_memory(domain: Any, kib: int) -> None:
    """How much memory the domain has, now and at its next start; not above its maximum."""
    most = domain.maxMemory()
    if kib > most:
        raise HostError(f"{domain.name()!r} can have at most {most} KiB, not {kib}; set_maxMemory first")
    everywhere(domain, lambda scope: domain.setMemoryFlags(kib, scope))


def set_max_memory(domain: Any, kib: int) -> None:
    """How much memory the domain can have at most; only while it is off."""
    if domain.isActive():
        now = STATE_NAMES.get(domain.info()[0], "active")
        raise HostError(f"{domain.name()!r} is {now}; its maximum can be changed while it is off")
    if domain.info()[2] > kib:  # memory above the maximum is no domain at all
        domain.setMemoryFlags(kib, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    domain.setMemoryFlags(kib, libvirt.VIR_DOMAIN_AFFECT_CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
