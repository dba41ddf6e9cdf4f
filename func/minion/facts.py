"""What is known of this machine in one word each, for calls that only some minions shall answer."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from func.minion.kernel_files import KernelFiles

Fact = Union[str, int]


@dataclass(frozen=True)
class Source:
    """One fact: the name Func's own table has it under where it has, what it is, how it is found out."""

    full_name: str
    help: str
    read: Callable[[KernelFiles], Fact]


SOURCES: Mapping[str, Source] = {
    "hostname": Source("network.hostname", "the machine's name", lambda files: socket.gethostname()),
    "os": Source("hardware.os_name", "e.g. Fedora Linux 42 (Server Edition)", lambda files: files.os_name()),
    "os_id": Source("hardware.os_id", "e.g. fedora, rhel", lambda files: files.release().get("ID", "")),
    "os_version": Source(
        "hardware.os_version", "e.g. 42, 9.5", lambda files: files.release().get("VERSION_ID", "")
    ),
    "kernel": Source("hardware.kernel_version", "the kernel's release", lambda files: platform.release()),
    "arch": Source("hardware.arch", "e.g. x86_64", lambda files: platform.machine()),
    "cpus": Source("hardware.cpus", "how many CPUs, a number", lambda files: os.cpu_count() or 0),
    "cpumodel": Source(
        "hardware.cpu_model", "the CPU's name", lambda files: files.cpu().get("model name", "")
    ),
    "cpuvendor": Source("hardware.cpu_vendor", "e.g. GenuineIntel", lambda files: files.cpu_vendor()),
    "memory": Source("hardware.memory", "MB of memory, a number", lambda files: files.memory_mb("MemTotal")),
    "swap": Source("hardware.swap", "MB of swap, a number", lambda files: files.memory_mb("SwapTotal")),
    "vendor": Source(
        "hardware.vendor", "who made the machine", lambda files: files.text("sys/class/dmi/id/sys_vendor")
    ),
    "model": Source(
        "hardware.model", "which machine it is", lambda files: files.text("sys/class/dmi/id/product_name")
    ),
    # There are none any more; Func's users compare it, and get what `hardware.info` has for it.
    "runlevel": Source("hardware.run_level", "empty: systems have no runlevels any more", lambda files: ""),
}
"""Every fact by its short name, Func's tag."""


class Facts:
    """Finds out facts by either of their names, anew each time."""

    def __init__(self, machine: Path = Path("/")) -> None:
        self._files = KernelFiles(machine)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted([*SOURCES, *(source.full_name for source in SOURCES.values())])

    def find(self, name: str) -> Fact:
        """The fact of that name; raises KeyError where there is none."""
        return source_of(name)[1].read(self._files)


def source_of(name: str) -> tuple[str, Source]:
    """The short name and the source of a fact by either of its names; raises KeyError."""
    if name in SOURCES:
        return name, SOURCES[name]
    for short, source in SOURCES.items():
        if source.full_name == name:
            return short, source
    raise KeyError(name)
