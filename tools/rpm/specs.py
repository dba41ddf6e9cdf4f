"""Know the specs of this project: which there are, what each is made of, which wheels become packages."""

from __future__ import annotations

import calendar
import re
import time
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

# Our own: spec and what of the checkout its tarball holds, the licence besides.
OWN = {
    "cloudmasterd": ".",
    "genome-replace-self": "genome-replace-self",
    "genome-kickstarts": "kickstarts",
    "cloudmasterd-release": "",
}
# Python packages that a repository of Fedora or EPEL lacks; sdists.txt has their sources.
SDISTS = ("python-pycdlib", "python-pydispatcher", "python-sqlobject")

_WHEEL_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?:;\s*(?P<marker>.+?))?"
    r"\s+--hash=sha256:(?P<sha256>[0-9a-f]{64})(?:\s+#\s*(?P<licence>.+))?"
)


@dataclass(frozen=True)
class Pin:
    """A line of sdists.txt or wheels.txt."""

    name: str
    version: str
    marker: str
    sha256: str
    licence: str

    @property
    def rpm_name(self) -> str:
        """What Fedora calls it behind `python3-`."""
        return normalized(self.name).removeprefix("python-")


def normalized(name: str) -> str:
    """A project's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path: Path) -> list[Pin]:
    """The pins of a file; raises ValueError for a line that is none."""
    pins = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _WHEEL_LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"{path}:{number}: write NAME==VERSION[; MARKER] --hash=sha256:HEX  # LICENCE")
        pins.append(Pin(**{key: value or "" for key, value in found.groupdict().items()}))
    return pins


def version_of(spec: Path) -> str:
    """The Version: of a spec."""
    found = re.search(r"^Version:\s*(\S+)", spec.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{spec}: has no Version:")
    return found.group(1)


def epoch_of(spec: Path) -> int:
    """The time of a spec's newest changelog entry, its day's beginning in UTC, as rpm takes it."""
    found = re.search(r"^%changelog\n\* (\w{3} \w{3} \d\d \d{4}) ", spec.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{spec}: has no %changelog that begins with `* Sat Nov 21 2026 NAME`")
    return calendar.timegm(time.strptime(found.group(1), "%a %b %d %Y"))


def wheel_spec(template: str, pin: Pin, wheel: Path) -> str:
    """The spec of a package made of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        summary = str(message_from_bytes(archive.read(metadata))["Summary"])
    top = {name.split("/")[0] for name in names}
    modules = sorted(name.removesuffix(".py") for name in top if not name.endswith((".dist-info", ".data")))
    summary = summary.strip('" .').replace("%", "%%")
    for key, value in {
        "NAME": pin.name, "RPMNAME": pin.rpm_name, "VERSION": pin.version, "LICENSE": pin.licence,
        "SUMMARY": summary[:1].upper() + summary[1:79], "WHEEL": wheel.name, "MODULES": " ".join(modules),
    }.items():  # fmt: skip
        template = template.replace(f"@{key}@", value)
    return template
