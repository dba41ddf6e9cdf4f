"""Check what a caller sends with a verb, and make frozen values of it; no libvirt in here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional, TypeVar, Union

from func.minion.codes import BadSpec

T = TypeVar("T")
MAX_MEMORY_MB = 16 * 2**20
MAX_VCPUS = 4096
MAX_SIZE_GB = 1024 * 1024
MAX_DEVICES = 16
FORMATS = ("qcow2", "raw")

MAX_NAME, MAX_VOLUME_NAME = 63, 200

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
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
class Shape:
    """A machine and the size it is to have; None: as it is."""

    uuid: str
    memory_mb: Optional[int]
    vcpus: Optional[int]


class _Fields:
    """The fields of one object, each taken once; what is left over in the end is an error."""

    def __init__(self, raw: Any, where: str = "") -> None:
        if not isinstance(raw, Mapping):
            raise BadSpec(f"{where or 'the arguments'} is a JSON object, not {_shown(raw)}")
        self._raw = dict(raw)
        self._where = where
        self._known: list[str] = []

    def take(self, key: str, check: Callable[[str, Any], T], default: Any = ...) -> T:
        name = f"{self._where}.{key}" if self._where else key
        self._known.append(key)
        value = self._raw.pop(key, None)
        if value is None:
            if default is ...:
                raise BadSpec(f"{name} is missing")
            return default  # type: ignore[no-any-return]
        return check(name, value)

    def end(self) -> None:
        if self._raw:
            unknown = ", ".join(sorted(map(_shown, self._raw)))
            raise BadSpec(
                f"{self._where or 'the arguments'}: unknown {unknown}; known are {', '.join(self._known)}"
            )


def target(raw: Any) -> Target:
    """{uuid}."""
    fields = _Fields(raw)
    found = Target(fields.take("uuid", _uuid))
    fields.end()
    return found


def new_disk(raw: Any) -> NewDisk:
    """{uuid, pool, volume, size_gb, format, backing}."""
    fields = _Fields(raw)
    found = NewDisk(
        fields.take("uuid", _uuid),
        Volume(fields.take("pool", _text), fields.take("volume", _volume_name)),
        fields.take("size_gb", _whole(MAX_SIZE_GB)),
        fields.take("format", _one_of(*FORMATS), "qcow2"),
        fields.take("backing", _below, None),
    )
    fields.end()
    if found.backing is not None and found.format != "qcow2":
        raise BadSpec(f"format is qcow2 where there is a backing, not {found.format}")
    return found


def old_disk(raw: Any) -> OldDisk:
    """{uuid, pool, volume}."""
    fields = _Fields(raw)
    found = OldDisk(
        fields.take("uuid", _uuid), Volume(fields.take("pool", _text), fields.take("volume", _text))
    )
    fields.end()
    return found


def new_machine(raw: Any) -> NewMachine:
    """The arguments of `define`; see there for what may be left out."""
    fields = _Fields(raw)
    memory_mb = fields.take("memory_mb", _whole(MAX_MEMORY_MB))
    metadata = _Fields(fields.take("metadata", lambda _, value: value, {}), "metadata")
    found = NewMachine(
        uuid=fields.take("uuid", _uuid),
        name=fields.take("name", _name),
        memory_mb=memory_mb,
        max_memory_mb=fields.take("max_memory_mb", _whole(MAX_MEMORY_MB), memory_mb),
        vcpus=fields.take("vcpus", _whole(MAX_VCPUS)),
        arch=fields.take("arch", _name, None),
        firmware=fields.take("firmware", _one_of("bios", "uefi"), None),
        disks=fields.take("disks", _list(_disk), ()),
        cdrom=fields.take("cdrom", _volume, None),
        seed=fields.take("seed", _seed, None),
        nics=fields.take("networks", _list(_nic), ()),
        boot=fields.take("boot", _list(_one_of("hd", "network", "cdrom")), ()) or ("hd",),
        autostart=fields.take("autostart", _flag, False),
        graphics=fields.take("graphics", _flag, False),
        managed=metadata.take("managed", _flag, True),
        task=metadata.take("task", _task, ""),
    )
    metadata.end()
    fields.end()
    _check_machine(found)
    return found


def naming(raw: Any) -> Naming:
    """{uuid, name}."""
    fields = _Fields(raw)
    found = Naming(fields.take("uuid", _uuid), fields.take("name", _name))
    fields.end()
    return found


def autostart(raw: Any) -> Autostart:
    """{uuid, on}."""
    fields = _Fields(raw)
    found = Autostart(fields.take("uuid", _uuid), fields.take("on", _flag))
    fields.end()
    return found


def shape(raw: Any) -> Shape:
    """{uuid, memory_mb, vcpus}."""
    fields = _Fields(raw)
    found = Shape(
        fields.take("uuid", _uuid),
        fields.take("memory_mb", _whole(MAX_MEMORY_MB), None),
        fields.take("vcpus", _whole(MAX_VCPUS), None),
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
    fields = _Fields(raw, where)
    at = Volume(fields.take("pool", _text), fields.take("volume", _text))
    form = fields.take("format", _one_of(*FORMATS), "qcow2")
    found = Disk(at, form, fields.take("bus", _one_of("virtio", "scsi", "sata", "ide"), None))
    fields.end()
    return found


def _nic(where: str, raw: Any) -> Nic:
    fields = _Fields(raw, where)
    found = Nic(fields.take("network", _text), fields.take("mac", _mac))
    fields.end()
    return found


def _volume(where: str, raw: Any) -> Volume:
    fields = _Fields(raw, where)
    found = Volume(fields.take("pool", _text), fields.take("volume", _text))
    fields.end()
    return found


def _below(where: str, raw: Any) -> Union[Volume, ImageRef]:
    if not isinstance(raw, Mapping) or "image" not in raw:
        return _volume(where, raw)
    fields = _Fields(raw, where)
    found = ImageRef(fields.take("image", _sha256))
    fields.end()
    return found


def _seed(where: str, raw: Any) -> Union[Volume, OwnSeed]:
    return OwnSeed() if raw is True else _volume(where, raw)


def _sha256(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise BadSpec(f"{where} is a SHA-256 of 64 hex digits in lower case, not {_shown(value)}")
    return value


def _name(where: str, value: Any, most: int = MAX_NAME) -> str:
    if not isinstance(value, str) or len(value) > most or not _NAME.fullmatch(value):
        right = f"1 to {most} letters, digits, dots, dashes and underscores, a letter or digit first"
        raise BadSpec(f"{where} is no name: {_shown(value)}; right are {right}")
    return value


def _volume_name(where: str, value: Any) -> str:
    return _name(where, value, MAX_VOLUME_NAME)  # it may have the machine's name in it, and more


def _text(where: str, value: Any) -> str:
    """A name of something that is there already, whatever whoever made it called it; only ever looked up."""
    if not isinstance(value, str) or not 1 <= len(value) <= 255 or _CONTROL.search(value):
        raise BadSpec(f"{where} is a text of 1 to 255 characters, not {_shown(value)}")
    return value


def _uuid(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value.lower()):
        raise BadSpec(f"{where} is no uuid: {_shown(value)}; right are 8-4-4-4-12 hex digits")
    return value.lower()


def _mac(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _MAC.fullmatch(value.lower()):
        raise BadSpec(f"{where} is a unicast address such as 52:54:00:12:34:56, not {_shown(value)}")
    return value.lower()


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadSpec(f"{where} is true or false, not {_shown(value)}")
    return value


def _task(where: str, value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(where, value)


def _whole(most: int) -> Callable[[str, Any], int]:
    def check(where: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise BadSpec(f"{where} is a whole number from 1 to {most}, not {_shown(value)}")
        return int(value)

    return check


def _one_of(*right: str) -> Callable[[str, Any], str]:
    def check(where: str, value: Any) -> str:
        if not isinstance(value, str) or value not in right:
            raise BadSpec(f"{where} is one of {', '.join(right)}, not {_shown(value)}")
        return value

    return check


def _list(item: Callable[[str, Any], T]) -> Callable[[str, Any], tuple[T, ...]]:
    def check(where: str, value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) > MAX_DEVICES:
            raise BadSpec(f"{where} is a list of at most {MAX_DEVICES}, not {_shown(value)}")
        return tuple(item(f"{where}[{number}]", each) for number, each in enumerate(value))

    return check


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
