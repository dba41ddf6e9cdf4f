"""The imagined cloud instances of the demo: sizes, machine instances, and libvirt's node file of each."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

DOMAIN = "example.org"
ISO = "rescue.iso"  # in the pool `default` of every cloud instance
MOST_CLOUDS = 250  # 127.0.0.1 is the cloud master's address, 127.0.0.251 the last one's

# (memory in GB, CPUs), by number; the first three are told apart at a glance.
_SIZES = ((64, 16), (48, 12), (32, 8), (128, 32), (96, 24), (64, 24), (24, 8))

# (role, memory in MB, vcpus); a cloud instance takes some of them from a place that depends on its number.
_ROLES = (
    ("jboss", 2048, 2),
    ("postgres", 4096, 2),
    ("build", 3072, 4),
    ("web", 1024, 1),
    ("mail", 512, 1),
    ("proxy", 768, 1),
    ("wiki", 1536, 1),
)
_STATES = ("running", "running", "paused", "running", "off")
_RUNSTATE = {"running": 1, "paused": 3, "off": 5}  # virDomainState


@dataclass(frozen=True)
class Machine:
    """A machine instance as the demo begins with it; `state` is running, paused or off."""

    name: str
    state: str
    memory_mb: int
    vcpus: int

    @property
    def uuid(self) -> str:
        """The same at every start, so that the cloud master knows it again."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))


@dataclass(frozen=True)
class Node:
    """A cloud instance: where its minion listens, how large it is, what it hosts."""

    number: int
    name: str
    address: str
    cpus: int
    memory_mb: int
    machines: tuple[Machine, ...]


def make_node(number: int) -> Node:
    """The cloud instance of this number (1 to MOST_CLOUDS), the same at every call."""
    memory_gb, cpus = _SIZES[(number - 1) % len(_SIZES)]
    names = [(f"jboss{2 * number - 1}", *_ROLES[0][1:]), (f"jboss{2 * number}", *_ROLES[0][1:])]
    for i in range(2 + number % 3):
        role, memory_mb, vcpus = _ROLES[1 + (number + i) % (len(_ROLES) - 1)]
        names.append((f"{role}{number}", memory_mb, vcpus))
    machines = tuple(
        Machine(f"{name}.{DOMAIN}", _STATES[i % len(_STATES)], memory_mb, vcpus)
        for i, (name, memory_mb, vcpus) in enumerate(names)
    )
    return Node(number, f"cloud{number}.{DOMAIN}", f"127.0.0.{number + 1}", cpus, memory_gb * 1024, machines)


def node_xml(node: Node, pool: Path) -> str:
    """The node file of libvirt's test driver; its format: https://libvirt.org/drvtest.html.

    The driver only imagines the volumes of `pool`: nothing is ever written there.
    """
    return (
        "<node>\n"
        "  <cpu>\n"
        f"    <mhz>2600</mhz><model>x86_64</model><active>{node.cpus}</active>\n"
        f"    <nodes>1</nodes><sockets>1</sockets><cores>{node.cpus}</cores><threads>1</threads>\n"
        "  </cpu>\n"
        f"  <memory>{node.memory_mb * 1024}</memory>\n"
        + "".join(_domain_xml(m) for m in node.machines)
        + "  <network>\n"
        "    <name>default</name><bridge name='virbr0'/><forward mode='nat'/>\n"
        "    <ip address='192.168.122.1' netmask='255.255.255.0'/>\n"
        "  </network>\n"
        f"  <pool type='dir'>\n    <name>default</name><target><path>{escape(str(pool))}</path></target>\n"
        f"    <volume><name>{ISO}</name><capacity unit='MiB'>64</capacity>"
        "<allocation>0</allocation></volume>\n"
        "  </pool>\n"
        "</node>\n"
    )


def _domain_xml(machine: Machine) -> str:
    return (
        "  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>\n"
        f"    <name>{escape(machine.name)}</name><uuid>{machine.uuid}</uuid>\n"
        f"    <memory unit='MiB'>{machine.memory_mb}</memory><vcpu>{machine.vcpus}</vcpu>\n"
        "    <os><type arch='x86_64'>hvm</type></os>\n"
        f"    <test:runstate>{_RUNSTATE[machine.state]}</test:runstate>\n"
        "  </domain>\n"
    )
