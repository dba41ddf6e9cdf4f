"""Whether a client accepts what a path answers with (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Optional


@lru_cache(maxsize=256)
def quality(accept: Optional[str], media_type: str) -> float:
    """How much a client wants a media type, 0 (not at all) to 1; the most specific range decides.

    An absent or empty header accepts everything; what cannot be read in it is passed over.
    """
    if accept is None or not accept.strip():
        return 1.0
    best, found = -1, 0.0
    for part in accept.split(","):
        pieces = [piece.strip().lower() for piece in part.split(";")]
        rank = _rank(pieces[0], media_type)
        if rank > best:
            best, found = rank, _weight(pieces[1:])
    return found


def _rank(wanted: str, media_type: str) -> int:
    if wanted == media_type:
        return 2
    if wanted == media_type.split("/")[0] + "/*":
        return 1
    return 0 if wanted in ("*/*", "*") else -1


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def prefers_html(accept: Optional[str]) -> bool:
    """Whether an error outside /api is better told by a page."""
    html = quality(accept, "text/html")
    return html > 0 and html >= quality(accept, "application/problem+json")
