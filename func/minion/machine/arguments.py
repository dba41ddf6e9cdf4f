"""Check what a caller sends with a verb, and make frozen values of it; no libvirt in here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from func.minion.codes import BadSpec
from func.minion.machine.fields import Fields, flag, items, one_of, shown, uuid, whole

MAX_MEMORY_MB = 16 * 2**20
MAX_VCPUS = 4096
MAX_SIZE_GB = 1024 * 1024
FORMATS = ("qcow2", "raw")

MAX_NAME, MAX_VOLUME_NAME = 63, 200

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Target:
    """A machine, and nothing more."""

    uuid: str


@dataclass(frozen=True)
class Volume:
    """A volume of a pool, by their names."""

    pool: str
    volume: str

    def __str__(self) -> str:
        return f"{self.pool}/{self.volume}"


@dataclass(frozen=True)
class ImageRef:
    """An image that the cloud master sent to this host."""

    sha256: str

    def __str__(self) -> str:
        return f"image {self.sha256[:12]}"


@dataclass(frozen=True)
class OwnSeed:
    """The seed that the cloud master sent for this very machine."""


@dataclass(frozen=True)
class NewDisk:
    """A volume to make."""

    uuid: str
    at: Volume
    size_gb: int
    format: str
    backing: Optional[Union[Volume, ImageRef]]


@dataclass(frozen=True)
class OldDisk:
    """A volume to delete."""

    uuid: str
    at: Volume


@dataclass(frozen=True)
class Disk:
    """A disk of a machine; `bus` None: what suits the machine best."""

    at: Volume
    format: str
    bus: Optional[str]


@dataclass(frozen=True)
class Nic:
    """A network card."""

    network: str
    mac: str


@dataclass(frozen=True)
class NewMachine:
    """A machine to define; `arch` and `firmware` None: the host's own, and the best it has."""

    uuid: str
    name: str
    memory_mb: int
    max_memory_mb: int
    vcpus: int
    arch: Optional[str]
    firmware: Optional[str]
    disks: tuple[Disk, ...]
    cdrom: Optional[Volume]
    seed: Optional[Union[Volume, OwnSeed]]
    nics: tuple[Nic, ...]
    boot: tuple[str, ...]
    autostart: bool
    graphics: bool
    managed: bool
    task: str


@dataclass(frozen=True)
class Naming:
    """A machine and the name it is to have."""

    uuid: str
    name: str


@dataclass(frozen=True)
class Autostart:
    """A machine, and whether it starts with its host."""

    uuid: str
    on: bool


@dataclass(frozen=True)
class NextShape:
    """The size a machine is to have from its next start on; None: the same as now."""

    memory_mb: Optional[int] = None
    max_memory_mb: Optional[int] = None
    vcpus: Optional[int] = None


@dataclass(frozen=True)
class Shape:
    """A machine and the size it is to have; None: as it is."""

    uuid: str
    memory_mb: Optional[int]
    vcpus: Optional[int]
    next: NextShape = NextShape()


def target(raw: Any) -> Target:
    """{uuid}."""
    fields = Fields(raw)
    found = Target(fields.take("uuid", uuid))
    fields.end()
    return found


def new_disk(raw: Any) -> NewDisk:
    """{uuid, pool, volume, size_gb, format, backing}."""
    fields = Fields(raw)
    found = NewDisk(
        fields.take("uuid", uuid),
        Volume(fields.take("pool", _text), fields.take("volume", _volume_name)),
        fields.take("size_gb", whole(MAX_SIZE_GB)),
        fields.take("format", one_of(*FORMATS), "qcow2"),
        fields.take("backing", _below, None),
    )
    fields.end()
    if found.backing is not None and found.format != "qcow2":
        raise BadSpec(f"format is qcow2 where there is a backing, not {found.format}")
    return found


def old_disk(raw: Any) -> OldDisk:
    """{uuid, pool, volume}."""
    fields = Fields(raw)
    found = OldDisk(
        fields.take("uuid", uuid), Volume(fields.take("pool", _text), fields.take("volume", _text))
    )
    fields.end()
    return found


def new_machine(raw: Any) -> NewMachine:
    """The arguments of `define`; see there for what may be left out."""
    fields = Fields(raw)
    memory_mb = fields.take("memory_mb", whole(MAX_MEMORY_MB))
    metadata = Fields(fields.take("metadata", lambda _, value: value, {}), "metadata")
    found = NewMachine(
        uuid=fields.take("uuid", uuid),
        name=fields.take("name", _name),
        memory_mb=memory_mb,
        max_memory_mb=fields.take("max_memory_mb", whole(MAX_MEMORY_MB), memory_mb),
        vcpus=fields.take("vcpus", whole(MAX_VCPUS)),
        arch=fields.take("arch", _name, None),
        firmware=fields.take("firmware", one_of("bios", "uefi"), None),
        disks=fields.take("disks", items(_disk), ()),
        cdrom=fields.take("cdrom", _volume, None),
        seed=fields.take("seed", _seed, None),
        nics=fields.take("networks", items(_nic), ()),
        boot=fields.take("boot", items(one_of("hd", "network", "cdrom")), ()) or ("hd",),
        autostart=fields.take("autostart", flag, False),
        graphics=fields.take("graphics", flag, False),
        managed=metadata.take("managed", flag, True),
        task=metadata.take("task", _task, ""),
    )
    metadata.end()
    fields.end()
    _check_machine(found)
    return found


def naming(raw: Any) -> Naming:
    """{uuid, name}."""
    fields = Fields(raw)
    found = Naming(fields.take("uuid", uuid), fields.take("name", _name))
    fields.end()
    return found


def autostart(raw: Any) -> Autostart:
    """{uuid, on}."""
    fields = Fields(raw)
    found = Autostart(fields.take("uuid", uuid), fields.take("on", flag))
    fields.end()
    return found


def shape(raw: Any) -> Shape:
    """{uuid, memory_mb, vcpus, next}."""
    fields = Fields(raw)
    found = Shape(
        fields.take("uuid", uuid),
        fields.take("memory_mb", whole(MAX_MEMORY_MB), None),
        fields.take("vcpus", whole(MAX_VCPUS), None),
        fields.take("next", _next_shape, NextShape()),
    )
    fields.end()
    return found


def _next_shape(name: str, raw: Any) -> NextShape:
    fields = Fields(raw, name)
    found = NextShape(
        fields.take("memory_mb", whole(MAX_MEMORY_MB), None),
        fields.take("max_memory_mb", whole(MAX_MEMORY_MB), None),
        fields.take("vcpus", whole(MAX_VCPUS), None),
    )
    fields.end()
    return found


def _check_machine(machine: NewMachine) -> None:
    if machine.max_memory_mb < machine.memory_mb:
        raise BadSpec(
            f"max_memory_mb is at least memory_mb ({machine.memory_mb}), not {machine.max_memory_mb}"
        )
    for what, values in (
        ("boot", machine.boot),
        ("disks", [str(disk.at) for disk in machine.disks]),
        ("networks", [nic.mac for nic in machine.nics]),
    ):
        twice = sorted({value for value in values if list(values).count(value) > 1})
        if twice:
            raise BadSpec(f"{what} has {', '.join(twice)} twice")


def _disk(where: str, raw: Any) -> Disk:
    fields = Fields(raw, where)
    at = Volume(fields.take("pool", _text), fields.take("volume", _text))
    form = fields.take("format", one_of(*FORMATS), "qcow2")
    found = Disk(at, form, fields.take("bus", one_of("virtio", "scsi", "sata", "ide"), None))
    fields.end()
    return found


def _nic(where: str, raw: Any) -> Nic:
    fields = Fields(raw, where)
    found = Nic(fields.take("network", _text), fields.take("mac", _mac))
    fields.end()
    return found


def _volume(where: str, raw: Any) -> Volume:
    fields = Fields(raw, where)
    found = Volume(fields.take("pool", _text), fields.take("volume", _text))
    fields.end()
    return found


def _below(where: str, raw: Any) -> Union[Volume, ImageRef]:
    if not isinstance(raw, Mapping) or "image" not in raw:
        return _volume(where, raw)
    fields = Fields(raw, where)
    found = ImageRef(fields.take("image", _sha256))
    fields.end()
    return found


def _seed(where: str, raw: Any) -> Union[Volume, OwnSeed]:
    return OwnSeed() if raw is True else _volume(where, raw)


def _sha256(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise BadSpec(f"{where} is a SHA-256 of 64 hex digits in lower case, not {shown(value)}")
    return value


def _name(where: str, value: Any, most: int = MAX_NAME) -> str:
    if not isinstance(value, str) or len(value) > most or not _NAME.fullmatch(value):
        right = f"1 to {most} letters, digits, dots, dashes and underscores, a letter or digit first"
        raise BadSpec(f"{where} is no name: {shown(value)}; right are {right}")
    return value


def _volume_name(where: str, value: Any) -> str:
    return _name(where, value, MAX_VOLUME_NAME)  # it may have the machine's name in it, and more


def _text(where: str, value: Any) -> str:
    """A name of something that is there already, whatever whoever made it called it; only ever looked up."""
    if not isinstance(value, str) or not 1 <= len(value) <= 255 or _CONTROL.search(value):
        raise BadSpec(f"{where} is a text of 1 to 255 characters, not {shown(value)}")
    return value


def _mac(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _MAC.fullmatch(value.lower()):
        raise BadSpec(f"{where} is a unicast address such as 52:54:00:12:34:56, not {shown(value)}")
    return value.lower()


def _task(where: str, value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(where, value)
