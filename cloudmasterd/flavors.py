"""Named sizes of machine instances, and how the configuration file writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MIN_MEMORY_MB, MAX_MEMORY_MB = 64, 16 * 1024 * 1024
MIN_VCPUS, MAX_VCPUS = 1, 1024
MIN_DISK_GB, MAX_DISK_GB = 1, 65536
MAX_FLAVORS = 50

_NAME = re.compile(r"[a-z][a-z0-9.-]{0,31}")
_FORM = "NAME=MEMORY_MB:VCPUS:DISK_GB joined with commas, e.g. small=2048:1:20"


@dataclass(frozen=True)
class Flavor:
    """A size with a name: it stands for memory, vCPUs and one disk."""

    name: str
    memory_mb: int
    vcpus: int
    disk_gb: int


DEFAULT_FLAVORS = (
    Flavor("tiny", 512, 1, 4),
    Flavor("small", 2048, 1, 20),
    Flavor("medium", 4096, 2, 40),
    Flavor("large", 8192, 4, 80),
)


def parse_flavors(text: str) -> tuple[Flavor, ...]:
    """Read `small=2048:1:20, ...`, in the order given; raises ValueError saying what would be right."""
    flavors = tuple(_flavor(part.strip()) for part in text.split(",")) if text.strip() else ()
    names = [flavor.name for flavor in flavors]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"each name once; '{doubled[0]}' stands there {names.count(doubled[0])} times")
    if len(flavors) > MAX_FLAVORS:
        raise ValueError(f"at most {MAX_FLAVORS} of them; there are {len(flavors)}")
    return flavors


def format_flavors(flavors: Iterable[Flavor]) -> str:
    """The text parse_flavors reads."""
    return ", ".join(f"{f.name}={f.memory_mb}:{f.vcpus}:{f.disk_gb}" for f in flavors)


def _flavor(text: str) -> Flavor:
    name, equals, sizes = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f"{_FORM}; '{text[:60]}' has no '='")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{_FORM}; '{name[:60]}' is no name: at most 32 of a-z, 0-9, '.' and '-', a letter first"
        )
    numbers = [part.strip() for part in sizes.split(":")]
    if len(numbers) != 3:
        raise ValueError(f"{_FORM}; '{name}' has {len(numbers)} numbers, not 3")
    return Flavor(
        name,
        _number(name, "memory_mb", numbers[0], MIN_MEMORY_MB, MAX_MEMORY_MB),
        _number(name, "vcpus", numbers[1], MIN_VCPUS, MAX_VCPUS),
        _number(name, "disk_gb", numbers[2], MIN_DISK_GB, MAX_DISK_GB),
    )


def _number(name: str, what: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise ValueError(f"a whole number from {low} to {high} for {what} of '{name}', not '{text[:20]}'")
    return int(text)
