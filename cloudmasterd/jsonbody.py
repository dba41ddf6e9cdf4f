"""Read JSON bodies strictly: nothing is guessed, and every wrong field is named with what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from cloudmasterd.errors import Invalid

MAX_UNKNOWN = 20
MAX_WRONG = 100


class WrongError(Exception):
    """A value cannot be. `fields` are (place within the value, what is wrong and what would be right)."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        super().__init__(fields)
        self.fields = fields


Reader = Callable[[Any], Any]


def wrong(text: str) -> WrongError:
    """The error for a value as a whole."""
    return WrongError(("", text))


MISSING = object()


@dataclass(frozen=True)
class Field:
    """A field of an object; without a default it must be there.

    Where it `may_be_null`, null is the same as absent.
    """

    name: str
    read: Reader
    default: Any = MISSING
    may_be_null: bool = False


def read_object(value: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """The values of all fields; raises WrongError naming every one that is wrong, missing or unknown."""
    values, found = collect(value, fields)
    if found:
        raise WrongError(*found)
    return values


def collect(value: Any, fields: Sequence[Field]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """As read_object, but gives what is right beside what is wrong, for checks across fields."""
    if not isinstance(value, Mapping):
        return {}, list(mistyped(value, f"an object with {', '.join(f.name for f in fields)}").fields)
    found: list[tuple[str, str]] = []
    values: dict[str, Any] = {}
    known = {field.name for field in fields}
    for field in fields:
        given = value.get(field.name, MISSING)
        if given is None and field.may_be_null:
            given = MISSING
        if given is MISSING and field.default is not MISSING:
            # a copy: who gets the value must not be able to change the table
            values[field.name] = dict(field.default) if isinstance(field.default, dict) else field.default
            continue
        try:
            values[field.name] = field.read(given)
        except WrongError as exc:
            found += [(_join(field.name, place), text) for place, text in exc.fields]
    unknown = [name for name in value if name not in known]
    found += [(_shown_name(name), unknown_text(name, known)) for name in unknown[:MAX_UNKNOWN]]
    if len(unknown) > MAX_UNKNOWN:
        found.append(("", f"{len(unknown) - MAX_UNKNOWN} more fields are not known here: leave them out"))
    return values, found


def invalid(found: Sequence[tuple[str, str]]) -> Invalid:
    """The error for a body in which these are wrong."""
    named = [(place or "body", text) for place, text in found[:MAX_WRONG]]
    if len(found) > MAX_WRONG:
        named.append(("body", f"{len(found) - MAX_WRONG} more are wrong: correct these first"))
    return Invalid("; ".join(f"{place}: {text}" for place, text in named), named)


def whole(low: int, high: int, unit: str = "") -> Reader:
    """Reads a whole number; neither true, 512.0 nor "512" is one."""
    want = f"a whole number{f' of {unit}' if unit else ''} from {low} to {high}"

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            hint = ""
            if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value):
                hint = f", without quotes: {int(value)}"
            elif isinstance(value, float) and value.is_integer() and abs(value) < 1e12:
                hint = f", without a decimal point: {int(value)}"
            raise mistyped(value, want + hint)
        number = int(value)
        if not low <= number <= high:
            raise wrong(f"{say(number)} is too {'small' if number < low else 'large'}: give {want}")
        return number

    return read


def flag(value: Any) -> bool:
    """Reads true or false; neither 1 nor "yes" is one."""
    if not isinstance(value, bool):
        raise mistyped(value, "true or false, without quotes")
    return value


def text(most: int, *, lines: bool = False) -> Reader:
    """Reads printable text of at most so many characters, in one line or several."""
    want = f"text of at most {most} characters{'' if lines else ' in one line'}"

    def read(value: Any) -> str:
        given = need_text(value, want)
        if len(given) > most:
            raise wrong(f"it has {len(given)} characters: give {want}")
        plain = given.replace("\r\n", "\n") if lines else given
        bad = next((c for c in plain if not c.isprintable() and not (lines and c in "\n\t")), None)
        if bad is not None:
            raise wrong(f"it holds the character U+{ord(bad):04X}: give {want} that can be printed")
        return plain

    return read


def matching(pattern: str, want: str) -> Reader:
    """Reads text of a certain form, said in words by `want`."""
    form = re.compile(pattern)

    def read(value: Any) -> str:
        given = need_text(value, want)
        if not form.fullmatch(given):
            raise wrong(f"{say(given)}: give {want}")
        return given

    return read


def one_of(known: Sequence[str]) -> Reader:
    """Reads one of a few words."""

    def read(value: Any) -> str:
        given = need_text(value, f"one of {', '.join(known)}")
        if given not in known:
            near = nearest(given, known)
            hint = f"; did you mean '{near}'?" if near else ""
            raise wrong(f"{say(given)}: give one of {', '.join(known)}{hint}")
        return given

    return read


def list_of(read_item: Reader, most: int, *, least: int = 0, unique: bool = False) -> Reader:
    """Reads a list into a tuple; `unique` refuses an item that stands there already."""
    want = f"a list of {f'{least} to' if least else 'at most'} {most}"

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise mistyped(value, want)
        if not least <= len(value) <= most:
            raise wrong(f"it has {len(value)} items: give {want}")
        items: list[Any] = []
        found: list[tuple[str, str]] = []
        for index, given in enumerate(value):
            try:
                item = read_item(given)
                if unique and item in items:
                    raise wrong(f"{say(given)} stands there already, at [{items.index(item)}]: give it once")
                items.append(item)
            except WrongError as exc:
                items.append(MISSING)
                found += [(_join(f"[{index}]", place), told) for place, told in exc.fields]
        if found:
            raise WrongError(*found)
        return tuple(items)

    return read


def mapping_of(read_key: Reader, read_value: Reader, most: int) -> Reader:
    """Reads an object whose keys are not fixed."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise mistyped(value, f"an object with at most {most} entries")
        if len(value) > most:
            raise wrong(f"it has {len(value)} entries: give at most {most}")
        entries: dict[str, Any] = {}
        found: list[tuple[str, str]] = []
        for key, given in value.items():
            try:
                entries[read_key(key)] = read_value(given)
            except WrongError as exc:
                found += [(_join(_shown_name(key), place), told) for place, told in exc.fields]
        if found:
            raise WrongError(*found)
        return entries

    return read


def need_text(value: Any, want: str) -> str:
    """The value if it is text; raises WrongError saying what is wanted."""
    if not isinstance(value, str):
        raise mistyped(value, want)
    return value


def mistyped(value: Any, want: str) -> WrongError:
    """The error for a value of the wrong type, or for one that is missing."""
    kind = " is text" if isinstance(value, str) else ""
    return wrong(f"{say(value)}{kind}: give {want}")


def nearest(name: str, known: Iterable[str]) -> Optional[str]:
    """The known name that looks most like this one, when one does."""
    # the comparison costs the square of the length
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5) if len(name) <= 64 else []
    return close[0] if close else None


def unknown_text(name: Any, known: Iterable[str]) -> str:
    """What to say of a field that is not among the known ones."""
    near = nearest(name, sorted(known)) if isinstance(name, str) else None
    hint = f": did you mean '{near}'?" if near else f": the fields are {', '.join(sorted(known))}"
    return f"not a field here{hint}"


def say(value: Any) -> str:
    """A JSON value in a few words."""
    if value is MISSING:
        return "missing"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        # the decimal form of a very long number costs too much
        return str(value) if abs(value) < 10**18 else "a number of more than 18 digits"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


def _shown_name(name: Any) -> str:
    if isinstance(name, str) and name and len(name) <= 60 and name.isprintable():
        return name
    return repr(str(name)[:57])


def _join(place: str, inner: str) -> str:
    return place + inner if not inner or inner.startswith("[") else f"{place}.{inner}"
