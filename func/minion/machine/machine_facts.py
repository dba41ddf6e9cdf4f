"""Read a machine's XML: its disks and what they stand on, its networks, our mark; no libvirt in here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional
from xml.etree.ElementTree import Element, fromstring

from func.minion.machine.machine_xml import NAMESPACE

_SOURCES = ("file", "dev")
_BELOW = (".//backingStore/source", ".//mirror/source")


@dataclass(frozen=True)
class DiskFacts:
    """A disk or cdrom of a machine; `path` is empty where libvirt names only pool and volume, or nothing."""

    target: str
    path: str
    pool: str
    volume: str
    format: str
    read_only: bool  # a CD, or said to be only read: not the machine's own
    below: tuple[str, ...]  # the paths of what a running machine's disk stands on, or is being copied to


@dataclass(frozen=True)
class NicFacts:
    """A network card."""

    network: str
    mac: str


@dataclass(frozen=True)
class Size:
    """How large a machine is."""

    memory_mb: int
    max_memory_mb: int
    vcpus: int


def size_of(domain_xml: str) -> Size:
    """Memory and CPUs; libvirt gives memory out in KiB."""
    root = _parse(domain_xml)
    most = int(root.findtext("./memory", "0"))
    vcpu = root.find("./vcpu")
    count = "1" if vcpu is None else vcpu.get("current") or vcpu.text or "1"
    return Size(int(root.findtext("./currentMemory", str(most))) // 1024, most // 1024, int(count))


def disks_of(domain_xml: str) -> tuple[DiskFacts, ...]:
    """All disks, with media or without."""
    return tuple(_disk(disk) for disk in _parse(domain_xml).findall("./devices/disk"))


def nics_of(domain_xml: str) -> tuple[NicFacts, ...]:
    """All network cards; one that is on no network of libvirt has what it is on instead, e.g. a bridge."""
    found = []
    for interface in _parse(domain_xml).findall("./devices/interface"):
        source, mac = interface.find("source"), interface.find("mac")
        values = {} if source is None else source.attrib
        on = next((values[key] for key in ("network", "bridge", "dev") if key in values), "")
        found.append(NicFacts(on or interface.get("type", ""), "" if mac is None else mac.get("address", "")))
    return tuple(found)


def firmware_of(domain_xml: str) -> str:
    """bios or uefi."""
    system = _parse(domain_xml).find("os")
    if system is None:
        return "bios"
    loader = system.find("loader")
    flashed = loader is not None and loader.get("type") == "pflash"
    return "uefi" if flashed or system.get("firmware") == "efi" else "bios"


def nvram_is_named(domain_xml: str) -> bool:
    """Whether the file of its UEFI's settings is written down; else libvirt names it after the machine."""
    return bool(_parse(domain_xml).findtext("./os/nvram"))


def machine_type_of(domain_xml: str) -> str:
    """The machine type as libvirt keeps it, e.g. pc-q35-7.2; empty where the host has none."""
    kind = _parse(domain_xml).find("./os/type")
    return "" if kind is None else kind.get("machine", "")


def is_managed(domain_xml: str) -> bool:
    """Whether our mark is on it and says so."""
    mark = _mark(domain_xml)
    return mark is not None and _says_managed(mark)


def operation_of(domain_xml: str) -> str:
    """The operation that made the machine, as our mark has it; empty where there is none."""
    mark = _mark(domain_xml)
    return "" if mark is None else mark.get("operation", "")


def boots_kernel(domain_xml: str) -> bool:
    """Whether it boots a kernel that is given to it from outside, as an installer is."""
    return _parse(domain_xml).find("./os/kernel") is not None


def mark_says_managed(mark_xml: str) -> bool:
    """The same of the mark alone, as libvirt gives it out."""
    return _says_managed(_parse(mark_xml))


def _mark(domain_xml: str) -> Optional[Element]:
    return _parse(domain_xml).find(f"./metadata/{{{NAMESPACE}}}machine")


def _says_managed(mark: Element) -> bool:
    return mark.get("managed") == "yes"


def paths_of(domain_xml: str) -> Iterator[str]:
    """Every path a machine reads or writes as a disk."""
    for disk in disks_of(domain_xml):
        if disk.path:
            yield disk.path
        yield from disk.below


def _disk(disk: Element) -> DiskFacts:
    source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
    values = {} if source is None else source.attrib
    return DiskFacts(
        "" if target is None else target.get("dev", ""),
        _path(source),
        values.get("pool", ""),
        values.get("volume", ""),
        "" if driver is None else driver.get("type", ""),
        disk.get("device") == "cdrom" or disk.find("readonly") is not None,
        tuple(path for where in _BELOW for path in map(_path, disk.iterfind(where)) if path),
    )


def _path(source: object) -> str:
    if not isinstance(source, Element):
        return ""
    return next((source.attrib[key] for key in _SOURCES if source.get(key)), "")


def _parse(text: str) -> Element:
    return fromstring(text)  # noqa: S314 - libvirt's own text
