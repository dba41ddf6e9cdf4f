"""Read what the kernel and the distribution write down about the machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NOT_SENDABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]")


class KernelFiles:
    """Each machine has its own set of these files; what is missing is empty text or 0."""

    def __init__(self, machine: Path) -> None:
        self._machine = machine

    def text(self, path: str) -> str:
        """A file's text without the characters that have no form on the wire."""
        try:
            text = (self._machine / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return _NOT_SENDABLE.sub("", text).strip()

    def release(self) -> dict[str, str]:
        """os-release."""
        return pairs(self.text("etc/os-release"), "=")

    def cpu(self) -> dict[str, str]:
        """cpuinfo of the first CPU."""
        return pairs(self.text("proc/cpuinfo"), ":")

    def cpu_vendor(self) -> str:
        """Who made the CPU."""
        cpu = self.cpu()
        return cpu.get("vendor_id", cpu.get("CPU implementer", ""))

    def os_name(self) -> str:
        """The distribution, else the kernel's name."""
        release = self.release()
        return release.get("PRETTY_NAME", release.get("NAME", os.uname().sysname))

    def memory_mb(self, key: str) -> int:
        """MB of one line of meminfo, such as MemTotal."""
        number = pairs(self.text("proc/meminfo"), ":").get(key, "").partition(" ")[0]
        return int(number) // 1024 if number.isdigit() else 0


def pairs(text: str, separator: str) -> dict[str, str]:
    """The first value of each key of a file of `key separator value` lines."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, mark, value = line.partition(separator)
        if mark:
            found.setdefault(key.strip(), value.strip().strip('"'))
    return found
