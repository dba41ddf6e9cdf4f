"""Stand before virt-install and qemu-img on koan's PATH: say to them what koan cannot, and run them.

koan knows no uuid, memory, network or firmware but those of its profile, and writes down qemu:///system and
KVM for itself. The machine is defined already when koan runs; so of all that koan says, what to boot is kept,
the install tree and the kernel's options, and virt-install is told to boot that machine with it, once. Where
koan shall decide by itself (Func's own `virt.install`), only libvirt's URI and what does not work here are
put right.

Run by its file, `stand_in.py PROGRAM ARGUMENTS...`, with the folder FUNC_WORK; the standard library alone.
    order.json   what it is to do; see `Order`
    made         written here: the files that koan had qemu-img make, a line each
    name         written here before virt-install runs: the machine's name
    started      written here once virt-install has ended well
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

WORK = "FUNC_WORK"
ORDER, MADE, NAME, STARTED = "order.json", "made", "name", "started"

# What koan 3.0.1 says to virt-install.
_VALUES = frozenset(
    {
        "--connect", "--name", "--ram", "--vcpus", "--uuid", "--graphics", "--virt-type", "--machine",
        "--cdrom", "--location", "--extra-args", "--arch", "--boot", "--os-variant", "--os-type", "--disk",
        "--network", "--wait",
    }
)  # fmt: skip
_SWITCHES = frozenset(
    {
        "--autostart", "--nographics", "--hvm", "--accelerate", "--pxe", "--paravirt", "--import",
        "--noreboot", "--noautoconsole",
    }
)  # fmt: skip
_SYSTEM = re.compile(r"(fedora|rhel|centos)(\d+).*")
_OUR_PROFILE = re.compile(
    r".*/GenomeCloud-(F|RHEL)(\d+)(U\d+)?-[^/]*"
)  # cobbler knows no fedora8: our names tell
# The last release of each whose installer does not listen to inst.ks, and whose kernel cuts its options off.
_LAST_WITHOUT_INST = {"fedora": 16, "rhel": 6}
_LAST_SHORT = {"fedora": 8, "rhel": 5}
LONG, SHORT = 2047, 255  # characters that a kernel takes
_UNKNOWN_VARIANTS = ("generic26", "virtio26")

Said = list[tuple[str, Optional[str]]]


class Wrong(Exception):  # noqa: N818 - what it is to its receiver
    """koan wants what cannot be had; the text says what and what would be right."""


@dataclass(frozen=True)
class Order:
    """What order.json says; `uuid` None: koan decides what the machine is like, but for its `new_uuid`."""

    uri: str
    virt_install: str
    qemu_img: str
    virt_type: str
    uuid: Optional[str]
    options: tuple[tuple[str, str], ...]
    new_uuid: str = ""


def read_order(work: Path) -> Order:
    """The order of that folder."""
    found = json.loads((work / ORDER).read_text(encoding="utf-8"))
    return Order(**{**found, "options": tuple((key, value) for key, value in found["options"])})


def parse(arguments: Sequence[str]) -> Said:
    """What koan says, one by one; raises Wrong for what no koan that is known here says."""
    said: Said = []
    left = list(arguments)
    while left:
        key, equals, value = left.pop(0).partition("=")
        if key in _SWITCHES and not equals:
            said.append((key, None))
        elif key in _VALUES and (equals or left):
            said.append((key, value if equals else left.pop(0)))
        else:
            raise Wrong(f"this koan says {key} to virt-install, which is not known here; known is koan 3.0")
    return said


def virt_install(said: Said, order: Order) -> list[str]:
    """The arguments that virt-install is given in place of koan's; raises Wrong."""
    values = {key: value for key, value in said if value is not None}
    location = values.get("--location")
    if order.uuid is None:
        return _classic(said, order, values)
    if not location:
        raise Wrong(
            "koan has no install tree: the profile boots by PXE (virt_pxe_boot), or is an image; "
            "one that is installed from a tree by a kickstart works"
        )
    return [
        f"--connect={order.uri}",
        f"--reinstall={order.uuid}",
        "--os-variant=generic",  # the machine is what it is; nothing of it is to be guessed by its system
        f"--location={location}",
        f"--extra-args={command_line(values, order.options)}",
        "--noautoconsole",
        "--noreboot",
    ]


def command_line(values: dict[str, str], ours: Sequence[tuple[str, str]]) -> str:
    """The kernel's options: koan's, then ours in place of koan's with the same key; raises Wrong."""
    keys = {key for key, _ in ours}
    words = [word for word in values.get("--extra-args", "").split() if word.partition("=")[0] not in keys]
    kickstart = [word for word in words if word.startswith("ks=")]
    family, version = _release(values.get("--os-variant", ""), kickstart[-1] if kickstart else "")
    old = 0 < version <= _LAST_WITHOUT_INST[family]
    if kickstart and not old and not any(word.startswith("inst.ks=") for word in words):
        # koan knows only `ks`, which installers since Fedora 34 and RHEL 9 do not listen to.
        words.append(f"inst.{kickstart[-1]}")
    line = " ".join([*words, *(f"{key}={value}" for key, value in ours)])
    # virt-install puts the install tree behind it.
    length = len(line) + len(f" inst.repo={values.get('--location', '')}")
    most = SHORT if 0 < version <= _LAST_SHORT[family] else LONG
    if length > most:
        raise Wrong(
            f"the kernel's options are {length} characters with the install tree, and the profile's kernel "
            f"takes {most}; give fewer, or take some from the profile's kernel_options"
        )
    return line


def _release(variant: str, kickstart: str) -> tuple[str, int]:
    """fedora or rhel, and the version, of what is installed; 0 where nothing tells, as of new ones."""
    known = _SYSTEM.fullmatch(variant)
    if known:
        return "fedora" if known[1] == "fedora" else "rhel", int(known[2])
    ours = _OUR_PROFILE.fullmatch(kickstart)
    return ("fedora" if ours[1] == "F" else "rhel", int(ours[2])) if ours else ("rhel", 0)


def _classic(said: Said, order: Order, values: dict[str, str]) -> list[str]:
    found = []
    for key, value in said:
        if key in ("--connect", "--virt-type", "--os-variant", "--os-type", "--uuid"):
            continue
        if key == "--extra-args":
            value = command_line(values, order.options)
        if key == "--network" and "/session" in order.uri and value is not None:
            value = re.sub("^bridge=[^,]*", "user", value)  # no bridge is a session's to use
        found.append(key if value is None else f"{key}={value}")
    variant = values.get("--os-variant", "")
    known = "" if not variant or variant in _UNKNOWN_VARIANTS else f"name={variant},"
    return [
        f"--connect={order.uri}",
        f"--virt-type={order.virt_type}",
        f"--osinfo={known}detect=on,require=off",
        f"--uuid={order.new_uuid}",  # by it the machine is known from one that another makes of the same name
        *found,
        "--noreboot",
    ]


def refuse_disks(said: Said, work: Path) -> None:
    """Raise Wrong where a disk to install on is a file that was there before: koan would take any such."""
    if ("--import", None) in said:
        return  # it is there to be used
    made = (work / MADE).read_text(encoding="utf-8").splitlines() if (work / MADE).exists() else []
    for key, value in said:
        words = dict(word.partition("=")[::2] for word in (value or "").split(","))
        path = words.get("path", "") if key == "--disk" and "device" not in words else ""
        if path not in made and Path(path).is_file():
            raise Wrong(
                f"the disk {path} is there already, and somebody's: give another virt_path or virt_name, or"
                " remove it"
            )


def note_disk(arguments: Sequence[str], work: Path) -> None:
    """Write down what `qemu-img create -f FORMAT PATH SIZE` is about to make, for whoever cleans up."""
    if len(arguments) == 5 and arguments[0] == "create" and not os.path.lexists(arguments[3]):
        _write(work / MADE, arguments[3] + "\n")


def run(program: str, arguments: Sequence[str]) -> int:
    """Run a program to its end; its exit code as a shell has it."""
    code = os.spawnv(os.P_WAIT, program, [program, *arguments])  # noqa: S606
    return code if code >= 0 else 128 - code


def main(argv: Sequence[str]) -> int:
    """What stands before `argv[0]`; its exit code, 2 for what is wrong with koan's call."""
    program, arguments = argv[0], argv[1:]
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # who started koan may have ignored it: it ends the program below
    work = Path(os.environ[WORK])
    order = read_order(work)
    if program == "qemu-img":
        note_disk(arguments, work)
        os.execv(order.qemu_img, [order.qemu_img, *arguments])  # noqa: S606
    if "--name" not in arguments:  # koan asks for the version, or which systems are known
        os.execv(order.virt_install, [order.virt_install, *arguments])  # noqa: S606
    try:
        said = parse(arguments)
        wanted = virt_install(said, order)
        if order.uuid is None:
            refuse_disks(said, work)
    except Wrong as exc:
        sys.stderr.write(f"ERROR    {exc}\n")
        return 2
    name = dict(said)["--name"] or ""
    _write(work / NAME, name)
    code = run(order.virt_install, wanted)
    if code == 0:
        _write(work / STARTED, name)
    return code


def _write(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
