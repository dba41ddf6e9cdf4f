"""The kernel's command line for the installer, and how long it may be; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from genome_replace_self import metadata
from genome_replace_self.cobbler import Profile
from genome_replace_self.errors import CobblerFailed, Usage

FIRST_INST_FEDORA = 17  # from here on, and from RHEL 7 on, anaconda's options begin with inst.
FIRST_INST_RHEL = 7
SHORT_FEDORA = 8  # up to here, and up to RHEL 5, kernels cut their command line off
SHORT_RHEL = 5
LONG, SHORT = 2047, 255  # characters that such a kernel keeps

VERSION = re.compile(r"(fedora|rhel|centos|rocky|alma|ol)(\d+)")
NAME = re.compile(r"GenomeCloud-(F|RHEL)(\d+)(U\d+)?-.+")  # cobbler knows no fedora8: our names tell

RUNS_ON = {
    "x86_64": ("x86_64", "i386", "i686", ""),
    "i686": ("i386", "i686", ""),
    "i386": ("i386", "i686", ""),
}


def release(profile: Profile) -> Optional[tuple[str, int]]:
    """("fedora" or "rhel", version) of what a profile installs; None where nothing says it (new ones)."""
    known = VERSION.match(profile.os_version)
    if known:
        return "fedora" if known[1] == "fedora" else "rhel", int(known[2])
    ours = NAME.fullmatch(profile.name)
    return ("fedora" if ours[1] == "F" else "rhel", int(ours[2])) if ours else None


def is_legacy(profile: Profile) -> bool:
    """Whether its anaconda reads ks= and knows no inst.ks=."""
    known = release(profile)
    return known is not None and known[1] < (FIRST_INST_FEDORA if known[0] == "fedora" else FIRST_INST_RHEL)


def limit(profile: Profile) -> int:
    """How many characters its kernel keeps."""
    known = release(profile)
    short = known is not None and known[1] <= (SHORT_FEDORA if known[0] == "fedora" else SHORT_RHEL)
    return SHORT if short else LONG


def options(
    profile: Profile, pairs: Sequence[metadata.Pair], configured: Sequence[str], running: str
) -> list[str]:
    """What koan shall add to the profile's own kernel options.

    The kickstart's address is given here because koan's ks= is not read by today's anaconda, and is missing
    where cobbler 3.3 has lost it from its cache. The running system's consoles are kept, so that the
    installation of a machine without a screen can be watched.
    """
    key = "ks" if is_legacy(profile) else "inst.ks"
    consoles = [
        word for word in running.split()
        if word.startswith("console=") and metadata.VALUE.fullmatch(word.partition("=")[2])
    ]  # fmt: skip
    if any(option.startswith("console=") for option in configured):
        consoles = []
    return [f"{key}={profile.kickstart_url}", *consoles, *configured, *(f"{k}={v}" for k, v in pairs)]


def check_length(profile: Profile, arguments: str, pairs: Sequence[metadata.Pair]) -> None:
    """Refuse a command line of which the kernel would cut the end off; raises Usage."""
    length, most = len(arguments), limit(profile)
    if length > most:
        told = f"; of these, metadata: {metadata.lengths(pairs)}" if pairs else ""
        raise Usage(
            f"the kernel of {profile.name} keeps {most} characters of its command line;"
            f" this one has {length}{told}"
        )


def check_arch(profile: Profile, machine: str) -> None:
    """Refuse a profile of which this machine's processor could not run the kernel; raises CobblerFailed."""
    if profile.arch not in RUNS_ON.get(machine, (machine, "")):
        raise CobblerFailed(f"profile {profile.name} is for {profile.arch}, and this machine is {machine}")
