"""A minion as Func 0.30 had it, without virt.inventory, appears in the same list by the classic methods."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.support import find_machine, get_cloud, refresh, run_command

NAME = "cloud2.example.org"
MIB = 1024


class ClassicVirt:
    """Func 0.30's answers: numbers as strings, memory in KiB."""

    def __init__(self) -> None:
        self.state = "running"

    def call(self, method: str, params: tuple[Any, ...]) -> Any:
        info = {
            "maxMem": str(2048 * MIB),
            "memory": str(2048 * MIB),
            "cpuTime": "77",
            "nrVirtCpu": 2,
            "autostart": 1,
        }
        answers: dict[str, Any] = {
            "virt.info": {"old1.example.org": {"state": self.state, **info}},
            "virt.state": [f"old1.example.org {self.state}"],
            "virt.list_vms": ["old1.example.org"],
            "virt.freemem": 16384 - 256 - 2048,
            "virt.virttype": "QEMU",
            "virt.nodeinfo": {
                "cpumodel": "x86_64", "phymemory": "16384", "cpus": "4", "cpumhz": "2400", "numanodes": "1",
                "sockets": "1", "cpucores": "4", "cputhreads": "1",
            },
            "system.list_modules": ["test", "virt"],
            "system.list_methods": ["virt.info", "virt.state", "virt.freemem", "virt.nodeinfo"],
            "test.ping": 1,
        }  # fmt: skip
        if method not in answers:
            kind = "<class 'func.minion.codes.InvalidMethodException'>"
            return ["REMOTE_ERROR", kind, "", "  Traceback (most recent call last): ..."]
        return answers[method]


class _Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc_paths = ("/", "/RPC2")

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer, SimpleXMLRPCDispatcher):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    logRequests = False
    _send_traceback_header = False

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, virt: ClassicVirt) -> None:
        SimpleXMLRPCDispatcher.__init__(self, allow_none=True, encoding="utf-8", use_builtin_types=True)
        self._virt = virt
        super().__init__(address, _Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def _dispatch(self, method: str, params: tuple[Any, ...]) -> Any:
        return self._virt.call(method, params)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.fixture(scope="module")
def virt() -> ClassicVirt:
    return ClassicVirt()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, virt: ClassicVirt) -> Iterator[Cloud]:
    """A minion of today beside one of 2009."""
    made = Cloud(
        tmp_path_factory.mktemp("mixed"), clouds=2, ports=free_ports(), log=write_log,
        settings={"poll_interval_s": 3600, "breaker_max_interval_s": 3600},
    )  # fmt: skip
    made.prepare()
    server = None
    try:
        made.start_certmaster()
        made.start_minion("cloud1.example.org")
        done = run_command(made, "certmaster-request", "--name", NAME, root=made.root_of(NAME))
        assert done.returncode == 0, done.stderr
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        directory: Path = made.root_of(NAME) / "etc/pki/certmaster"
        context.load_cert_chain(directory / f"{NAME}.cert", directory / f"{NAME}.pem")
        context.load_verify_locations(directory / "ca.cert")
        context.verify_mode = ssl.CERT_REQUIRED
        server = _Server((made.node(NAME).address, made.ports.func), context, virt)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.start_master()
        made.wait_for_first_round()
        yield made
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()
        made.stop()


def test_it_stands_beside_the_others_with_the_same_figures(mixed: Cloud) -> None:
    item = get_cloud(mixed, NAME)
    assert (item["state"], item["error"]) == ("up", None)
    assert (item["memory_mb"], item["cpus"], item["arch"]) == (16384, 4, "x86_64")
    assert (item["machines"], item["running"]) == (1, 1)
    assert item["free_memory_mb"] == 16384 - 1024 - (2048 + 128)
    assert get_cloud(mixed, "cloud1.example.org")["state"] == "up"


def test_its_machines_are_in_the_list(mixed: Cloud) -> None:
    machine = find_machine(mixed, "old1.example.org")
    assert machine is not None
    assert (machine["cloud"], machine["state"], machine["max_memory_mb"], machine["vcpus"]) == (
        NAME,
        "running",
        2048,
        2,
    )


def test_a_machine_that_stops_there_gives_its_memory_back(mixed: Cloud, virt: ClassicVirt) -> None:
    before = find_machine(mixed, "old1.example.org")
    virt.state = "shutdown"
    assert refresh(mixed, NAME).status == 200
    after = find_machine(mixed, "old1.example.org")
    assert (after["state"], after["uuid"]) == ("off", before["uuid"])
    assert get_cloud(mixed, NAME)["free_memory_mb"] == 16384 - 1024
    virt.state = "running"


def test_func_itself_talks_to_it_as_well(mixed: Cloud) -> None:
    done = run_command(mixed, "func", "*", "call", "virt", "freemem")
    assert f"'{NAME}': {16384 - 256 - 2048}" in done.stdout, done.stdout + done.stderr
