"""What the lists of the REST interface share: the items of one page, and the way to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, TypeVar

from cloudmasterd.web.exchange import Asked
from cloudmasterd.web.represent import list_json, only
from cloudmasterd.web.validate import encode_cursor, list_url

Item = TypeVar("Item")


def page(
    asked: Asked,
    found: Sequence[Item],
    resource: str,
    shape: Callable[[Item], dict[str, Any]],
    place: Callable[[Item], Sequence[str]],
    shown: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """One page of `found`, which holds one item more than the limit where there is a next page.

    `place` is what the cursor of `resource` says of the last item; `shown` is the query of the next page's
    URL where it is not the one that was asked.
    """
    limit = asked.query["limit"]
    following = None
    if len(found) > limit:
        cursor = encode_cursor(resource, place(found[limit - 1]))
        following = list_url(asked.path, asked.query if shown is None else shown, cursor)
    return list_json([only(shape(item), asked.query["fields"]) for item in found[:limit]], following)
