"""Judge Func's fact filters: `["AND", [["os__contains", "Fedora"], ["NOT", ["OR", [["cpus__lt", 4]]]]]]`.

A query is [AND or OR, parts], ["NOT", query], or flat, [name, value, name, value, ...], which must all hold.
A part is a query. The name is a fact's, with `__` and how to compare behind it, else it must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from func import wire
from func.minion import job_context
from func.minion.codes import BadFactQuery
from func.minion.facts import Fact

MARK = "__fact__"
MAX_DEPTH, MAX_FACTS = 16, 200

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "": lambda fact, value: bool(fact == value),
    "contains": lambda fact, value: value in fact,
    "icontains": lambda fact, value: value.lower() in fact.lower(),
    "iexact": lambda fact, value: bool(fact.lower() == value.lower()),
    "startswith": lambda fact, value: bool(fact.startswith(value)),
    "gt": lambda fact, value: bool(fact > value),
    "gte": lambda fact, value: bool(fact >= value),
    "lt": lambda fact, value: bool(fact < value),
    "lte": lambda fact, value: bool(fact <= value),
}
_OF_TEXT = frozenset({"contains", "icontains", "iexact", "startswith"})


class Methods(Protocol):
    """Runs methods by name: the registry, or a fake of it."""

    def call(self, method: str, args: Sequence[Any]) -> Any:
        """The method's value or a REMOTE_ERROR list; never raises."""


class FactSource(Protocol):
    """Where facts come from."""

    def names(self) -> list[str]:
        """All names."""

    def find(self, name: str) -> Fact:
        """The fact of that name; raises KeyError."""


class FactFilter:
    """Methods that run only where the fact filter before their arguments holds."""

    def __init__(self, methods: Methods, facts: FactSource) -> None:
        self._methods = methods
        self._facts = facts

    def call(self, method: str, args: Sequence[Any]) -> Any:
        """The method's value; with a filter [{"__fact__": [verdict, facts]}, value], value where it holds."""
        if not args or not isinstance(args[0], dict) or MARK not in args[0]:
            return self._methods.call(method, args)
        try:
            verdict, seen = judge(args[0][MARK], self._facts)
        except BadFactQuery as exc:
            return wire.remote_error(f"{BadFactQuery.__module__}.{BadFactQuery.__name__}", str(exc))
        head = {MARK: [verdict, seen]}
        if not verdict:
            return [head]
        job = job_context.current()
        if job is not None:
            job.is_plain = False
        return [head, self._methods.call(method, args[1:])]


def judge(query: Any, facts: FactSource) -> tuple[bool, dict[str, Fact]]:
    """Whether a query holds here, and the facts that were looked at. Raises BadFactQuery."""
    seen: dict[str, Fact] = {}
    return _Judge(facts, seen).query(query, 0), seen


class _Judge:
    """Looks at all parts, also those that cannot change the verdict: the caller wants to see the facts."""

    def __init__(self, facts: FactSource, seen: dict[str, Fact]) -> None:
        self._facts = facts
        self._seen = seen
        self._count = 0

    def query(self, query: Any, depth: int) -> bool:
        if depth > MAX_DEPTH:
            raise BadFactQuery(f"a fact filter is nested at most {MAX_DEPTH} deep")
        if not isinstance(query, (list, tuple)) or not query:
            raise BadFactQuery(f"a fact filter is a list such as ['AND', [['os', 'x']]], not {query!r:.50}")
        first = query[0]
        if first == "NOT":
            return not self.query(_only(query), depth + 1)
        if first in ("AND", "OR"):
            verdicts = self._parts(_only(query), depth + 1)
            return any(verdicts) if first == "OR" else all(verdicts)
        return all(self._parts(query, depth))

    def _parts(self, parts: Any, depth: int) -> list[bool]:
        if not isinstance(parts, (list, tuple)) or not parts:
            raise BadFactQuery(f"the parts of a fact filter are a list of one or more, not {parts!r:.60}")
        if isinstance(parts[0], str) and parts[0] not in ("AND", "OR", "NOT"):
            if len(parts) % 2:
                raise BadFactQuery(f"a fact has a name and a value to compare it with: {parts!r:.60}")
            return [self._fact(name, value) for name, value in zip(parts[::2], parts[1::2])]
        if isinstance(parts[0], str):  # one query, without a list around it
            return [self.query(parts, depth + 1)]
        return [self.query(part, depth + 1) for part in parts]

    def _fact(self, asked: Any, value: Any) -> bool:
        self._count += 1
        if self._count > MAX_FACTS:
            raise BadFactQuery(f"a fact filter looks at {MAX_FACTS} facts at most")
        name, _, how = str(asked).partition("__")
        if how not in COMPARISONS:
            known = ", ".join(sorted(filter(None, COMPARISONS)))
            raise BadFactQuery(f"{asked!r}: facts are compared by {known}, or by nothing for equal")
        try:
            fact = self._seen[name] if name in self._seen else self._facts.find(name)
        except KeyError as exc:
            known = ", ".join(name for name in self._facts.names() if "." not in name)
            raise BadFactQuery(f"no fact {name!r} is known here; there are {known}") from exc
        self._seen[name] = fact
        return COMPARISONS[how](*_alike(name, fact, value, how))


def _alike(name: str, fact: Fact, value: Any, how: str) -> tuple[Fact, Fact]:
    """Both as numbers, or both as texts: the `func` command sends every value as a text."""
    if isinstance(fact, str) or how in _OF_TEXT:
        return str(fact), str(value)
    try:
        return fact, int(value)
    except (TypeError, ValueError) as exc:
        raise BadFactQuery(f"the fact {name!r} is a number, here {fact}; {value!r:.60} is none") from exc


def _only(query: Sequence[Any]) -> Any:
    if len(query) != 2:
        raise BadFactQuery(f"{query[0]} takes one list: [{query[0]!r}, [...]], not {list(query)!r:.60}")
    return query[1]
