"""A certmaster, minions and a cloud master, as real processes on the loopback addresses of this machine."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from demo.layout import MASTER_ADDRESS, Ports, write_master, write_minion
from demo.nodes import Node, make_node
from demo.people import Admin, TokenError
from demo.ports import free_port
from demo.process import LogLine, Process, how_it_ended

CERTMASTER = "certmaster"
MASTER = "cloudmasterd"
_POLL_S = 0.05


class DemoError(Exception):
    """The demo cannot go on; the text says why and what would help."""


class Cloud:
    """A cloud below `root`. Call it from one thread that outlives it: its programs end with that thread."""

    def __init__(
        self,
        root: Path,
        clouds: int = 3,
        ports: Ports = Ports(),  # noqa: B008  (frozen)
        log: LogLine = lambda name, line: None,
        libvirt_uri: str = "",
        settings: Mapping[str, object] = {},
    ) -> None:
        self.root = root.resolve()
        self.nodes = tuple(make_node(number) for number in range(1, clouds + 1))
        self.ports = ports
        self.processes: dict[str, Process] = {}
        self._log = log
        self._libvirt_uri = libvirt_uri
        self._settings = dict(settings)

    # ------------------------------------------------------------------------------------------ places

    @property
    def url(self) -> str:
        """Where the pages and the REST interface are."""
        return f"http://{MASTER_ADDRESS}:{self.ports.web}/"

    @property
    def admin(self) -> Admin:
        """Its admin, whose API token is below `root`."""
        return Admin(self.root_of(MASTER), self.root / "admin-token", MASTER_ADDRESS, self.ports.web)

    @property
    def names(self) -> list[str]:
        """The cloud instances' names, by number."""
        return [node.name for node in self.nodes]

    def root_of(self, name: str) -> Path:
        """The root directory of a program; certmaster and the overlord share the master's."""
        return self.root / ("master" if name in (MASTER, CERTMASTER) else name)

    def command(self, program: str, *args: str, root: Optional[Path] = None) -> list[str]:
        """The command line of one of the project's programs below a root, by default the master's."""
        path = Path(sys.prefix) / "bin" / program
        if not path.exists():
            raise DemoError(f"{path} is not there: run `make setup`")
        return [str(path), "--root", str(root or self.root_of(MASTER)), *args]

    # ----------------------------------------------------------------------------------------- running

    def prepare(self) -> None:
        """Write every configuration file. What is there of certificates and database stays."""
        write_master(self.root_of(MASTER), self.nodes, self.ports, self._settings)
        for node in self.nodes:
            uri = self._libvirt_uri if node.number == 1 else ""
            write_minion(self.root_of(node.name), node, self.ports, uri)

    def busy_addresses(self) -> list[str]:
        """Those of the addresses it is going to listen on that somebody else has."""
        wanted = [(MASTER_ADDRESS, self.ports.web), (MASTER_ADDRESS, self.ports.certmaster)]
        wanted += [(node.address, self.ports.func) for node in self.nodes]
        return [f"{address}:{port}" for address, port in wanted if not _can_listen(address, port)]

    def start(self) -> None:
        """Prepare, start everything and return when the first round is in the store; raises DemoError."""
        self.prepare()
        self.start_certmaster()
        for node in self.nodes:
            self._spawn(node.name, "funcd")
        for node in self.nodes:
            self._wait_for_port(node.name, node.address, self.ports.func)
        self.start_master()
        self.wait_for_first_round()

    def start_certmaster(self) -> None:
        """Start certmaster and wait until it listens."""
        self._spawn(CERTMASTER, "certmaster")
        self._wait_for_port(CERTMASTER, MASTER_ADDRESS, self.ports.certmaster)

    def start_minion(self, name: str) -> None:
        """Start a cloud instance's minion, again too, and wait until it listens."""
        self._spawn(name, "funcd")
        self._wait_for_port(name, self.node(name).address, self.ports.func)

    def start_master(self) -> None:
        """Start cloudmasterd, wait until it listens, and see that its admin has a token that works."""
        self._spawn(MASTER, "cloudmasterd")
        self._wait_for_port(MASTER, MASTER_ADDRESS, self.ports.web)
        try:
            self.admin.keep_token()
        except (TokenError, OSError, ValueError, http.client.HTTPException) as exc:
            raise DemoError(f"there is no token that {self.url} takes: {exc}") from exc

    def end(self, name: str) -> None:
        """End one program and everything it started."""
        self.processes.pop(name).close()

    def stop(self) -> None:
        """End every program, the master first, all minions at once."""
        order = sorted(self.processes, key=lambda name: (name == CERTMASTER, name != MASTER))
        for name in order:
            if name not in (MASTER, CERTMASTER):
                self.processes[name].terminate()
        for name in order:
            self.end(name)

    def ended(self) -> list[tuple[str, int]]:
        """(name, exit code) of programs that ended by themselves since the last call; they are forgotten."""
        codes = [(name, process.exit_code()) for name, process in self.processes.items()]
        gone = [(name, code) for name, code in codes if code is not None]
        for name, _ in gone:
            self.end(name)
        return gone

    # ----------------------------------------------------------------------------------------- looking

    def node(self, name: str) -> Node:
        """The imagined cloud instance of that name."""
        return next(node for node in self.nodes if node.name == name)

    def get_json(self, path: str) -> Any:
        """What the REST interface answers its admin; raises OSError or ValueError when it is no answer."""
        connection = http.client.HTTPConnection(MASTER_ADDRESS, self.ports.web, timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": "application/json", **self.admin.headers()})
            response = connection.getresponse()
            return json.loads(response.read())
        finally:
            connection.close()

    def list_clouds(self) -> list[Any]:
        """Every cloud instance the REST interface knows, all pages of the list."""
        items: list[Any] = []
        path: Optional[str] = "/api/v1/clouds?limit=100"
        while path:
            page = self.get_json(path)
            items += page["items"]
            path = page["next"]
        return items

    def wait_for_first_round(self) -> None:
        """Wait until every cloud instance answered once or is known not to."""
        self._wait(self._first_round_done, "the first round over all cloud instances", (MASTER,))

    def _first_round_done(self) -> bool:
        try:
            states = {item["name"]: item["state"] for item in self.list_clouds()}
        except (OSError, ValueError, http.client.HTTPException):
            return False
        return all(states.get(name, "new") != "new" for name in self.names)

    # ---------------------------------------------------------------------------------------- internal

    def _spawn(self, name: str, program: str) -> None:
        root = self.root_of(name)
        env = {key: value for key, value in os.environ.items() if key != "LIBVIRT_DEFAULT_URI"}
        env.update(PYTHONUNBUFFERED="1", CERTMASTER_ROOT=str(root))
        self.processes[name] = Process(name, self.command(program, root=root), self._log, env)

    def _wait_for_port(self, name: str, address: str, port: int) -> None:
        self._wait(
            lambda: _listens(address, port), f"{name} to listen on {address}:{port}", (name, CERTMASTER)
        )

    def _wait(self, done: Callable[[], bool], what: str, needs: Sequence[str]) -> None:
        deadline = time.monotonic() + 60 + 2 * len(self.nodes)
        while not done():
            for name in needs:
                code = self.processes[name].exit_code() if name in self.processes else None
                if code is not None:
                    raise DemoError(f"{name} {how_it_ended(code)} while the demo waited for {what}")
            if time.monotonic() > deadline:
                raise DemoError(f"the demo waited for {what} in vain")
            time.sleep(_POLL_S)


def _can_listen(address: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
            sock.listen(1)
        except OSError:
            return False
    return True


def _listens(address: str, port: int) -> bool:
    # Asked of the kernel: to connect for the sake of looking would put a broken handshake into the log.
    local = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        next(table)
        return any(row[1] == local and row[3] == "0A" for row in map(str.split, table))


def free_ports() -> Ports:
    """Ports nobody has on any loopback address, so that several clouds run side by side."""
    return Ports(*(free_port() for _ in range(3)))
