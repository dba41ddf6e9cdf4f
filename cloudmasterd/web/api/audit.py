"""The audit record over REST: as a list, as CSV and as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Callable, NamedTuple, Optional

from cloudmasterd.acting import RESULTS
from cloudmasterd.record import Entry, Filter, entry_object
from cloudmasterd.record_text import COLUMNS, csv_lines, json_lines
from cloudmasterd.times import read_time
from cloudmasterd.web.exchange import JSON, NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.negotiate import quality
from cloudmasterd.web.problems import NotAcceptable
from cloudmasterd.web.represent import list_json, only
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Param,
    Wrong,
    cursor,
    encode_cursor,
    list_url,
    one_of,
    text,
    whole_number,
)

MAX_ID = 999_999_999


class Format(NamedTuple):
    """A form in which the record is answered."""

    media: str
    lines: Callable[[Iterable[Entry]], Iterator[str]]


FORMATS = {
    "csv": Format("text/csv", csv_lines),
    "jsonl": Format("application/x-ndjson", json_lines),
}
FORMAT_NAMES = ("json", *FORMATS)


def moment(texts: list[str]) -> datetime:
    """Reads a time."""
    try:
        return read_time(texts[0].strip())
    except ValueError as exc:
        raise Wrong(str(exc)) from exc


def place(texts: list[str]) -> tuple[str, ...]:
    """Reads the cursor of a page: the id behind which it begins."""
    found = cursor("audit", 1)(texts)
    if not (found[0].isascii() and found[0].isdigit() and len(found[0]) <= 18):
        raise Wrong("not a cursor of this list: take it from 'next' of the page before, or leave it out")
    return found


def choice(what: str, known: Sequence[str]) -> Callable[[list[str]], str]:
    """Reads one name out of a known set."""

    def read(texts: list[str]) -> str:
        found = one_of(what, known)(texts)
        if len(found) != 1:
            raise Wrong(f"give one of {', '.join(known)}")
        return found[0]

    return read


FILTERS = (
    Param("who", text),
    Param("action", text),
    Param("target", text),
    Param("result", choice("a result", RESULTS)),
    Param("request_id", text),
    Param("since", moment),
    Param("until", moment),
)
LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    Param("cursor", place),
    Param("after", whole_number(0, MAX_ID)),
    Param("format", choice("a format", FORMAT_NAMES)),
    Param("fields", one_of("a field of a record", COLUMNS), (), repeatable=True),
    *FILTERS,
)


class Audit:
    """The resource /api/v1/audit."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """One page of the record: the newest first, or with `after` the oldest behind that id first."""
        chosen = _format(asked)
        limit, after = asked.query["limit"], asked.query["after"]
        before = int(asked.query["cursor"][0]) if asked.query["cursor"] else None
        record = self._site.store.audit
        wanted = wanted_of(asked.query)
        found = record.list(wanted, before, limit + 1, after=after)
        following = _following(asked, found[limit - 1], after) if len(found) > limit else None
        if chosen == "json":
            items = [only(entry_object(entry), asked.query["fields"]) for entry in found[:limit]]
            body = json_bytes({**list_json(items, following), "head": str(record.head())})
            return Reply(body=body, headers=(NO_STORE,))
        form = FORMATS[chosen]
        links = () if following is None else (("Link", f'<{following}>; rel="next"'),)
        named = ("Content-Disposition", f'attachment; filename="audit.{chosen}"')
        body = "".join(form.lines(found[:limit])).encode("utf-8", "replace")
        return Reply(body=body, content_type=form.media, headers=(NO_STORE, named, *links))


def wanted_of(query: Any) -> Filter:
    """The filter that a query stands for."""
    return Filter(
        who=query["who"] or None,
        action=query["action"] or None,
        target=query["target"] or None,
        result=query["result"],
        request_id=query["request_id"] or None,
        since=query["since"],
        until=query["until"],
    )


def _following(asked: Asked, last: Entry, after: Any) -> str:
    if after is not None:
        return list_url(asked.path, {**asked.query, "after": last.id})
    return list_url(asked.path, asked.query, encode_cursor("audit", [str(last.id)]))


def _format(asked: Asked) -> str:
    given: Optional[str] = asked.query["format"]
    if given is not None:
        return given
    accept = asked.headers.get("Accept")
    wishes = {"json": quality(accept, JSON)}
    wishes.update((name, quality(accept, form.media)) for name, form in FORMATS.items())
    best = max(FORMAT_NAMES, key=lambda name: wishes[name])
    if wishes[best] <= 0:
        known = ", ".join([JSON, *(form.media for form in FORMATS.values())])
        raise NotAcceptable(f"{asked.path} answers with {known}: send Accept with one of them, or format=")
    return best
