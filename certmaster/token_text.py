"""What certmaster-ca reads and says of tokens and requests: durations, lists, how a token is used."""

from __future__ import annotations

import re
from collections.abc import Sequence

from certmaster.shelf import Waiting
from certmaster.tokens import Token, is_glob

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_duration(text: str) -> int:
    """Seconds of `90s`, `30m`, `1h` or `7d`; raises ValueError saying what would be right."""
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no duration: write a number and s, m, h or d, such as 1h")
    return int(found[1]) * _UNITS_S[found[2]]


def new_token_lines(token: Token, secret: str, pin: str, certmaster: str) -> list[str]:
    """What to do with a new token; the first line alone is for scripts."""
    # A token for one name lets in no other: the machine must go by it, whatever the DNS calls it.
    named = "" if is_glob(token.name) else f" genome_name={token.name}"
    return [
        f"genome_token={secret} genome_ca={pin}{named}",
        "",
        f"Token {token.id} for {token.name}, good once, until {token.expires_at}. It is not shown again.",
        "",
        "To install a machine with it:",
        f"  genome-replace-self -c $COBBLER_REPO -m certmaster={certmaster} \\",
        f"    -m genome_token={secret} -m genome_ca={pin}" + named.replace(" ", " -m "),
        "",
        "On a machine that is installed already:",
        "  in /etc/certmaster/minion.conf, below [main]:",
        f"    certmaster = {certmaster}",
        f"    ca_fingerprint = {pin}",
        "  in /etc/certmaster/token, mode 0600:",
        f"    {secret}",
    ]


def token_lines(tokens: Sequence[tuple[Token, str]]) -> list[str]:
    """A line for each token and its state."""
    return [
        f"{token.id}  {state:<7}  {token.expires_at}  {token.name}"
        + ("  replaces" if token.replace else "")
        + (f"  by {token.claimed_name}" if token.claimed_name else "")
        for token, state in tokens
    ]


def waiting_lines(waiting: Sequence[Waiting], long: bool) -> list[str]:
    """A line for each request: its name alone, as certmaster 0.28 prints it, or what tells it apart."""
    if not long:
        return [one.name for one in waiting]
    return [
        f"{one.name}  from {one.address or 'an address not known'}"
        f"  since {one.since:%Y-%m-%d %H:%M} UTC  key {one.key_fingerprint or 'that cannot be read'}"
        for one in waiting
    ]
