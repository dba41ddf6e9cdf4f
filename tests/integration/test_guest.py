"""A whole Debian: cloned from its image, set up by our seed through cloud-init, shut down by ACPI."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import pytest

from cloudmasterd.model import MachineState, TaskState
from tests.cloudmasterd.clones import Clones
from tests.cloudmasterd.works import ASKER
from tests.integration.support import eventually

GUEST = os.environ.get("CLOUDMASTERD_GUEST")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        GUEST is None, reason="boots a whole Debian without KVM, which takes minutes: make test-guest"
    ),
]

BOOT_S = 400.0
BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))  # an ed25519 key, as ssh writes it
KEY = f"ssh-ed25519 {base64.b64encode(BLOB).decode()} ada@example.org"
USER_DATA = "#!/bin/sh\necho The user data ran on $(hostname).\n"


def test_a_machine_becomes_what_its_seed_says_and_shuts_down_when_asked(qemu_clones: Clones) -> None:
    qemu_clones.upload("debian-12", Path(GUEST or "").read_bytes(), "qcow2")
    made = qemu_clones.create(
        "web1", "debian-12", size_gb=2, firmware="bios", networks=(), memory_mb=512,
        cloud_init={"ssh_keys": [KEY], "user_data": USER_DATA},
    )  # fmt: skip
    ended = qemu_clones.machines.wait(made.id, BOOT_S)  # the image alone is 150 MB
    assert ended.state is TaskState.DONE, ended.error
    uuid = qemu_clones.store.get_machine("web1").uuid
    log = qemu_clones.root("cloud1") / f"log/{uuid}-console.log"

    def said(pattern: str) -> bool:
        return log.exists() and re.search(pattern, log.read_text(errors="replace")) is not None

    eventually(lambda: said(r"Cloud-init v\. \S+ finished at"), "cloud-init to finish", BOOT_S)
    assert said(r"Datasource DataSourceNoCloud"), "it read our seed"
    assert said(r"\bweb1 login:")
    fingerprint = ":".join(re.findall("..", hashlib.sha256(BLOB).hexdigest()))
    assert said(rf"ssh-ed25519 \| {fingerprint} \| .* ada@example\.org")
    assert said(r"The user data ran on web1\.")
    off = qemu_clones.machines.wait(qemu_clones.machines.act("web1", "shutdown", ASKER).id, BOOT_S)
    assert off.state is TaskState.DONE, off.error
    assert qemu_clones.store.get_machine("web1").state is MachineState.OFF
    assert said(r"reboot: Power down|systemd-shutdown")
    assert qemu_clones.ended(qemu_clones.machines.delete("web1", ASKER)).error is None
    assert list((qemu_clones.root("cloud1") / "pool").iterdir()) == []
    assert qemu_clones.seeds() == []
