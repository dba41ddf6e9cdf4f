"""The boot loader's entries, through grubby, as Fedora and RHEL have it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from genome_replace_self import programs
from genome_replace_self.errors import BootFailed

TIMEOUT_S = 120.0
FIELD = re.compile(r'(index|kernel|args|initrd|title|id)="?(.*?)"?')


@dataclass(frozen=True)
class Entry:
    """One entry of the boot menu; `id` is empty where grubby is older than boot loader snippets."""

    index: int
    kernel: str
    args: str = ""
    initrd: str = ""
    title: str = ""
    id: str = ""


def parse_info(text: str) -> list[Entry]:
    """The entries in what `grubby --info=ALL` prints; those without a kernel are none of ours."""
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        match = FIELD.fullmatch(line.strip())
        if match is None:
            continue
        if match[1] == "index":
            found.append({})
        if found:
            found[-1][match[1]] = match[2]
    return [
        Entry(
            index=int(fields["index"]), kernel=fields["kernel"], args=fields.get("args", ""),
            initrd=fields.get("initrd", ""), title=fields.get("title", ""), id=fields.get("id", ""),
        )
        for fields in found
        if fields.get("index", "").isdigit() and fields.get("kernel")
    ]  # fmt: skip


def match_entry(wanted: Entry, entries: Iterable[Entry]) -> Optional[Entry]:
    """The entry that is the wanted one, although its index may have changed."""
    candidates = list(entries)
    for same in (
        lambda entry: wanted.id and entry.id == wanted.id,
        lambda entry: (entry.kernel, entry.title) == (wanted.kernel, wanted.title),
        lambda entry: entry.kernel == wanted.kernel,
    ):
        for entry in candidates:
            if same(entry):
                return entry
    return None


def list_entries() -> list[Entry]:
    """All entries; raises BootFailed."""
    entries = parse_info(_grubby("--info=ALL"))
    if not entries:
        raise BootFailed("grubby knows no boot entry of this machine: does it boot with GRUB?")
    return entries


def get_default() -> Entry:
    """The entry that is booted when nobody chooses; raises BootFailed."""
    index = _grubby("--default-index").strip()
    for entry in list_entries():
        if str(entry.index) == index:
            return entry
    raise BootFailed(f"grubby says that entry {index or 'none'} is the default, and knows no such entry")


def set_default(entry: Entry) -> None:
    """Make an entry the default, and see that it is; raises BootFailed."""
    _grubby(f"--set-default-index={entry.index}")
    now = get_default()
    if (now.kernel, now.id) != (entry.kernel, entry.id):
        raise BootFailed(f"grubby did not make {entry.kernel} the default, which is {now.kernel}")


def remove(kernel: str) -> None:
    """Remove every entry of a kernel, and see that none is left; raises BootFailed."""
    if any(entry.kernel == kernel for entry in list_entries()):
        _grubby(f"--remove-kernel={kernel}")
        if any(entry.kernel == kernel for entry in list_entries()):
            raise BootFailed(f"grubby did not remove the boot entry of {kernel}")


def _grubby(argument: str) -> str:
    done = programs.run(["/sbin/grubby", argument], TIMEOUT_S)
    if done.code != 0:
        raise BootFailed(f"grubby {argument} {done.how}: {done.tail(3) or 'it says nothing'}")
    return done.output
