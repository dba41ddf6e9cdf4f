"""Choose the minions that a target specification means: globs, groups and exclusions."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

Groups = Mapping[str, tuple[str, ...]]

_GLOB = frozenset("*?[")


def match(
    spec: str, minions: Collection[str], groups: Groups, exclude: str = "", allow_unknown: bool = False
) -> list[str]:
    """The minions that `spec` names and `exclude` does not, sorted.

    Both are lists of globs split by `;`, upper and lower case alike: `*.example.org;db1`, `@web` (the members
    of a group), `@web:www*` (those that match). With `allow_unknown` a plain name needs no certificate.
    """
    chosen = _matching(spec, minions, groups, allow_unknown)
    if exclude:
        out = {name.lower() for name in _matching(exclude, minions, groups, True)}
        chosen = {name for name in chosen if name.lower() not in out}
    return sorted(chosen)


def nearest(spec: str, minions: Collection[str], groups: Groups) -> list[str]:
    """What somebody who wrote a specification that matches nothing may have meant, the likeliest first."""
    found: list[str] = []
    for part in _parts(spec.lower()):
        if part.startswith("@"):
            group = part[1:].partition(":")[0]
            found += [f"@{name}" for name in difflib.get_close_matches(group, groups, 2) if name != group]
        elif part in groups:
            found.append(f"@{part}")
        else:
            # A short name first: difflib finds `cloud1` and `cloud1.example.org` too different.
            begun = [name for name in sorted(minions) if name.lower().startswith(f"{part}.")]
            found += begun[:2] or difflib.get_close_matches(part, minions, 2)
    return list(dict.fromkeys(found))


def _parts(spec: str) -> list[str]:
    return [part for part in (part.strip() for part in spec.split(";")) if part]


def _matching(spec: str, minions: Collection[str], groups: Groups, allow_unknown: bool) -> set[str]:
    chosen: set[str] = set()
    for part in _parts(spec):
        if not part.startswith("@"):
            chosen.update(_like([part], minions, allow_unknown))
            continue
        group, _, glob = part[1:].lower().partition(":")
        hosts = [host for name in groups if fnmatchcase(name, group) for host in groups[name]]
        chosen.update(_like([glob or "*"], _like(hosts, minions, allow_unknown), False))
    return chosen


def _like(globs: Iterable[str], names: Collection[str], allow_unknown: bool) -> set[str]:
    wanted = list(globs)
    lowered = [glob.lower() for glob in wanted]
    found = {name for name in names if any(fnmatchcase(name.lower(), glob) for glob in lowered)}
    if allow_unknown:
        known = {name.lower() for name in found}
        found |= {glob for glob in wanted if not _GLOB & set(glob) and glob.lower() not in known}
    return found
