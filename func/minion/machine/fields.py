"""Take the fields of a JSON object one by one, each with its check; what is left over is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable, TypeVar

from func.minion.codes import BadSpec

T = TypeVar("T")
MAX_DEVICES = 16

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Fields:
    """The fields of one object, each taken once; what is left over in the end is an error."""

    def __init__(self, raw: Any, where: str = "") -> None:
        if not isinstance(raw, Mapping):
            raise BadSpec(f"{where or 'the arguments'} is a JSON object, not {shown(raw)}")
        self._raw = dict(raw)
        self._where = where
        self._known: list[str] = []

    def take(self, key: str, check: Callable[[str, Any], T], default: Any = ...) -> T:
        """The value of a field, checked; null and a missing one are the default, or an error without one."""
        name = f"{self._where}.{key}" if self._where else key
        self._known.append(key)
        value = self._raw.pop(key, None)
        if value is None:
            if default is ...:
                raise BadSpec(f"{name} is missing")
            return default  # type: ignore[no-any-return]
        return check(name, value)

    def end(self) -> None:
        """Raise BadSpec where something is left."""
        if self._raw:
            unknown = ", ".join(sorted(map(shown, self._raw)))
            raise BadSpec(
                f"{self._where or 'the arguments'}: unknown {unknown}; known are {', '.join(self._known)}"
            )


def uuid(where: str, value: Any) -> str:
    """A uuid, in lower case."""
    if not isinstance(value, str) or not _UUID.fullmatch(value.lower()):
        raise BadSpec(f"{where} is no uuid: {shown(value)}; right are 8-4-4-4-12 hex digits")
    return value.lower()


def flag(where: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise BadSpec(f"{where} is true or false, not {shown(value)}")
    return value


def whole(most: int) -> Callable[[str, Any], int]:
    """A whole number from 1 to `most`."""

    def check(where: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise BadSpec(f"{where} is a whole number from 1 to {most}, not {shown(value)}")
        return int(value)

    return check


def one_of(*right: str) -> Callable[[str, Any], str]:
    """One of these."""

    def check(where: str, value: Any) -> str:
        if not isinstance(value, str) or value not in right:
            raise BadSpec(f"{where} is one of {', '.join(right)}, not {shown(value)}")
        return value

    return check


def items(item: Callable[[str, Any], T]) -> Callable[[str, Any], tuple[T, ...]]:
    """A list of such items."""

    def check(where: str, value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) > MAX_DEVICES:
            raise BadSpec(f"{where} is a list of at most {MAX_DEVICES}, not {shown(value)}")
        return tuple(item(f"{where}[{number}]", each) for number, each in enumerate(value))

    return check


def shown(value: Any) -> str:
    """A value as an error may show it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
