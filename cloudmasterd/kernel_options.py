"""Read metadata for a kickstart: words that travel on a kernel's command line, and through koan's shell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Union

from cloudmasterd.jsonbody import list_of, mapping_of, matching, wrong

MAX_OPTIONS = 2048  # all of ours together, as they stand on the command line
MAX_REPORT = 256  # of that for the address an installing machine reports to
MAX_METADATA = MAX_OPTIONS - MAX_REPORT
MAX_ENTRIES = 64

# Words that the kernel, its installer or this cloud master itself gives a meaning.
TAKEN = frozenset(
    {
        "root", "init", "initrd", "ip", "ks", "ksdevice", "kssendmac", "inst", "console", "quiet",
        "genome_report",
    }
)  # fmt: skip

Metadata = Union[str, Sequence[str]]

_VALUE = re.compile(r"[A-Za-z0-9._:/@,+-]+")
_read_key = matching(r"[a-z][a-z0-9_]{0,63}", "a key of at most 64 of a-z, 0-9 and '_', a letter first")


def _key(given: Any) -> str:
    key: str = _read_key(given)
    if key in TAKEN:
        raise wrong("it has a meaning of its own on a kernel's command line: take another key")
    return key


def _word(given: Any) -> str:
    if not isinstance(given, str) or not _VALUE.fullmatch(given):
        # what was given is not repeated: it may be a token
        raise wrong("give text of one or more of letters, digits and . _ : / @ , + -, or a list of such")
    return given


_read_words = list_of(_word, MAX_ENTRIES, least=1)


def _value(given: Any) -> Any:
    return _read_words(given) if isinstance(given, list) else _word(given)


_read_entries = mapping_of(_key, _value, MAX_ENTRIES)


def read_metadata(value: Any) -> dict[str, Metadata]:
    """Reads an object of kernel options; raises WrongError, whose text repeats no value.

    One whose value is a list stands on the command line once for each item.
    """
    entries: dict[str, Metadata] = _read_entries(value)
    words = [
        (key, word) for key, text in entries.items() for word in ([text] if isinstance(text, str) else text)
    ]
    length = sum(len(key) + len(word) + 2 for key, word in words)
    if length > MAX_METADATA:
        raise wrong(
            f"it makes {length} characters on the kernel's command line: give at most {MAX_METADATA}"
            f" ({MAX_OPTIONS} is all there may be, with the address of reports)"
        )
    return entries
