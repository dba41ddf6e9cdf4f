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
    "/enrolment/requests/{name}/sign": ("POST", "/enrolments/{name}/sign"),
    "/enrolment/requests/{name}/reject": ("DELETE", "/enrolments/{name}"),
    "/clouds/{cloud}/remove": ("DELETE", "/clouds/{cloud}"),
    "/account/password": ("PUT", "/users/{user}/password"),
    "/account/sessions/end": ("DELETE", "/users/{user}/sessions"),
    "/account/sessions/{session}/end": ("DELETE", "/sessions/{session}"),
    "/account/tokens": ("POST", "/tokens"),
    "/account/tokens/{token}/revoke": ("DELETE", "/tokens/{token}"),
    "/users/{user}/change": ("PATCH", "/users/{user}"),
    "/users/{user}/password": ("PUT", "/users/{user}/password"),
    "/users/{user}/sessions/end": ("DELETE", "/users/{user}/sessions"),
    "/users/{user}/tokens/{token}/revoke": ("DELETE", "/tokens/{token}"),
    "/users/{user}/delete": ("DELETE", "/users/{user}"),
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


def action_of(route: Route, names: Mapping[str, str], who: str) -> Action:
    """What a request of this route by `who` is called; the names are those of its path."""
    method, path = route.method, route.path
    if path in BROWSERS:
        return Action(BROWSERS[path], path)
    if path in FORMS and method == "POST":
        method, path = FORMS[path][0], API + FORMS[path][1]
    elif API + path in PATHS:
        path = API + path
    operation = PATHS.get(path, {}).get(method.lower())
    name = f"{method} {path}" if operation is None else operation["operationId"]
    named = {"user": who, **names}  # the account of a page is one's own
    return Action(name, _NAME.sub(lambda found: paths.segment(named[found[1]]), _resource(path)))


def _resource(path: str) -> str:
    """What a path is about, without what is done to it: /machines/{machine} of /machines/{machine}/start."""
    return path[: path.rindex("}") + 1] if "}" in path else path


def is_recorded(route: Route, name: str) -> bool:
    """Whether a request of this route goes on the record when it was carried out."""
    return route.method not in ("GET", "HEAD") and not {name, route.path} & NOT_RECORDED
