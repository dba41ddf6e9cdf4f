"""A form as a browser sends it: its values kept as typed, what is wrong beside the field it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Union
from urllib.parse import parse_qsl

from cloudmasterd.errors import CloudError, Invalid
from cloudmasterd.web import csrf
from cloudmasterd.web.figures import sentence

MAX_FIELDS = 100
CARRIED = (csrf.FIELD,)  # what every form carries, and no page looks at
KEY = re.compile(r"[A-Za-z0-9-]{8,64}")
UNITS_MB = {"": 1, "m": 1, "mb": 1, "mib": 1, "g": 1024, "gb": 1024, "gib": 1024, "tb": 1048576}
UNITS_GB = {"": 1, "g": 1, "gb": 1, "gib": 1, "t": 1024, "tb": 1024, "tib": 1024}

Typed = Union[int, str]


@dataclass(frozen=True)
class Form:
    """What was typed, by field, and what to show of an error: `wrong` by field, `failed` for all of it."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""

    def text(self, name: str) -> str:
        """The value of a field without spaces around it; empty when it is absent."""
        given = self.values.get(name)
        return given[0].strip() if given else ""

    def has(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.text(name))

    @property
    def key(self) -> Optional[str]:
        """The idempotency key that was rendered into the form; None when it is absent or not one of ours."""
        return self.text("key") if KEY.fullmatch(self.text("key")) else None

    def refused(self, error: CloudError, names: Mapping[str, str], labels: Mapping[str, str]) -> Form:
        """The same form with an error on it; `names` leads from fields of the interface to fields here.

        What is about no field that is shown here stands in the summary.
        """
        wrong: dict[str, str] = {}
        rest: list[str] = []
        for name, text in error.fields if isinstance(error, Invalid) else ():
            parts = re.sub(r"\[\d+\]", "", name).split(".")
            places = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
            here = next((names[place] for place in places if place in names), parts[0])
            if here in labels:
                wrong.setdefault(here, sentence(text))
            else:
                rest.append(f"{name}: {text}")
        failed = "; ".join(rest) if wrong or rest else str(error)
        return replace(self, wrong={n: wrong[n] for n in labels if n in wrong}, failed=sentence(failed))


def form_of(body: bytes, names: Sequence[str]) -> Form:
    """The body of a request as a form of these fields; raises Invalid for what is none, or another one."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as exc:
        text = (
            f"this is no form of at most {MAX_FIELDS} fields in UTF-8, percent-encoded: send it from its page"
        )
        raise Invalid(text, [("form", text)]) from exc
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in CARRIED and name not in names:
            continue
        if name not in names:
            text = f"{name[:80]!r} is not a field of this form; they are {', '.join(names) or 'none'}"
            raise Invalid(text, [(name[:80], text)])
        # browsers send line ends as CRLF; what is stored has the plain one
        values.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return Form(values)


def number(text: str) -> Typed:
    """A whole number; what is none stays text, for the validation to name."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,12}", text) else text


def size(text: str, units: Mapping[str, int]) -> Typed:
    """A size such as 2048, 16 GB or 1.5g in the unit that counts 1; what is none stays text."""
    found = re.fullmatch(r"(-?[0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([A-Za-z]*)", text)
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        return text
    exact = float(found[1]) * unit
    return int(exact) if exact == int(exact) else text


def names_of(text: str) -> list[str]:
    """Names separated by commas, spaces or lines."""
    return [name for name in re.split(r"[,\s]+", text) if name]


def tags_of(text: str) -> dict[str, Any]:
    """Tags of one `name=value` a line; raises Invalid naming the lines that are none."""
    tags: dict[str, Any] = {}
    pairs, wrong = _pairs(text)
    for name, value in pairs:
        if name in tags:
            wrong.append(f"{name[:60]!r} stands there twice")
        tags[name] = value
    if wrong:
        text = "; ".join(wrong) + ": write one tag a line, such as team=web"
        raise Invalid(f"tags: {text}", [("tags", text)])
    return tags


def metadata_of(text: str) -> dict[str, Any]:
    """Metadata of one `name=value` a line; a name that comes again makes a list of its values."""
    pairs, wrong = _pairs(text)
    if wrong:
        text = "; ".join(wrong) + ": write one a line, such as certmaster=cloud.example.org"
        raise Invalid(f"source.metadata: {text}", [("source.metadata", text)])
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _pairs(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The lines that are `name=value`, and what is to be said of those that are not."""
    pairs, wrong = [], []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, equals, value = line.partition("=")
        if equals and name.strip():
            pairs.append((name.strip(), value.strip()))
        else:
            wrong.append(f"{line[:60]!r} is not name=value")
    return pairs, wrong


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags as they stand in a form."""
    return "\n".join(f"{name}={value}" for name, value in sorted(tags.items()))
