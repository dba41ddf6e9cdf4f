"""The host of virtual machines as the wire modules see it: figures, and the seam libvirt stands behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Protocol

from func.minion.inventory import Snapshot

NO_STATE, RUNNING, BLOCKED, PAUSED, SHUTTING_DOWN, OFF, CRASHED, SUSPENDED = range(8)
"""libvirt's virDomainState, by number."""

STATE_NAMES = {
    NO_STATE: "running", RUNNING: "running", BLOCKED: "running", PAUSED: "paused",
    SHUTTING_DOWN: "shutting-down", OFF: "off", CRASHED: "crashed", SUSPENDED: "paused",
}  # fmt: skip
"""States as the cloud master names them. A machine that sleeps keeps its memory, as a paused one does."""

ACTIVE = frozenset({NO_STATE, RUNNING, BLOCKED, PAUSED, SHUTTING_DOWN, SUSPENDED})


@dataclass(frozen=True)
class Node:
    """The host itself."""

    model: str
    memory_mb: int
    cpus: int
    mhz: int
    nodes: int
    sockets: int
    cores: int
    threads: int


@dataclass(frozen=True)
class Domain:
    """One domain as libvirt counts it: memory in KiB, time in ns, `state` a virDomainState."""

    name: str
    uuid: str
    state: int
    max_memory_kib: int
    memory_kib: int
    vcpus: int
    cpu_time_ns: int
    autostart: bool

    @property
    def state_name(self) -> str:
        """The state in the cloud master's words."""
        return STATE_NAMES.get(self.state, "unknown")


@dataclass(frozen=True)
class Action:
    """A change of a domain's state: libvirt's method, the states it makes sense in, what to do otherwise."""

    name: str  # Func's word for it
    method: str
    states: frozenset[int]
    otherwise: str


START = Action("create", "create", frozenset({OFF, CRASHED}), "only a machine that is off can be started")
_UP = frozenset({NO_STATE, RUNNING, BLOCKED})
SHUTDOWN = Action("shutdown", "shutdown", _UP, "only a running machine can be shut down")
DESTROY = Action("destroy", "destroy", ACTIVE | {CRASHED}, "there is no power to pull")
PAUSE = Action("pause", "suspend", _UP, "only a running machine can be paused")
UNPAUSE = Action("unpause", "resume", frozenset({PAUSED}), "only a paused machine can be unpaused")
UNDEFINE = Action("undefine", "undefine", frozenset({OFF, CRASHED}), "shut it down or destroy it first")


class Host(Protocol):
    """What the virt module needs of a host. Everything raises HostError, and within a bounded time."""

    def node(self) -> Node:
        """Figures of the host."""

    def type_name(self) -> str:
        """The kind of hypervisor, as libvirt names it."""

    def capabilities(self) -> str:
        """libvirt's XML of what the host can run."""

    def snapshot(self) -> Snapshot:
        """All machines and figures for the inventory."""

    def list_domains(self) -> list[Domain]:
        """All domains, by name."""

    def get_domain(self, name: str) -> Domain:
        """One domain."""

    def perform(self, name: str, action: Action) -> None:
        """Change a domain's state, when its present state allows."""

    def get_xml(self, name: str) -> str:
        """A domain's XML as it is now."""

    def redefine(self, name: str, change: Callable[[str], str]) -> None:
        """Replace a domain's persistent XML by what `change` makes of it."""

    def set_autostart(self, name: str, on: bool) -> None:
        """Whether the domain starts with the host."""

    def get_max_vcpus(self, name: str) -> int:
        """How many CPUs the domain can have at most."""

    def set_vcpus(self, name: str, count: int) -> None:
        """How many CPUs the domain has; raises the most it can have where it is off."""

    def set_memory(self, name: str, kib: int) -> None:
        """How much memory the domain has, now and at its next start."""

    def set_max_memory(self, name: str, kib: int) -> None:
        """How much memory the domain can have at most; only while it is off."""

    def close(self) -> None:
        """Let go of the host."""
