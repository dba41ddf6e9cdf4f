"""Read pages strictly, and send their forms as a browser does that runs no scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Optional
from urllib.parse import urlencode

VOID = {"meta", "link", "input", "br", "hr", "img"}


@dataclass
class Sheet:
    """A form of a page: what it would send as it stands."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, no inline style or script, every label used."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.labels: list[str] = []
        self.headings: list[str] = []
        self.forms: list[Sheet] = []
        self.marked: dict[str, str] = {}  # fields marked as wrong: name to the ids that describe them
        self.texts: dict[str, str] = {}  # by id, of what has no element in it
        self.live_s = ""
        self._within: list[str] = []
        self._area: Optional[str] = None
        self._select: Optional[str] = None
        self._references: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        assert len(self.ids) == len(set(self.ids)), self.ids
        missing = [name for name in self._references if name not in self.ids]
        assert not missing, f"nothing has the id: {missing}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice: {attrs}"
        assert not [name for name in given if name == "style" or name.startswith("on")], attrs
        assert tag != "style" and (tag != "script" or given.get("src", "").startswith("/static/"))
        for name in ("href", "src", "action", "formaction"):
            if name in given:
                assert given[name].startswith(("/", "#")) and not given[name].startswith("//"), given
        if "href" in given or "src" in given:
            self.links.append(given.get("href") or given["src"])
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("for", "aria-labelledby", "aria-describedby"):
            self._references += (given.get(name) or "").split()
        if "aria-label" in given:
            self.labels.append(given["aria-label"])
        if tag == "body":
            self.live_s = given["data-live-s"]
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if "aria-invalid" in given:
            self.marked[given["name"]] = given["aria-describedby"]
        self._take_field(tag, given)
        if tag not in VOID:
            self.open.append(tag)
            self._within.append(given.get("id") or "")

    def _take_field(self, tag: str, given: Mapping[str, Any]) -> None:
        if tag == "form":
            self.forms.append(Sheet(given["action"], given["method"]))
            return
        if not self.forms or "form" not in self.open:
            return
        form, name = self.forms[-1], given.get("name")
        if name and tag != "button":
            form.names.add(name)
        if tag == "input" and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            form.values[name or ""] = given.get("value", "")
        elif tag == "button" and "disabled" not in given:
            form.buttons.append(given.get("value", ""))
        elif tag == "textarea":
            self._area = name
            form.values[name or ""] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in form.values):
            form.values[self._select] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        self._within.pop()
        if tag == "textarea":
            assert self._area is not None
            # the first line end after the tag is not part of the text
            value = self.forms[-1].values[self._area]
            self.forms[-1].values[self._area] = value[1:] if value.startswith("\n") else value
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.forms[-1].values[self._area] += data
        self.words.append(data)
        if self._within and self._within[-1]:
            self.texts[self._within[-1]] = self.texts.get(self._within[-1], "") + data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace(" ,", ",").replace(" .", ".")

    @property
    def actions(self) -> set[str]:
        return {form.action for form in self.forms}

    def form(self, action: str) -> Sheet:
        """The form that is sent to a path."""
        return next(form for form in self.forms if form.action == action)

    def error(self, name: str) -> str:
        """The message at a field marked as wrong, which its description must lead to."""
        assert f"e-{name}" in self.marked[name].split()
        return self.texts[f"e-{name}"]


def page(answer: Any) -> Page:
    """A page as it was answered."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def read(world: Any, target: str) -> Page:
    """A page that must be there."""
    answer = world.get(target, Accept="text/html")
    assert answer.status == 200, answer.text
    return page(answer)


def post(world: Any, form: Sheet, do: Optional[str] = None, **typed: Optional[str]) -> Any:
    """Send a form with some fields typed anew (None: box not ticked), by its button of the value `do`."""
    values = {name: value for name, value in {**form.values, **typed}.items() if value is not None}
    assert set(typed) <= form.names, f"{set(typed) - form.names} not in {form.names}"
    if do is not None:
        assert do in form.buttons
        values["do"] = do
    body = urlencode({name: value.replace("\n", "\r\n") for name, value in values.items()}).encode()
    return send(world, form.action, body)


def send(world: Any, path: str, body: bytes = b"", **headers: str) -> Any:
    """A form as a browser on one of our own pages sends it."""
    named = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
        "Sec-Fetch-Site": "same-origin",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return world.ask("POST", path, named, body)


def task_of(world: Any, answer: Any) -> Any:
    """The task a form led to."""
    assert answer.status == 303, answer.text
    prefix, _, number = answer.headers["location"].rpartition("/")
    assert prefix == "/tasks"
    return world.store.tasks.get(int(number))
