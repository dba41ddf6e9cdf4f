"""Decide which distro a profile is of, and what must be changed in one that is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from genome_register_profiles.catalogue import Profile

INHERIT = "<<inherit>>"


def find_distro(
    profile: Profile, distros: Sequence[Mapping[str, Any]], asked: Optional[str]
) -> tuple[str, str]:
    """The name of the distro to take, and an empty text; or an empty name, and why there is none.

    A distro that somebody asked for needs no fitting name. The others must have it, be of that architecture,
    and have that os_version or none: cobbler 3.3 does not know those of Fedora 36 and RHEL 10, and later.
    """
    wanted = profile.distro
    if asked is not None:
        there = {str(distro["name"]): str(distro.get("arch")) for distro in distros}
        if asked not in there:
            return "", f"cobbler has no distro {asked}; it has {', '.join(sorted(there)) or 'none'}"
        if there[asked] != wanted.arch:
            return "", f"the distro {asked} is for {there[asked]}, the profile for {wanted.arch}"
        return asked, ""
    fitting = sorted(
        str(distro["name"])
        for distro in distros
        if distro.get("arch") == wanted.arch
        and distro.get("os_version") in (wanted.os_version, "", None)
        and re.fullmatch(wanted.named, str(distro["name"]), re.IGNORECASE)
    )
    if not fitting:
        text = f"its distro is not there yet: {wanted.how}; or name one with --distro {profile.name}=DISTRO"
        return "", text
    if len(fitting) > 1:
        return "", f"several distros fit ({', '.join(fitting)}): name one with --distro {profile.name}=DISTRO"
    return fitting[0], ""


def fields_of(profile: Profile, distro: str) -> dict[str, Any]:
    """A new profile in cobbler's words."""
    return {
        "distro": distro,
        "autoinstall": f"/{profile.kickstart}",
        "autoinstall_meta": dict(profile.metadata),
        "kernel_options": dict(profile.kernel_options),
        "virt_type": profile.virt_type,
        "virt_ram": profile.memory_mb,
        "virt_cpus": profile.cpus,
        "virt_file_size": float(profile.disk_gb),
    }


def changes(profile: Profile, there: Mapping[str, Any], distro: Optional[str]) -> dict[str, Any]:
    """What must be changed in a profile that is there; what somebody has set otherwise stays as it is.

    Ours are the kickstart, the distro where one was asked for (`distro`), and that no option is missing.
    """
    found: dict[str, Any] = {}
    if there.get("autoinstall") != f"/{profile.kickstart}":
        found["autoinstall"] = f"/{profile.kickstart}"
    if distro is not None and there.get("distro") != distro:
        found["distro"] = distro
    for key, ours in (("autoinstall_meta", profile.metadata), ("kernel_options", profile.kernel_options)):
        theirs = there.get(key)
        theirs = {} if theirs in (None, "", INHERIT) else theirs
        if isinstance(theirs, dict) and not set(ours) <= set(theirs):
            found[key] = {**ours, **theirs}
    return found
