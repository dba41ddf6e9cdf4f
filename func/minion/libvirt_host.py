"""The host of virtual machines over libvirt, as the module `virt` needs it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Callable, Optional

from func.errors import HostError
from func.minion import libvirt_domains
from func.minion.host import ACTIVE, STATE_NAMES, Action, Domain, Node
from func.minion.inventory import CloudFacts, MachineFacts, Snapshot
from func.minion.libvirt_connection import (
    ACT_LIMIT_S,
    READ_LIMIT_S,
    Calls,
    Link,
    error_types,
    is_code,
    libvirt,
)

IDLE_READS = 50  # how many inactive domains one snapshot asks anew
NODE_AGE_S = 60.0


class LibvirtHost:
    """A Host over libvirt."""

    def __init__(
        self,
        link: Link,
        read_limit_s: float = READ_LIMIT_S,
        act_limit_s: float = ACT_LIMIT_S,
        idle_reads: int = IDLE_READS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._idle_reads = idle_reads
        self._clock = clock
        self._calls = Calls(link, read_limit_s, act_limit_s)
        self._node: Optional[tuple[float, Node]] = None
        self._no_memory_stats = False
        self._taken = 0
        # uuid -> (number of the snapshot that read it, domain); only of inactive domains.
        self._idle: dict[str, tuple[int, Domain]] = {}
        self._managed: dict[str, bool] = {}
        self._told = 0  # how many changes the link told of
        link.listen(self._forget)

    def node(self) -> Node:
        """Figures of the host."""
        return self._calls.read(self._read_node)

    def type_name(self) -> str:
        """The kind of hypervisor, e.g. QEMU or TEST."""
        return str(self._calls.read(lambda connection: connection.getType()))

    def capabilities(self) -> str:
        """libvirt's XML of what the host can run."""
        return str(self._calls.read(lambda connection: connection.getCapabilities()))

    def snapshot(self) -> Snapshot:
        """All machines and figures for the inventory, in two calls and one for each active domain."""
        return self._calls.read(self._take_snapshot)

    def list_domains(self) -> list[Domain]:
        """All domains, by name, each read anew."""
        return self._calls.read(self._read_all)

    def get_domain(self, name: str) -> Domain:
        """One domain, read anew."""
        return self._calls.read(lambda connection: self._domain_of(self._find(connection, name)))

    def get_xml(self, name: str) -> str:
        """A domain's XML as it is now."""
        return str(self._calls.read(lambda connection: self._find(connection, name).XMLDesc(0)))

    def get_max_vcpus(self, name: str) -> int:
        """How many CPUs the domain can have at most."""
        return int(
            self._calls.read(lambda connection: libvirt_domains.max_vcpus(self._find(connection, name)))
        )

    def perform(self, name: str, action: Action) -> None:
        """Change a domain's state; raises HostError when its present state does not allow it."""

        def change(domain: Any) -> None:
            state = domain.info()[0]
            if state not in action.states:
                now = STATE_NAMES.get(state, "in an unknown state")
                raise HostError(f"cannot {action.name} {name!r}: it is {now}; {action.otherwise}")
            if action.method == "undefine":
                libvirt_domains.undefine(domain)
            else:
                getattr(domain, action.method)()

        self._act(name, change)

    def redefine(self, name: str, change: Callable[[str], str]) -> None:
        """Replace the persistent XML of a domain by what `change` makes of it."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        self._act(name, lambda domain: domain.connect().defineXML(change(domain.XMLDesc(flags))))

    def set_autostart(self, name: str, on: bool) -> None:
        """Whether the domain starts with the host."""
        self._act(name, lambda domain: domain.setAutostart(int(on)))

    def set_vcpus(self, name: str, count: int) -> None:
        """How many CPUs the domain has; raises the most it can have where it is off."""
        self._act(name, lambda domain: libvirt_domains.set_vcpus(domain, count))

    def set_memory(self, name: str, kib: int) -> None:
        """How much memory the domain has, now and at its next start; not above its maximum."""
        self._act(name, lambda domain: libvirt_domains.set_memory(domain, kib))

    def set_max_memory(self, name: str, kib: int) -> None:
        """How much memory the domain can have at most; only while it is off."""
        self._act(name, lambda domain: libvirt_domains.set_max_memory(domain, kib))

    def close(self) -> None:
        """Let go of the threads and the connection."""
        self._calls.close()
        self._link.close()

    # What runs in one of the threads

    def _forget(self, uuid: Optional[str]) -> None:
        self._told += 1
        if uuid is not None:
            self._idle.pop(uuid, None)
            self._managed.pop(uuid, None)
            return
        self._managed.clear()
        self._idle.clear()  # the connection is new, and so may the host be
        self._node, self._no_memory_stats = None, False

    def _act(self, name: str, work: Callable[[Any], Any]) -> None:
        def acting(connection: Any) -> None:
            domain = self._find(connection, name)
            try:
                work(domain)
            finally:
                self._link.tell(domain.UUIDString())

        self._calls.act(acting)

    def _find(self, connection: Any, name: str) -> Any:
        try:
            return connection.lookupByName(name)
        except error_types() as exc:
            if not is_code(exc, "VIR_ERR_NO_DOMAIN"):
                raise
            names = sorted(domain.name() for domain in connection.listAllDomains())
            there = ", ".join(names) or "none"
            raise HostError(f"no machine {name!r} on this host; there are: {there}") from exc

    def _domain_of(self, handle: Any, autostart: Optional[bool] = None) -> Domain:
        state, most, memory, vcpus, cpu_time = handle.info()
        starts = bool(handle.autostart()) if autostart is None else autostart
        return Domain(handle.name(), handle.UUIDString(), state, most, memory, vcpus, cpu_time, starts)

    def _domain_if_there(self, handle: Any, autostart: bool) -> Optional[Domain]:
        try:
            return self._domain_of(handle, autostart)
        except error_types() as exc:
            if is_code(exc, "VIR_ERR_NO_DOMAIN"):  # undefined since it was listed
                return None
            raise

    def _read_all(self, connection: Any) -> list[Domain]:
        starting = _autostarting(connection)
        handles = connection.listAllDomains()
        found = [self._domain_if_there(handle, handle.UUIDString() in starting) for handle in handles]
        return sorted((domain for domain in found if domain is not None), key=lambda domain: domain.name)

    def _take_snapshot(self, connection: Any) -> Snapshot:
        self._taken += 1
        node = self._read_node(connection)
        live = self._live_free_mb(connection)
        starting = _autostarting(connection)
        handles = {handle.UUIDString(): (handle, state) for handle, state in _states(connection)}
        known = self._still_known({uuid for uuid, (_, state) in handles.items() if state not in ACTIVE})
        machines = []
        for uuid, (handle, state) in handles.items():
            if uuid in known:
                domain = replace(known[uuid], name=handle.name(), state=state, autostart=uuid in starting)
            else:
                found = self._domain_if_there(handle, uuid in starting)
                if found is None:
                    continue
                domain = found
                if domain.state not in ACTIVE:
                    self._idle[uuid] = (self._taken, domain)
            machines.append(_facts(domain, self._is_managed(handle, uuid)))
        for uuid in list(self._managed):  # a copy: events take entries out at any time
            if uuid not in handles:
                self._managed.pop(uuid, None)
        cloud = CloudFacts(node.model, node.cpus, node.memory_mb, live)
        return Snapshot(self._taken, cloud, tuple(machines))

    def _is_managed(self, handle: Any, uuid: str) -> bool:
        """Asked of each domain once: a change of its metadata has an event."""
        managed = self._managed.get(uuid)
        if managed is None:
            told = self._told
            managed = libvirt_domains.is_managed(handle)
            if told == self._told:  # else what was just read may be what was before
                self._managed[uuid] = managed
        return managed

    def _still_known(self, idle: set[str]) -> dict[str, Domain]:
        """The inactive domains that need not be asked anew: all but those whose facts are oldest.

        A change of memory or CPUs of an inactive domain has no event, so each gets its turn.
        """
        for uuid in list(self._idle):  # a copy: events take entries out at any time
            if uuid not in idle:
                self._idle.pop(uuid, None)
        newest_first = sorted(self._idle.copy().items(), key=lambda item: -item[1][0])
        return {
            uuid: domain for uuid, (_, domain) in newest_first[: max(0, len(newest_first) - self._idle_reads)]
        }

    def _read_node(self, connection: Any) -> Node:
        now = self._clock()
        if self._node is not None and now - self._node[0] < NODE_AGE_S:
            return self._node[1]
        model, memory_mb, cpus, mhz, nodes, sockets, cores, threads = connection.getInfo()
        total_kib = self._memory_stats(connection).get("total", 0)
        node = Node(model, total_kib // 1024 or memory_mb, cpus, mhz, nodes, sockets, cores, threads)
        self._node = (now, node)
        return node

    def _live_free_mb(self, connection: Any) -> Optional[int]:
        stats = self._memory_stats(connection)
        if "free" in stats:
            return int(stats["free"] + stats.get("buffers", 0) + stats.get("cached", 0)) // 1024
        if connection.getType().upper() == "TEST":
            return None  # it says 0, or KiB in place of bytes
        try:
            return int(connection.getFreeMemory()) // 2**20
        except error_types() as exc:
            if is_code(exc, "VIR_ERR_NO_SUPPORT"):
                return None
            raise

    def _memory_stats(self, connection: Any) -> dict[str, int]:
        if self._no_memory_stats:
            return {}
        try:
            return dict(connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0))
        except error_types() as exc:
            if not is_code(exc, "VIR_ERR_NO_SUPPORT"):
                raise
            self._no_memory_stats = True
            return {}


def _facts(domain: Domain, managed: bool) -> MachineFacts:
    memory_mb, most_mb = domain.memory_kib // 1024, domain.max_memory_kib // 1024
    name, state = domain.name, domain.state_name
    return MachineFacts(domain.uuid, name, state, memory_mb, most_mb, domain.vcpus, domain.autostart, managed)


def _states(connection: Any) -> list[tuple[Any, int]]:
    # STATE alone: every other group asks the monitor of each QEMU, and one that hangs would hold us all.
    found = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
    return [(handle, int(stats.get("state.state", -1))) for handle, stats in found]


def _autostarting(connection: Any) -> set[str]:
    # Autostart has no event, and asking each domain costs a round trip each: one filtered list does.
    flag = libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART
    return {handle.UUIDString() for handle in connection.listAllDomains(flag)}
