"""Simulated cloud instances: funcd's own server and inventory, with 25 made-up machine instances each.

Run as `python -m benchmarks.simulated ROOT PORT FIRST LAST`, it serves the cloud instances FIRST to LAST on
127.0.0.(number + 1) until its standard input ends. Certificates are taken from ROOT; `make_certificates` and
`write_overlord` put them and the overlord's files there.
"""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from certmaster import ca
from demo.layout import Ports, write_master
from demo.nodes import Node
from func import tls
from func.minion.inventory import CloudFacts, InventoryLog, MachineFacts, Snapshot
from func.minion.server import MinionServer

MACHINES = 25
MEMORY_MB = 128 * 1024
MACHINE_MB = 2048


def name_of(number: int) -> str:
    """The name of a simulated cloud instance."""
    return f"cloud{number}.example.org"


def make_node(number: int) -> Node:
    """Where a simulated cloud instance listens; its machines are not in a node file."""
    return Node(number, name_of(number), f"127.0.0.{number + 1}", 32, MEMORY_MB, ())


def facts(number: int) -> Snapshot:
    """What the minion of this cloud instance reports: 25 machines, four of five running."""
    machines = []
    for i in range(MACHINES):
        name = f"machine{number}-{i}.example.org"
        state = "off" if i % 5 == 4 else "running"
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        machines.append(MachineFacts(identity, name, state, MACHINE_MB, MACHINE_MB, 2, i % 2 == 0))
    return Snapshot(1, CloudFacts("x86_64", 32, MEMORY_MB, 60_000), tuple(machines))


class Registry:
    """The few methods a cloud master calls, answered from memory."""

    def __init__(self, number: int) -> None:
        snapshot = facts(number)
        self._log = InventoryLog(f"{number:x}")
        self._log.record(snapshot)
        kib = str(MACHINE_MB * 1024)
        self._info = {
            m.name: {
                "state": "running" if m.state == "running" else "shutdown", "maxMem": kib, "memory": kib,
                "cpuTime": "123456789000", "nrVirtCpu": m.vcpus, "autostart": int(m.autostart),
            }
            for m in snapshot.machines
        }  # fmt: skip
        self._nodeinfo = {
            "cpumodel": "x86_64", "phymemory": str(MEMORY_MB), "cpus": "32", "cpumhz": "2600",
            "numanodes": "1", "sockets": "2", "cpucores": "16", "cputhreads": "1",
        }  # fmt: skip

    def dispatch(self, peer: object, method: str, args: Sequence[Any]) -> Any:
        """What the server calls for each request."""
        if method == "virt.inventory":
            return self._log.answer(*args)
        return {"virt.info": self._info, "virt.freemem": 77_000, "virt.nodeinfo": self._nodeinfo}[method]


def make_certificates(root: Path, numbers: Sequence[int]) -> None:
    """A certmaster's files for these cloud instances. They share a key: the handshakes cost the same."""
    now = datetime.now(timezone.utc)
    authority_key, key = ca.new_key(ca.CA_KEY_BITS), ca.new_key()
    authority = ca.make_ca("benchmark", authority_key, 1, now)
    ca_dir, certs = root / "etc/pki/certmaster/ca", root / "var/lib/certmaster/certs"
    for directory in (ca_dir, certs):
        directory.mkdir(parents=True)
    (ca_dir / "certmaster.crt").write_bytes(authority)
    (ca_dir / "certmaster.key").write_bytes(authority_key)
    (ca_dir / "certmaster.key").chmod(0o600)
    (root / "minion.key").write_bytes(key)
    # No certmaster runs that could be asked for the cloud master's.
    pki = root / "var/lib/cloudmasterd/pki"
    pki.mkdir(mode=0o700, parents=True)
    (pki / "cloudmaster.pem").write_bytes(key)
    own = ca.sign_master(
        ca.make_request(key, "cloudmaster"), "cloudmaster@benchmark", authority, authority_key,
        len(numbers) + 10, now, 365,
    )  # fmt: skip
    (pki / "cloudmaster.cert").write_bytes(own)
    for number in numbers:
        request = ca.make_request(key, name_of(number))
        signed = ca.sign(request, authority, authority_key, number + 1, now, 365)
        (certs / f"{name_of(number)}.cert").write_bytes(signed)


def write_overlord(root: Path, numbers: Sequence[int], ports: Ports, settings: dict[str, object]) -> None:
    """The master's configuration files."""
    write_master(root, [make_node(number) for number in numbers], ports, settings)


def main(argv: Sequence[str]) -> int:
    """Serve until standard input ends."""
    root, port, first, last = Path(argv[0]), int(argv[1]), int(argv[2]), int(argv[3])
    servers = []
    for number in range(first, last + 1):
        node = make_node(number)
        certificate = root / f"var/lib/certmaster/certs/{node.name}.cert"
        context = tls.server_context(
            certificate, root / "minion.key", root / "etc/pki/certmaster/ca/certmaster.crt"
        )
        servers.append(MinionServer(node.address, port, context, Registry(number).dispatch))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
