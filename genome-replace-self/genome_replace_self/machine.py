"""The machine this runs on: who asks, what it runs, whether there is room in /boot."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Optional

from genome_replace_self import programs
from genome_replace_self.errors import BootFailed, Declined, NotRoot

BOOT = Path("/boot")
OS_RELEASE = Path("/etc/os-release")
# libvirt keeps NAME.xml there as long as a machine runs, also while libvirt itself is stopped.
RUNNING = Path("/run/libvirt/qemu")
VIRSH_TIMEOUT_S = 30.0
SPARE_BYTES = 1024 * 1024
GRUBBY = Path("/sbin/grubby")


def name() -> str:
    """What this machine calls itself."""
    return socket.gethostname()


def require_root() -> None:
    """Raise NotRoot; koan itself would say so and end with exit code 0."""
    if os.getuid() != 0 or os.geteuid() != 0:
        raise NotRoot("only root may replace this machine: try again with sudo")


def require_grubby_system() -> None:
    """Raise BootFailed on a system on which koan does not work through grubby."""
    words = os_words(OS_RELEASE.read_text(encoding="utf-8")) if OS_RELEASE.exists() else []
    for other in ("debian", "ubuntu", "suse"):
        if other in words:
            raise BootFailed(
                f"this is a system of the {other} kind, where koan writes /etc/grub.d/42_koan instead of"
                " calling grubby: that is not supported. It is on Fedora, RHEL and what is made of them"
            )
    if not GRUBBY.exists():
        raise BootFailed("there is no /sbin/grubby on this machine: dnf install grubby")


def os_words(text: str) -> list[str]:
    """ID and ID_LIKE of an os-release file."""
    found = re.findall(r"^ID(?:_LIKE)?=[\"']?([^\"'\n]*)", text, re.MULTILINE)
    return [word for value in found for word in value.replace("opensuse", "suse").split()]


def require_koan() -> Path:
    """Where koan is; raises BootFailed."""
    found = programs.find("koan")
    if found is None:
        raise BootFailed("there is no koan on this machine: dnf install koan")
    return found


def running_machines() -> list[str]:
    """Names of machine instances that run here, as far as libvirt or its files tell."""
    names = {file.stem for file in RUNNING.glob("*.xml")}
    virsh = programs.find("virsh")
    if virsh is not None:
        done = programs.run([str(virsh), "--readonly", "list", "--name"], VIRSH_TIMEOUT_S)
        # A libvirt that does not answer proves nothing; then its files have the word.
        if done.code == 0:
            names.update(line.strip() for line in done.output.splitlines() if line.strip())
    return sorted(names)


def refuse_running_machines(names: list[str]) -> None:
    """Raise Declined when machine instances would be lost."""
    if names:
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise Declined(
            f"machine instances run here and would be lost: {shown}. Shut them down, move them or say --force"
        )


def require_room(files: list[tuple[Path, Optional[int]]]) -> None:
    """Raise BootFailed when /boot cannot take the files; an unknown size counts as none."""
    needed = sum(size or 0 for _, size in files) + SPARE_BYTES
    # koan writes over what an earlier run left.
    reused = sum(file.stat().st_size for file, _ in files if file.exists())
    there = os.statvfs(BOOT)
    free = there.f_bavail * there.f_frsize + reused
    if needed > free:
        raise BootFailed(f"{BOOT} has {free >> 20} MB free, and kernel and initrd need {needed >> 20} MB")
    if os.geteuid() == 0 and not os.access(BOOT, os.W_OK):
        raise BootFailed(f"{BOOT} cannot be written to: is it mounted read-only?")


def reboot() -> None:
    """Reboot now; raises BootFailed when that is refused."""
    for command in (["systemctl", "reboot"], ["shutdown", "-r", "now"]):
        program = programs.find(command[0])
        if program is not None:
            done = programs.run([str(program), *command[1:]], VIRSH_TIMEOUT_S)
            if done.code == 0:
                return
            raise BootFailed(f"everything is prepared, but {' '.join(command)} {done.how}: {done.tail(3)}")
    raise BootFailed("everything is prepared, but there is no systemctl and no shutdown: reboot by hand")
