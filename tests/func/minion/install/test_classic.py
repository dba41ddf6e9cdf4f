"""Func's own virt.install: koan's success and failure, by a koan of a few lines and a host of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from func.errors import HostError
from func.minion import host
from func.minion.codes import NameTaken
from func.minion.install.classic import Classic
from func.minion.install.koan import Koan, KoanSetup
from func.minion.install.order import classic_order

RUN = "virt-1"
UUID, OTHER = (f"{number:08x}-0000-4000-8000-000000000000" for number in (1, 2))
CAPABILITIES = (
    "<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'><emulator>/qemu</emulator>"
    "<domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>"
)


@dataclass
class OwnHost:
    """As much of a host as an installation meets; a machine is in the file `up` when koan started it."""

    folder: Path
    driver: str = "QEMU"
    lasting: bool = True
    performed: list[str] = field(default_factory=list)

    def type_name(self) -> str:
        return self.driver

    def capabilities(self) -> str:
        return CAPABILITIES

    def node(self) -> host.Node:
        return host.Node("x86_64", 1024, 1, 1000, 1, 1, 1, 1)

    def list_domains(self) -> list[host.Domain]:
        return [self.get_domain(path.name) for path in sorted((self.folder / "up").iterdir())]

    def get_domain(self, name: str) -> host.Domain:
        state, uuid = (self.folder / "up" / name).read_text().split()
        return host.Domain(name, uuid, int(state), 1, 1, 1, 0, False)

    def perform(self, name: str, action: host.Action) -> None:
        self.performed.append(f"{action.name} {name}")
        if action is host.UNDEFINE or not self.lasting:
            (self.folder / "up" / name).unlink()


class World:
    def __init__(self, folder: Path, kvm: bool = False) -> None:
        self.folder = folder
        self.program = folder / "koan"
        (folder / "up").mkdir()
        self.host: Any = OwnHost(folder)
        setup = KoanSetup(str(self.program), "/bin/true", folder / "log", folder / "work")
        self.classic = Classic(self.host, "qemu:///system", Koan(setup), lambda emulator: kvm)

    def install(self, script: str, **changes: Any) -> None:
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)
        arguments = {"server": "cobbler.example.org", "target": "F8", "name": "web1", **changes}
        self.classic.install(RUN, UUID, classic_order(**arguments))

    def machine(self, name: str = "web1", state: int = host.RUNNING, uuid: str = UUID) -> str:
        """The script that makes one."""
        return f"echo {state} {uuid} >{self.folder}/up/{name}; echo {name} >$FUNC_WORK/name; "

    def machines(self) -> list[str]:
        return [domain.name for domain in self.host.list_domains()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_it_is_installed_when_koan_and_libvirt_say_so(world: World) -> None:
    world.install(world.machine() + "touch $FUNC_WORK/started")
    assert world.machines() == ["web1"]
    assert list((world.folder / "work").iterdir()) == []


@pytest.mark.parametrize("proved", [False, True])
def test_kvm_is_taken_only_where_a_boot_proved_it(tmp_path: Path, proved: bool) -> None:
    world = World(tmp_path, proved)
    with pytest.raises(HostError):
        world.install(f"cp $FUNC_WORK/order.json {tmp_path}/; exit 1")
    assert f'"virt_type": "{"kvm" if proved else "qemu"}"' in (tmp_path / "order.json").read_text()


def test_a_failure_leaves_neither_disk_nor_machine(world: World) -> None:
    disk, other = world.folder / "web1-disk0", world.folder / "somebody's"
    other.touch()
    script = f"touch {disk}; echo {disk} >$FUNC_WORK/made; echo No entry; exit 1"
    with pytest.raises(HostError, match="cannot install 'F8': koan ended with 1. The last it said: No entry"):
        world.install(world.machine() + script)
    assert world.machines() == [] and world.host.performed == ["destroy web1", "undefine web1"]
    assert not disk.exists() and other.exists()


def test_a_machine_that_was_never_more_than_running_goes_as_well(world: World) -> None:
    world.host.lasting = False
    with pytest.raises(HostError):
        world.install(world.machine() + "exit 1")
    assert world.host.performed == ["destroy web1"]


def test_one_that_is_off_is_forgotten_without_pulling_its_power(world: World) -> None:
    with pytest.raises(HostError):
        world.install(world.machine(state=host.OFF) + "exit 1")
    assert world.host.performed == ["undefine web1"]


@pytest.mark.parametrize("script", ["exit 0", "echo web1 >$FUNC_WORK/name; touch $FUNC_WORK/started"])
def test_koans_word_alone_is_no_success(world: World, script: str) -> None:
    with pytest.raises(HostError, match="koan ended with 0"):
        world.install(script)


def test_a_machine_of_that_name_is_left_alone(world: World) -> None:
    (world.folder / "up/web1").write_text(f"1 {OTHER}")
    with pytest.raises(NameTaken, match="has a machine 'web1' already"):
        world.install("exit 1")
    with pytest.raises(HostError):  # and where koan chooses the name, and it is one that is there
        world.install("echo web1 >$FUNC_WORK/name; exit 1", name=None)
    assert world.machines() == ["web1"] and world.host.performed == []


@pytest.mark.parametrize("end", ["exit 1", "touch $FUNC_WORK/started"])
def test_one_that_another_made_of_that_name_meanwhile_is_left_alone(world: World, end: str) -> None:
    with pytest.raises(HostError):
        world.install(world.machine(uuid=OTHER) + end)
    assert world.machines() == ["web1"] and world.host.performed == []


def test_the_machine_gets_a_uuid_that_is_known_beforehand(world: World) -> None:
    world.install(world.machine() + f"cp $FUNC_WORK/order.json {world.folder}/; touch $FUNC_WORK/started")
    assert f'"new_uuid": "{UUID}"' in (world.folder / "order.json").read_text()


def test_a_host_without_koan_says_what_is_missing(world: World) -> None:
    world.host.driver = "TEST"
    with pytest.raises(HostError, match="this host has TEST"):
        world.install("exit 0")
