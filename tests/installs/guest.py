"""A guest that does what an installer does, within seconds: Debian's cloud kernel, and busybox.

    python tests/installs/guest.py      make it, or find it made; prints where it is

It says its command line on the serial console, fetches the kickstart that `inst.ks=` names and says it too,
reports its phases to `genome_report=`, writes a boot sector to the first disk and reboots. With
`guest_waits=yes` it never gets further than the kickstart. What is made stays in `.venvs/guest`.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".venvs" / "guest"
KERNEL, BUSYBOX = "linux-image-cloud-amd64", "busybox-static"
# In the order they need each other.
MODULES = (
    "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio", "virtio_pci", "virtio_blk",
    "failover", "net_failover", "virtio_net",
)  # fmt: skip
APPLETS = (
    "sh", "mount", "insmod", "cat", "echo", "ifconfig", "route", "wget", "dd", "sync", "reboot", "sleep",
)  # fmt: skip

INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
for module in %(modules)s; do insmod /modules/$module.ko; done
kickstart=; report=; waits=
for word in $(cat /proc/cmdline); do
    case "$word" in
        inst.ks=*) kickstart=${word#inst.ks=} ;;
        genome_report=*) report=${word#genome_report=} ;;
        guest_waits=*) waits=yes ;;
    esac
done
# No -T: it has the static wget crash.
tell() { [ -z "$report" ] || wget -q -O /dev/null "$report/$1" || echo "GUEST no word to $report/$1"; }
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up && route add default gw 10.0.2.2
echo nameserver 10.0.2.3 >/etc/resolv.conf
echo "GUEST command line: $(cat /proc/cmdline)"
while read key value rest; do [ $key = MemTotal: ] && echo "GUEST memory: $value"; done </proc/meminfo
echo "GUEST card: $(cat /sys/class/net/eth0/address)"
tell booted
if wget -q -O /kickstart "$kickstart"; then
    echo "GUEST kickstart begins"; cat /kickstart; echo "GUEST kickstart ends"
    tell kickstart
else
    echo "GUEST cannot fetch $kickstart"
fi
while [ -n "$waits" ]; do sleep 1; done
tell packages
[ -b /dev/vda ] && dd if=/sector of=/dev/vda conv=fsync 2>/dev/null && echo "GUEST installed"
tell post; tell done
sync; reboot -f
"""


@dataclass(frozen=True)
class Guest:
    """What a boot loader, or QEMU, is given."""

    kernel: Path
    initrd: Path


class CannotBeMade(Exception):
    """This machine has not what the guest is made of; the text says what."""


def guest() -> Guest:
    """The guest, made where it is not there yet; raises CannotBeMade."""
    made = Guest(CACHE / "vmlinuz", CACHE / "initrd.img")
    fresh = made.initrd.exists() and made.initrd.stat().st_mtime > Path(__file__).stat().st_mtime
    if not fresh:
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="guest-") as folder:
            kernel, initrd = _make(Path(folder))
            shutil.copyfile(kernel, made.kernel)
            made.initrd.write_bytes(initrd)
    return made


def tree(folder: Path) -> Path:
    """An install tree of it, as virt-install knows them of Fedora, for a web server to serve."""
    made = guest()
    (folder / "images/pxeboot").mkdir(parents=True)
    shutil.copyfile(made.kernel, folder / "images/pxeboot/vmlinuz")
    shutil.copyfile(made.initrd, folder / "images/pxeboot/initrd.img")
    (folder / ".treeinfo").write_text(
        "[general]\nfamily = Fedora\nversion = 42\narch = x86_64\nname = Fedora 42\n"
        "[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n"
    )
    return folder


def _make(folder: Path) -> tuple[Path, bytes]:
    # Fetched and unpacked, not installed: a kernel would put itself into the boot menu, and the static
    # busybox pushes the other one out.
    depends = _run(["apt-cache", "depends", KERNEL], folder)
    names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise CannotBeMade(f"apt knows no {KERNEL}: apt-get update")
    for package in (names[0], BUSYBOX):
        _run(["apt-get", "download", "-qq", package], folder)
        _run(["dpkg-deb", "-x", str(next(folder.glob(f"{package}_*.deb"))), str(folder / "tree")], folder)
    modules = {path.name: path for path in (folder / "tree/lib/modules").rglob("*.ko")}
    wanted = [f"{name}.ko" for name in MODULES]
    missing = [name for name in wanted if name not in modules]
    if missing:
        raise CannotBeMade(f"{names[0]} has no {', '.join(missing)}")
    (kernel,) = (folder / "tree/boot").glob("vmlinuz-*")
    (busybox,) = (folder / "tree").glob("**/bin/busybox")
    files = {f"modules/{name}": modules[name].read_bytes() for name in wanted}
    return kernel, initramfs(busybox.read_bytes(), files)


def _run(argv: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except FileNotFoundError as exc:
        raise CannotBeMade(f"there is no {argv[0]} on this machine") from exc
    if done.returncode:
        raise CannotBeMade(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def initramfs(busybox: bytes, files: dict[str, bytes]) -> bytes:
    """The initramfs, compressed, with these files besides."""
    return gzip.compress(b"".join(_archive(busybox, files)), 6)


def _archive(busybox: bytes, files: dict[str, bytes]) -> Iterator[bytes]:
    """The form is cpio's `newc`, as the kernel's documentation has it."""
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.integration.guest import boot_sector

    number = 0

    def entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
        nonlocal number
        number += 1
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)

    for folder in ("bin", "dev", "etc", "modules", "proc", "sys"):
        yield entry(folder, 0o40755)
    yield entry("dev/console", 0o20600, device=(5, 1))
    yield entry("bin/busybox", 0o100755, busybox)
    for applet in APPLETS:
        yield entry(f"bin/{applet}", 0o120777, b"busybox")
    yield entry("init", 0o100755, (INIT % {"modules": " ".join(MODULES)}).encode())
    # A program without libraries can load none for what stands here by default.
    yield entry("etc/nsswitch.conf", 0o100644, b"hosts: files dns\nservices: files\nprotocols: files\n")
    yield entry("sector", 0o100644, boot_sector())
    for name, content in files.items():
        yield entry(name, 0o100644, content)
    yield entry("TRAILER!!!", 0)


if __name__ == "__main__":
    try:
        print(guest().initrd.parent)
    except CannotBeMade as exc:
        sys.exit(f"guest: {exc}")
