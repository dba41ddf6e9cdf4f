"""What the forms share: who asks, and where a browser is led when it was done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from http import HTTPStatus

from cloudmasterd import acting
from cloudmasterd.machines import Asker
from cloudmasterd.web import paths
from cloudmasterd.web.exchange import HTML, NO_STORE, Asked, Reply
from cloudmasterd.web.pages.forms import Form


def asker_of(asked: Asked, form: Form) -> Asker:
    """Who sends a form, and on the record why, where it asks for a reason.

    The key was rendered into it, so a second click sends the same one.
    """
    acting.because(form.text("reason"))
    said = {name: list(given) for name, given in sorted(form.values.items()) if name != "key"}
    digest = hashlib.sha256(json.dumps([asked.path, said]).encode("utf-8")).hexdigest()
    return Asker(
        name=asked.who.name,
        request_id=asked.request_id,
        key=form.key,
        request_hash=digest if form.key else "",
        scopes=asked.who.scopes,
    )


def see_other(path: str) -> Reply:
    """Lead the browser to a page, by GET."""
    return Reply(HTTPStatus.SEE_OTHER, content_type=HTML, headers=(NO_STORE, ("Location", path)))


def and_headers(reply: Reply, *headers: tuple[str, str]) -> Reply:
    """The same with more headers."""
    return replace(reply, headers=(*reply.headers, *headers))


def to_task(number: int) -> Reply:
    """Lead the browser to the page of a task."""
    return see_other(paths.task_path(number))


def form_page(body: bytes, status: int = 200) -> Reply:
    """A page with a form on it, which nobody keeps."""
    return Reply(status, body, HTML, headers=(NO_STORE,))
