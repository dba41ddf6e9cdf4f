"""A cloud instance that can be installed anew: scripts for its programs, the test as its installer."""

from __future__ import annotations

import http.client
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from demo.cloud import Cloud, free_ports
from demo.layout import write_minion
from tests.integration.conftest import write_log
from tests.integration.machines import get, send
from tests.integration.support import eventually

HOST = "cloud1.example.org"
PROFILE = "GenomeCloud-F42-x86_64"

# Notes what it is asked and reads; waits as long as the file `hold` is there, and fails where `fail` is.
PROGRAM = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/asked"
case "$*" in
  *--cancel*) rm -f "$here/metadata";;
  *) cat > "$here/metadata.new"
     while [ -f "$here/hold" ]; do sleep 0.05; done
     [ -f "$here/fail" ] && { echo '{"outcome": "failed", "code": 4, "detail": "no such profile"}'; exit 4; }
     mv "$here/metadata.new" "$here/metadata";;
esac
echo '{"outcome": "done", "code": 0, "detail": "the next boot installs"}'
"""
REBOOT = """#!/bin/sh
echo rebooting >> "$(dirname "$0")/rebooted"
"""


class _Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/cobbler_api",)


@contextmanager
def cobbler_stand_in() -> Iterator[int]:
    """A server that has the one profile and says nothing else; its port."""
    with SimpleXMLRPCServer(("127.0.0.1", 0), _Handler, logRequests=False, allow_none=True) as server:
        distro = {"name": "F42-x86_64", "arch": "x86_64", "breed": "redhat", "os_version": "fedora42"}
        profile = {"name": PROFILE, "distro": "F42-x86_64", "parent": ""}
        server.register_function(lambda: 1.0, "last_modified_time")
        server.register_function(lambda: [distro], "get_distros")
        server.register_function(lambda: [profile], "get_profiles")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join(60)


class Rebuildable:
    """The cloud, and what happens to its first cloud instance between its reboot and its return."""

    def __init__(self, folder: Path, cobbler_port: int, **settings: Any) -> None:
        ports = free_ports()
        self.cloud = Cloud(
            folder / "cloud", 1, ports=ports, log=self._log,
            settings={
                "poll_interval_s": 1, "minion_timeout_s": 5, "cobbler_server": f"127.0.0.1:{cobbler_port}",
                "public_url": f"http://127.0.0.1:{ports.web}/", "task_patience_s": 120, **settings,
            },
        )  # fmt: skip
        self.lines: list[str] = []
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.root = self.cloud.root_of(HOST)

    def _log(self, name: str, line: str) -> None:
        self.lines.append(line)
        write_log(name, line)

    def start(self) -> None:
        for name, text in (("program", PROGRAM), ("reboot", REBOOT)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.boot()
        self.cloud.start()
        self._let_nobody_in_by_itself()

    def stop(self) -> None:
        self.cloud.stop()

    def _let_nobody_in_by_itself(self) -> None:
        file = self.cloud.root_of("certmaster") / "etc/certmaster/certmaster.conf"
        file.write_text(file.read_text().replace("autosign = yes", "autosign = no"))
        self.cloud.end("certmaster")
        self.cloud.start_certmaster()

    def boot(self) -> str:
        """Give the cloud instance the id of a new boot, and the programs."""
        boot_id = self.root / "proc/sys/kernel/random/boot_id"
        boot_id.parent.mkdir(parents=True, exist_ok=True)
        boot_id.write_text(f"{uuid.uuid4()}\n")
        conf = self.root / "etc/func/modules/Genome.conf"
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text(f"[main]\nprogram = {self.bin}/program\nreboot_program = {self.bin}/reboot\n")
        return boot_id.read_text()

    def ask(self, **body: Any) -> Any:
        """The task of a rebuilding."""
        reply = send(self.cloud, "POST", f"/clouds/{HOST}/rebuild", body)
        assert reply.status == 202, reply.body
        return reply.json

    def task(self, number: int) -> Any:
        return get(self.cloud, f"/tasks/{number}")

    def step(self, number: int, name: str) -> Any:
        return next(step for step in self.task(number)["steps"] if step["name"] == name)

    def wait_for(self, number: int, name: str, state: str = "running", within_s: float = 120.0) -> None:
        eventually(lambda: self.step(number, name)["state"] == state, f"{name} to be {state}", within_s)

    def ended(self, number: int, within_s: float = 180.0) -> Any:
        eventually(lambda: self.task(number)["ended_at"], f"task {number} to end", within_s)
        return self.task(number)

    def living(self) -> list[str]:
        return [m["name"] for m in get(self.cloud, f"/machines?cloud={HOST}&limit=100")["items"]]

    def lines_of(self, name: str) -> list[str]:
        file = self.bin / name
        return file.read_text().splitlines() if file.exists() else []

    def metadata(self) -> dict[str, str]:
        """What is on the installer's kernel command line."""
        return dict(line.split("=", 1) for line in self.lines_of("metadata"))

    def go_down(self) -> None:
        """What the order to reboot does: nothing of the old system runs any more."""
        eventually(lambda: self.lines_of("rebooted"), "the order to reboot")
        self.cloud.end(HOST)

    def report(self, phase: str, text: str = "", method: str = "POST") -> int:
        """What the installing machine says, by a connection of its own."""
        address = urlsplit(self.metadata()["genome_report"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        body = urlencode({"text": text})
        try:
            path = f"{address.path}/{phase}"
            if method == "GET":
                connection.request("GET", f"{path}?{body}")
            else:
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", path, body, kind)
            return connection.getresponse().status
        finally:
            connection.close()

    def install(self) -> None:
        """Erase the disk, and put there what the kickstart makes of the metadata."""
        given = self.metadata()
        shutil.rmtree(self.root)
        write_minion(self.root, replace(self.cloud.node(HOST), machines=()), self.cloud.ports)
        (self.root / "etc/certmaster/minion.conf").write_text(
            f"[main]\ncertmaster = {given['certmaster']}\ncertmaster_port = {self.cloud.ports.certmaster}\n"
            f"ca_fingerprint = {given['genome_ca']}\n"
        )
        token = self.root / "etc/certmaster/token"
        token.touch(mode=0o600)
        token.write_text(given["genome_token"])
        self.boot()

    def come_back(self) -> None:
        """Boot what was installed: it enrols with its token, and answers."""
        self.cloud.start_minion(HOST)
