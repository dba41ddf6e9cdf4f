"""The names of fields and parameters that there are, to tell them from whatever else was sent as one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from cloudmasterd.web.openapi import document

UNKNOWN = "a field there is not"
_BESIDES = ("body", "query", "path", "request", "csrf")  # what errors call the whole of something
_PARTS = re.compile(r"[^.\[\]]+|\[\d+\]")


def shown(name: str) -> str:
    """The name of a wrong field as far as it is one of ours: the rest may be a secret in the wrong place."""
    known = []
    for part in _PARTS.findall(name):
        if not part.startswith("[") and part not in _names():
            break
        known.append(part)
    return ".".join(known).replace(".[", "[") or UNKNOWN


@cache
def _names() -> frozenset[str]:
    return frozenset((*_BESIDES, *_in(document())))


def _in(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _in(item)
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield from node["properties"]
        if "in" in node and isinstance(node.get("name"), str):
            yield node["name"]
        for item in node.values():
            yield from _in(item)
