"""What a caller wants of a machine or cloud instance, read out of JSON; every wrong field is named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from cloudmasterd.cloud_init import read_cloud_init
from cloudmasterd.flavors import (
    MAX_DISK_GB,
    MAX_MEMORY_MB,
    MAX_VCPUS,
    MIN_DISK_GB,
    MIN_MEMORY_MB,
    MIN_VCPUS,
    Flavor,
)
from cloudmasterd.jsonbody import (
    Field,
    Reader,
    WrongError,
    collect,
    flag,
    invalid,
    list_of,
    mapping_of,
    matching,
    mistyped,
    nearest,
    need_text,
    one_of,
    read_object,
    say,
    text,
    whole,
    wrong,
)
from cloudmasterd.kernel_options import Metadata, read_metadata
from cloudmasterd.model import RESERVE_BY_POLICY
from cloudmasterd.placement import Need

DEFAULT_VCPUS = 1
DEFAULT_DISK_GB = 10
DEFAULT_NETWORK = "default"
MAX_DISKS = 16
MAX_NETWORKS = 16
MAX_GROUPS = 16
MAX_TAGS = 64
MAX_NOTES = 4096
MAX_REASON = 200
MAX_NAME = 63
ARCHES = ("x86_64", "aarch64", "ppc64le", "s390x", "riscv64")
FIRMWARES = ("bios", "uefi")
SIZE_FIELDS = ("memory_mb", "vcpus", "disks")


@dataclass(frozen=True)
class DiskSpec:
    """A disk to be made. `pool` None: the cloud instance's default pool."""

    size_gb: int
    pool: Optional[str] = None


@dataclass(frozen=True)
class Source:
    """What a machine instance begins with.

    kind "blank" (boots from the network), "iso" (`volume`, "pool/name.iso"), "image" (`image`, its name, and
    `cloud_init`: any of hostname, users [{name, ssh_keys, groups, sudo, shell}], ssh_keys, user_data) or
    "profile" (`profile`, its name on the cobbler server, and `metadata`, which its kickstart finds on the
    kernel command line).
    """

    kind: str = "blank"
    volume: Optional[str] = None
    image: Optional[str] = None
    cloud_init: Mapping[str, Any] = field(default_factory=dict)
    profile: Optional[str] = None
    metadata: Mapping[str, Metadata] = field(default_factory=dict, repr=False)  # may hold a one-time token


@dataclass(frozen=True)
class MachineSpec:
    """A machine instance as it was asked for, defaults filled in. None: the cloud instance's own choice."""

    name: str
    memory_mb: int
    vcpus: int
    disks: tuple[DiskSpec, ...]
    networks: tuple[str, ...] = ("default",)
    firmware: Optional[str] = None  # bios, uefi; None: the best there is
    source: Source = Source()
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    autostart: bool = False
    start: bool = True
    cloud: Optional[str] = None
    flavor: Optional[str] = None
    groups: tuple[str, ...] = ()
    arch: Optional[str] = None


@dataclass(frozen=True)
class Change:
    """What is to become different of a machine instance; None: stays. `tags` replaces all tags."""

    memory_mb: Optional[int] = None
    vcpus: Optional[int] = None
    autostart: Optional[bool] = None
    tags: Optional[Mapping[str, str]] = None
    notes: Optional[str] = None
    name: Optional[str] = None


@dataclass(frozen=True)
class CloudChange:
    """What is to become different of a cloud instance; None: stays. `tags` replaces all tags."""

    maintenance: Optional[bool] = None
    maintenance_reason: Optional[str] = None
    reserve_mb: Optional[int] = None
    tags: Optional[Mapping[str, str]] = None
    notes: Optional[str] = None


def parse_create(body: Any, flavors: Sequence[Flavor]) -> MachineSpec:
    """Read the JSON body of a create; raises Invalid with every wrong field, e.g. disks[0].size_gb.

    A field that may be left out may be null. The size is a flavor, or memory_mb with vcpus (1 if not given)
    and disks (one of 10 GB if not given, in the default pool).
    """
    values, found = collect(body, _CREATE)
    if isinstance(body, Mapping):
        wrong_size = _wrong_size(body, flavors)
        # what is to be left out need not be right
        said = {name for name, _ in wrong_size}
        found = [(name, told) for name, told in found if re.split(r"[.[]", name)[0] not in said] + wrong_size
        source, disks = values.get("source"), values.get("disks")
        if source is not None and disks == () and source.kind in _NEEDS_DISK:
            found.append(("disks", f"an empty list: give at least one, {_NEEDS_DISK[source.kind]}"))
    if found:
        raise invalid(found)
    flavor = next((f for f in flavors if f.name == values["flavor"]), None)
    if flavor is not None:
        values.update(
            memory_mb=flavor.memory_mb, vcpus=flavor.vcpus, disks=(DiskSpec(size_gb=flavor.disk_gb),)
        )
    return MachineSpec(**values)


def parse_change(body: Any) -> Change:
    """Read the JSON body of a change of a machine instance; raises Invalid with every wrong field."""
    return Change(**_change(body, _CHANGE))


def parse_cloud_change(body: Any) -> CloudChange:
    """Read the JSON body of a change of a cloud instance; raises Invalid with every wrong field."""
    values = _change(body, _CLOUD_CHANGE)
    if values["maintenance"] is False and values["maintenance_reason"]:
        raise invalid([("maintenance_reason", "leave it out: it says why there is maintenance, not why not")])
    return CloudChange(**values)


def need_of(spec: MachineSpec) -> Need:
    """What placement must find for it; the pool of an ISO image is needed, but no room in it."""
    pools: dict[Optional[str], int] = {}
    for disk in spec.disks:
        pools[disk.pool] = pools.get(disk.pool, 0) + disk.size_gb
    if spec.source.volume is not None:
        pools.setdefault(spec.source.volume.partition("/")[0], 0)
    return Need(
        memory_mb=spec.memory_mb,
        vcpus=spec.vcpus,
        arch=spec.arch,
        networks=tuple(dict.fromkeys(spec.networks)),
        pools=pools,
        groups=spec.groups,
        cloud=spec.cloud,
        firmware=spec.firmware,
        volume=spec.source.volume,
        koan=spec.source.kind == "profile",
    )


def _change(body: Any, fields: Sequence[Field]) -> dict[str, Any]:
    values, found = collect(body, fields)
    if not found and not body:
        found = [("", f"nothing to change: give at least one of {', '.join(f.name for f in fields)}")]
    if found:
        raise invalid(found)
    return values


def _wrong_size(body: Mapping[str, Any], flavors: Sequence[Flavor]) -> list[tuple[str, str]]:
    """What is wrong between the flavor and the fields it stands for."""
    name, names = body.get("flavor"), [flavor.name for flavor in flavors]
    if name is None:
        if body.get("memory_mb") is not None:
            return []
        or_flavor = f", or a flavor: {', '.join(names)}" if names else ""
        return [("memory_mb", f"missing: give {_MEMORY_WANT}{or_flavor}")]
    if not isinstance(name, str):
        return []
    if name not in names:
        near = nearest(name, names)
        hint = f"; did you mean '{near}'?" if near else ""
        known = f"give one of {', '.join(names)}{hint}" if names else "there are none: give memory_mb"
        return [("flavor", f"{say(name)} is no flavor here: {known}")]
    return [
        (field, "leave it out: the flavor says it; or leave out the flavor")
        for field in SIZE_FIELDS
        if body.get(field) is not None
    ]


def read_name(value: Any) -> str:
    """Reads the name of a machine instance: a host name in lower case. Raises WrongError."""
    name = need_text(value, _NAME_WANT)
    if len(name) > MAX_NAME:
        raise wrong(f"it has {len(name)} characters: give {_NAME_WANT}")
    if name != name.lower() and _HOST_NAME.fullmatch(name.lower()):
        raise wrong(f"{say(name)} is not in lower case: give {name.lower()!r}")
    if not _HOST_NAME.fullmatch(name):
        raise wrong(f"{say(name)}: give {_NAME_WANT}")
    if name.rpartition(".")[2].isdigit():
        raise wrong(f"{say(name)} would be taken for an address: its last label needs a letter")
    if _UUID.fullmatch(name):
        raise wrong(f"{say(name)} would be taken for a uuid: give {_NAME_WANT}")
    return name


def _flavor_name(value: Any) -> str:
    return need_text(value, "the name of a flavor")


def _reserve(value: Any) -> int:
    # the one null with a meaning: the cloud instance goes by the settings again
    return (
        RESERVE_BY_POLICY
        if value is None
        else int(whole(0, MAX_MEMORY_MB, "MB (or null: as configured)")(value))
    )


def _disk(value: Any) -> DiskSpec:
    return DiskSpec(**read_object(value, _DISK))


def _source(value: Any) -> Source:
    if not isinstance(value, Mapping):
        raise mistyped(value, 'an object such as {"kind": "blank"}')
    kind = value.get("kind")
    fields = _SOURCES.get(kind, ()) if isinstance(kind, str) else ()
    elsewhere = {f.name: k for k, of_kind in _SOURCES.items() for f in of_kind}
    known = {"kind", *(f.name for f in fields)}
    misplaced = [name for name in value if name in elsewhere and name not in known]
    asked = {name: given for name, given in value.items() if name not in misplaced}
    values, found = collect(asked, (Field("kind", one_of(tuple(_SOURCES))), *fields))
    if fields or kind == "blank":
        found += [
            (name, f"belongs to the source kind '{elsewhere[name]}', not '{kind}': leave it out")
            for name in misplaced
            if value[name] is not None
        ]
    if found:
        raise WrongError(*found)
    return Source(**values)


_MEMORY_WANT = f"a whole number of MB from {MIN_MEMORY_MB} to {MAX_MEMORY_MB}"
_NAME_WANT = (
    f"a host name such as jboss1.example.org: at most {MAX_NAME} of a-z, 0-9, '-' and '.', each label with"
    " a letter or digit at both ends"
)
_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")


def _thing(what: str) -> Reader:
    return matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        f"the name of {what}: at most 63 of letters, digits, '.', '_' and '-', a letter or digit first",
    )


_memory = whole(MIN_MEMORY_MB, MAX_MEMORY_MB, "MB")
_vcpus = whole(MIN_VCPUS, MAX_VCPUS)
_notes = text(MAX_NOTES, lines=True)
_tags = mapping_of(
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?",
        "a key of at most 63 letters, digits, '.', '_', '/' and '-', a letter or digit at both ends",
    ),
    text(255),
    MAX_TAGS,
)
_groups = list_of(
    matching(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "the name of a group: at most 63 of a-z, 0-9 and '-', a letter or digit at both ends",
    ),
    MAX_GROUPS,
    unique=True,
)
_cloud_name = matching(
    r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", "the name of a cloud instance, e.g. cloud1.example.org"
)
_volume = matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}/[A-Za-z0-9][A-Za-z0-9._+~ -]{0,199}\.[Ii][Ss][Oo]",
    "a pool and the name of an ISO image in it, e.g. default/boot.iso",
)

_profile = matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "the name of a profile: at most 63 of letters, digits, '.', '_' and '-', a letter or digit first (koan"
    " takes no others)",
)

_DISK = (
    Field("size_gb", whole(MIN_DISK_GB, MAX_DISK_GB, "GB")),
    Field("pool", _thing("a pool"), None, may_be_null=True),
)

_SOURCES: Mapping[str, tuple[Field, ...]] = {
    "blank": (),
    "iso": (Field("volume", _volume),),
    "image": (
        Field("image", _thing("an image")),
        Field("cloud_init", read_cloud_init(read_name), {}, may_be_null=True),
    ),
    "profile": (Field("profile", _profile), Field("metadata", read_metadata, {}, may_be_null=True)),
}
_NEEDS_DISK = {"image": "the image is copied into the first", "profile": "it is installed on the first"}

_CREATE = (
    Field("name", read_name),
    Field("memory_mb", _memory, None, may_be_null=True),  # _wrong_size knows when it is missing
    Field("vcpus", _vcpus, DEFAULT_VCPUS, may_be_null=True),
    Field("disks", list_of(_disk, MAX_DISKS), (DiskSpec(DEFAULT_DISK_GB),), may_be_null=True),
    Field("networks", list_of(_thing("a network"), MAX_NETWORKS), (DEFAULT_NETWORK,), may_be_null=True),
    Field("firmware", one_of(FIRMWARES), None, may_be_null=True),
    Field("source", _source, Source(), may_be_null=True),
    Field("tags", _tags, {}, may_be_null=True),
    Field("notes", _notes, "", may_be_null=True),
    Field("autostart", flag, False, may_be_null=True),
    Field("start", flag, True, may_be_null=True),
    Field("cloud", _cloud_name, None, may_be_null=True),
    Field("flavor", _flavor_name, None, may_be_null=True),
    Field("groups", _groups, (), may_be_null=True),
    Field("arch", one_of(ARCHES), None, may_be_null=True),
)

# No null in a change: one reader takes it for "as it is", the next for "empty".
_CHANGE = (
    Field("memory_mb", _memory, None),
    Field("vcpus", _vcpus, None),
    Field("autostart", flag, None),
    Field("tags", _tags, None),
    Field("notes", _notes, None),
    Field("name", read_name, None),
)

_CLOUD_CHANGE = (
    Field("maintenance", flag, None),
    Field("maintenance_reason", text(MAX_REASON), None),
    Field("reserve_mb", _reserve, None),
    Field("tags", _tags, None),
    Field("notes", _notes, None),
)
