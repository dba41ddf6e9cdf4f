"""`func SPEC group`: look at the groups of minions and change them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Callable, Optional

from certmaster.config import CertmasterConfig
from func.config import load_certmaster_config, load_overlord_config
from func.errors import FuncError, NoMinions
from func.overlord.cli.context import OK, Context, parser
from func.overlord.cli.output import add_json, print_json
from func.overlord.group_file import split_hosts
from func.overlord.groups import Groups
from func.overlord.minions import Minions

SUMMARY = "show and change groups: group --add_host @web:www*"


def run(context: Context, words: Sequence[str]) -> int:
    """Do the one thing asked for; SPEC says nothing here, as in Func."""
    options = _parser()
    wishes = options.parse_args(words)
    if wishes.what is None and wishes.action != "list_all":
        options.error(f"--{wishes.action} wants {'@GROUP:HOST' if 'host' in wishes.action else 'a GROUP'}")
    config = load_overlord_config(context.root, context.conf)
    certmaster: CertmasterConfig = load_certmaster_config(context.root)
    minions = Minions("*", config=config, certmaster_config=certmaster)
    groups = Groups(conf_file=config.group_db, get_hosts_for_spec=minions.get_hosts_for_spec)
    ACTIONS[wishes.action](groups, wishes)
    return OK


def _list_all(groups: Groups, wishes: argparse.Namespace) -> None:
    found = {name: groups.get_hosts(group=name) for name in groups.get_groups()}
    if wishes.json:
        print_json(found)
        return
    for name, hosts in found.items():
        print(f"Group : {name}")
        for host in hosts:
            print(f"\t Host : {host} ")


def _list_group(groups: Groups, wishes: argparse.Namespace) -> None:
    found = [name for glob in _split(wishes.what) for name in groups.get_groups_glob(glob.lstrip("@"))]
    if wishes.json:
        print_json(found)
        return
    print("GROUPS : ")
    for name in found:
        print(f"\t  {name}")


def _list_hosts(groups: Groups, wishes: argparse.Namespace) -> None:
    found = groups.get_hosts_glob(wishes.what, wishes.exclude)
    if wishes.json:
        print_json(found)
    else:
        print(*found, sep="\n")


def _add_group(groups: Groups, wishes: argparse.Namespace) -> None:
    for name in _split(wishes.what):
        done, why_not = groups.add_group(name.lstrip("@"))
        if not done:
            raise FuncError(why_not)


def _remove_group(groups: Groups, wishes: argparse.Namespace) -> None:
    for glob in _split(wishes.what):
        if not groups.remove_group_glob(glob.lstrip("@")):
            raise FuncError(f"there is no group {glob!r}; there are {', '.join(groups.get_groups())}")


def _add_host(groups: Groups, wishes: argparse.Namespace) -> None:
    for group, globs in _by_group(wishes.what):
        for glob in globs:
            new = groups.add_hosts_to_group_glob(group, glob, _excluded(wishes, group))
            if not new and not groups.get_hosts_glob(f"@{group}:{glob}"):
                raise NoMinions(f'Can\'t find any minions matching "{glob}".')


def _remove_host(groups: Groups, wishes: argparse.Namespace) -> None:
    for group, globs in _by_group(wishes.what):
        for glob in globs:
            if not groups.remove_host_glob(group, glob, _excluded(wishes, group)):
                raise FuncError(f"the group {group!r} has no host {glob!r}")


ACTIONS: Mapping[str, Callable[[Groups, argparse.Namespace], None]] = {
    "list_all": _list_all,
    "list_group": _list_group,
    "list_hosts": _list_hosts,
    "add_group": _add_group,
    "remove_group": _remove_group,
    "add_host": _add_host,
    "remove_host": _remove_host,
}


def _parser() -> argparse.ArgumentParser:
    options = parser("group", "Look at the groups of minions and change them.")
    options.usage = "func SPEC group [-j] [--exclude SPEC] ACTION [GROUP | @GROUP:HOSTS]"
    add_json(options)
    action = options.add_mutually_exclusive_group(required=True)
    for short, name, text in (
        ("--la", "list_all", "show every group with what is written below it"),
        ("--lg", "list_group", "show the names of groups that match"),
        ("--lh", "list_hosts", "show the minions a group means: @web, @web:www*"),
        ("--ag", "add_group", "add an empty group"),
        ("--rg", "remove_group", "remove groups"),
        ("--ah", "add_host", "add the minions that match: @web:www*.example.org"),
        ("--rh", "remove_host", "remove what matches from a group"),
    ):
        action.add_argument(short, f"--{name}", dest="action", action="store_const", const=name, help=text)
    options.add_argument("--e", "--exclude", dest="exclude", metavar="SPEC", help="but these: @web:www9*")
    options.add_argument("what", nargs="?", metavar="WHAT", help="several are split by semicolons")
    return options


def _split(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(";")) if part]


def _by_group(text: str) -> list[tuple[str, list[str]]]:
    """`@web:www1,www2;@db:db*` as [("web", ["www1", "www2"]), ("db", ["db*"])]; a group alone means all."""
    found = []
    for part in _split(text):
        group, _, hosts = part.partition(":")
        if not part.startswith("@"):
            raise FuncError(f"{part!r}: write @GROUP:HOST, e.g. @web:www*.example.org")
        found.append((group[1:], split_hosts(hosts) or ["*"]))
    return found


def _excluded(wishes: argparse.Namespace, group: str) -> Optional[str]:
    if not wishes.exclude:
        return None
    globs = [glob for name, globs in _by_group(wishes.exclude) if name == group for glob in globs]
    return ";".join(globs) or None
