"""The commands `cloudmasterctl user` and `cloudmasterctl token`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Callable, Optional

from cloudmasterd.accounts import ApiToken, token_object, user_object
from cloudmasterd.acting import Deed, acting
from cloudmasterd.clock import Clock
from cloudmasterd.config import load_config
from cloudmasterd.control.new_password import read_new_password
from cloudmasterd.control.shell_user import shell_user
from cloudmasterd.control.show_people import table_of_tokens, table_of_users
from cloudmasterd.control.token_file import TokenFile
from cloudmasterd.first import FirstPassword
from cloudmasterd.password_rules import generate
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Role
from cloudmasterd.store.beside import open_beside

Commands = argparse._SubParsersAction  # argparse has no public name for it
ROLES = [role.value for role in Role]
_PASSWORD_HELP = "its first line is the password; - is standard input"  # noqa: S105


def add_people(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands to those there are."""
    said = "list, make, change and remove those who may sign in; whether cloudmasterd runs or not"
    users = commands.add_parser("user", help=said, description=said)
    _add_users(users.add_subparsers(dest="what", required=True, metavar="WHAT"))
    said = "list, make and revoke what programs get in with; whether cloudmasterd runs or not"
    tokens = commands.add_parser("token", help=said, description=said)
    _add_tokens(tokens.add_subparsers(dest="what", required=True, metavar="WHAT"))


def _add_users(commands: Commands[argparse.ArgumentParser]) -> None:
    one = _add(commands, "list", "list the users", _list_users)
    one.add_argument("--json", action="store_true", help="for scripts")
    one = _add(commands, "create", "make a user; the password is asked for on the terminal", _create_user)
    one.add_argument("name", metavar="NAME")
    one.add_argument("--role", choices=ROLES, default=Role.VIEWER.value, help="default: viewer")
    _add_scope(one)
    one.add_argument("--title", default="", metavar="TEXT", help="who that is")
    _add_password(one).add_argument(
        "--no-password", action="store_true", help="through the web server in front only (behind_proxy)"
    )
    one = _add(commands, "change", "change what a user may do", _change_user)
    one.add_argument("name", type=str.lower, metavar="NAME")
    one.add_argument("--role", choices=ROLES)
    _add_scope(one).add_argument("--no-scope", action="store_true", help="every machine instance again")
    one.add_argument("--title", metavar="TEXT", help="who that is")
    able = one.add_mutually_exclusive_group()
    able.add_argument("--disable", action="store_true", help="let in no more, neither them nor their tokens")
    able.add_argument("--enable", action="store_true", help="let in again")
    one = _add(commands, "password", "give a user another password, also when locked out", _password)
    one.add_argument("name", type=str.lower, metavar="NAME")
    _add_password(one)
    one = _add(commands, "delete", "remove a user with all their tokens", _delete_user)
    one.add_argument("name", type=str.lower, metavar="NAME")


def _add_tokens(commands: Commands[argparse.ArgumentParser]) -> None:
    one = _add(commands, "list", "list the tokens, without their secrets", _list_tokens)
    one.add_argument("--user", type=str.lower, metavar="NAME", help="of this user only")
    one.add_argument("--json", action="store_true", help="for scripts")
    one = _add(commands, "create", "make a token; it is shown this once", _create_token)
    one.add_argument("--user", type=str.lower, metavar="NAME", required=True, help="for whom it acts")
    one.add_argument("--title", metavar="TEXT", required=True, help="what it is for")
    one.add_argument("--role", choices=ROLES, help="default: the user's")
    _add_scope(one)
    one.add_argument("--expires-days", type=_days, metavar="N", help="default: it does not expire")
    one.add_argument("--file", type=Path, metavar="FILE", help="write it there (0600) and do not print it")
    one = _add(commands, "revoke", "let a token be good for nothing, at once and for good", _revoke_token)
    one.add_argument("id", metavar="ID", help="as `token list` shows it: the 12 characters after cmt_")


def _add(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    said: str,
    act: Callable[[argparse.Namespace, Clock], int],
) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=said, description=said)
    one.set_defaults(act=act)
    return one


def _add_scope(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--scope",
        action="append",
        metavar="KEY=VALUE",
        help="change only machine instances with this tag; with several, one of them is enough",
    )
    return group


def _add_password(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--password-file", metavar="FILE", help=_PASSWORD_HELP)
    group.add_argument("--generate", action="store_true", help="make one, and print it this once")
    return group


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: give 1 to 3650")
    return int(text)


@contextmanager
def _opened(arguments: argparse.Namespace, clock: Clock, action: str) -> Iterator[People]:
    """The people of the cloud master; what is done to them goes on its record."""
    database = load_config(arguments.config, arguments.root).database
    with open_beside(database, clock) as rows, acting(Deed(shell_user(), action)):
        yield People(rows, clock, Passwords(clock, arguments.cost), first=FirstPassword(database))


def _list_users(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock, "listUsers") as people:
        users = people.list_users()
    if arguments.json:
        print(json.dumps([user_object(user) for user in users], indent=1))
    else:
        print("\n".join(table_of_users(users)))
    return 0


def _create_user(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock, "createUser") as people:
        password = None if arguments.no_password else _new_password(arguments, clock)
        user = people.create_user(
            arguments.name, Role(arguments.role), password, arguments.scope or (), arguments.title
        )
    how = "through the web server in front" if password is None else "with a password"
    print(f"made the user {user.name}, {user.role.value}, who signs in {how}")
    return _told(arguments, password)


def _change_user(arguments: argparse.Namespace, clock: Clock) -> int:
    scope: Optional[list[str]] = [] if arguments.no_scope else arguments.scope
    disabled = True if arguments.disable else False if arguments.enable else None
    role = None if arguments.role is None else Role(arguments.role)
    with _opened(arguments, clock, "changeUser") as people:
        user = people.change_user(
            arguments.name, role=role, scope=scope, disabled=disabled, title=arguments.title
        )
    print("\n".join(table_of_users([user])))
    return 0


def _password(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock, "setPassword") as people:
        user = people.get_user(arguments.name)  # before anybody types
        password = _new_password(arguments, clock)
        people.set_password(user.name, password)
    print(f"the password of {user.name} is changed, and they are signed out everywhere")
    if user.disabled:
        print(
            f"{user.name} is disabled: `cloudmasterctl user change {user.name} --enable` lets them in again"
        )
    return _told(arguments, password)


def _delete_user(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock, "deleteUser") as people:
        user = people.delete_user(arguments.name)
    print(f"removed the user {user.name}, with all tokens and sessions")
    return 0


def _list_tokens(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock, "listTokens") as people:
        tokens = people.list_tokens(arguments.user)
    if arguments.json:
        print(json.dumps([token_object(token, clock.now()) for token in tokens], indent=1))
    else:
        print("\n".join(table_of_tokens(tokens, clock.now())))
    return 0


def _create_token(arguments: argparse.Namespace, clock: Clock) -> int:
    days = arguments.expires_days
    expires_at = None if days is None else clock.now() + timedelta(days=days)
    with _opened(arguments, clock, "createToken") as people, TokenFile(arguments.file) as file:
        owner = people.get_user(arguments.user)
        role = owner.role if arguments.role is None else Role(arguments.role)
        token, secret = people.create_token(
            owner.name, arguments.title, role, arguments.scope or (), expires_at
        )
        file.write(secret)
    print(_sentence(token, arguments.file), file=sys.stderr)
    if arguments.file is None:
        print(secret)  # alone there, for a script
    return 0


def _revoke_token(arguments: argparse.Namespace, clock: Clock) -> int:
    with _opened(arguments, clock, "revokeToken") as people:
        token = people.revoke_token(arguments.id)
    print(f"revoked the token {token.id} ({token.title}) of {token.user}")
    return 0


def _new_password(arguments: argparse.Namespace, clock: Clock) -> str:
    if arguments.generate:
        return generate(clock)
    return read_new_password(arguments.name, arguments.password_file, sys.stdin)


def _told(arguments: argparse.Namespace, password: Optional[str]) -> int:
    if arguments.generate and password is not None:
        print(f"password, shown this once: {password}")
    return 0


def _sentence(token: ApiToken, file: Optional[Path]) -> str:
    until = "" if token.expires_at is None else f", until {token.expires_at:%Y-%m-%d %H:%M} UTC"
    where = "shown this once" if file is None else f"in {file}"
    return f"made the token {token.id} ({token.title}) of {token.user}, {token.role.value}{until}; {where}"
