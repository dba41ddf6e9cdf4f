"""The wire module `machine` as a caller meets it: ids, JSON, kinds of errors, one libvirt for all modules."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.errors import ConfigError, HostError
from func.minion import codes, registry
from func.minion.lane import Unanswered
from func.minion.libvirt_connection import Calls, Link, open_connection
from func.minion.machine.verbs import DESCRIBE, VERBS
from func.minion.modules.machine import Machine
from tests.func.minion.helpers import wait_for
from tests.func.minion.machine.support import NEW, NODE, OFF, RUN, Cloud, spec

FIRST = "operation-1"


@pytest.fixture
def methods(tmp_path: Path) -> Any:
    pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "node.xml").write_text(NODE)
    (tmp_path / "etc/func/modules/Virt.conf").write_text(f"[main]\nuri = test://{tmp_path}/node.xml\n")
    found = registry.load(tmp_path)
    yield found
    found.close()


def perform(methods: registry.Registry, operation: str, verb: str, **arguments: Any) -> Any:
    value = methods.call("machine.perform", [operation, verb, json.dumps(arguments)])
    assert wire.decode_response(wire.encode_result(value)) == value
    return value if wire.is_remote_error(value) else json.loads(value)


def inventory(methods: registry.Registry, cursor: str = "") -> tuple[dict[str, Any], str]:
    answer = json.loads(methods.call("virt.inventory", [cursor]))
    return {machine["name"]: machine for machine in answer["machines"]}, answer["cursor"]


def test_what_one_module_makes_the_other_shows(methods: registry.Registry) -> None:
    machines, cursor = inventory(methods)
    assert {name: machine["managed"] for name, machine in machines.items()} == {
        "off1": False, "run1": False, "paused1": False
    }  # fmt: skip
    perform(methods, FIRST, "define", **spec())
    machines, cursor = inventory(methods, cursor)
    assert list(machines) == ["new1.example.org"]
    assert machines["new1.example.org"]["managed"] is True
    perform(methods, "operation-2", "adopt", uuid=RUN)
    machines, cursor = inventory(methods, cursor)
    assert {name: machine["managed"] for name, machine in machines.items()} == {"run1": True}
    perform(methods, "operation-3", "set_shape", uuid=OFF, memory_mb=128)
    machines, cursor = inventory(methods, cursor)
    assert {name: machine["memory_mb"] for name, machine in machines.items()} == {"off1": 128}


def test_a_mark_set_past_us_is_seen(methods: registry.Registry, tmp_path: Path) -> None:
    libvirt = pytest.importorskip("libvirt")
    _, cursor = inventory(methods)
    domain = methods._modules["machine"]._link.connection().lookupByName("off1")  # type: ignore[attr-defined]
    for managed in ("yes", "no"):
        mark = f"<machine managed='{managed}'/>"
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, "x", "urn:cloudmasterd:machine", 2)
        wait_for(lambda: inventory(methods, cursor)[0], "the event came")  # noqa: B023
        machines, cursor = inventory(methods, cursor)
        assert machines["off1"]["managed"] is (managed == "yes")


@pytest.mark.parametrize(
    ("verb", "arguments", "kind"),
    [
        ("define", spec(name="run1"), "NameTaken"),
        ("start", {"uuid": NEW}, "NoSuchMachine"),
        ("define", spec(networks=[{"network": "x", "mac": "52:54:00:00:00:01"}]), "NoSuchNetwork"),
        ("delete_disk", {"uuid": NEW, "pool": "x", "volume": "x"}, "NoSuchPool"),
        ("define", spec(disks=[{"pool": "default", "volume": "x"}]), "NoSuchVolume"),
        (
            "create_disk",
            {"uuid": NEW, "pool": "default", "volume": "base.qcow2", "size_gb": 1},
            "VolumeExists",
        ),
        ("delete_disk", {"uuid": NEW, "pool": "default", "volume": "base.qcow2"}, "VolumeInUse"),
        ("create_disk", {"uuid": NEW, "pool": "default", "volume": "x", "size_gb": 999}, "DiskFull"),
        ("undefine", {"uuid": RUN}, "WrongState"),
        ("define", spec(firmware="uefi"), "Unsupported"),
        ("define", spec(memory_mb=0), "BadSpec"),
        ("set_shape", {"uuid": OFF, "memory_mb": 16777216, "vcpus": 4096}, "HostError"),
    ],
)
def test_every_kind_of_error_reaches_the_caller(
    methods: registry.Registry, verb: str, arguments: dict[str, Any], kind: str
) -> None:
    for _ in range(2):  # the stored one as well
        mark, sent, text, _ = perform(methods, FIRST, verb, **arguments)
        assert (mark, sent.rpartition(".")[2]) == ("REMOTE_ERROR", kind)
        assert text
        assert wire.to_remote_fault([mark, sent, text, ""]).short_kind == kind


def test_an_id_serves_one_purpose(methods: registry.Registry) -> None:
    perform(methods, FIRST, "start", uuid=OFF)
    assert perform(methods, FIRST, "start", uuid=RUN)[1] == "func.minion.codes.OperationMismatch"
    assert perform(methods, FIRST, "poweroff", uuid=OFF)[1] == "func.minion.codes.OperationMismatch"


@pytest.mark.parametrize(
    ("operation", "verb", "text", "said"),
    [
        ("x", "start", "{}", "8 to 64 letters"),
        ("x", DESCRIBE, f'{{"uuid": "{OFF}"}}', "8 to 64 letters"),
        (FIRST, "explode", "{}", "unknown verb 'explode'; known are adopt, create_disk, define, delete_disk"),
        (FIRST, "__init__", "{}", "unknown verb"),
        (FIRST, ["start"], "{}", r"unknown verb \['start'\]"),
        (FIRST, "start", "{", "are no JSON"),
        (FIRST, "start", "[" * 100_000, "are no JSON"),
        (FIRST, "start", "[]", "are a JSON object"),
        (FIRST, "start", "x" * 300_000, "at most 262144 characters"),
        (FIRST, "start", 7, "are a JSON text"),
        (FIRST, "start", "{}", "uuid is missing"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_trace(
    cloud: Cloud, operation: Any, verb: str, text: Any, said: str
) -> None:
    with pytest.raises(codes.BadSpec, match=said):
        cloud.module.perform(operation, verb, text)
    assert not (cloud.module.root / "var").exists()


def test_the_state_of_an_operation_is_told(cloud: Cloud) -> None:
    assert json.loads(cloud.module.operation(FIRST)) == {"state": "unknown"}
    cloud.do("start", FIRST, uuid=OFF)
    assert json.loads(cloud.module.operation(FIRST)) == {"state": "ended"}
    cloud.do(DESCRIBE, "operation-2", uuid=OFF)
    assert json.loads(cloud.module.operation("operation-2")) == {"state": "unknown"}


def test_the_same_creation_many_times_at_once_makes_one_machine(cloud: Cloud) -> None:
    answers: list[str] = []
    text = json.dumps(spec())
    threads = [
        threading.Thread(target=lambda: answers.append(cloud.module.perform(FIRST, "define", text)))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 50
    assert set(answers) == {'{"made":true,"firmware":"bios","machine_type":""}'}


def test_a_libvirt_that_is_down_leaves_the_operation_unasked(tmp_path: Path) -> None:
    pytest.importorskip("libvirt")
    (tmp_path / "node.xml").write_text(NODE)
    good = f"test://{tmp_path}/node.xml"
    uris = ["qemu+unix:///session?socket=/nonexistent/socket"]
    cloud = Cloud(tmp_path, good, Link(good, lambda _: open_connection(uris[0])))
    with pytest.raises(HostError, match="cannot be opened") as caught:
        cloud.do("start", FIRST, uuid=OFF)
    assert type(caught.value) is HostError
    assert json.loads(cloud.module.operation(FIRST)) == {"state": "unknown"}
    uris[0] = good
    assert cloud.do("start", FIRST, uuid=OFF) == {"changed": True, "state": "running"}


def test_a_libvirt_that_hangs_leaves_the_operation_open_and_it_can_be_asked_again(cloud: Cloud) -> None:
    entered, release = threading.Event(), threading.Event()
    cloud.module._calls = Calls(cloud.link, read_limit_s=5, act_limit_s=0.2)
    real = cloud.connection

    class Hanging:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def lookupByUUIDString(self, uuid: str) -> Any:
            entered.set()
            release.wait(60)
            return real.lookupByUUIDString(uuid)

    cloud.link._connection = Hanging()
    with pytest.raises(Unanswered, match="what was asked may yet happen"):
        cloud.do("start", FIRST, uuid=OFF)
    assert json.loads(cloud.module.operation(FIRST)) == {"state": "cut-off"}
    release.set()
    wait_for(lambda: cloud.module._calls._acting._busy_since is None, "it is free again")
    assert cloud.do("start", FIRST, uuid=OFF) == {"changed": False, "state": "running"}
    assert json.loads(cloud.module.operation(FIRST)) == {"state": "ended"}


def test_a_connection_that_breaks_in_the_middle_leaves_the_operation_open(cloud: Cloud) -> None:
    libvirt = pytest.importorskip("libvirt")
    real = cloud.connection

    class Breaking:
        alive = 1

        def isAlive(self) -> int:
            return self.alive

        def close(self) -> None:
            pass

        def lookupByUUIDString(self, uuid: str) -> Any:
            real.lookupByUUIDString(uuid).create()
            self.alive = 0
            raise libvirt.libvirtError("end of file while reading data")

    cloud.link._connection = Breaking()
    cloud.link._connect = lambda uri: real
    with pytest.raises(Unanswered, match="went away in the middle"):
        cloud.do("start", FIRST, uuid=OFF)
    assert cloud.do("start", FIRST, uuid=OFF) == {"changed": False, "state": "running"}


@pytest.mark.parametrize(
    ("text", "uri", "folder"),
    [
        ("", "qemu:///system", "var/log/libvirt/qemu"),
        ("", "qemu:///session", None),
        ("console_log_dir = /srv/logs", "qemu:///session", "srv/logs"),
        ("console_log_dir =", "qemu:///system", None),
    ],
)
def test_consoles_are_logged_where_that_can_work(tmp_path: Path, text: str, uri: str, folder: Any) -> None:
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "etc/func/modules/Virt.conf").write_text(f"[main]\nuri = {uri}\n")
    (tmp_path / "etc/func/modules/Machine.conf").write_text(f"[main]\n{text}\n")
    found = Machine(tmp_path)._setup.console_log_dir
    assert found == (None if folder is None else tmp_path / folder)


def test_a_setting_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "etc/func/modules/Machine.conf").write_text("[main]\nvirt_type = vmware\n")
    with pytest.raises(ConfigError, match=r"Machine\.conf: virt_type = vmware: write one of auto, kvm, qemu"):
        Machine(tmp_path)


def test_every_verb_of_the_contract_is_there() -> None:
    assert sorted([*VERBS, DESCRIBE]) == [
        "adopt", "create_disk", "define", "delete_disk", "describe", "pause", "poweroff", "reboot", "rename",
        "reset", "resume", "set_autostart", "set_shape", "shutdown", "start", "undefine",
    ]  # fmt: skip
