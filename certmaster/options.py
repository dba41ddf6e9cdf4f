"""Declare settings as classes of options, as third-party modules of Func have theirs: `certmaster.config` has
the names. What this project has of its own are the tables of `certmaster.config.Setting`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Optional, TextIO


class Option:
    """One key of a class of settings; text is turned into a value of its kind when it is assigned."""

    def __init__(self, default: Any = None) -> None:
        self.default = default
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Optional[BaseConfig], owner: type) -> Any:
        return self if instance is None else instance.__dict__[self._name]

    def __set__(self, instance: BaseConfig, value: Any) -> None:
        if isinstance(value, str):
            try:
                value = self.parse(value)
            except ValueError as exc:
                raise ValueError(f"{self._name} = {value}: {exc}") from exc
        instance.__dict__[self._name] = value

    def parse(self, text: str) -> Any:
        """The value that stands in a file as `text`; raises ValueError."""
        return text

    def tostring(self, value: Any) -> str:
        """How a value stands in a file."""
        return str(value)


class IntOption(Option):
    """A whole number."""

    def parse(self, text: str) -> int:
        """The number."""
        return int(text)


class FloatOption(Option):
    """A number."""

    def parse(self, text: str) -> float:
        """The number."""
        return float(text)


class BoolOption(Option):
    """0, no, false, 1, yes or true."""

    def parse(self, text: str) -> bool:
        """Whether it is one of the latter three."""
        word = text.strip().lower()
        if word not in ("0", "no", "false", "1", "yes", "true"):
            raise ValueError("write yes or no")
        return word in ("1", "yes", "true")

    def tostring(self, value: Any) -> str:
        """1 or 0."""
        return "1" if value else "0"


class ListOption(Option):
    """Words with commas or spaces in between."""

    def __init__(self, default: Any = None) -> None:
        super().__init__([] if default is None else default)

    def parse(self, text: str) -> list[str]:
        """The words."""
        return text.replace(",", " ").split()

    def tostring(self, value: Any) -> str:
        """The words with commas in between."""
        return ", ".join(value)


class SelectionOption(Option):
    """One of the words allowed."""

    def __init__(self, default: Any = None, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(default)
        self._allowed = allowed

    def parse(self, text: str) -> str:
        """The word."""
        if text not in self._allowed:
            raise ValueError(f"write one of {', '.join(self._allowed)}")
        return text


class BaseConfig:
    """Base of a class of settings: its attributes that are Options are its keys."""

    def __init__(self) -> None:
        for key in self.iterkeys():
            setattr(self, key, copy.copy(self.optionobj(key).default))

    def populate(self, written: Mapping[str, str]) -> None:
        """Take over what a file has for the keys of this class; raises ValueError."""
        for key in self.iterkeys():
            if key in written:
                setattr(self, key, written[key])

    @classmethod
    def optionobj(cls, name: str) -> Option:
        """The Option behind a key; raises KeyError."""
        found = getattr(cls, name, None)
        if not isinstance(found, Option):
            raise KeyError(name)
        return found

    @classmethod
    def isoption(cls, name: str) -> bool:
        """Whether there is a key of that name."""
        return isinstance(getattr(cls, name, None), Option)

    def iterkeys(self) -> Iterator[str]:
        """All keys, also those of the classes it is derived from."""
        return (name for name in dir(type(self)) if self.isoption(name))

    def iteritems(self) -> Iterator[tuple[str, Any]]:
        """All keys and their values."""
        return ((key, getattr(self, key)) for key in self.iterkeys())

    def write(self, stream: TextIO) -> None:
        """Write all of it as the section [main] of an INI file."""
        stream.write("[main]\n")
        for key, value in self.iteritems():
            stream.write(f"{key} = {self.optionobj(key).tostring(value)}\n")
