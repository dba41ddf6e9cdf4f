"""A row of the table of URLs, and how a request finds the row that answers it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from cloudmasterd.rights import Role
from cloudmasterd.web import paths
from cloudmasterd.web.body import Body
from cloudmasterd.web.exchange import JSON, Asked, Reply
from cloudmasterd.web.problems import NoSuchPath, WrongMethod
from cloudmasterd.web.validate import Param


@dataclass(frozen=True)
class Route:
    """One method of one path. `{word}` in the path is a name; `media` None answers whatever is accepted.

    `role` is what it takes to ask for it; None answers anybody.
    """

    method: str
    path: str
    answer: Callable[[Asked], Reply]
    params: tuple[Param, ...] = ()
    media: Optional[str] = JSON
    kept: bool = False  # the reply depends on the store and the target alone
    body: Body = Body.DROPPED
    role: Optional[Role] = Role.ADMIN


class Router:
    """Finds the route of a method and an encoded path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._open: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in routes:
            self._methods_of(route.path)[route.method] = route

    def _methods_of(self, path: str) -> dict[str, Route]:
        if "{" not in path:
            return self._fixed.setdefault(path, {})
        parts = tuple(path.split("/"))
        patterns = self._open.setdefault(len(parts), [])
        for pattern, methods in patterns:
            if pattern == parts:
                return methods
        patterns.append((parts, {}))
        return patterns[-1][1]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and the names in the path; raises NoSuchPath, WrongMethod or Invalid."""
        methods, names = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allow = allowed(methods)
            raise WrongMethod(f"{method[:40]} is not possible on {path[:200]}: use {', '.join(allow)}", allow)
        return route, names

    def allow(self, path: str) -> list[str]:
        """The methods of a path; raises NoSuchPath."""
        return allowed(self._match(path)[0])

    def _match(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        parts = path.split("/")
        for pattern, methods in self._open.get(len(parts), ()):
            names = _names(pattern, parts)
            if names is not None:
                return methods, names
        raise NoSuchPath(f"there is nothing at {path[:200]!r}: {self._where_to_look(path)}")

    def _where_to_look(self, path: str) -> str:
        near = difflib.get_close_matches(path[:200], sorted(self._fixed), n=1, cutoff=0.75)
        if near:
            return f"did you mean {near[0]}?"
        if path.startswith("/api"):
            return "/api/v1/openapi.json lists every path"
        return "the overview at / leads everywhere"


def allowed(methods: dict[str, Route]) -> list[str]:
    """What stands in Allow: the methods of the table, and those that come with them."""
    implied = {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return sorted(set(methods) | implied)


def _names(pattern: tuple[str, ...], parts: list[str]) -> Optional[dict[str, str]]:
    """The names in a path that fits a pattern; None when it does not fit."""
    names = {}
    for wanted, part in zip(pattern, parts):
        if wanted.startswith("{"):
            name = paths.decode_segment(part)
            if name is None:
                return None
            names[wanted[1:-1]] = name
        elif wanted != part:
            return None
    return names
