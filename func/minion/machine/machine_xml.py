"""Build the XML of machines and volumes; nothing but values in, nothing but text out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from func.minion.machine.arguments import NewDisk, NewMachine, Nic
from func.minion.machine.offer import Offer

NAMESPACE = "urn:cloudmasterd:machine"
PREFIX = "cloudmasterd"
USER = "user"
"""QEMU's own network, which is all that a session's libvirt has: out through the host, and nothing in."""
TARGET_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}

register_namespace(PREFIX, NAMESPACE)


@dataclass(frozen=True)
class Source:
    """Where libvirt says that a volume is: `kind` file or block, and the format it knows it to have."""

    path: str
    kind: str
    format: str


@dataclass(frozen=True)
class Sources:
    """Where a machine's volumes are, and what its networks are: network, bridge or user; in its order."""

    disks: tuple[Source, ...] = ()
    cdrom: Optional[Source] = None
    seed: Optional[Source] = None
    nics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """A machine's own files: what its serial console says, its UEFI's settings. None: as libvirt does it."""

    console_log: Optional[str] = None
    nvram: Optional[str] = None


def volume_xml(disk: NewDisk, backing: Optional[Source]) -> str:
    """The volume as libvirt's storage driver wants it; it takes no more room than is written to it."""
    volume = Element("volume")
    _add(volume, "name", disk.at.volume)
    _add(volume, "capacity", disk.size_gb, unit="GiB")
    _add(volume, "allocation", 0)
    _add(_add(volume, "target"), "format", type=disk.format)
    if backing is not None:
        below = _add(volume, "backingStore")
        _add(below, "path", backing.path)
        _add(below, "format", type=backing.format)
    return _text(volume)


def mark_xml(managed: bool, task: str, operation: str) -> str:
    """Our metadata element without its namespace, which libvirt's own call adds."""
    return _text(_mark(managed, task, operation, ""))


def machine_xml(
    machine: NewMachine, offer: Offer, sources: Sources, operation: str, files: Files = Files()
) -> str:
    """The whole machine."""
    domain = Element("domain", type=offer.virt_type)
    _add(domain, "name", machine.name)
    _add(domain, "uuid", machine.uuid)
    mark = _mark(machine.managed, machine.task, operation, f"{{{NAMESPACE}}}")
    _add(domain, "metadata").append(mark)
    _add(domain, "memory", machine.max_memory_mb, unit="MiB")
    _add(domain, "currentMemory", machine.memory_mb, unit="MiB")
    _add(domain, "vcpu", machine.vcpus)
    _add_os(domain, machine, offer, files)
    if not offer.plain:
        _add_behaviour(domain, offer)
    devices = _add(domain, "devices")
    if offer.emulator and not offer.plain:
        _add(devices, "emulator", offer.emulator)
    _add_disks(devices, machine, offer, sources)
    for nic, kind in zip(machine.nics, sources.nics):
        _add_nic(devices, nic, kind, offer)
    if not offer.plain:
        _add_helpers(devices, files.console_log)
    if machine.graphics:
        _add_graphics(devices, offer)
    return _text(domain)


def _mark(managed: bool, task: str, operation: str, namespace: str) -> Element:
    values = {"managed": "yes" if managed else "no", "task": task, "operation": operation}
    return Element(f"{namespace}machine", {key: value for key, value in values.items() if value})


def _add_os(domain: Element, machine: NewMachine, offer: Offer, files: Files) -> None:
    system = _add(domain, "os")
    kind = _add(system, "type", "hvm")
    if not offer.plain:
        kind.set("arch", offer.arch)
        if offer.machine_type:
            kind.set("machine", offer.machine_type)
        if offer.firmware == "uefi":
            system.set("firmware", "efi")
            # Enrolled keys would let only kernels boot that are signed with them.
            _add(_add(system, "firmware"), "feature", enabled="no", name="enrolled-keys")
            if files.nvram:
                _add(system, "nvram", files.nvram)
    for device in machine.boot:
        _add(system, "boot", dev=device)


def _add_behaviour(domain: Element, offer: Offer) -> None:
    features = _add(domain, "features")
    _add(features, "acpi")
    if offer.arch in ("x86_64", "i686"):
        _add(features, "apic")
    if offer.cpu_mode:
        _add(domain, "cpu", mode=offer.cpu_mode)
    _add(domain, "clock", offset="utc")
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")


def _add_disks(devices: Element, machine: NewMachine, offer: Offer, sources: Sources) -> None:
    taken: dict[str, int] = {}
    for disk, source in zip(machine.disks, sources.disks):
        bus = disk.bus or ("sata" if offer.plain else "virtio")
        _add_disk(devices, source, "disk", disk.format, bus, taken)
    if sources.cdrom is not None:
        _add_disk(devices, sources.cdrom, "cdrom", "raw", _cdrom_bus(offer), taken)
    if sources.seed is not None:
        _add_disk(devices, sources.seed, "cdrom", "raw", _seed_bus(offer), taken)
    used = {element.get("bus") for element in devices.findall("./disk/target")}
    if "scsi" in used and not offer.plain:
        _add(devices, "controller", type="scsi", model="virtio-scsi")


def _add_disk(
    devices: Element, source: Source, device: str, form: str, bus: str, taken: dict[str, int]
) -> None:
    disk = _add(devices, "disk", type=source.kind, device=device)
    _add(disk, "driver", name="qemu", type=form)
    _add(disk, "source", None, **{"dev" if source.kind == "block" else "file": source.path})
    prefix = TARGET_PREFIXES[bus]
    _add(disk, "target", dev=f"{prefix}{_letters(taken.get(prefix, 0))}", bus=bus)
    taken[prefix] = taken.get(prefix, 0) + 1
    if device == "cdrom":
        _add(disk, "readonly")


def _cdrom_bus(offer: Offer) -> str:
    if offer.plain or offer.machine_type == "q35":
        return "sata"
    return "ide" if offer.arch in ("x86_64", "i686") else "scsi"


def _seed_bus(offer: Offer) -> str:
    # The kernels of cloud images know virtio and no SATA: Debian's has no driver for it at all.
    return "sata" if offer.plain else "scsi"


def _letters(number: int) -> str:
    """a, b, ... z, aa, ab ... as Linux names its disks."""
    text = chr(ord("a") + number % 26)
    return text if number < 26 else _letters(number // 26 - 1) + text


def _add_nic(devices: Element, nic: Nic, kind: str, offer: Offer) -> None:
    interface = _add(devices, "interface", type=kind)
    _add(interface, "mac", address=nic.mac)
    if kind != USER:
        _add(interface, "source", None, **{kind: nic.network})
    if not offer.plain:
        _add(interface, "model", type="virtio")


def _add_helpers(devices: Element, console_log: Optional[str]) -> None:
    serial = _add(devices, "serial", type="pty")
    if console_log:
        _add(serial, "log", file=console_log, append="on")
    _add(serial, "target", port="0")
    console = _add(devices, "console", type="pty")
    _add(console, "target", type="serial", port="0")
    _add(devices, "memballoon", model="virtio")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _add_graphics(devices: Element, offer: Offer) -> None:
    # Loopback alone: VNC knows no encryption and no users worth the name.
    graphics = _add(devices, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
    _add(graphics, "listen", type="address", address="127.0.0.1")
    if not offer.plain:
        _add(_add(devices, "video"), "model", type="virtio" if offer.arch == "aarch64" else "vga")
        _add(devices, "input", type="tablet", bus="usb")


def _add(parent: Element, tag: str, text: object = None, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    if text is not None:
        element.text = str(text)
    return element


def _text(element: Element) -> str:
    indent(element)
    return tostring(element, encoding="unicode") + "\n"
