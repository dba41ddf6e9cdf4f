"""The wire module `virt`: the machine instances of this host, through libvirt."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster.config import Setting
from func.errors import HostError
from func.minion import domain_xml, host, job_context
from func.minion.install.classic import Classic
from func.minion.install.koan import Koan, read_setup
from func.minion.install.order import classic_order
from func.minion.inventory import InventoryLog
from func.minion.libvirt_connection import DEFAULT_URI, Links, chosen_uri
from func.minion.libvirt_host import LibvirtHost
from func.minion.module import CONFIG_DIR, FuncModule

log = logging.getLogger(__name__)

RESERVED_MB = 256  # what Func keeps for the host itself; the cloud master has a formula of its own
MAX_KIB = 2**44

FUNC_STATES = {
    host.NO_STATE: "running", host.RUNNING: "running", host.BLOCKED: "running", host.PAUSED: "paused",
    host.SHUTTING_DOWN: "shutdown", host.OFF: "shutdown", host.CRASHED: "crashed",
}  # fmt: skip
"""States as Func's users know them."""


def _func_state(domain: host.Domain) -> str:
    return FUNC_STATES.get(domain.state, "unknown")


def _number(value: Any, what: str, most: int) -> int:
    """The `func` command sends every argument as text."""
    try:
        number = int(value)
    except (TypeError, ValueError) as exc:
        raise HostError(f"{what} is a whole number, not {value!r}") from exc
    if not 1 <= number <= most:
        raise HostError(f"{what} is a number from 1 to {most}, not {number}")
    return number


def own_host(uri: str) -> host.Host:
    """A host over a connection that nothing else uses."""
    return LibvirtHost(Links().get(uri))


class _OnHost(FuncModule):
    """What all parts of the module share: its settings and the host below it."""

    settings = (
        Setting(
            "uri", "", f"libvirt's URI; empty: LIBVIRT_DEFAULT_URI of the environment, else {DEFAULT_URI}"
        ),
    )

    def __init__(self, root: Path, open_host: Optional[Callable[[str], host.Host]] = None) -> None:
        super().__init__(root)
        self._uri = chosen_uri(self.options["uri"])
        self._host = (open_host or own_host)(self._uri)
        self._log = InventoryLog(uuid.uuid4().hex)

    def close(self) -> None:
        """Let go of the host."""
        self._host.close()


class _Reading(_OnHost):
    """Methods that change nothing."""

    def state(self) -> list[str]:
        """["name state", ...]."""
        return [f"{domain.name} {_func_state(domain)}" for domain in self._host.list_domains()]

    def list_vms(self) -> list[str]:
        """Names of all machines."""
        return [domain.name for domain in self._host.list_domains()]

    def virttype(self) -> str:
        """The kind of hypervisor, as libvirt names it."""
        return self._host.type_name()

    def info(self) -> dict[str, dict[str, Any]]:
        """{name: {state, maxMem, memory, nrVirtCpu, cpuTime, autostart}}.

        Memory in KiB and time in ns, as texts: Func's integers have 32 bits.
        """
        return {
            domain.name: {
                "state": _func_state(domain),
                "maxMem": str(domain.max_memory_kib),
                "memory": str(domain.memory_kib),
                "nrVirtCpu": domain.vcpus,
                "cpuTime": str(domain.cpu_time_ns),
                "autostart": int(domain.autostart),
            }
            for domain in self._host.list_domains()
        }

    def nodeinfo(self) -> dict[str, str]:
        """Figures of the host, as texts; memory in MB."""
        node = self._host.node()
        return {
            "cpumodel": node.model,
            "phymemory": str(node.memory_mb),
            "cpus": str(node.cpus),
            "cpumhz": str(node.mhz),
            "numanodes": str(node.nodes),
            "sockets": str(node.sockets),
            "cpucores": str(node.cores),
            "cputhreads": str(node.threads),
        }

    def freemem(self) -> int:
        """MB of the host that no active machine has and that Func does not keep for the host itself."""
        active = [domain for domain in self._host.list_domains() if domain.state in host.ACTIVE]
        return self._host.node().memory_mb - RESERVED_MB - sum(domain.memory_kib // 1024 for domain in active)

    def get_status(self, vmid: str) -> str:
        """running, paused, shutdown, crashed or unknown."""
        return _func_state(self._host.get_domain(vmid))

    def get_xml(self, vmid: str) -> str:
        """libvirt's XML of a machine."""
        return self._host.get_xml(vmid)

    def grep(self, word: str) -> dict[str, list[str]]:
        """{"virt.state": ["name state", ...]} of machines whose name or state contains `word`."""
        wanted = word.strip().lower()
        try:
            found = [line for line in self.state() if wanted in line.lower()]
        except HostError as exc:  # a search through all modules goes on
            log.info("nothing is found in virt: %s", exc)
            found = []
        return {"virt.state": found} if found else {}

    def inventory(self, cursor: str = "") -> str:
        """JSON of everything, or of what changed since `cursor`: the cursor of an earlier answer."""
        self._log.record(self._host.snapshot())
        return self._log.answer(str(cursor))


class _Power(_OnHost):
    """Methods that change what a machine is doing. All answer 0, as a shell would."""

    def create(self, vmid: str) -> int:
        """Start a machine that is off."""
        return self._perform(vmid, host.START)

    def shutdown(self, vmid: str) -> int:
        """Ask a running machine to shut down; it may take its time, or not listen."""
        return self._perform(vmid, host.SHUTDOWN)

    def destroy(self, vmid: str) -> int:
        """Pull a machine's power."""
        return self._perform(vmid, host.DESTROY)

    def pause(self, vmid: str) -> int:
        """Stop a running machine's CPUs; it keeps its memory."""
        return self._perform(vmid, host.PAUSE)

    def unpause(self, vmid: str) -> int:
        """Let a paused machine run on."""
        return self._perform(vmid, host.UNPAUSE)

    def undefine(self, vmid: str) -> int:
        """Forget a machine that is off; its disks stay."""
        return self._perform(vmid, host.UNDEFINE)

    def install(
        self,
        server_name: str,
        target_name: str,
        system: bool = False,
        virt_name: Optional[str] = None,
        virt_path: Optional[str] = None,
        graphics: bool = False,
    ) -> int:
        """Install a machine by koan, as a profile of cobbler's has it or, with `system`, a system of its.

        It waits for koan. The machine goes on installing itself, and is off when it has done so.
        """
        order = classic_order(server_name, target_name, system, virt_name, virt_path, graphics)
        koan = Koan(read_setup(self.root, self.root / CONFIG_DIR / "Machine.conf"))
        own = str(uuid.uuid4())
        run_id = f"virt-{own}"
        job = job_context.current()
        if job is not None:
            job.follow(koan.log_file(run_id))
        Classic(self._host, self._uri, koan).install(run_id, own, order)
        return 0

    def _perform(self, vmid: str, action: host.Action) -> int:
        self._host.perform(vmid, action)
        return 0


class _Shape(_OnHost):
    """Methods that read or change what a machine is made of; memory in KiB, as libvirt and Func count it."""

    def autostart(self, vmid: str, on: Any = True) -> int:
        """Start the machine together with its host, or with `on` = 0 no longer."""
        self._host.set_autostart(vmid, str(on).lower() not in ("0", "no", "false", "off", ""))
        return 0

    def get_graphics(self, vmid: str, xml: str = "None") -> dict[str, str]:
        """{type, port, autoport, listen, keymap, ...} of a machine, or of the element given as `xml`."""
        text = self._host.get_xml(vmid) if xml == "None" else f"<domain><devices>{xml}</devices></domain>"
        return domain_xml.graphics_of(text)

    def set_graphics(self, vmid: str, xml: str) -> int:
        """Take over the attributes of one `<graphics .../>`; they count from the next start on."""
        self._host.redefine(vmid, lambda now: domain_xml.with_graphics(now, xml))
        return 0

    def get_maxVcpus(self, vmid: str) -> int:  # noqa: N802 - Func's name
        """How many CPUs the machine can have at most."""
        return self._host.get_max_vcpus(vmid)

    def set_vcpus(self, vmid: str, num: int) -> int:
        """How many CPUs the machine has."""
        self._host.set_vcpus(vmid, _number(num, "the number of CPUs", 4096))
        return 0

    def get_maxMemory(self, vmid: str) -> str:  # noqa: N802 - Func's name
        """How many KiB the machine can have at most, as a text: Func's integers have 32 bits."""
        return str(self._host.get_domain(vmid).max_memory_kib)

    def set_maxMemory(self, vmid: str, amount: int) -> int:  # noqa: N802 - Func's name
        """How many KiB the machine can have at most; only while it is off."""
        self._host.set_max_memory(vmid, _number(amount, "memory in KiB", MAX_KIB))
        return 0

    def set_memory(self, vmid: str, amount: int) -> int:
        """How many KiB the machine has, now and at its next start."""
        self._host.set_memory(vmid, _number(amount, "memory in KiB", MAX_KIB))
        return 0


class Virt(_Reading, _Power, _Shape):
    """All wire methods of Func's virt module, and `inventory`, which is ours."""

    version = "0.0.1"
    description = "Machine instances, through libvirt"
    methods = (
        "state", "list_vms", "virttype", "info", "nodeinfo", "freemem", "get_status", "get_xml", "inventory",
        "create", "shutdown", "destroy", "pause", "unpause", "undefine", "install",
        "autostart", "get_graphics", "set_graphics", "get_maxVcpus", "set_vcpus",
        "get_maxMemory", "set_maxMemory", "set_memory",
    )  # fmt: skip
