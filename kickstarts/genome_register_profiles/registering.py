"""Bring a cobbler server to what the catalogue says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from genome_register_profiles.catalogue import Profile
from genome_register_profiles.deciding import changes, fields_of, find_distro
from genome_register_profiles.errors import Refused, Usage
from genome_register_profiles.server import Server


@dataclass(frozen=True)
class Outcome:
    """What became of a template or profile: created|updated|refreshed|unchanged|skipped|failed; and why."""

    kind: str
    name: str
    state: str
    detail: str = ""


def put_template(server: Server, folder: Path, name: str, dry: bool) -> Outcome:
    """Write a template where it is not there or another one is."""
    try:
        ours = (folder / name).read_text(encoding="utf-8")
    except OSError as exc:
        raise Usage(f"{folder / name}: {exc.strerror}") from exc
    theirs = server.template(name)
    if theirs == ours:
        return Outcome("template", name, "unchanged")
    if not dry:
        server.write_template(name, ours)
    return Outcome("template", name, "created" if theirs is None else "updated")


def put_profile(
    server: Server, profile: Profile, distros: Sequence[Mapping[str, Any]], asked: Optional[str], dry: bool
) -> Outcome:
    """Create or change a profile, and see to it that its kickstart renders."""
    there = server.profile(profile.name)
    distro, why = find_distro(profile, distros, asked) if there is None or asked is not None else ("", "")
    if why:
        return Outcome("profile", profile.name, "failed" if asked is not None else "skipped", why)
    fields = fields_of(profile, distro) if there is None else changes(profile, there, distro or None)
    stale = there is not None and not fields and not server.has_kickstart(profile.name)
    state = "created" if there is None else "updated" if fields else "refreshed" if stale else "unchanged"
    detail = f"of the distro {distro}" if there is None else ", ".join(sorted(fields))
    if not dry and state != "unchanged":
        if fields:
            server.save(profile.name, fields, new=there is None)
        server.refresh(profile.name, f"/{profile.kickstart}")
        if not server.has_kickstart(profile.name):
            return Outcome("profile", profile.name, "failed", "cobbler shows it without a kickstart")
    return Outcome("profile", profile.name, state, detail)


def check_rendering(server: Server, profile: Profile) -> Optional[Outcome]:
    """What is wrong with the kickstart that machines get, if anything is."""
    try:
        text = str(server.call("generate_profile_autoinstall", profile.name))
    except Refused as exc:
        return Outcome("profile", profile.name, "failed", str(exc))
    if f"\n# {profile.kickstart}:" not in f"\n{text}" or "\n%pre" not in text:
        return Outcome(
            "profile", profile.name, "failed", f"its kickstart does not render: {text.strip()[:200]}"
        )
    return None


def register(
    server: Server, folder: Path, profiles: Sequence[Profile], asked: Mapping[str, str], dry: bool
) -> list[Outcome]:
    """Everything, templates first, because cobbler takes no profile whose template is not there."""
    templates = sorted({profile.kickstart for profile in profiles})
    outcomes = [put_template(server, folder, name, dry) for name in templates]
    distros = server.call("get_distros")
    for profile in profiles:
        outcome = put_profile(server, profile, distros, asked.get(profile.name), dry)
        if not dry and outcome.state not in ("skipped", "failed"):
            outcome = check_rendering(server, profile) or outcome
        outcomes.append(outcome)
    return outcomes
