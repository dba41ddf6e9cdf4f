"""Read libvirt's capabilities: what a host can give a machine; no libvirt in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, fromstring

# What a machine of our time wants; other architectures get their emulator's own default.
PREFERRED_MACHINES = {"x86_64": ("q35", "pc"), "i686": ("q35", "pc"), "aarch64": ("virt",)}
HAVE_BIOS = ("x86_64", "i686")


@dataclass(frozen=True)
class Arch:
    """What the host has for one architecture: an emulator, kinds of virtualisation, types of machines."""

    name: str
    emulator: str
    virt_types: tuple[str, ...]
    machine_types: tuple[str, ...]  # the short names such as q35, or all where there is none

    @property
    def machine_type(self) -> str:
        """The one to take; empty: the emulator's default."""
        for name in PREFERRED_MACHINES.get(self.name, ()):
            if name in self.machine_types:
                return name
        return self.machine_types[0] if self.machine_types else ""


@dataclass(frozen=True)
class Domains:
    """What domains of one emulator, architecture, machine and kind of virtualisation can have."""

    uefi: bool
    cpu_modes: frozenset[str]
    vnc: bool


@dataclass(frozen=True)
class Offer:
    """All that is decided of a machine before its XML is built."""

    virt_type: str  # kvm|qemu|test
    arch: str
    emulator: str = ""
    machine_type: str = ""
    firmware: str = "bios"
    cpu_mode: str = ""  # empty: the emulator's default

    @property
    def plain(self) -> bool:
        """Whether it has no devices but the plainest, as under libvirt's test driver."""
        return self.virt_type == "test"


def archs(capabilities_xml: str) -> dict[str, Arch]:
    """The architectures of full virtualisation that the host has, by name."""
    found = {}
    for guest in fromstring(capabilities_xml).findall("./guest"):  # noqa: S314 - libvirt's own text
        element = guest.find("arch")
        if guest.findtext("os_type") == "hvm" and element is not None:
            arch = _arch(element)
            found[arch.name] = arch
    return found


def _arch(element: Element) -> Arch:
    types = [machine for machine in element.findall("machine") if machine.text]
    short = [machine for machine in types if machine.get("canonical")] or types
    return Arch(
        element.get("name", ""),
        element.findtext("emulator", ""),
        tuple(domain.get("type", "") for domain in element.findall("domain")),
        tuple(sorted({str(machine.text) for machine in short})),
    )


def domains(domain_capabilities_xml: str) -> Domains:
    """What libvirt says of one kind of domains."""
    root = fromstring(domain_capabilities_xml)  # noqa: S314 - libvirt's own text
    modes = [mode for mode in root.findall("./cpu/mode") if mode.get("supported") == "yes"]
    return Domains(
        "efi" in _values(root, "./os/enum[@name='firmware']/value"),
        frozenset(mode.get("name", "") for mode in modes),
        "vnc" in _values(root, "./devices/graphics/enum[@name='type']/value"),
    )


def firmwares(arch: str, uefi: bool) -> tuple[str, ...]:
    """The firmwares a machine may have, the best one last."""
    return (*(("bios",) if arch in HAVE_BIOS else ()), *(("uefi",) if uefi else ())) or ("bios",)


def cpu_mode(virt_type: str, modes: frozenset[str]) -> str:
    """The CPU to show to a machine: the host's where it runs on it, else all the emulator can do.

    The emulator's default lacks what distributions of today ask of a CPU.
    """
    wanted: Sequence[str] = ("host-model", "host-passthrough") if virt_type == "kvm" else ("maximum",)
    return next((mode for mode in wanted if mode in modes), "")


def _values(root: Element, path: str) -> set[str]:
    return {value.text or "" for value in root.findall(path)}
