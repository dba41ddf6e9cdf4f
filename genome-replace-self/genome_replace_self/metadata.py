"""What a kickstart is told through the kernel's command line: which keys and values may travel there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from genome_replace_self.errors import Usage

Pair = tuple[str, str]

KEY = re.compile(r"[a-z][a-z0-9_]*")
VALUE = re.compile(r"[A-Za-z0-9._:/@,+-]+")
MOST_CHARACTERS = 2048  # all pairs, with the spaces between them

# The kernel, its first process and the installer read these themselves.
TAKEN = ("root", "init", "rdinit", "initrd", "ip", "ks", "console", "quiet")
REPEATABLE = ("genome_sshkey",)
SECRET = ("genome_token", "genome_report")

HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)

# key -> what its value must be, in a pattern and in words
KNOWN = {
    "certmaster": (HOST_NAME, "the host name of a cloud master, e.g. cloud.example.org"),
    "genome_token": (re.compile(r"[A-Za-z0-9_-]{43}"), "a token of 43 letters, digits, _ and -"),
    "genome_ca": (re.compile(r"[0-9a-f]{64}"), "a SHA-256 of 64 hexadecimal digits, small letters"),
    "genome_name": (HOST_NAME, "what the cloud instance calls itself, e.g. cloud1.example.org"),
    "genome_report": (re.compile(r"https?://[A-Za-z0-9.:-]+/\S+"), "e.g. http://cloud.example.org/install/..."),
    "genome_sshkey": (re.compile(r"[a-z0-9@.-]+,[A-Za-z0-9+/]+"), "e.g. ssh-ed25519,AAAA, no = at the end"),
}  # fmt: skip


def parse_pair(text: str) -> Pair:
    """KEY=VALUE as a pair; raises Usage saying what is wrong with it, without a secret's value."""
    key, equals, value = text.partition("=")
    if not equals or not KEY.fullmatch(key):
        raise Usage(f"metadata {shown(text)!r} is not KEY=VALUE with a KEY of small letters, digits and _")
    if key in TAKEN:
        raise Usage(f"metadata {key} is not possible: the kernel or the installer takes it for its own")
    if not value:
        raise Usage(f"metadata {key} has no value; if it came from a shell variable, that is empty")
    if not VALUE.fullmatch(value):
        wrong = sorted({character for character in value if not VALUE.fullmatch(character)})
        raise Usage(
            f"metadata {key} has {' '.join(map(repr, wrong))} in its value;"
            " letters, digits and ._:/@,+- are possible"
        )
    if key in KNOWN:
        pattern, right = KNOWN[key]
        if not pattern.fullmatch(value):
            raise Usage(f"metadata {key} is not right: give {right}")
    return key, value


def parse(texts: Iterable[str]) -> tuple[Pair, ...]:
    """All pairs in the order given; raises Usage for a wrong one, one too many, or too many characters."""
    pairs: list[Pair] = []
    for text in texts:
        key, value = parse_pair(text)
        if key not in REPEATABLE and any(key == other for other, _ in pairs):
            raise Usage(f"metadata {key} is given twice")
        pairs.append((key, value))
    length = len(joined(pairs))
    if length > MOST_CHARACTERS:
        raise Usage(f"metadata has {length} characters, and {MOST_CHARACTERS} are possible: {lengths(pairs)}")
    return tuple(pairs)


def parse_lines(text: str) -> list[str]:
    """The KEY=VALUE lines of a metadata file; empty ones and those that begin with # do not count."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def joined(pairs: Iterable[Pair]) -> str:
    """The pairs as they stand on a kernel's command line."""
    return " ".join(f"{key}={value}" for key, value in pairs)


def lengths(pairs: Sequence[Pair]) -> str:
    """How many characters each pair takes, for whoever must make them fewer."""
    return ", ".join(f"{key} {len(key) + 1 + len(value)}" for key, value in pairs)


def shown(text: str) -> str:
    """A text for terminals and logs, in which the values of secret keys are dots."""
    return re.sub(rf"\b({'|'.join(SECRET)})=[^\s'\"]*", r"\1=...", text)
