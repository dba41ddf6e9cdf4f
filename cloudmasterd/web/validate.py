"""Check query parameters against a route's table: what is wrong is named, with what would be right."""

from __future__ import annotations

import base64
import binascii
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional
from urllib.parse import parse_qsl, quote, urlencode

from cloudmasterd.errors import Invalid

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_PARAMETERS = 50
MAX_TEXT = 255
MAX_DIGITS = 18
MAX_LISTED = 20


class Wrong(ValueError):
    """A value that cannot be; the text says what would be right."""


@dataclass(frozen=True)
class Param:
    """A query parameter: how its values are read, and what stands where it is absent."""

    name: str
    read: Callable[[list[str]], Any]
    default: Any = None
    repeatable: bool = False
    blank_is_absent: bool = False  # what an untouched field of a form sends


def form_field(param: Param) -> Param:
    """The same parameter as a form on a page sends it."""
    return replace(param, blank_is_absent=True)


def read_query(raw: str, params: Sequence[Param]) -> dict[str, Any]:
    """The values of all parameters of a table; raises Invalid naming every one that is wrong."""
    given = _split(raw)
    known = {param.name: param for param in params}
    wrong: list[tuple[str, str]] = []
    for name in given:
        if name not in known:
            wrong.append((name, _unknown("a parameter here", name, known)))
    values: dict[str, Any] = {}
    for param in params:
        texts = given.get(param.name, [])
        if param.blank_is_absent:
            texts = [text for text in texts if text.strip()]
        try:
            values[param.name] = _value(param, texts)
        except Wrong as exc:
            wrong.append((param.name, str(exc)))
    if wrong:
        raise Invalid("; ".join(f"{name}: {text}" for name, text in wrong), wrong)
    return values


def _split(raw: str) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(
            raw, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError as exc:
        raise Invalid("the query is not UTF-8: percent-encode it as UTF-8", [("query", "not UTF-8")]) from exc
    except ValueError as exc:
        text = f"more than {MAX_PARAMETERS} parameters: send fewer, values may be joined with commas"
        raise Invalid(text, [("query", text)]) from exc
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    return given


def _value(param: Param, texts: list[str]) -> Any:
    if not texts:
        return param.default
    if len(texts) > 1 and not param.repeatable:
        raise Wrong(f"given {len(texts)} times: give it once")
    return param.read(texts)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`'stat' is not a state; did you mean 'state'? known: ...`."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    listed = f" known: {', '.join(names[:MAX_LISTED])}{more}" if names else " there are none"
    return f"{name[:80]!r} is not {what}{hint or ';'}{listed}"


def nearest(what: str, name: str, known: Iterable[str]) -> Wrong:
    """The error for a name that is not among the known ones, with the nearest that is."""
    return Wrong(_unknown(what, name, known))


def whole_number(lowest: int, highest: int) -> Callable[[list[str]], int]:
    """Reads a whole number within bounds."""

    def read(texts: list[str]) -> int:
        text = texts[0]
        # int() would take '1_000', ' 7 ' and digits of other scripts
        short = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
        if not short or not lowest <= int(text) <= highest:
            raise Wrong(f"{text[:80]!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return read


def flag(texts: list[str]) -> bool:
    """Reads yes or no; the bare name of the parameter is a yes."""
    word = texts[0].lower()
    if word not in ("", "true", "1", "false", "0"):
        raise Wrong(f"{texts[0][:80]!r} is neither true nor false")
    return word in ("", "true", "1")


def one_of(what: str, known: Sequence[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """Reads names out of a known set, repeated or joined with commas; each once, in the set's order."""

    def read(texts: list[str]) -> tuple[str, ...]:
        names = names_in(texts)
        for name in names:
            if name not in known:
                raise nearest(what, name, known)
        return tuple(name for name in known if name in names)

    return read


def names_in(texts: list[str]) -> tuple[str, ...]:
    """Reads names, repeated or joined with commas; each once, in the order given."""
    names = [name.strip() for text in texts for name in text.split(",")]
    if not all(names):
        raise Wrong("an empty name: leave the parameter out, or join names with single commas")
    if any(len(name) > MAX_TEXT for name in names):
        raise Wrong(f"longer than {MAX_TEXT} characters")
    return tuple(dict.fromkeys(names))


def text(texts: list[str]) -> str:
    """Reads a short text."""
    if len(texts[0]) > MAX_TEXT:
        raise Wrong(f"longer than {MAX_TEXT} characters")
    return texts[0].strip()


def encode_cursor(kind: str, place: Sequence[str]) -> str:
    """A place in a list of this kind, opaque to clients and safe in a URL."""
    packed = json.dumps([kind, *place], separators=(",", ":")).encode("ascii")
    return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def cursor(kind: str, parts: int) -> Callable[[list[str]], tuple[str, ...]]:
    """Reads what encode_cursor made for a list of this kind."""

    def read(texts: list[str]) -> tuple[str, ...]:
        given = texts[0]
        try:
            padded = given.encode("ascii") + b"=" * (-len(given) % 4)
            place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, RecursionError) as exc:
            raise Wrong(_BAD_CURSOR) from exc
        if (
            not isinstance(place, list)
            or len(place) != parts + 1
            or place[0] != kind
            or not all(isinstance(part, str) and _is_storable(part) for part in place)
        ):
            raise Wrong(_BAD_CURSOR)
        return tuple(place[1:])

    return read


_BAD_CURSOR = "not a cursor of this list: take it from 'next' of the page before, or leave it out"


def _is_storable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def list_url(path: str, query: Mapping[str, Any], cursor_text: Optional[str] = None) -> str:
    """The URL of a page of a list: the cursor (none: the first page), then filters, limit and fields."""
    pairs = [] if cursor_text is None else [("cursor", cursor_text)]
    for name, value in query.items():
        if name == "cursor" or value in (None, (), ""):
            continue
        pairs.append((name, ",".join(value) if isinstance(value, tuple) else str(value)))
    return f"{path}?{urlencode(pairs, quote_via=quote, safe=',')}" if pairs else path
