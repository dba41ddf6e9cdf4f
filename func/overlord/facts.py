"""Filters by facts: methods are run only on the minions of which a query is true."""

from __future__ import annotations

import copy
import re
from typing import Any, Optional, TypeVar, Union

from func.errors import FuncError

FACT = "__fact__"

AND, OR, NOT = "AND", "OR", "NOT"

_OPERATORS = {"<=": "__lte", ">=": "__gte", "=": "", "<": "__lt", ">": "__gt"}
_WORDS = {"in": "contains", "ini": "icontains"}
_COMPARISON = re.compile(r"(?P<fact>[A-Za-z_]\w*)\s*(?P<operator><=|>=|=|<|>)\s*(?P<value>.*\S)", re.DOTALL)
_CONTAINS = re.compile(r"(?P<value>.*\S)\s+(?P<word>in|ini)\s+(?P<fact>[A-Za-z_]\w*)", re.DOTALL)


class Q:
    """A query: `Q(runlevel__gt=2) & ~Q(os="RHEL")`. Several facts in one are joined by AND.

    A fact is compared for equality, or as `__contains`, `__icontains`, `__iexact`, `__startswith`, `__gt`,
    `__gte`, `__lt` or `__lte` say. Queries do not change: `&`, `|` and `~` make new ones.
    """

    def __init__(self, *parts: Union[Q, tuple[str, Any]], **facts: Any) -> None:
        self._parts: tuple[Union[Q, tuple[str, Any]], ...] = (*parts, *facts.items())
        self._connector = AND
        self._negated = False

    def __and__(self, other: Q) -> Q:
        return self.joined(other, AND)

    def __or__(self, other: Q) -> Q:
        return self.joined(other, OR)

    def __invert__(self) -> Q:
        return self._made(self._parts, self._connector, not self._negated)

    def joined(self, other: Q, connector: str) -> Q:
        """Both queries under "AND" or "OR"."""
        return self._made((*self._below(connector), *other._below(connector)), connector)

    def under(self, connector: str) -> Q:
        """The same facts, joined by "AND" or "OR"."""
        return self._made(self._parts, connector, self._negated)

    def to_wire(self) -> list[Any]:
        """The form minions read: `["AND", [["runlevel__gt", 2], ["NOT", ["AND", [["os", "RHEL"]]]]]]`."""
        form = [
            self._connector,
            [part.to_wire() if isinstance(part, Q) else list(part) for part in self._parts],
        ]
        return [NOT, form] if self._negated else form

    def _below(self, connector: str) -> tuple[Union[Q, tuple[str, Any]], ...]:
        alike = not self._negated and (self._connector == connector or len(self._parts) == 1)
        return self._parts if alike else (self,)

    @staticmethod
    def _made(parts: tuple[Union[Q, tuple[str, Any]], ...], connector: str, negated: bool = False) -> Q:
        made = Q(*parts)
        made._connector, made._negated = connector, negated
        return made


class Narrowing:
    """What can be narrowed by facts. Each method answers a copy and leaves the old one as it was."""

    _query: Optional[Q] = None
    _origin: Optional[Narrowing] = None

    def filter(self: Narrowed, *parts: Any, **wanted: Any) -> Narrowed:
        """Only minions of which all this is true, and what was asked for before."""
        return self._narrowed(Q(*parts, **wanted), AND)

    def filter_or(self: Narrowed, *parts: Any, **wanted: Any) -> Narrowed:
        """Minions of which some of this is true, or what was asked for before."""
        return self._narrowed(Q(*parts, **wanted).under(OR), OR)

    and_and = filter  # noqa: A003 - Func's name
    or_or = filter_or

    def and_or(self: Narrowed, *parts: Any, **wanted: Any) -> Narrowed:
        """Only minions of which some of this is true, and what was asked for before."""
        return self._narrowed(Q(*parts, **wanted).under(OR), AND)

    def or_and(self: Narrowed, *parts: Any, **wanted: Any) -> Narrowed:
        """Minions of which all of this is true, or what was asked for before."""
        return self._narrowed(Q(*parts, **wanted), OR)

    def set_complexq(self: Narrowed, q_object: Q, connector: Optional[str] = None) -> Narrowed:
        """This query, joined to what was asked for before by `connector`, or without one in its place."""
        return self._narrowed(q_object, connector)

    def _narrowed(self: Narrowed, query: Q, connector: Optional[str]) -> Narrowed:
        made = copy.copy(self)
        made._query = query if self._query is None or not connector else self._query.joined(query, connector)
        made._origin = self  # it holds what ends with it
        return made


Narrowed = TypeVar("Narrowed", bound=Narrowing)


def as_argument(query: Q) -> dict[str, Any]:
    """What goes before a method's own arguments; never NOT outermost, which Func does not know there."""
    form = query.to_wire()
    return {FACT: [AND, [form]] if form[0] == NOT else form}


def unwrapped(value: Any) -> tuple[bool, Any]:
    """Whether the query was true on the minion that answered this, and the method's own value."""
    head = value[0] if isinstance(value, list) and value else None
    said = head.get(FACT) if isinstance(head, dict) else None
    if not isinstance(said, list) or not said:
        return True, value
    return (True, value[1]) if said[0] and len(value) > 1 else (False, None)


def read_query(text: str, connector: str) -> Q:
    """The query of a command line, `runlevel>2,RHEL ini os`; raises FuncError for what is none."""
    query = Q(*(_read_part(part.strip()) for part in text.split(",")))
    return query.under(connector)


def _read_part(text: str) -> tuple[str, str]:
    comparison = _COMPARISON.fullmatch(text)
    if comparison:
        return comparison["fact"] + _OPERATORS[comparison["operator"]], comparison["value"]
    contains = _CONTAINS.fullmatch(text)
    if contains:
        return f"{contains['fact']}__{_WORDS[contains['word']]}", contains["value"]
    raise FuncError(
        f"{text!r} is no filter: write FACT=VALUE (or < > <= >=), or `VALUE in FACT` (`ini`: in any case)"
    )
