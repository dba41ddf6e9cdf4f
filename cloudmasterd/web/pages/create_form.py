"""The form of a new machine instance: from what was typed to the body that the REST interface takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudmasterd.errors import Invalid
from cloudmasterd.flavors import Flavor
from cloudmasterd.rights import Scope
from cloudmasterd.spec import MachineSpec, parse_create
from cloudmasterd.web import figures
from cloudmasterd.web.pages.forms import (
    UNITS_GB,
    UNITS_MB,
    Form,
    metadata_of,
    names_of,
    number,
    size,
    tags_of,
)

CUSTOM = ""
LABELS = {
    "name": "Name",
    "source": "Install from",
    "iso": "ISO image",
    "image": "Image",
    "ssh_keys": "SSH keys",
    "user_data": "User data",
    "profile": "Profile",
    "metadata": "Metadata",
    "flavor": "Size",
    "memory_mb": "Memory",
    "vcpus": "Virtual CPUs",
    "disk_gb": "Disk",
    "networks": "Networks",
    "firmware": "Firmware",
    "cloud": "Where",
    "start": "Start it",
    "autostart": "Start it with its cloud instance",
    "tags": "Tags",
    "notes": "Notes",
    "groups": "Keep apart",
}
FIELDS = (*LABELS, "key", "do")
FIELD_OF = {
    "disks": "disk_gb",
    "source.volume": "iso",
    "source.image": "image",
    "source.cloud_init.ssh_keys": "ssh_keys",
    "source.cloud_init.user_data": "user_data",
    "source.profile": "profile",
    "source.metadata": "metadata",
    "arch": "profile",
}
"""Where the form shows an error on a field of the interface."""

SOURCES = (
    ("blank", "Nothing", "it starts from the network"),
    ("iso", "ISO image", "a CD image in a pool"),
    ("image", "Image", "a disk that is there already"),
    ("profile", "Profile", "an installation by cobbler and koan"),
)


FIRMWARES = (
    ("", "The best the cloud instance has"),
    ("uefi", "UEFI"),
    ("bios", "BIOS"),
)


def sizes(flavors: Sequence[Flavor]) -> list[tuple[str, str, str]]:
    """The choices of the size: each flavor, and a size of one's own."""
    words = [
        (
            f.name,
            f.name,
            f"{figures.memory(f.memory_mb)}, {f.vcpus} vCPU{'s' * (f.vcpus > 1)}, {f.disk_gb} GB disk",
        )
        for f in flavors
    ]
    return [*words, (CUSTOM, "custom", "memory, vCPUs and disk of your own")]


def first_form(
    flavors: Sequence[Flavor],
    cloud: str = "",
    flavor: str = "",
    profile: str = "",
    scopes: Sequence[Scope] = (),
) -> Form:
    """The form as it is first shown, with the tags that somebody with these scopes has to give."""
    names = [f.name for f in flavors]
    chosen = flavor if flavor in names else ("small" if "small" in names else CUSTOM)
    values = {
        "source": "profile" if profile else "blank", "profile": profile, "flavor": chosen,
        "networks": "default", "cloud": cloud, "start": "yes",
        "memory_mb": "2048", "vcpus": "1", "disk_gb": "20",
        "tags": "\n".join(sorted(pair for scope in scopes if len(scope) == 1 for pair in scope)),
    }  # fmt: skip
    return Form({name: [value] for name, value in values.items()})


def read_spec(form: Form, flavors: Sequence[Flavor]) -> MachineSpec:
    """The machine instance a form asks for; raises Invalid with every wrong field of form and interface."""
    body = body_of(form)
    wrong: list[tuple[str, str]] = []
    try:
        body["tags"] = tags_of(form.text("tags"))
    except Invalid as exc:
        wrong += exc.fields
    if body["source"]["kind"] == "profile":
        try:
            body["source"]["metadata"] = metadata_of(form.text("metadata"))
        except Invalid as exc:
            wrong += exc.fields
    try:
        spec = parse_create(body, flavors)
    except Invalid as exc:
        wrong = [*exc.fields, *wrong]
    if wrong:
        raise Invalid("; ".join(f"{name}: {text}" for name, text in wrong), wrong)
    return spec


def body_of(form: Form) -> dict[str, Any]:
    """The JSON body of POST /api/v1/machines that says the same; what is left open is left out."""
    body: dict[str, Any] = {
        "name": form.text("name"),
        "source": _source(form),
        "networks": names_of(form.text("networks")),
        "groups": names_of(form.text("groups")),
        "firmware": form.text("firmware") or None,
        "cloud": form.text("cloud") or None,
        "notes": form.text("notes"),
        "start": form.has("start"),
        "autostart": form.has("autostart"),
    }
    if form.text("flavor"):
        body["flavor"] = form.text("flavor")
    else:
        # an empty field is one left out: the interface says what is missing, or has a default
        body["memory_mb"] = size(form.text("memory_mb"), UNITS_MB) if form.text("memory_mb") else None
        body["vcpus"] = number(form.text("vcpus")) if form.text("vcpus") else None
        body["disks"] = [{"size_gb": size(form.text("disk_gb"), UNITS_GB)}] if form.text("disk_gb") else []
    return body


def _source(form: Form) -> dict[str, Any]:
    source: dict[str, Any] = {"kind": form.text("source") or "blank"}
    if source["kind"] == "iso":
        source["volume"] = form.text("iso")
    elif source["kind"] == "image":
        source["image"] = form.text("image")
        keys = [line.strip() for line in form.text("ssh_keys").splitlines() if line.strip()]
        given = {"ssh_keys": keys or None, "user_data": form.text("user_data") or None}
        source["cloud_init"] = {name: value for name, value in given.items() if value is not None}
    elif source["kind"] == "profile":
        source["profile"] = form.text("profile")
    return source
