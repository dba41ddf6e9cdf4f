"""Read the text of a setting: one function for each kind of value there may be."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Callable, Optional

from cloudmasterd.cobbler import Address, parse_address
from cloudmasterd.flavors import Flavor, parse_flavors
from cloudmasterd.placement import Policy
from cloudmasterd.rights import Role

# It goes on the kernel command line of an installer, where not every character can stand.
_BASE_URL = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?(/[A-Za-z0-9._/+-]*)?")


# Those that certmaster's and Func's files take.
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


class WrongValue(Exception):  # noqa: N818  what it is, said by its name
    """A value does not fit its setting; the text is what would be right."""


Parse = Callable[[str], Any]


def whole_number(low: int, high: int) -> Parse:
    """Reads a whole number within bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise WrongValue(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(*words: str) -> Parse:
    """Reads one of these words, in either case."""

    def parse(text: str) -> str:
        if text.upper() not in words:
            raise WrongValue(f"one of {', '.join(words)}")
        return text.upper()

    return parse


def yes_or_no(text: str) -> bool:
    """Yes or no, in the words that certmaster's and Func's files take as well."""
    if text.lower() not in _YES + _NO:
        raise WrongValue("yes or no")
    return text.lower() in _YES


def shown_yes_or_no(value: bool) -> str:
    """The way back."""
    return "yes" if value else "no"


def address(text: str) -> str:
    """An IP address or a host name."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as exc:
        if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", text):
            raise WrongValue("an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or a host name") from exc
        return text


def absolute_path(text: str) -> Path:
    """A path from the root."""
    if not text.startswith("/") or "\0" in text:
        raise WrongValue("an absolute path, beginning with /")
    return Path(text)


def path_or_none(text: str) -> Optional[Path]:
    """A path from the root, or none."""
    return absolute_path(text) if text else None


def ip_addresses(text: str) -> tuple[str, ...]:
    """IP addresses joined with commas, each in its shortest form."""
    try:
        return tuple(str(ipaddress.ip_address(one.strip())) for one in text.split(","))
    except ValueError as exc:
        raise WrongValue("IP addresses joined with commas, such as 127.0.0.1, ::1") from exc


def role_of_strangers(text: str) -> Optional[Role]:
    """What somebody may do who is no user here, or none; never everything."""
    known = {"none": None, "viewer": Role.VIEWER, "operator": Role.OPERATOR}
    if text.lower() not in known:
        raise WrongValue(f"one of {', '.join(known)}")
    return known[text.lower()]


def policy(text: str) -> Policy:
    """A policy of placement."""
    try:
        return Policy(text.lower())
    except ValueError as exc:
        raise WrongValue(f"one of {', '.join(policy.value for policy in Policy)}") from exc


def flavors(text: str) -> tuple[Flavor, ...]:
    """Named sizes."""
    try:
        return parse_flavors(text)
    except ValueError as exc:
        raise WrongValue(str(exc)) from exc


def base_url(text: str) -> str:
    """The address that others are put together from, or none."""
    if text and not _BASE_URL.fullmatch(text):
        raise WrongValue("an address such as http://cloud.example.org/, with no other characters in its path")
    return text


def cobbler_address(text: str) -> Optional[Address]:
    """Where a cobbler server is, or none."""
    try:
        return parse_address(text) if text else None
    except ValueError as exc:
        raise WrongValue(str(exc)) from exc


def profile_name(text: str) -> str:
    """The name of a cobbler profile, or none."""
    if text and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        raise WrongValue("the name of a cobbler profile: letters, digits, dots, dashes and underscores")
    return text


def title(text: str) -> str:
    """A short name for people."""
    if len(text) > 100 or not text.isprintable():
        raise WrongValue("at most 100 printable characters")
    return text
