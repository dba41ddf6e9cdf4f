"""Build the seed that cloud-init reads at the first start (NoCloud): a small ISO image, built in memory.

The volume is called cidata and holds meta-data and user-data, as cloud-init's documentation of its NoCloud
data source has it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from email import message_from_string
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from io import BytesIO
from typing import Any

from pycdlib import PyCdlib

VOLUME = "cidata"
_HEAD = "#cloud-config\n"
_SUDO = "ALL=(ALL) NOPASSWD:ALL"

# How cloud-init tells what user data is, by its beginning; each is a kind of text.
_KINDS = (
    ("#cloud-config-archive", "cloud-config-archive"),
    ("#cloud-config", "cloud-config"),
    ("#cloud-boothook", "cloud-boothook"),
    ("#include-once", "x-include-once-url"),
    ("#include", "x-include-url"),
    ("#part-handler", "part-handler"),
    ("## template: jinja", "jinja2"),
    ("#!", "x-shellscript"),
)


def seed_iso(uuid: str, name: str, cloud_init: Mapping[str, Any]) -> bytes:
    """The ISO image for a machine instance; `cloud_init` is what cloud_init.py makes of a request."""
    host = cloud_init.get("hostname") or name
    # JSON is YAML, but for characters beyond the first plane when they are escaped
    meta = json.dumps({"instance-id": uuid, "local-hostname": host}, ensure_ascii=False) + "\n"
    return _iso({"meta-data": meta.encode(), "user-data": user_data(cloud_init).encode()})


def user_data(cloud_init: Mapping[str, Any]) -> str:
    """What was asked for as cloud-init reads it.

    Where users or keys are asked for beside user data it is a MIME message of both; where both say the same
    key, what stands in the user data counts, because it comes last.
    """
    config = _config(cloud_init.get("users", ()), cloud_init.get("ssh_keys", ()))
    given = str(cloud_init.get("user_data", ""))
    ours = _HEAD + (json.dumps(config, ensure_ascii=False, indent=1) + "\n" if config else "{}\n")
    if not given:
        return ours
    return _both(ours, given) if config else given


def _config(users: Sequence[Mapping[str, Any]], ssh_keys: Sequence[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if users:
        # keys beside users are those of the distribution's own user, who is only there when he is named
        config["users"] = [*(["default"] if ssh_keys else []), *(_user(user) for user in users)]
    if ssh_keys:
        config["ssh_authorized_keys"] = list(ssh_keys)
    return config


def _user(user: Mapping[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {"name": user["name"], "lock_passwd": True}
    if user.get("ssh_keys"):
        wanted["ssh_authorized_keys"] = list(user["ssh_keys"])
    if user.get("groups"):
        wanted["groups"] = list(user["groups"])
    if user.get("sudo"):
        wanted["sudo"] = _SUDO
    if user.get("shell"):
        wanted["shell"] = user["shell"]
    return wanted


def _both(ours: str, given: str) -> str:
    message = MIMEMultipart(boundary=_boundary(given))
    message.attach(MIMEText(ours, "cloud-config", "utf-8"))
    kind = next((kind for beginning, kind in _KINDS if given.startswith(beginning)), None)
    # user data that is a MIME message is a part with a header of its own
    message.attach(message_from_string(given) if kind is None else MIMEText(given, kind, "utf-8"))
    return message.as_string()


def _boundary(given: str) -> str:
    boundary = "==cloudmasterd-part=="
    while boundary in given:
        boundary += "="
    return boundary


def _iso(files: Mapping[str, bytes]) -> bytes:
    image = PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=VOLUME)
    for name, data in files.items():
        plain = name.upper().replace("-", "_")
        image.add_fp(BytesIO(data), len(data), f"/{plain}.;1", rr_name=name, joliet_path=f"/{name}")
    written = BytesIO()
    image.write_fp(written)
    image.close()
    return written.getvalue()
