"""Installations by real koan from real cobbler, of a guest that real QEMU boots, as funcd has them made."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.cobbler.bench import Bench
from tests.installs.conftest import PROFILE, TREE
from tests.installs.host import Host, Refused, eventually
from tests.integration.guest import GREETING

TOKEN = "T" * 43
OPTIONS = {"certmaster": "cloud.example.org", "genome_token": TOKEN}
URL = f"http://cobbler.example.org/cblr/svc/op/ks/profile/{PROFILE}"


class Installation:
    """One machine to install, with its disk."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.uuid, self.operation = str(uuid.uuid4()), str(uuid.uuid4())
        self.volume = f"{self.uuid[:8]}.qcow2"
        self.given = {
            "uuid": self.uuid, "name": "web1.example.org", "server": "cobbler.example.org",
            "profile": PROFILE, "memory_mb": 256, "vcpus": 2,
            "networks": [{"network": "user", "mac": "52:54:00:12:34:57"}],
            "disks": [{"pool": "default", "volume": self.volume, "format": "qcow2"}], "firmware": "bios",
            "arch": "x86_64", "kernel_options": OPTIONS, "autostart": False, "graphics": True,
            "metadata": {"task": 17, "managed": True}, "deadline_s": 300,
        }  # fmt: skip
        host.disk(self.uuid, self.volume)

    def ask(self) -> Any:
        return self.host.call("machine.install", self.operation, json.dumps(self.given))

    def done(self, within_s: float = 330) -> Any:
        """The answer in the end; raises Refused."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = [self.ask()]
            return bool(found[0]["state"] == "done")

        eventually(look, "the installation to be done", within_s)
        return found[0]

    def cancel(self) -> Any:
        return self.host.call("machine.cancel_install", self.operation)

    @property
    def domain(self) -> Any:
        return self.host.connection.lookupByUUIDString(self.uuid)

    def wait_until_off(self) -> None:
        eventually(lambda: not self.domain.isActive(), "the machine to be off")

    def log(self) -> str:
        return (self.host.root / f"var/log/func/koan/{self.operation}.log").read_text()

    def koans(self) -> list[int]:
        return self.host.processes(f"--virt-name={self.given['name']}")

    def has_left_nothing(self) -> bool:
        """But for its disk, which is deleted as whoever made it would."""
        assert self.host.machines() == [] and self.koans() == []
        assert list((self.host.root / "var/lib/func/koan").iterdir()) == []
        assert not list(self.host.home.rglob("*vmlinuz*")), "nor a kernel that virt-install fetched"
        assert self.host.volumes() == [self.volume]
        disk = json.dumps({"uuid": self.uuid, "pool": "default", "volume": self.volume})
        self.host.call("machine.perform", str(uuid.uuid4()), "delete_disk", disk)
        return self.host.volumes() == []


@pytest.fixture
def web(host: Host) -> Iterator[Installation]:
    yield Installation(host)
    host.clear()


class Silence:
    """Port 443 of the cobbler server takes connections and says nothing; koan waits as long as it may."""

    def __init__(self, bench: Bench) -> None:
        self._socket: Optional[socket.socket] = bench.listen(443)
        self._socket.settimeout(180)
        self._peers: list[socket.socket] = []

    def heard(self) -> None:
        """Wait for koan to have come."""
        assert self._socket is not None
        self._peers.append(self._socket.accept()[0])

    def end(self) -> None:
        """From now on nobody is there, and koan asks on port 80."""
        for each in (*self._peers, self._socket):
            if each is not None:
                each.close()
        self._peers, self._socket = [], None


@pytest.fixture
def silence(quick: Bench) -> Iterator[Silence]:
    made = Silence(quick)
    yield made
    made.end()


def test_a_machine_is_installed_and_then_boots_from_its_disk(host: Host, web: Installation) -> None:
    assert host.call("machine.resources")["koan"] is True
    begun = time.monotonic()
    assert web.ask()["state"] == "running"
    assert time.monotonic() - begun < 30, "it answers at once"
    answer = web.done()
    assert (answer["state"], answer["uuid"]) == ("done", web.uuid)
    said = eventually(
        lambda: "GUEST installed" in host.said(web.uuid) and host.said(web.uuid), "it to install"
    )
    (line,) = [line for line in said.splitlines() if line.startswith("GUEST command line: ")]
    words = line.split()
    assert {"certmaster=cloud.example.org", f"genome_token={TOKEN}", f"inst.ks={URL}"} <= set(words)
    assert f"GUEST kickstart begins\n# the kickstart of {PROFILE}\nurl --url={TREE}\n" in said
    assert "GUEST card: 52:54:00:12:34:57" in said
    web.wait_until_off()  # by rebooting: its first boot is ours to begin

    described = host.call("machine.perform", str(uuid.uuid4()), "describe", json.dumps({"uuid": web.uuid}))
    assert (described["name"], described["state"], described["managed"]) == ("web1.example.org", "off", True)
    assert (described["memory_mb"], described["vcpus"], described["autostart"]) == (256, 2, False)
    assert described["networks"] == [{"network": "user", "mac": "52:54:00:12:34:57"}]
    assert [disk["volume"] for disk in described["disks"]] == [web.volume]
    assert "<kernel>" not in web.domain.XMLDesc() and "<on_reboot>restart" in web.domain.XMLDesc()
    assert GREETING not in said
    host.call("machine.perform", str(uuid.uuid4()), "start", json.dumps({"uuid": web.uuid}))
    eventually(lambda: GREETING in host.said(web.uuid), "it to boot from its disk")
    assert web.ask() == answer


def test_secrets_are_in_no_file_that_is_kept(host: Host, web: Installation) -> None:
    web.done()
    for folder in ("var/log", "var/lib"):
        for path in (host.root / folder).rglob("*"):
            if path.is_file():
                assert TOKEN not in path.read_text(errors="replace"), path
    assert TOKEN not in (host.home / "errors").read_text()
    log = host.root / f"var/log/func/koan/{web.operation}.log"
    assert log.stat().st_mode & 0o777 == 0o600 and "virt-install" in log.read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "NoSuchProfile"}, "No entry/entries found"),
        ({"server": "127.0.0.8"}, "Could not find Cobbler."),
        ({"server": "nowhere.invalid"}, "Could not find Cobbler."),
        ({"profile": "NoTree"}, "Cannot find install source"),
        ({"profile": "WrongTree"}, "Could not find an installable distribution"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_a_koan_that_fails_leaves_nothing_and_says_why(
    quick: Bench, host: Host, web: Installation, changes: dict[str, str], words: str
) -> None:
    quick.register("NoTree", "# nothing\n", virt_auto_boot=False)
    quick.register("WrongTree", "url --url=http://cobbler.example.org/cobbler/none/\n", virt_auto_boot=False)
    web.given.update(changes)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            web.done()
        assert caught.value.kind == "HostError" and words in caught.value.text
    assert not web.cancel()["cancelled"]
    assert web.has_left_nothing()


def test_a_disk_that_is_not_there_is_refused_before_koan_runs(host: Host, web: Installation) -> None:
    web.given["disks"] = [{"pool": "default", "volume": "other.qcow2", "format": "qcow2"}]
    with pytest.raises(Refused, match="NoSuchVolume: .*no volume 'other.qcow2'"):
        web.done()
    assert not (host.root / f"var/log/func/koan/{web.operation}.log").exists()
    assert host.machines() == []


def test_a_deadline_that_passed_leaves_nothing(host: Host, web: Installation, silence: Silence) -> None:
    web.given.update(deadline_s=10)
    with pytest.raises(Refused, match="koan was not done within 10 s"):
        web.done()
    assert web.has_left_nothing()


def test_cancelling_leaves_nothing(host: Host, web: Installation, silence: Silence) -> None:
    web.ask()
    silence.heard()
    assert len(host.machines()) == 1 and web.koans()
    assert web.cancel() == {"cancelled": True}
    assert web.has_left_nothing()
    with pytest.raises(Refused, match="was cancelled"):
        web.ask()


def test_cancelling_one_that_installs_itself_leaves_nothing(host: Host, web: Installation) -> None:
    web.given["kernel_options"] = {**OPTIONS, "guest_waits": "yes"}
    web.done()
    eventually(lambda: "GUEST kickstart ends" in host.said(web.uuid), "it to be at it")
    assert web.cancel() == {"cancelled": True}
    assert host.said(web.uuid) == "", "nor what it said on its console"
    assert web.has_left_nothing()


def test_a_minion_that_was_killed_goes_on_where_it_was(
    host: Host, web: Installation, silence: Silence
) -> None:
    web.ask()
    silence.heard()
    (before,) = web.koans()[:1]
    host.kill_minion()
    assert web.koans(), "koan lives on without its parent"
    assert host.call("machine.operation", web.operation) == {"state": "cut-off"}
    web.ask()
    eventually(lambda: before not in web.koans(), "the koan of before to be ended")
    silence.end()
    assert web.done()["state"] == "done"
    assert web.log().count("looking for Cobbler at https") == 2
    eventually(lambda: "GUEST installed" in host.said(web.uuid), "it to install")
    assert host.said(web.uuid).count("GUEST command line") == 1


def test_an_installation_that_ended_while_the_minion_was_dead_is_not_done_again(
    host: Host, web: Installation, silence: Silence
) -> None:
    web.ask()
    silence.heard()
    host.kill_minion()
    silence.end()
    eventually(lambda: "GUEST installed" in host.said(web.uuid), "koan to have it installed all the same")
    web.wait_until_off()
    eventually(lambda: not web.koans(), "koan to end")
    assert web.done()["detail"].startswith("web1.example.org has ended its installation")
    assert host.said(web.uuid).count("GUEST command line") == 1
    assert list((host.root / "var/lib/func/koan").iterdir()) == []


def test_what_a_killed_minion_left_can_be_cancelled(host: Host, web: Installation, silence: Silence) -> None:
    web.ask()
    silence.heard()
    host.kill_minion()
    assert web.cancel() == {"cancelled": True}
    assert web.has_left_nothing()


def test_a_minion_that_is_told_to_end_takes_koan_along_and_begins_again(
    host: Host, web: Installation, silence: Silence
) -> None:
    web.ask()
    silence.heard()
    host.end_minion()
    assert web.koans() == []
    silence.end()
    assert web.done()["state"] == "done"


# ---------------------------------------------------------------------------------- Func's own method


def test_funcs_own_call_installs_as_the_profile_has_it(host: Host) -> None:
    path = host.pool / "classic.img"
    arguments = ["cobbler.example.org", PROFILE, "False", "classic1", str(path)]
    try:
        assert host.call("virt.install", *arguments) == 0
        domain = host.connection.lookupByName("classic1")
        assert path.stat().st_size == 2**30
        said = eventually(lambda: domain.isActive() == 0, "it to install")
        assert said and domain.isPersistent()
        with pytest.raises(Refused, match="NameTaken: .*'classic1' already"):
            host.call("virt.install", *arguments)
    finally:
        host.clear()


def test_funcs_own_call_leaves_neither_disk_nor_machine_when_it_fails(quick: Bench, host: Host) -> None:
    quick.register("WrongTree", "url --url=http://cobbler.example.org/cobbler/none/\n", virt_file_size=1)
    with pytest.raises(Refused, match="Could not find an installable distribution"):
        host.call(
            "virt.install", "cobbler.example.org", "WrongTree", "False", "classic1", f"{host.pool}/c.img"
        )
    assert host.machines() == [] and host.volumes() == []
    assert Path(host.root / "var/log/func/koan").is_dir()
