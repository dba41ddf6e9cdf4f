"""What the headers of a change say: who asks, under which key, of which version, and how patiently."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import Invalid, StaleVersion
from cloudmasterd.machines import Asker
from cloudmasterd.model import ENDED_STATES, Author, Task
from cloudmasterd.request_ids import REQUEST_MARK
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.represent import task_json, task_path
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import MAX_WAIT_S, Waits

_KEY = re.compile(r'"?([A-Za-z0-9._:+/=@~-]{1,128})"?')
_TAGS = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_TAG = re.compile(r'(?:W/)?"[^"]*"')
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?")


def author_of(asked: Asked) -> Author:
    """Who changes something at once."""
    return Author(asked.who.name)


def asker_of(asked: Asked, clock: Clock) -> Asker:
    """Who asks; raises Invalid for an Idempotency-Key that is none.

    Two requests with the same key are the same when method, path, query and the body's value are.
    """
    asker = Asker(name=asked.who.name, request_id=asked.request_id, scopes=asked.who.scopes)
    given = asked.headers.get("Idempotency-Key")
    if given is None:
        return asker
    found = _KEY.fullmatch(given.strip())
    if found is None:
        text = "send 1 to 128 of A-Z a-z 0-9 . _ : + / = @ ~ - as Idempotency-Key, once, e.g. a UUID"
        raise Invalid(f"Idempotency-Key: {text}", [("Idempotency-Key", text)])
    what = json.dumps([asked.method, asked.path, asked.raw_query, asked.body], sort_keys=True)
    # a client that asks again may well send its X-Request-Id again, and a replay must show all the same
    mark = f"{asked.request_id}{REQUEST_MARK}{clock.new_id()[-8:]}"
    return replace(
        asker, request_id=mark, key=found[1], request_hash=hashlib.sha256(what.encode()).hexdigest()
    )


def mark_of(asker: Asker) -> str:
    """What a request is known by where its secret answer cannot be given twice; 64 hex digits, or empty."""
    # hashed, because the key is the client's own and who keeps the mark need not know it
    return "" if asker.place is None else hashlib.sha256(asker.place.encode("utf-8")).hexdigest()


def version_of(asked: Asked, etag: str, revision: int) -> Optional[int]:
    """The revision that the change must find, out of If-Match; None when any will do.

    Raises StaleVersion when it names other tags than the present one, Invalid when it is not written in tags.
    """
    given = asked.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    if _TAGS.fullmatch(given) is None:
        text = f"{given[:80]!r} is no list of tags: send the ETag with its quotes, e.g. {etag}, or *"
        raise Invalid(f"If-Match: {text}", [("If-Match", text)])
    tags = _TAG.findall(given)
    if etag in tags:
        return revision
    if f"W/{etag}" in tags:
        raise StaleVersion(f"If-Match compares strongly: send {etag} without the W/")
    raise StaleVersion(f"{asked.path} is at {etag} now, not at {given[:80]}: read it again")


def patience_of(asked: Asked) -> Optional[int]:
    """Seconds of `Prefer: wait=N`, at most MAX_WAIT_S; None without it, and for what is no preference."""
    for preference in asked.headers.get("Prefer", "").split(","):
        found = _WAIT.fullmatch(preference.partition(";")[0].strip().lower())
        if found is not None:
            return min(int(found[1]), MAX_WAIT_S)
    return None


def answer_task(site: Site, waits: Waits, asked: Asked, task: Task, asker: Asker) -> Reply:
    """202 with the task, or 200 when it has ended and the client waited for that; Location either way."""
    headers = [NO_STORE, ("Location", task_path(task.id))]
    if asker.key is not None and task.request_id != asker.request_id:
        headers.append(("Idempotency-Replayed", "true"))
    patience = patience_of(asked)
    if patience is not None:
        task, waited = waits.for_task(site.machines, task, patience)
        if waited:
            headers.append(("Preference-Applied", f"wait={patience}"))
    ended = patience is not None and task.state in ENDED_STATES
    return Reply(200 if ended else 202, json_bytes(task_json(task)), headers=tuple(headers))
