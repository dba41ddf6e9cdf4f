"""Ask libvirt what this host has for a machine, and choose: virtualisation, machine type, firmware."""

from __future__ import annotations

from typing import Any

from func.errors import HostError
from func.minion.codes import Unsupported
from func.minion.machine import offer
from func.minion.machine.arguments import NewMachine
from func.minion.machine.context import Setup
from func.minion.machine.offer import Arch, Offer

DRIVERS = ("QEMU", "TEST")


def is_test(connection: Any) -> bool:
    """Whether this is libvirt's test driver; raises Unsupported for a driver that is not known here."""
    driver = str(connection.getType())
    if driver.upper() not in DRIVERS:
        raise Unsupported(f"machines are made through libvirt's QEMU driver, and this host has {driver}")
    return driver.upper() == "TEST"


def host_arch(connection: Any) -> str:
    """The host's own architecture."""
    return str(connection.getInfo()[0])


def arch_of(connection: Any, name: str) -> Arch:
    """What the host has for one architecture; raises Unsupported."""
    found = offer.archs(connection.getCapabilities())
    if name not in found:
        raise Unsupported(
            f"this host has no emulator for {name}; it has: {', '.join(sorted(found)) or 'none'}"
        )
    return found[name]


def virt_type(setup: Setup, arch: Arch) -> str:
    """kvm or qemu: what Machine.conf says; left to us, kvm where libvirt offers it and a boot proved it."""
    offered = "kvm" in arch.virt_types
    if setup.virt_type == "kvm" and not offered:
        raise Unsupported(f"Machine.conf says virt_type = kvm, but libvirt does not offer it for {arch.name}")
    if setup.virt_type == "auto":
        return "kvm" if offered and setup.kvm_works(arch.emulator) else "qemu"
    return setup.virt_type


def choose(connection: Any, setup: Setup, machine: NewMachine) -> Offer:
    """All that is decided of a machine before its XML is built; raises Unsupported."""
    own = host_arch(connection)
    if is_test(connection):
        if machine.arch not in (None, own):
            raise Unsupported(f"this host has no emulator for {machine.arch}; it has: {own}")
        if machine.firmware == "uefi":
            raise Unsupported("this host has no UEFI firmware; it has: bios")
        return Offer("test", own)
    arch = arch_of(connection, machine.arch or own)
    kind = virt_type(setup, arch)
    can = domains_of(connection, arch, kind)
    firmwares = offer.firmwares(arch.name, can.uefi)
    if machine.firmware is not None and machine.firmware not in firmwares:
        raise Unsupported(f"this host has no firmware {machine.firmware}; it has: {', '.join(firmwares)}")
    if machine.graphics and not can.vnc:
        raise Unsupported("this host's emulator has no VNC; leave graphics off and use the serial console")
    mode = offer.cpu_mode(kind, can.cpu_modes)
    return Offer(kind, arch.name, arch.emulator, arch.machine_type, machine.firmware or firmwares[-1], mode)


def domains_of(connection: Any, arch: Arch, kind: str) -> offer.Domains:
    """What the domains of an architecture can have."""
    if not arch.emulator:
        raise HostError(f"libvirt names no emulator for {arch.name}")
    return offer.domains(
        connection.getDomainCapabilities(arch.emulator, arch.name, arch.machine_type or None, kind)
    )
