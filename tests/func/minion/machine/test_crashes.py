"""A minion that dies at any call to libvirt: the same operation again completes, and undo cleans up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from func.minion.libvirt_connection import Link, open_connection
from tests.func.minion.machine.support import NEW, OFF, RUN, Cloud, spec

pytestmark = pytest.mark.slow

libvirt = pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")

DISK = {"uuid": NEW, "pool": "default", "volume": "new.qcow2", "size_gb": 4, "format": "qcow2"}
NEW_SPEC = spec(disks=[{"pool": "default", "volume": "new.qcow2", "format": "qcow2"}])
KINDS = (libvirt.virDomain, libvirt.virStoragePool, libvirt.virStorageVol, libvirt.virNetwork)


class Crash(BaseException):
    """The minion is no more."""


class Mortal:
    """libvirt's objects, but the call number `fatal` is the last: it is made or not, and never comes back."""

    def __init__(self, real: Any, fatal: int, made: bool) -> None:
        self.fatal, self.made = fatal, made
        self.calls = 0
        self.connection = _Wrapped(real, self)

    def call(self, method: Any, arguments: tuple[Any, ...]) -> Any:
        self.calls += 1
        if self.calls == self.fatal and not self.made:
            raise Crash
        try:
            found = method(*arguments)
        finally:
            if self.calls == self.fatal:
                raise Crash  # whether it worked or not
        if isinstance(found, list):
            return [_Wrapped(each, self) if isinstance(each, KINDS) else each for each in found]
        return _Wrapped(found, self) if isinstance(found, KINDS) else found


class _Wrapped:
    def __init__(self, real: Any, mortal: Mortal) -> None:
        self._real, self._mortal = real, mortal

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        return lambda *arguments: self._mortal.call(method, arguments)

    def isAlive(self) -> int:
        return 1


class Host:
    """A host whose minion dies and is started anew; its libvirt lives on."""

    def __init__(self, root: Path, uri: str) -> None:
        self.root, self.uri = root, uri
        self.real = open_connection(uri)
        self.real.storagePoolLookupByName("cold").destroy()

    def minion(self, fatal: int = 0, made: bool = False) -> tuple[Cloud, Mortal]:
        mortal = Mortal(self.real, fatal, made)
        link = Link(self.uri)
        link._connection = mortal.connection
        return Cloud(self.root, self.uri, link), mortal

    def seen(self) -> Any:
        """All that is there: machines with their state and XML, and volumes."""
        machines = {
            domain.name(): (domain.state()[0], domain.autostart(), domain.XMLDesc().replace(" id='", "'"))
            for domain in self.real.listAllDomains()
        }
        pools = self.real.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        volumes = {
            (pool.name(), volume.name(), volume.info()[1])
            for pool in pools
            for volume in pool.listAllVolumes()
        }
        return machines, volumes


@pytest.fixture
def hosts(tmp_path: Path, cloud: Cloud) -> Iterator[Any]:
    """Makes hosts that are all alike."""
    numbers = iter(range(10_000))

    def make() -> Host:
        root = tmp_path / f"host{next(numbers)}"
        root.mkdir()
        return Host(root, f"test://{tmp_path / 'node.xml'}")

    yield make


CASES: dict[str, tuple[list[tuple[str, dict[str, Any]]], str, dict[str, Any]]] = {
    "create_disk": ([], "create_disk", DISK),
    "define": ([("create_disk", DISK)], "define", NEW_SPEC),
    "start": ([], "start", {"uuid": OFF}),
    "shutdown": ([], "shutdown", {"uuid": RUN}),
    "poweroff": ([], "poweroff", {"uuid": RUN}),
    "pause": ([], "pause", {"uuid": RUN}),
    "set_autostart": ([], "set_autostart", {"uuid": OFF, "on": True}),
    "set_shape off": ([], "set_shape", {"uuid": OFF, "memory_mb": 2048, "vcpus": 6}),
    "set_shape running": ([], "set_shape", {"uuid": RUN, "memory_mb": 512, "vcpus": 3}),
    "rename": ([], "rename", {"uuid": OFF, "name": "off2"}),
    "adopt": ([], "adopt", {"uuid": RUN}),
    "undefine": ([], "undefine", {"uuid": OFF}),
    "delete_disk": ([], "delete_disk", {"uuid": NEW, "pool": "default", "volume": "above.qcow2"}),
}
UNDO = {
    "create_disk": [("delete_disk", {"uuid": NEW, "pool": "default", "volume": "new.qcow2"})],
    "define": [
        ("undefine", {"uuid": NEW}),
        ("delete_disk", {"uuid": NEW, "pool": "default", "volume": "new.qcow2"}),
    ],
}


def crash(hosts: Any, name: str, fatal: int, made: bool) -> tuple[Host, bool]:
    """A host whose minion died at that call; whether it came that far."""
    before, verb, arguments = CASES[name]
    host = hosts()
    for earlier, given in before:
        host.minion()[0].do(earlier, "operation-earlier", **given)
    cloud, _ = host.minion(fatal, made)
    try:
        cloud.do(verb, "operation-x", **arguments)
    except Crash:
        return host, True
    return host, False


@pytest.mark.parametrize("made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_the_same_operation_again_completes_what_a_crash_cut_off(hosts: Any, name: str, made: bool) -> None:
    _, verb, arguments = CASES[name]
    wanted = crash(hosts, name, 0, made)[0].seen()
    for fatal in range(1, 200):
        host, died = crash(hosts, name, fatal, made)
        if not died:
            break
        minion = host.minion()[0]
        answer = minion.do(verb, "operation-x", **arguments)
        assert host.seen() == wanted, f"{verb}, call {fatal}"
        assert host.minion()[0].do(verb, "operation-x", **arguments) == answer
    print(f"{name}: {fatal - 1} points")
    assert 3 < fatal < 199


@pytest.mark.parametrize("made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", sorted(UNDO))
def test_undo_leaves_nothing_of_what_a_crash_cut_off(hosts: Any, name: str, made: bool) -> None:
    wanted = hosts().seen()
    for fatal in range(1, 200):
        host, died = crash(hosts, name, fatal, made)
        if not died:
            break
        for number, (verb, arguments) in enumerate(UNDO[name]):
            host.minion()[0].do(verb, f"undo-it-{number}", **arguments)
        assert host.seen() == wanted, f"{name}, call {fatal}"
    assert fatal > 3
