"""LibvirtHost and the virt module on libvirt's real test driver, and on hosts that hang or break."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from func.errors import HostError
from func.minion.host import PAUSE, START
from func.minion.libvirt_connection import Link, open_connection
from func.minion.libvirt_host import LibvirtHost
from func.minion.modules.virt import Virt
from tests.func.minion.helpers import NODE, wait_for

libvirt = pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")

EXTRA = """<domain type='test'><name>{name}</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>
<os><type>hvm</type></os></domain>"""


@pytest.fixture
def host(node_uri: str) -> Iterator[LibvirtHost]:
    host = LibvirtHost(Link(node_uri))
    yield host
    host.close()


@pytest.fixture
def virt(tmp_path: Path, host: LibvirtHost) -> Virt:
    return Virt(tmp_path, lambda uri: host)


@pytest.fixture
def connection(host: LibvirtHost) -> Any:
    """The host's own connection, as an administrator with virsh would use another one of the same libvirt."""
    host.node()
    return host._link.connection()


def delta(virt: Virt, cursor: str) -> tuple[dict[str, Any], dict[str, Any]]:
    answer = json.loads(virt.inventory(cursor))
    return {told["name"]: told for told in answer["machines"]}, answer


def cursor_of(virt: Virt) -> str:
    return str(json.loads(virt.inventory(""))["cursor"])


def test_everything_is_in_the_first_inventory(virt: Virt) -> None:
    machines, answer = delta(virt, "")
    assert answer["full"] is True
    assert answer["cloud"] == {
        "arch": "x86_64", "cpus": 16, "memory_mb": 16384, "live_free_memory_mb": None
    }  # fmt: skip
    assert machines["off1"] == {
        "uuid": "11111111-1111-1111-1111-111111111111", "name": "off1", "state": "off", "memory_mb": 256,
        "max_memory_mb": 512, "vcpus": 2, "autostart": False, "managed": False,
    }  # fmt: skip
    assert (machines["run1"]["state"], machines["paused1"]["state"]) == ("running", "paused")


def test_the_test_driver_is_not_asked_what_its_kernel_has(tmp_path: Path) -> None:
    host = LibvirtHost(Link("test:///default"))  # it would say 3 MB of 3 GB
    try:
        answer = json.loads(Virt(tmp_path, lambda uri: host).inventory(""))
        assert answer["cloud"]["live_free_memory_mb"] is None
    finally:
        host.close()


def test_define_start_stop_rename_and_undefine_are_seen_one_by_one(virt: Virt, connection: Any) -> None:
    cursor = cursor_of(virt)
    domain = connection.defineXML(EXTRA.format(name="new1"))
    steps: list[tuple[Callable[[], Any], str, str]] = [
        (lambda: None, "new1", "off"),
        (domain.create, "new1", "running"),
        (domain.suspend, "new1", "paused"),
        (domain.destroy, "new1", "off"),
        (lambda: domain.rename("new2"), "new2", "off"),
    ]
    for change, name, state in steps:
        change()
        machines, answer = delta(virt, cursor)
        assert {name: state} == {told["name"]: told["state"] for told in machines.values()}
        cursor = answer["cursor"]
    uuid = domain.UUIDString()
    connection.lookupByName("new2").undefine()
    machines, answer = delta(virt, cursor)
    assert (machines, answer["gone"], answer["full"]) == ({}, [uuid], False)


@pytest.mark.parametrize("name", ["off1", "run1"])
def test_a_change_of_memory_without_an_event_is_seen(virt: Virt, connection: Any, name: str) -> None:
    cursor = cursor_of(virt)
    connection.lookupByName(name).setMemoryFlags(
        128 * 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE if name == "run1" else libvirt.VIR_DOMAIN_AFFECT_CONFIG
    )
    machines, _ = delta(virt, cursor)
    assert {told["name"]: told["memory_mb"] for told in machines.values()} == {name: 128}


@pytest.mark.parametrize("name", ["off1", "run1"])
def test_a_change_of_autostart_which_has_no_event_is_seen(virt: Virt, connection: Any, name: str) -> None:
    for on in (True, False):
        cursor = cursor_of(virt)
        connection.lookupByName(name).setAutostart(int(on))
        machines, _ = delta(virt, cursor)
        assert {told["name"]: told["autostart"] for told in machines.values()} == {name: on}


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Callable[[int], tuple[Virt, LibvirtHost, Any]]]:
    """A module whose host asks so many idle machines anew in each round; ten more are there, off."""
    runstate = "<test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>5</test:runstate>"
    more = "".join(EXTRA.format(name=f"idle{n}").replace("<os>", f"{runstate}<os>") for n in range(10))
    node = tmp_path / "node.xml"
    node.write_text(NODE.replace("</node>", f"{more}</node>"))
    hosts: list[LibvirtHost] = []

    def start(idle_reads: int) -> tuple[Virt, LibvirtHost, Any]:
        hosts.append(LibvirtHost(Link(f"test://{node}"), idle_reads=idle_reads))
        hosts[-1].node()
        return Virt(tmp_path, lambda uri: hosts[-1]), hosts[-1], hosts[-1]._link.connection()

    yield start
    for host in hosts:
        host.close()


def test_of_many_idle_machines_each_gets_its_turn(
    few: Callable[[int], tuple[Virt, LibvirtHost, Any]],
) -> None:
    virt, host, connection = few(3)
    domains = [handle for handle in connection.listAllDomains() if handle.name().startswith("idle")]
    cursor = cursor_of(virt)
    assert len(domains) == 10
    for domain in domains:
        domain.setMemoryFlags(64 * 1024, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    seen: set[str] = set()
    for _ in range(4):  # ten and off1, three a round
        machines, answer = delta(virt, cursor)
        assert len(machines) <= 3
        seen |= set(machines)
        cursor = answer["cursor"]
    assert len(seen) == 10


def test_an_event_brings_an_idle_machine_up_at_once(
    few: Callable[[int], tuple[Virt, LibvirtHost, Any]],
) -> None:
    virt, host, connection = few(0)
    cursor = cursor_of(virt)
    uuid = "11111111-1111-1111-1111-111111111111"
    xml = connection.lookupByName("off1").XMLDesc().replace("262144", "131072")
    assert uuid in host._idle
    connection.defineXML(xml)
    wait_for(lambda: uuid not in host._idle, "the event came")
    assert delta(virt, cursor)[0]["off1"]["memory_mb"] == 128


def test_a_snapshot_of_many_machines_is_cheap(virt: Virt, connection: Any) -> None:
    for number in range(300):
        domain = connection.defineXML(EXTRA.format(name=f"m{number}"))
        if number % 2:
            domain.create()
    cursor = cursor_of(virt)
    began = time.process_time()
    assert len(virt.inventory(cursor)) < 120
    assert time.process_time() - began < 1  # about 4 ms in fact


def test_a_connection_that_was_lost_is_opened_again(host: LibvirtHost, connection: Any) -> None:
    before = host.snapshot()
    closed = _Dead(connection)
    host._link._connection = closed
    after = host.snapshot()
    assert host._link.connection() is not closed
    assert {m.name for m in after.machines} == {m.name for m in before.machines}


class _Dead:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def isAlive(self) -> int:  # noqa: N802
        return 0

    def close(self) -> None:
        pass


def test_a_libvirt_that_is_down_is_told_and_comes_back_by_itself(node_uri: str) -> None:
    uris = ["qemu+unix:///session?socket=/nonexistent/socket"]
    host = LibvirtHost(Link("the host", lambda _: open_connection(uris[0])))
    for _ in range(2):
        with pytest.raises(HostError, match="libvirt at the host cannot be opened: .*socket"):
            host.snapshot()
    uris[0] = node_uri
    assert len(host.snapshot().machines) == 3
    host.close()


def test_a_connection_that_was_lost_is_let_go_of_with_its_socket(node_uri: str) -> None:
    held: list[int] = []

    class Lost:
        """A connection that is told to be lost, and how much of it is left once it was closed."""

        def __init__(self) -> None:
            self._real = open_connection(node_uri)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def isAlive(self) -> int:  # noqa: N802
            return 0

        def close(self) -> None:
            held.append(self._real.close())

    link = Link("the host", lambda _: Lost())
    for _ in range(3):
        link.connection()
    link.close()
    assert held == [0, 0, 0]


def test_a_libvirt_that_hangs_costs_its_callers_the_limit_and_leaves_acting_alone(node_uri: str) -> None:
    release = threading.Event()

    class Hanging:
        """A connection whose lists never come."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def getAllDomainStats(self, *args: Any) -> Any:  # noqa: N802
            release.wait(120)
            return self._real.getAllDomainStats(*args)

    host = LibvirtHost(Link(node_uri, lambda uri: Hanging(open_connection(uri))), read_limit_s=1.0)
    threads = threading.active_count()
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(HostError, match=r"libvirt has not answered for \d+ s$"):
            host.snapshot()
    assert time.monotonic() - began < 30, "each would have waited 1 s"
    host.perform("run1", PAUSE)
    assert threading.active_count() <= threads + 3
    release.set()
    wait_for(lambda: host._calls._reading._busy_since is None, "it is free again")
    assert {m.name: m.state for m in host.snapshot().machines}["run1"] == "paused"
    host.close()


def test_a_machine_that_is_not_there_is_named_with_those_that_are(host: LibvirtHost) -> None:
    with pytest.raises(HostError, match="no machine 'nope' on this host; there are: off1, paused1, run1"):
        host.perform("nope", START)


# In a process of its own: here the thread that waits for libvirt's events would miss the binding as well.
WITHOUT_BINDING = """
import sys
sys.modules["libvirt"] = None
from func.minion.libvirt_connection import Link
from func.minion.libvirt_host import LibvirtHost
LibvirtHost(Link("test:///default")).snapshot()
"""


def test_a_binding_that_is_not_installed_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BINDING], cwd=Path(__file__).parents[3],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("func.errors.HostError: libvirt's Python binding is not")
    assert done.stderr.endswith("install python3-libvirt\n")
