"""Decide what joining a cloud master takes on this machine, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from func.minion.join.errors import JoinRefused

# Whether the certmaster's own certificate may call everything on a minion.
OVERRIDES = "certmaster_overrides_acls"

# What minion.conf says where nobody said anything.
NOBODY = "localhost"


@dataclass(frozen=True)
class Wanted:
    """What the administrator asked for; empty or 0 is not said."""

    master: str
    port: int = 0
    ca_fingerprint: str = ""
    token: str = ""
    name: str = ""
    force: bool = False


@dataclass(frozen=True)
class Present:
    """What this machine is now; `authority` is the fingerprint of the one it trusts, "" for none.

    `left` are files of that authority's beside its certificate: its list of the revoked, a renewal under way.
    `says_overrides` is whether somebody said what the certmaster's own certificate may call here.
    """

    master: str
    port: int
    ca_fingerprint: str
    authority: str
    ca_file: Path
    cert_file: Path
    has_certificate: bool
    left: tuple[Path, ...] = ()
    says_overrides: bool = False


@dataclass(frozen=True)
class Plan:
    """What to set in minion.conf of certmaster and of func, and which files have to make room."""

    settings: dict[str, str]
    aside: tuple[Path, ...] = ()
    of_func: dict[str, str] = field(default_factory=dict)


def make_plan(wanted: Wanted, present: Present) -> Plan:
    """The plan; raises JoinRefused where this machine belongs to another master and nobody said --force."""
    port = wanted.port or present.port
    moves = present.master != NOBODY and (
        wanted.master.lower() != present.master.lower() or port != present.port
    )
    other_authority = bool(
        wanted.ca_fingerprint and present.authority and wanted.ca_fingerprint != present.authority
    )
    if moves and not wanted.force:
        raise JoinRefused(
            f"this machine belongs to {present.master} (port {present.port}): a cloud instance has one"
            f" master. --force gives it to {wanted.master}; on {present.master} its name is"
            " freed with `certmaster-ca --clean NAME`"
        )
    if other_authority and not wanted.force:
        raise JoinRefused(
            f"this machine trusts the authority {present.authority}, not {wanted.ca_fingerprint}: compare"
            f" with `certmaster-ca --fingerprint` on {wanted.master}. --force makes it trust the new one"
        )
    aside: tuple[Path, ...] = ()
    # A master under a new name, restored from a backup for example, is still the same authority.
    same_authority = bool(present.authority) and wanted.ca_fingerprint == present.authority
    if other_authority or (moves and not same_authority):
        aside = _of_old_authority(present)
    settings = {"certmaster": wanted.master}
    if wanted.port:
        settings["certmaster_port"] = str(wanted.port)
    if wanted.ca_fingerprint or aside:
        # The old master's pin would keep the new one out.
        settings["ca_fingerprint"] = wanted.ca_fingerprint
    of_func = {"minion_name": wanted.name.lower()} if wanted.name else {}
    # A machine that an overlord commands already keeps obeying it: whoever wants that less says so.
    if not (present.authority or present.has_certificate or present.says_overrides):
        of_func[OVERRIDES] = "no"
    return Plan(settings, aside, of_func)


def _of_old_authority(present: Present) -> tuple[Path, ...]:
    certificates = (
        (present.ca_file, bool(present.authority)),
        (present.cert_file, present.has_certificate),
    )
    return (*(path for path, there in certificates if there), *present.left)
