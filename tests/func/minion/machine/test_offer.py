"""What is read out of libvirt's capabilities, and what is chosen of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from func.errors import HostError
from func.minion.codes import Unsupported
from func.minion.machine import arguments, offer
from func.minion.machine.context import Setup
from func.minion.machine.host_offer import choose
from func.minion.machine.kvm import KvmProof, boots
from func.minion.machine.offer import Arch, Offer
from tests.func.minion.machine.support import spec

QEMU = "/usr/bin/qemu-system-x86_64"

CAPABILITIES = f"""<capabilities><host><cpu><arch>x86_64</arch></cpu></host>
 <guest><os_type>hvm</os_type><arch name='x86_64'><emulator>{QEMU}</emulator>
  <machine>pc-q35-7.2</machine><machine canonical='pc-q35-7.2'>q35</machine>
  <machine canonical='pc-i440fx-7.2'>pc</machine><domain type='qemu'/>{{kvm}}</arch></guest>
 <guest><os_type>hvm</os_type><arch name='s390x'><emulator>/usr/bin/s390x</emulator>
  <machine>s390-ccw-virtio-7.2</machine><domain type='qemu'/></arch></guest>
 <guest><os_type>xen</os_type><arch name='armv7l'><domain type='xen'/></arch></guest></capabilities>"""

DOMAINS = """<domainCapabilities><os supported='yes'><enum name='firmware'>{firmware}</enum>
 <loader supported='yes'><value>/x.fd</value></loader></os>
 <cpu><mode name='host-passthrough' supported='no'/><mode name='maximum' supported='yes'/>
  <mode name='host-model' supported='yes'/></cpu>
 <devices><graphics supported='yes'><enum name='type'>{graphics}</enum></graphics></devices>
</domainCapabilities>"""


class Connection:
    """What libvirt's QEMU driver says of a host."""

    def __init__(self, driver: str = "QEMU", kvm: bool = False, uefi: bool = True, vnc: bool = True) -> None:
        self._driver = driver
        self._capabilities = CAPABILITIES.format(kvm="<domain type='kvm'/>" if kvm else "")
        self._domains = DOMAINS.format(
            firmware="<value>efi</value>" if uefi else "", graphics="<value>vnc</value>" if vnc else ""
        )
        self.asked: list[tuple[Any, ...]] = []

    def getType(self) -> str:
        return self._driver

    def getInfo(self) -> list[Any]:
        return ["x86_64", 1024]

    def getCapabilities(self) -> str:
        return self._capabilities

    def getDomainCapabilities(self, *what: Any) -> str:
        self.asked.append(what)
        return self._domains


def chosen(
    connection: Connection, virt_type: str = "auto", kvm_works: Optional[bool] = None, **changes: Any
) -> Offer:
    def works(emulator: str) -> bool:
        assert kvm_works is not None, "KVM was tried"
        assert emulator == QEMU
        return kvm_works

    machine = arguments.new_machine(spec(**changes))
    return choose(connection, Setup(virt_type, works, None), machine)


def test_uefi_and_q35_are_taken_where_the_host_has_them() -> None:
    connection = Connection()
    assert chosen(connection) == Offer("qemu", "x86_64", QEMU, "q35", "uefi", "maximum")
    assert connection.asked == [(QEMU, "x86_64", "q35", "qemu")]
    assert chosen(Connection(uefi=False)).firmware == "bios"
    assert chosen(Connection(), firmware="bios").firmware == "bios"


@pytest.mark.parametrize(
    ("virt_type", "offered", "works", "taken"),
    [
        ("auto", False, None, "qemu"),
        ("auto", True, True, "kvm"),
        ("auto", True, False, "qemu"),
        ("qemu", True, None, "qemu"),
        ("kvm", True, None, "kvm"),
    ],
)
def test_kvm_is_taken_where_it_is_asked_for_or_proved(
    virt_type: str, offered: bool, works: Optional[bool], taken: str
) -> None:
    found = chosen(Connection(kvm=offered), virt_type, works)
    assert (found.virt_type, found.cpu_mode) == (taken, "host-model" if taken == "kvm" else "maximum")


@pytest.mark.parametrize(
    ("connection", "virt_type", "changes", "text"),
    [
        (Connection(), "kvm", {}, "Machine.conf says virt_type = kvm, but libvirt does not offer it"),
        (Connection(), "auto", {"arch": "sparc"}, "no emulator for sparc; it has: s390x, x86_64"),
        (Connection(), "auto", {"arch": "armv7l"}, "no emulator for armv7l"),
        (Connection(uefi=False), "auto", {"firmware": "uefi"}, "no firmware uefi; it has: bios"),
        (Connection(vnc=False), "auto", {}, "no VNC; leave graphics off"),
        (Connection("LXC"), "auto", {}, "through libvirt's QEMU driver, and this host has LXC"),
        (Connection("TEST"), "auto", {"firmware": "uefi"}, "no UEFI firmware; it has: bios"),
        (Connection("TEST"), "auto", {"arch": "aarch64"}, "no emulator for aarch64; it has: x86_64"),
    ],
)
def test_what_the_host_has_not_is_told(
    connection: Connection, virt_type: str, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(Unsupported, match=text):
        chosen(connection, virt_type, **changes)


def test_under_the_test_driver_machines_are_plain() -> None:
    assert chosen(Connection("TEST")) == Offer("test", "x86_64")


def test_a_host_without_an_emulator_is_told() -> None:
    connection = Connection()
    connection._capabilities = connection._capabilities.replace(QEMU, "")
    with pytest.raises(HostError, match="libvirt names no emulator for x86_64"):
        chosen(connection)


def test_other_architectures_take_what_their_emulator_has() -> None:
    found = offer.archs(CAPABILITIES.format(kvm=""))
    assert sorted(found) == ["s390x", "x86_64"]
    assert found["x86_64"] == Arch("x86_64", QEMU, ("qemu",), ("pc", "q35"))
    assert found["s390x"].machine_type == "s390-ccw-virtio-7.2"
    assert Arch("riscv64", "", (), ()).machine_type == ""
    assert Arch("x86_64", "", (), ("pc",)).machine_type == "pc"
    assert offer.firmwares("aarch64", uefi=True) == ("uefi",)
    assert offer.firmwares("s390x", uefi=False) == ("bios",)


def script(tmp_path: Path, text: str) -> str:
    file = tmp_path / "emulator"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_kvm_is_proved_by_a_boot_that_ends(tmp_path: Path) -> None:
    assert boots(script(tmp_path, 'case "$*" in *kvm*reboot-timeout=0*) exit 0;; esac; exit 9'))


@pytest.mark.parametrize("text", ["echo 'failed to initialize kvm' >&2; exit 1", "exec sleep 60"])
def test_kvm_is_not_proved_by_a_boot_that_fails_or_hangs(tmp_path: Path, text: str) -> None:
    assert not boots(script(tmp_path, text), limit_s=0.5)
    assert not boots(str(tmp_path / "nothing"))


def test_kvm_is_tried_once_for_each_emulator() -> None:
    tried: list[str] = []
    proof = KvmProof(lambda emulator: bool(tried.append(emulator)) or emulator == "good")
    assert [proof("good"), proof("bad"), proof("good"), proof("bad")] == [True, False, True, False]
    assert tried == ["good", "bad"]
