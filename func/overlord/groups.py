"""`Groups().add_group("web")`: groups of minions, and what Func lets one do with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Optional, Union

from certmaster.certdir import PUBLIC, locked, read_file, write_file
from certmaster.config import root as default_root
from certmaster.errors import FileError
from func.config import load_certmaster_config, load_overlord_config
from func.errors import ConfigError
from func.overlord import group_file
from func.overlord.known import KnownMinions
from func.overlord.targets import match

Said = tuple[bool, str]
"""What Func's callers get: whether it was done, and why not."""

Hosts = tuple[str, ...]


class Groups:
    """The file of groups; every change is written at once, whole, with the remarks in it kept.

    `conf_file` is the file, by default that of overlord.conf. `get_hosts_for_spec` says which minions a glob
    means, by default those with a certificate here. Names are taken in any case. Methods that change
    something raise ConfigError where the file cannot be read or written, or could not hold a name.
    """

    def __init__(
        self,
        backend: str = "conf",
        conf_file: Union[Path, str, None] = None,
        get_hosts_for_spec: Optional[Callable[[str], Collection[str]]] = None,
        **_: Any,
    ) -> None:
        if backend != "conf":
            raise ConfigError(f"groups are kept in a file (backend conf); there is no backend {backend!r}")
        self._path = Path(conf_file) if conf_file else load_overlord_config(default_root()).group_db
        self._matching = get_hosts_for_spec or _known_minions

    def get_groups(self, pattern: Optional[str] = None, exact: bool = True) -> list[str]:
        """The names of all groups, of the one of a name, or (not `exact`) of those that contain it."""
        names = sorted(group_file.read_groups(self._path))
        if pattern is None:
            return names
        wanted = pattern.lower()
        return [name for name in names if name == wanted or (not exact and wanted in name)]

    def get_groups_glob(self, group_string: str, exclude_string: Optional[str] = None) -> list[str]:
        """The names of the groups that match a glob and not the other."""
        found = [name for name in self.get_groups() if fnmatchcase(name, group_string.lower())]
        return [name for name in found if not (exclude_string and fnmatchcase(name, exclude_string.lower()))]

    def get_hosts(self, pattern: Optional[str] = None, group: str = "", exact: bool = True) -> list[str]:
        """What is written below a group: names and globs, all or those that are (or contain) `pattern`."""
        hosts = group_file.read_groups(self._path).get(group.lower(), ())
        if pattern is None:
            return list(hosts)
        wanted = pattern.lower()
        return [host for host in hosts if host.lower() == wanted or (not exact and wanted in host.lower())]

    def get_hosts_glob(self, host_string: str, exclude_string: Optional[str] = None) -> list[str]:
        """The minions that `@web;@db:db1*` means."""
        groups = group_file.read_groups(self._path)
        return match(host_string, self._matching("*"), groups, exclude_string or "")

    def add_group(self, group_name: str, save: bool = True) -> Said:
        """Add an empty group."""
        name = group_file.check_group_name(group_name)
        if name in group_file.read_groups(self._path):
            return False, f"Group name : {name} already exists"
        self._change(name, lambda hosts: hosts)
        return True, ""

    def add_host_to_group(self, group: str, host: str, save: bool = True) -> Said:
        """Add a name or a glob to a group, which is made where there is none."""
        return _said(self.add_host_list(group, [host]), f"Host is already in database : {host.lower()}")

    def add_hosts_to_group(self, group: str, hoststring: str) -> list[str]:
        """Add what a list split by commas or semicolons names; answers what was new."""
        return self.add_host_list(group, group_file.split_hosts(hoststring))

    def add_hosts_to_group_glob(
        self, group: str, hoststring: str, exclude_string: Optional[str] = None
    ) -> list[str]:
        """Add the minions that match a glob now; answers those that were new."""
        return self.add_host_list(group, self._now_matching(hoststring, exclude_string))

    def add_host_list(self, group: str, host_list: Iterable[str]) -> list[str]:
        """Add names and globs; answers those that were new."""
        new = [group_file.check_host(host) for host in host_list]
        before, after = self._change(
            group_file.check_group_name(group),
            lambda hosts: hosts + tuple(host for host in dict.fromkeys(new) if host not in _lowered(hosts)),
        )
        return list(after[len(before) :])

    def remove_group(self, group: str, save: bool = True) -> Said:
        """Remove a group."""
        gone = self.remove_group_list([group])
        return _said(gone, f"Group name : {group} doesnt exist")

    def remove_group_glob(self, group_str: str) -> list[str]:
        """Remove the groups whose names match; answers which."""
        return self.remove_group_list(self.get_groups_glob(group_str))

    def remove_group_list(self, group_list: Iterable[str]) -> list[str]:
        """Remove groups; answers those that were there."""
        wanted = dict.fromkeys(name.lower() for name in group_list)
        with _errors(), locked(self._path.parent):
            text = self._read()
            there = group_file.parse_groups(text, str(self._path))
            gone = [name for name in wanted if name in there]
            for name in gone:
                text = group_file.without_group(text, name)
            if gone:
                self._write(text)
        return gone

    def remove_host(self, group_name: str, host: str, save: bool = True) -> Said:
        """Remove what is written below a group exactly so."""
        return _said(self.remove_host_list(group_name, [host]), "Non existing group or name")

    def remove_host_glob(
        self, group_name: str, host_str: str, exclude_string: Optional[str] = None
    ) -> list[str]:
        """Remove what below a group matches a glob, globs written there included; answers which."""
        hosts = self.get_hosts(group=group_name)
        return self.remove_host_list(group_name, match(host_str, hosts, {}, exclude_string or ""))

    def remove_host_list(self, group: str, host_list: Iterable[str]) -> list[str]:
        """Remove names and globs from a group; answers those that were there."""
        gone = {host.lower() for host in host_list}
        if not self.get_groups(group):
            return []
        before, after = self._change(
            group.lower(), lambda hosts: tuple(host for host in hosts if host.lower() not in gone)
        )
        return [host for host in before if host not in after]

    def _now_matching(self, glob: str, exclude: Optional[str]) -> list[str]:
        spared = set(self._matching(exclude)) if exclude else set()
        return sorted(set(self._matching(glob)) - spared)

    def _change(self, group: str, change: Callable[[Hosts], Hosts]) -> tuple[Hosts, Hosts]:
        """What stood below the group and what does now; nothing is written where that is the same."""
        with _errors(), locked(self._path.parent):
            text = self._read()
            groups = group_file.parse_groups(text, str(self._path))
            before = groups.get(group, ())
            after = change(before)
            if after != before or group not in groups:
                self._write(group_file.with_hosts(text, group, after))
        return before, after

    def _read(self) -> str:
        data = read_file(self._path) or b""
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise ConfigError(f"{self._path}: byte {exc.start} is not UTF-8: save the file as UTF-8") from exc

    def _write(self, text: str) -> None:
        mode = self._path.stat().st_mode & 0o777 if self._path.exists() else PUBLIC
        write_file(self._path, text.encode(), mode)


@contextmanager
def _errors() -> Iterator[None]:
    """Let what goes wrong with the file be said in Func's own kind of error."""
    try:
        yield
    except FileError as exc:
        raise ConfigError(f"the groups cannot be changed: {exc}") from exc


def _said(done: Collection[str], why_not: str) -> Said:
    return (True, "") if done else (False, why_not)


def _lowered(hosts: Iterable[str]) -> set[str]:
    return {host.lower() for host in hosts}


def _known_minions(spec: str) -> list[str]:
    names = KnownMinions(load_certmaster_config(default_root())).names()
    return match(spec, names, {})
