"""The page that tells a person of an error, and where to go from there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Optional

from cloudmasterd.rights import Identity
from cloudmasterd.web.figures import sentence
from cloudmasterd.web.problems import Problem
from cloudmasterd.web.templating import Templates

SECTIONS = ("/machines", "/tasks", "/events")
HEADINGS = {
    400: "That request cannot be understood",
    403: "You may not do that",
    404: "There is no such thing here",
    405: "That cannot be done here",
    409: "That is not possible now",
    411: "That request does not say how long it is",
    412: "It has changed since you looked",
    413: "That is too large",
    415: "That is no form of a page",
    429: "Wrong passwords came too often",
    500: "cloudmasterd made an error",
    502: "The cloud instance refused",
    503: "Not possible right now",
    504: "The cloud instance did not answer",
}

HEADINGS_BY_TYPE = {
    "urn:cloudmasterd:problem:cross-site": "That came from another site",
    "urn:cloudmasterd:problem:stale-page": "That page has to be loaded again",
}
TWO_OF_A_NAME = "That name stands for more than one"


class FailurePage:
    """Any error, as a page."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def show(self, problem: Problem, path: str, who: Identity) -> bytes:
        """The page's bytes; needs neither store nor fleet."""
        return self._templates.render(
            "failure.mako",
            who,
            section=next((s for s in SECTIONS if path.startswith(s)), "/"),
            heading=heading_of(problem, path),
            problem=problem,
            detail=sentence(problem.detail),
            reasons=problem.errors if problem.status == HTTPStatus.CONFLICT else (),
            back=way_back(path),
        )


def heading_of(problem: Problem, path: str) -> str:
    """What happened, in a few words."""
    if problem.status == HTTPStatus.CONFLICT and way_back(path) is None:
        return TWO_OF_A_NAME
    return HEADINGS_BY_TYPE.get(problem.type) or HEADINGS.get(problem.status, problem.title)


def way_back(path: str) -> Optional[str]:
    """The page with the button of what failed: /machines/a of /machines/a/start; None where there is none."""
    parts = path.split("/")
    return "/".join(parts[:3]) if len(parts) == 4 and f"/{parts[1]}" in ("/clouds", *SECTIONS) else None
