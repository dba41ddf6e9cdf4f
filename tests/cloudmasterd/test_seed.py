"""What cloud-init gets to read: held against the format's own words, and read back with tools of others."""

from __future__ import annotations

import json
import shutil
import subprocess
from email import message_from_string
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pycdlib import PyCdlib

from cloudmasterd.seed import seed_iso, user_data

UUID = "44444444-4444-4444-4444-444444444444"
SECTOR = 2048


def read_back(iso: bytes) -> dict[str, bytes]:
    """By Joliet, as Linux mounts it."""
    image = PyCdlib()
    image.open_fp(BytesIO(iso))
    found = {}
    for name in ("meta-data", "user-data"):
        data = BytesIO()
        image.get_file_from_iso_fp(data, joliet_path=f"/{name}")
        found[name] = data.getvalue()
    image.close()
    return found


def config_of(text: str) -> Any:
    head, _, rest = text.partition("\n")
    assert head == "#cloud-config"
    return json.loads(rest)


def test_the_volume_is_called_as_cloud_init_looks_for_it() -> None:
    iso = seed_iso(UUID, "web1.example.org", {})
    primary = iso[16 * SECTOR : 17 * SECTOR]  # ECMA-119: the first volume descriptor is in sector 16
    assert primary[:6] == b"\x01CD001"
    assert primary[40:72] == b"cidata".ljust(32)
    assert b"RRIP_1991A" in iso or b"IEEE_P1282" in iso  # Rock Ridge: the names as they are


def test_it_says_who_the_machine_is() -> None:
    found = read_back(seed_iso(UUID, "web1.example.org", {}))
    assert json.loads(found["meta-data"]) == {"instance-id": UUID, "local-hostname": "web1.example.org"}
    assert found["user-data"] == b"#cloud-config\n{}\n"
    named = read_back(seed_iso(UUID, "web1.example.org", {"hostname": "www"}))
    assert json.loads(named["meta-data"])["local-hostname"] == "www"


def test_users_and_keys_are_what_was_asked_for() -> None:
    users = [{"name": "ada", "ssh_keys": ["k1"], "groups": ["wheel"], "sudo": True, "shell": "/bin/sh"},
             {"name": "bob", "sudo": False}]  # fmt: skip
    assert config_of(user_data({"users": users})) == {
        "users": [
            {
                "name": "ada",
                "lock_passwd": True,
                "ssh_authorized_keys": ["k1"],
                "groups": ["wheel"],
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "shell": "/bin/sh",
            },
            {"name": "bob", "lock_passwd": True},
        ]
    }


def test_keys_beside_users_are_for_the_user_of_the_distribution() -> None:
    assert config_of(user_data({"ssh_keys": ["k1"]})) == {"ssh_authorized_keys": ["k1"]}
    both = config_of(user_data({"ssh_keys": ["k1"], "users": [{"name": "ada"}]}))
    assert both["users"][0] == "default"


def test_user_data_alone_is_passed_on_to_the_letter() -> None:
    for text in ("#cloud-config\npassword: x\n", "#!/bin/sh\necho ü\n", "MIME-Version: 1.0\n\n"):
        assert read_back(seed_iso(UUID, "web1", {"user_data": text}))["user-data"] == text.encode()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("#cloud-config\nruncmd: [ls]\n", "text/cloud-config"),
        ("#!/bin/sh\necho ü\n", "text/x-shellscript"),
        ("#include\nhttps://example.org/\n", "text/x-include-url"),
        ("#include-once\nhttps://example.org/\n", "text/x-include-once-url"),
        ("## template: jinja\n#cloud-config\n", "text/jinja2"),
        ("#cloud-boothook\nls\n", "text/cloud-boothook"),
        ("#cloud-config-archive\n- x\n", "text/cloud-config-archive"),
    ],
)
def test_user_data_beside_users_is_a_message_of_both_with_the_callers_last(given: str, kind: str) -> None:
    message = message_from_string(user_data({"users": [{"name": "ada"}], "user_data": given}))
    ours, theirs = message.get_payload()  # type: ignore[misc]
    assert (message.get_content_type(), ours.get_content_type()) == ("multipart/mixed", "text/cloud-config")  # type: ignore[union-attr]
    assert config_of(ours.get_payload(decode=True).decode())["users"][0]["name"] == "ada"  # type: ignore[union-attr]
    assert theirs.get_content_type() == kind  # type: ignore[union-attr]
    assert theirs.get_payload(decode=True).decode() == given  # type: ignore[union-attr]


def test_a_message_within_the_message_stays_whole_whatever_its_boundary() -> None:
    inner = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="==cloudmasterd-part=="\n\n'
    inner += (
        "--==cloudmasterd-part==\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--==cloudmasterd-part==--\n"
    )
    message = message_from_string(user_data({"users": [{"name": "ada"}], "user_data": inner}))
    _, theirs = message.get_payload()  # type: ignore[misc]
    (script,) = theirs.get_payload()  # type: ignore[union-attr]
    assert script.get_payload() == "#!/bin/sh"  # type: ignore[union-attr]


def test_others_tools_see_the_same(tmp_path: Path) -> None:
    tools = {"file": ["-b"], "blkid": ["-o", "value", "-s", "LABEL"]}
    path = tmp_path / "seed.iso"
    path.write_bytes(seed_iso(UUID, "web1", {"user_data": "#!/bin/sh\n"}))
    there = {tool: found for tool in tools if (found := shutil.which(tool, path="/usr/bin:/usr/sbin:/sbin"))}
    if not there:
        pytest.skip("needs file or blkid")
    for tool, program in there.items():
        seen = subprocess.run(
            [program, *tools[tool], str(path)], check=True, capture_output=True, text=True
        ).stdout
        assert "cidata" in seen, tool
        assert tool != "file" or seen.startswith("ISO 9660 CD-ROM filesystem data")


def test_the_largest_there_can_be_fits_what_a_minion_takes() -> None:
    key = "ssh-ed25519 " + "A" * 16000
    everything = {"ssh_keys": [key] * 20, "user_data": "#" + "x" * 65535}
    assert len(seed_iso(UUID, "web1", everything)) < 1024 * 1024
