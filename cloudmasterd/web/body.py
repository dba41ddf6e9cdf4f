"""Read the body of a request: its kind, its size and its JSON; what is wrong is told with its place."""

from __future__ import annotations

import json
import math
from collections import Counter
from enum import Enum
from typing import Any

from cloudmasterd.errors import Invalid
from cloudmasterd.web.exchange import JSON
from cloudmasterd.web.problems import UnsupportedMedia

FORM = "application/x-www-form-urlencoded"
BYTES = "application/octet-stream"

MAX_DEPTH = 16
MAX_DIGITS = 1000  # above that, reading a number takes quadratic time


class Body(Enum):
    """What a route does with the body of a request."""

    DROPPED = "dropped"  # never looked at
    EMPTY = "empty"  # there is none; one that says something is refused, not passed over
    JSON = "json"
    BYTES = "bytes"  # handed on as they are
    FORM = "form"  # handed on as bytes: the page knows its fields


TYPES = {Body.JSON: JSON, Body.FORM: FORM, Body.BYTES: BYTES}


class _WrongError(ValueError):
    """A part of a JSON text that cannot be; the text says why, `field` where."""

    def __init__(self, text: str, field: str = "body") -> None:
        super().__init__(text)
        self.field = field


def read_body(kind: Body, content_type: str, data: bytes) -> Any:
    """A JSON value, the bytes of a form or file, or None; raises Invalid or UnsupportedMedia."""
    if kind in TYPES and (data or content_type):
        check_type(content_type, TYPES[kind])
    if kind is Body.JSON:
        return read_json(data)
    if kind in (Body.FORM, Body.BYTES):
        return data
    if kind is Body.EMPTY and data.strip() not in (b"", b"{}"):
        text = "this request takes no body: leave it out; what can be chosen stands in the query"
        raise Invalid(text, [("body", text)])
    return None


def check_type(content_type: str, wanted: str) -> None:
    """Raises UnsupportedMedia unless a Content-Type says `wanted`, in UTF-8 where it says so at all."""
    kind, *parameters = [part.strip().lower() for part in content_type.split(";")]
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if kind != wanted:
        given = f"Content-Type {content_type[:80]!r}" if content_type else "no Content-Type"
        raise UnsupportedMedia(f"{given}: send the body as Content-Type: {wanted}", wanted)
    if any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        raise UnsupportedMedia(f"charset {charsets[0][:40]!r}: send the body in UTF-8", wanted)


def read_json(data: bytes) -> Any:
    """A JSON value (RFC 8259) of unique keys, finite numbers and sound Unicode; raises Invalid."""
    text = _decode(data)
    if not text.strip():
        wrong = "the body is empty: send a JSON object"
        raise Invalid(wrong, [("body", wrong)])
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_whole, parse_float=_finite
        )
        _check(value)
    except json.JSONDecodeError as exc:
        place = f"line {exc.lineno}, column {exc.colno}"
        raise Invalid(f"the body is not JSON: {place}: {exc.msg}", [("body", f"{place}: {exc.msg}")]) from exc
    except RecursionError as exc:
        raise Invalid(_TOO_DEEP, [("body", _TOO_DEEP)]) from exc
    except _WrongError as exc:
        raise Invalid(f"{exc.field}: {exc}", [(exc.field, str(exc))]) from exc
    return value


_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels: nothing here is"


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        text = f"the body is not UTF-8: byte {exc.start + 1} (0x{data[exc.start]:02x}) is wrong"
        raise Invalid(text, [("body", text)]) from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        name, times = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _WrongError(f"{name[:80]!r} is given {times} times: give it once", _shown(name))
    return found


def _shown(name: str) -> str:
    return name[:80].encode("utf-8", "replace").decode("utf-8") or "body"


def _constant(word: str) -> Any:
    raise _WrongError(f"{word} is no number of JSON: send a finite one")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _WrongError(f"a number of {len(digits)} digits: nothing here is that large")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _WrongError(f"{digits[:40]} is too large for a number")
    return number


def _check(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following.extend(item)
                following.extend(item.values())
            elif isinstance(item, list):
                following.extend(item)
            elif isinstance(item, str):
                _check_text(item)
        level = following
        if not level:
            return
    raise _WrongError(_TOO_DEEP)


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise _WrongError("half of a surrogate pair (\\ud800 to \\udfff) is no character") from exc
