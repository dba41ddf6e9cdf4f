"""Read the catalogue of profiles."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genome_register_profiles.errors import Usage

CATALOGUE = "profiles.json"


@dataclass(frozen=True)
class Wanted:
    """The distro that a profile is of: a regular expression for its name, in any case, and how to get it."""

    arch: str
    os_version: str
    named: str
    how: str


@dataclass(frozen=True)
class Profile:
    """A profile of the catalogue; what cobbler calls autoinstall_meta is its metadata."""

    name: str
    kickstart: str
    virt_type: str
    memory_mb: int
    cpus: int
    disk_gb: int
    kernel_options: Mapping[str, str]
    metadata: Mapping[str, str]
    distro: Wanted


def load_catalogue(folder: Path) -> tuple[Profile, ...]:
    """The profiles of a folder's catalogue; raises Usage."""
    try:
        entries = json.loads((folder / CATALOGUE).read_text(encoding="utf-8"))
        return tuple(Profile(**{**entry, "distro": Wanted(**entry["distro"])}) for entry in entries)
    except OSError as exc:
        raise Usage(
            f"{folder / CATALOGUE}: {exc.strerror}: --templates names the folder with the kickstarts"
        ) from exc
    except (ValueError, TypeError, KeyError) as exc:
        raise Usage(f"{folder / CATALOGUE} is no catalogue of profiles: {exc}") from exc


def choose(profiles: Iterable[Profile], patterns: Sequence[str]) -> tuple[Profile, ...]:
    """The profiles with these names or globs, or all of them; raises Usage for one that names none."""
    known = tuple(profiles)
    for pattern in patterns:
        if not fnmatch.filter([profile.name for profile in known], pattern):
            names = ", ".join(profile.name for profile in known)
            raise Usage(f"there is no profile {pattern} in the catalogue; there are {names}")
    return tuple(
        p for p in known if not patterns or any(fnmatch.fnmatchcase(p.name, each) for each in patterns)
    )
