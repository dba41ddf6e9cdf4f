"""Names in URLs: taken apart and decoded once on the way in, encoded on the way out."""

from __future__ import annotations

import re
from typing import Optional
from urllib.parse import quote, unquote_to_bytes

from cloudmasterd.errors import Invalid
from cloudmasterd.model import MachineInstance

MAX_NAME = 255
_SECRET = re.compile(r"(/install/)[^/?#\s'\"]+")
OTHER_PAGES = ("new",)  # what stands below /machines/ and is no machine instance


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target, both still encoded; an absolute URL loses its scheme and host."""
    path, _, query = target.partition("?")
    if not path.startswith("/") and "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    return path, query


def shown(text: str) -> str:
    """What holds a path, for a log: without the tokens by which installing machines are known."""
    return _SECRET.sub(r"\1...", text)


def is_name(name: str) -> bool:
    """Whether a name can stand in a path: what this refuses never reaches the store."""
    return 0 < len(name) <= MAX_NAME and name not in (".", "..") and "/" not in name and name.isprintable()


def decode_segment(segment: str) -> Optional[str]:
    """A segment decoded once; None when it cannot be a name. Raises Invalid when it is not UTF-8."""
    try:
        name = unquote_to_bytes(segment.encode("latin-1")).decode("utf-8")
    except UnicodeError as exc:
        raise Invalid(
            "the path is not UTF-8: percent-encode names as UTF-8", [("path", "not UTF-8")]
        ) from exc
    return name if is_name(name) else None


def segment(name: str) -> str:
    """A name as a segment of a path."""
    return quote(name, safe="")


def cloud_path(name: str) -> str:
    """The page of a cloud instance."""
    return f"/clouds/{segment(name)}"


def task_path(number: int) -> str:
    """The page of a task."""
    return f"/tasks/{number}"


def machine_path(machine: MachineInstance, shared_name: bool = False) -> str:
    """The page of a machine instance: by name, or by uuid where the name is shared or fits no URL."""
    by_uuid = shared_name or not is_name(machine.name) or machine.name in OTHER_PAGES
    return f"/machines/{segment(machine.uuid if by_uuid else machine.name)}"
