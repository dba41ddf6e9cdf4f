"""What each request is called on the audit record: as in the REST interface, whichever way it comes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from cloudmasterd.web import paths
from cloudmasterd.web.openapi import PATHS
from cloudmasterd.web.router import Route

API = "/api/v1"

# The forms of pages that are not at /api/v1/... with the same end: which request of the REST interface each
# stands for.
FORMS: Mapping[str, tuple[str, str]] = {
    "/clouds/{cloud}/maintenance": ("PATCH", "/clouds/{cloud}"),
    "/clouds/{cloud}/change": ("PATCH", "/clouds/{cloud}"),
    "/machines/new": ("POST", "/machines"),
    "/machines/{machine}/change": ("PATCH", "/machines/{machine}"),
    "/machines/{machine}/delete": ("DELETE", "/machines/{machine}"),
    "/enrolment": ("POST", "/enrolment-tokens"),
    "/enrolment/{token}/delete": ("DELETE", "/enrolment-tokens/{token}"),
}

# What only browsers do.
BROWSERS: Mapping[str, str] = {"/login": "login", "/logout": "logout"}

# What changes nothing though its method is not safe, and what installing machines say, which is an event.
NOT_RECORDED = frozenset({"placeMachine", "/install/{token}/{phase}"})

_NAME = re.compile(r"\{(\w+)\}")


class Action(NamedTuple):
    """The operationId of a request, and the path of what it is about."""

    name: str
    target: str


def action_of(route: Route, names: Mapping[str, str]) -> Action:
    """What a request of this route is called; the names are those of its path."""
    method, path = route.method, route.path
    if route.path in BROWSERS:
        return Action(BROWSERS[route.path], route.path)
    if route.path in FORMS and route.method == "POST":
        method, path = FORMS[route.path][0], API + FORMS[route.path][1]
    elif API + route.path in PATHS:
        path = API + route.path
    operation = PATHS.get(path, {}).get(method.lower())
    name = f"{method} {path}" if operation is None else operation["operationId"]
    return Action(name, _NAME.sub(lambda found: paths.segment(names[found[1]]), path))


def is_recorded(route: Route, name: str) -> bool:
    """Whether a request of this route goes on the record when it was carried out."""
    return route.method not in ("GET", "HEAD") and not {name, route.path} & NOT_RECORDED
