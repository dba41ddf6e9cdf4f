"""Choose the minions that a target specification means: globs, groups and exclusions."""

from __future__ import annotations

import configparser
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from func.errors import ConfigError, NoMinions

Groups = Mapping[str, tuple[str, ...]]


def select(
    spec: str, minions: Collection[str], groups: Groups, exclude: str = "", allow_unknown: bool = False
) -> list[str]:
    """The minions that `spec` names and `exclude` does not, sorted; raises NoMinions when there are none.

    Both are lists of globs split by `;`, upper and lower case alike: `*.example.org;db1`, `@web` (the members
    of a group), `@web:www*` (those that match). With `allow_unknown` a plain name needs no certificate.
    """
    chosen = _matching(spec, minions, groups)
    if allow_unknown:
        chosen |= {part for part in _parts(spec) if not set("@*?[") & set(part)}
    if exclude:
        out = {name.lower() for name in _matching(exclude, minions, groups)} | set(_parts(exclude.lower()))
        chosen = {name for name in chosen if name.lower() not in out}
    if not chosen:
        raise NoMinions(f'Can\'t find any minions matching "{spec}".')
    return sorted(chosen)


def read_groups(path: Path) -> dict[str, tuple[str, ...]]:
    """Group names in lower case to host globs, from `[name]` and `host = a, b; c`. Raises ConfigError."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file, source=str(path))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path}: the file of groups cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: byte {exc.start} is not UTF-8: save the file as UTF-8") from exc
    except configparser.Error as exc:
        where = getattr(exc, "lineno", None) or next((n for n, _ in getattr(exc, "errors", ())), "?")
        raise ConfigError(f"{path}, line {where}: a group is written `[name]` and `host = a, b`") from exc
    return {
        name.lower(): tuple(parser.get(name, "host", fallback="").replace(",", " ").replace(";", " ").split())
        for name in parser.sections()
    }


def _parts(spec: str) -> list[str]:
    return [part for part in (part.strip() for part in spec.split(";")) if part]


def _matching(spec: str, minions: Collection[str], groups: Groups) -> set[str]:
    chosen: set[str] = set()
    for part in _parts(spec.lower()):
        if not part.startswith("@"):
            chosen.update(_like([part], minions))
            continue
        group, _, glob = part[1:].partition(":")
        hosts = [host for name in groups if fnmatchcase(name, group) for host in groups[name]]
        chosen.update(_like([glob or "*"], _like(hosts, minions)))
    return chosen


def _like(globs: Iterable[str], names: Collection[str]) -> list[str]:
    lowered = [glob.lower() for glob in globs]
    return [name for name in names if any(fnmatchcase(name.lower(), glob) for glob in lowered)]
