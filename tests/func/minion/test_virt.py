"""The wire methods of `virt` on libvirt's test driver, with the units and types of Func."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.errors import ConfigError, HostError
from func.minion.modules.virt import Virt


@pytest.fixture
def virt(tmp_path: Path, node_uri: str) -> Iterator[Virt]:
    folder = tmp_path / "etc/func/modules"
    folder.mkdir(parents=True)
    (folder / "Virt.conf").write_text(f"[main]\nuri = {node_uri}\n")
    virt = Virt(tmp_path)
    yield virt
    virt.close()


def test_the_figures_have_the_types_and_units_of_func(virt: Virt) -> None:
    assert virt.state() == ["off1 shutdown", "paused1 paused", "run1 running"]
    assert virt.list_vms() == ["off1", "paused1", "run1"]
    assert virt.virttype() == "TEST"
    info = virt.info()
    assert info["off1"].pop("cpuTime").isdigit()
    assert info["off1"] == {
        "state": "shutdown", "maxMem": "524288", "memory": "262144", "nrVirtCpu": 2, "autostart": 0
    }  # fmt: skip
    assert virt.nodeinfo() == {
        "cpumodel": "x86_64", "phymemory": "16384", "cpus": "16", "cpumhz": "2400", "numanodes": "1",
        "sockets": "1", "cpucores": "8", "cputhreads": "2",
    }  # fmt: skip
    assert virt.freemem() == 16384 - 256 - 1024 - 2048


def test_every_method_of_the_table_can_be_sent(virt: Virt) -> None:
    for method in ("state", "list_vms", "virttype", "info", "nodeinfo", "freemem", "inventory"):
        value = getattr(virt, method)()
        assert wire.decode_response(wire.encode_result(value)) == value
    assert set(Virt.methods) <= set(virt.list_methods())
    wire.encode_result(virt.get_method_args())


def test_a_machine_goes_through_its_life(virt: Virt) -> None:
    free = virt.freemem()
    assert virt.create("off1") == 0
    assert virt.get_status("off1") == "running"
    assert virt.freemem() == free - 256
    assert virt.pause("off1") == 0
    assert virt.get_status("off1") == "paused"
    assert virt.unpause("off1") == 0
    assert virt.shutdown("off1") == 0
    assert virt.get_status("off1") == "shutdown"
    assert virt.create("off1") == 0
    assert virt.destroy("off1") == 0
    assert virt.undefine("off1") == 0
    assert virt.list_vms() == ["paused1", "run1"]


@pytest.mark.parametrize(
    ("method", "name", "text"),
    [
        ("create", "run1", "cannot create 'run1': it is running"),
        ("create", "paused1", "cannot create 'paused1': it is paused"),
        ("shutdown", "off1", "cannot shutdown 'off1': it is off"),
        ("shutdown", "paused1", "it is paused; only a running machine"),
        ("destroy", "off1", "there is no power to pull"),
        ("pause", "off1", "cannot pause 'off1': it is off"),
        ("unpause", "run1", "cannot unpause 'run1': it is running"),
        ("undefine", "run1", "shut it down or destroy it first"),
        ("get_status", "nope", "no machine 'nope' on this host; there are: off1"),
        ("get_xml", "", "no machine ''"),
        ("autostart", "nope", "no machine 'nope'"),
    ],
)
def test_what_makes_no_sense_now_is_told_and_changes_nothing(
    virt: Virt, method: str, name: str, text: str
) -> None:
    before = virt.state()
    with pytest.raises(HostError, match=text):
        getattr(virt, method)(name)
    assert virt.state() == before


def test_autostart_goes_on_and_off(virt: Virt) -> None:
    for args, expected in ((("off1",), 1), (("off1", "0"), 0), (("off1", True), 1), (("off1", False), 0)):
        assert virt.autostart(*args) == 0
        assert virt.info()["off1"]["autostart"] == expected


def test_cpus_of_a_machine_that_is_off_grow_beyond_their_maximum(virt: Virt) -> None:
    assert virt.get_maxVcpus("off1") == 2
    assert virt.set_vcpus("off1", "5") == 0  # the command line sends text
    assert virt.get_maxVcpus("off1") == 5
    assert virt.info()["off1"]["nrVirtCpu"] == 5


def test_cpus_of_a_running_machine_stay_within_their_maximum(virt: Virt) -> None:
    assert virt.set_vcpus("run1", 3) == 0
    assert virt.info()["run1"]["nrVirtCpu"] == 3
    with pytest.raises(HostError, match="'run1' runs with at most 4 CPUs; shut it down to give it 5"):
        virt.set_vcpus("run1", 5)


def test_memory_is_counted_in_kib(virt: Virt) -> None:
    assert virt.get_maxMemory("off1") == "524288"
    assert virt.set_maxMemory("off1", "1048576") == 0
    assert virt.set_memory("off1", 1048576) == 0
    assert virt.info()["off1"]["memory"] == "1048576"
    assert virt.set_maxMemory("off1", 131072) == 0  # takes the memory down with it
    assert virt.info()["off1"]["memory"] == "131072"
    assert virt.set_memory("run1", 524288) == 0
    assert virt.info()["run1"]["memory"] == "524288"
    virt.destroy("run1")
    assert virt.info()["run1"]["memory"] == "524288"  # at the next start, too


@pytest.mark.parametrize(
    ("method", "name", "value", "text"),
    [
        ("set_memory", "off1", 2**30, "at most 524288 KiB, not 1073741824; set_maxMemory first"),
        ("set_maxMemory", "run1", 2**20, "its maximum can be changed while it is off"),
        ("set_memory", "off1", "much", "memory in KiB is a whole number, not 'much'"),
        ("set_memory", "off1", 0, "a number from 1 to"),
        ("set_vcpus", "off1", -1, "the number of CPUs is a number from 1 to 4096, not -1"),
        ("set_vcpus", "off1", None, "not None"),
    ],
)
def test_a_shape_that_cannot_be_is_told(virt: Virt, method: str, name: str, value: Any, text: str) -> None:
    with pytest.raises(HostError, match=text):
        getattr(virt, method)(name, value)


def test_graphics_are_read_and_changed(virt: Virt) -> None:
    assert virt.get_graphics("off1") == {
        "type": "vnc", "port": "5901", "autoport": "no", "listen": "127.0.0.1", "keymap": "None"
    }  # fmt: skip
    assert virt.set_graphics("off1", "<graphics type='vnc' port='5907' listen='0.0.0.0' keymap='de'/>") == 0
    assert virt.get_graphics("off1") == {
        "type": "vnc", "port": "5907", "autoport": "no", "listen": "0.0.0.0", "keymap": "de"
    }  # fmt: skip
    assert virt.get_graphics("off1", "<graphics type='spice'/>")["type"] == "spice"
    virt.set_graphics("run1", "<graphics port='5908'/>")
    assert virt.get_graphics("run1")["port"] == "None"  # not before the next start
    virt.destroy("run1")
    assert virt.get_graphics("run1")["port"] == "5908"


@pytest.mark.parametrize(
    "xml", ["", "<graphics", "<disk file='/etc/shadow'/>", "<graphics/>", "<graphics passwd='x'/>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><graphics type='&b;'/>"]
)  # fmt: skip
def test_graphics_that_are_none_are_told_and_change_nothing(virt: Virt, xml: str) -> None:
    before = virt.get_xml("off1")
    with pytest.raises(HostError):
        virt.set_graphics("off1", xml)
    assert virt.get_xml("off1") == before


def test_a_host_that_koan_cannot_install_on_says_so(virt: Virt) -> None:
    with pytest.raises(
        HostError, match="koan installs through libvirt's QEMU driver, and this host has TEST"
    ):
        virt.install("master", "profile1")
    with pytest.raises(HostError, match="virt_name is no name"):
        virt.install("master", "profile1", False, "$(reboot)")


@pytest.mark.parametrize(
    ("text", "environment", "uri"),
    [
        ("uri = test:///default", "qemu:///x", "test:///default"),
        ("", "qemu:///x", "qemu:///x"),
        ("", None, "qemu:///system"),
    ],
)
def test_the_uri_comes_from_the_file_the_environment_or_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, environment: Any, uri: str
) -> None:
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    if environment:
        monkeypatch.setenv("LIBVIRT_DEFAULT_URI", environment)
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "etc/func/modules/Virt.conf").write_text(f"[main]\n{text}\n")
    opened: list[str] = []
    Virt(tmp_path, opened.append)  # type: ignore[arg-type, return-value]
    assert opened == [uri]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "etc/func/modules/Virt.conf").write_text("uri = x\n")
    with pytest.raises(ConfigError, match=r"Virt\.conf"):
        Virt(tmp_path)
