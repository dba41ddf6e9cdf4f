"""Stand-ins for what the cloud master talks to: a clock set by hand, and cloud instances in memory."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Optional, Union

from cloudmasterd.cobbler import Address
from cloudmasterd.errors import CloudUnreachable, CobblerError, FabricError, RemoteFault
from cloudmasterd.fabric import Answer, Call
from cloudmasterd.model import MachineState, ObservedMachine, Profile

DEADLINE_S = 60.0  # of what comes at once, on a machine that may stand still for seconds
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class FakeClock:
    """Stands still until `advance`; its jitter is `lean` times the spread."""

    def __init__(self, lean: float = 0.0) -> None:
        self.lean = lean
        self._passed = 0.0
        self._ids = itertools.count(1)

    def advance(self, seconds: float) -> None:
        self._passed += seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def jitter(self, spread: float) -> float:
        return self.lean * spread

    def new_id(self) -> str:
        return f"{next(self._ids):032x}"

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=next(self._ids)))

    def new_token(self) -> str:
        return f"{next(self._ids):043d}"

    def new_mac(self, taken: Collection[str] = ()) -> str:
        free = (f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}" for n in range(65536))
        return next(mac for mac in free if mac not in taken)


def machine(name: str, **changes: Any) -> ObservedMachine:
    """A machine instance of 512 MB, running, with a uuid made from its name."""
    plain = ObservedMachine(
        uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), name=name, state=MachineState.RUNNING,
        memory_mb=512, max_memory_mb=512, vcpus=1, autostart=False,
    )  # fmt: skip
    return replace(plain, **changes)


@dataclass
class FakeMinion:
    """A cloud instance that has virt.inventory; `reset` forgets the cursors it gave out."""

    memory_mb: int = 8192
    machines: dict[str, ObservedMachine] = field(default_factory=dict)
    cursors: list[str] = field(default_factory=list)
    _snapshots: dict[str, dict[str, ObservedMachine]] = field(default_factory=dict)
    _epoch: str = "c"

    def put(self, *machines: ObservedMachine) -> None:
        self.machines.update({machine.uuid: machine for machine in machines})

    def reset(self) -> None:
        self._snapshots.clear()

    def call(self, method: str, args: Sequence[Any]) -> Any:
        if method != "virt.inventory":
            raise RemoteFault("InvalidMethodException", f"no method {method}")
        self.cursors.append(args[0])
        return self.inventory(args[0])

    def inventory(self, cursor: str) -> str:
        before = self._snapshots.get(cursor)
        fresh = f"{self._epoch}{len(self.cursors)}"
        self._snapshots[fresh] = dict(self.machines)
        known = before or {}
        body = {
            "format": 1,
            "full": before is None,
            "cursor": fresh,
            "cloud": None if before is not None else self._cloud(),
            "machines": [_wire(m) for m in self.machines.values() if known.get(m.uuid) != m],
            "gone": [uuid for uuid in known if uuid not in self.machines],
        }
        return json.dumps(body)

    def _cloud(self) -> dict[str, Any]:
        return {"arch": "x86_64", "cpus": 4, "memory_mb": self.memory_mb, "live_free_memory_mb": None}


def _wire(machine: ObservedMachine) -> dict[str, Any]:
    return {**vars(machine), "state": machine.state.value}


@dataclass
class ClassicMinion:
    """A cloud instance with the methods of Func 0.30 alone; machines are (name, state, MB, uuid or None)."""

    memory_mb: int = 4096
    machines: list[tuple[str, str, int, Optional[str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def call(self, method: str, args: Sequence[Any]) -> Any:
        self.asked.append(method)
        if method == "virt.info":
            return {
                name: {"state": state, "maxMem": str(mb * 1024), "memory": str(mb * 1024), "nrVirtCpu": 2,
                       "cpuTime": "123456789012", "autostart": 1}
                for name, state, mb, _ in self.machines
            }  # fmt: skip
        if method == "virt.state":
            return [f"{name} {state}" for name, state, _, _ in self.machines]
        if method == "virt.freemem":
            return self.memory_mb - 256 - sum(mb for _, state, mb, _ in self.machines if state == "running")
        if method == "virt.nodeinfo":
            return {"cpumodel": "x86_64", "phymemory": str(self.memory_mb), "cpus": "8"}
        if method == "virt.get_xml":
            identity = {name: identity for name, _, _, identity in self.machines}[args[0]]
            if identity is None:
                raise RemoteFault("libvirtError", "Domain not found")
            return f"<domain type='kvm'><name>{args[0]}</name><uuid>{identity}</uuid></domain>"
        raise RemoteFault("InvalidMethodException", f"no method {method}")


@dataclass
class FakeCobbler:
    """A cobbler server: its profiles, its mark of the last change, and what it fails of.

    While `hold` is set and not opened, it does not answer. `asked` are the questions, in their order, and
    `most_at_once` how many of them were under way together.
    """

    found: list[Profile] = field(default_factory=list)
    mark: float = 1.0
    error: Optional[CobblerError] = None
    hold: Optional[threading.Event] = None
    asked: list[str] = field(default_factory=list)
    address: Address = Address("cobbler.example.org", 80)
    most_at_once: int = 0
    _under_way: int = 0

    def put(self, *profiles: Profile) -> None:
        self.found.extend(profiles)
        self.mark += 1

    def modified(self) -> float:
        self._answer("modified")
        return self.mark

    def profiles(self) -> tuple[Profile, ...]:
        self._answer("profiles")
        return tuple(self.found)

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            if self.hold is not None:
                assert self.hold.wait(DEADLINE_S)
            if self.error is not None:
                raise self.error
        finally:
            self._under_way -= 1


def profile(name: str = "GenomeCloud-RHEL5U2-x86_64", **more: Any) -> Profile:
    """A profile of RHEL 5 for x86_64."""
    plain = Profile(name, "RHEL5U2-x86_64", "x86_64", breed="redhat", os_version="rhel5")
    return replace(plain, **more)


class Refusal(Exception):
    """What a verb of WorkingMinion answers instead: a kind of the module `machine`, and its text."""


def refuse(kind: str, text: str) -> RemoteFault:
    """The error as the fabric gives it: wrapped, with the remote text alone in `reason`."""
    return RemoteFault(kind, f"machine.perform failed on it: {text}; see its log", reason=text)


class WorkingMinion(FakeMinion):
    """A cloud instance with the module `machine`: it keeps a journal of operations, and volumes.

    With a `file` everything is on disk, as it is after a kill between any two lines: another process that
    opens it finds operations that were cut off. `hook` is called at "begun" and "acted". A verb in `failing`
    fails with (kind, text). A machine in `deaf` does not listen to ACPI.
    """

    def __init__(self, memory_mb: int = 8192, file: Optional[Path] = None) -> None:
        super().__init__(memory_mb=memory_mb, _epoch=f"{uuid.uuid4().hex[:6]}-")
        self.file = file
        self.details: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {"default/rescue.iso": {"size_gb": 1, "owner": ""}}
        self.journal: dict[str, dict[str, Any]] = {}
        self.acts: Counter[str] = Counter()  # how often each operation was acted
        self.failing: dict[str, tuple[str, str]] = {}
        self.deaf: set[str] = set()
        self.networks = ["default"]
        self.hook: Callable[[str], None] = lambda point: None
        self.asked: Counter[str] = Counter()
        self._lock = threading.RLock()
        if file is not None and file.exists():
            self._load(json.loads(file.read_text()))

    def call(self, method: str, args: Sequence[Any]) -> Any:
        with self._lock:
            self.asked[method] += 1
            if method == "machine.perform":
                return json.dumps(self._perform(*args))
            if method == "machine.resources":
                return json.dumps(self._resources())
            return super().call(method, args)

    def put(self, *machines: ObservedMachine) -> None:
        super().put(*machines)
        for each in machines:
            self.details.setdefault(each.uuid, {"disks": [], "networks": [], "managed": False})
        self._save()

    def named(self, name: str) -> Optional[ObservedMachine]:
        return next((m for m in self.machines.values() if m.name == name), None)

    def active_mb(self) -> int:
        return sum(m.max_memory_mb for m in self.machines.values() if m.state is not MachineState.OFF)

    def _perform(self, operation: str, verb: str, text: str) -> dict[str, Any]:
        arguments = json.loads(text)
        entry = self.journal.get(operation)
        if entry is not None and (entry["verb"], entry["text"]) != (verb, text):
            raise refuse(
                "OperationMismatch", f"operation {operation} was {entry['verb']} with other arguments"
            )
        if entry is None or entry["state"] == "running":
            cut_off = entry is not None
            entry = self.journal[operation] = {"verb": verb, "text": text, "state": "running"}
            self._save()
            self.hook("begun")
            try:
                if cut_off and verb in ("reboot", "reset"):
                    entry["result"] = {"uncertain": True}
                else:
                    entry["result"] = self._act(operation, verb, arguments)
            except Refusal as exc:
                entry["error"] = exc.args
            self._save()
            self.hook("acted")
            entry["state"] = "ended"
            self._save()
        if "error" in entry:
            raise refuse(*entry["error"])
        return dict(entry["result"])

    def _act(self, operation: str, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.acts[operation] += 1
        if verb in self.failing:
            raise Refusal(*self.failing[verb])
        identity = arguments.pop("uuid")
        if verb in ("start", "poweroff", "shutdown", "reboot", "reset", "pause", "resume"):
            return self._turn(identity, verb)
        return dict(getattr(self, f"_do_{verb}")(identity, **arguments))

    def _find(self, identity: str) -> ObservedMachine:
        if identity not in self.machines:
            raise Refusal("NoSuchMachine", f"there is no machine {identity} here")
        return self.machines[identity]

    def _turn(self, identity: str, verb: str) -> dict[str, Any]:
        before = self._find(identity)
        allowed, after = {
            "start": ({"off", "crashed"}, "running"), "poweroff": ({"running", "paused"}, "off"),
            "shutdown": ({"running"}, "running" if identity in self.deaf else "off"),
            "reboot": ({"running"}, "running"), "reset": ({"running", "paused"}, "running"),
            "pause": ({"running"}, "paused"), "resume": ({"paused"}, "running"),
        }[verb]  # fmt: skip
        if before.state.value == after and verb not in ("reboot", "reset", "shutdown"):
            return {"changed": False, "state": after}
        if before.state.value not in allowed:
            raise Refusal("WrongState", f"{before.name} is {before.state.value}")
        self.machines[identity] = replace(before, state=MachineState(after))
        return {"changed": True, "state": after}

    def _do_create_disk(
        self, identity: str, pool: str, volume: str, size_gb: int, format: str, backing: Any
    ) -> dict[str, Any]:
        if pool != "default":
            raise Refusal("NoSuchPool", f"there is no pool {pool}")
        key = f"{pool}/{volume}"
        there = self.volumes.get(key)
        if there is not None and there["owner"] != identity:
            raise Refusal("VolumeExists", f"{key} is there already")
        self.volumes[key] = {"size_gb": size_gb, "owner": identity}
        return {
            "pool": pool,
            "volume": volume,
            "path": f"/pool/{volume}",
            "size_gb": size_gb,
            "made": not there,
        }

    def _do_define(self, identity: str, name: str, **wanted: Any) -> dict[str, Any]:
        there = self.named(name)
        if there is not None and there.uuid != identity:
            raise Refusal("NameTaken", f"{name} is the machine {there.uuid} already")
        for network in wanted["networks"]:
            if network["network"] not in self.networks:
                raise Refusal("NoSuchNetwork", f"there is no network {network['network']}")
        for disk in [*wanted["disks"], *([wanted["cdrom"]] if wanted["cdrom"] else [])]:
            if f"{disk['pool']}/{disk['volume']}" not in self.volumes:
                raise Refusal("NoSuchVolume", f"there is no volume {disk['volume']}")
        if there is None:
            self.machines[identity] = ObservedMachine(
                uuid=identity, name=name, state=MachineState.OFF, memory_mb=wanted["memory_mb"],
                max_memory_mb=wanted["max_memory_mb"], vcpus=wanted["vcpus"], autostart=wanted["autostart"],
                managed=True,
            )  # fmt: skip
            self.details[identity] = {
                "disks": wanted["disks"], "networks": wanted["networks"], "managed": True,
                "boot": wanted["boot"], "cdrom": wanted["cdrom"],
            }  # fmt: skip
        return {"made": there is None, "firmware": wanted["firmware"] or "uefi", "machine_type": "q35"}

    def _do_describe(self, identity: str) -> dict[str, Any]:
        found = self._find(identity)
        details = self.details[identity]
        disks = [
            {"target": f"vd{n}", "pool": disk["pool"], "volume": disk["volume"],
             "path": f"/pool/{disk['volume']}",
             "format": "qcow2", "shared_with": self._users(disk, identity)}
            for n, disk in enumerate(details["disks"])
        ]  # fmt: skip
        if details.get("cdrom"):
            disks.append({**details["cdrom"], "target": "sda", "read_only": True, "shared_with": []})
        later = {key: getattr(found, key) for key in ("memory_mb", "max_memory_mb", "vcpus")}
        return {**_wire(found), "managed": details["managed"], "disks": disks, "next": later,
                "networks": details["networks"], "firmware": "uefi"}  # fmt: skip

    def _users(self, disk: Mapping[str, Any], identity: str) -> list[str]:
        key = (disk["pool"], disk["volume"])
        return [
            self.machines[other].name
            for other, details in self.details.items()
            if other != identity and key in [(d["pool"], d["volume"]) for d in details["disks"]]
        ]

    def _do_undefine(self, identity: str) -> dict[str, Any]:
        there = self.machines.get(identity)
        if there is not None and there.state is not MachineState.OFF:
            raise Refusal("WrongState", f"{there.name} is {there.state.value}")
        self.machines.pop(identity, None)
        self.details.pop(identity, None)
        return {"made": there is not None}

    def _do_delete_disk(self, identity: str, pool: str, volume: str) -> dict[str, Any]:
        users = self._users({"pool": pool, "volume": volume}, identity)
        if users:
            raise Refusal("VolumeInUse", f"{volume} is used by {', '.join(users)}")
        return {"deleted": self.volumes.pop(f"{pool}/{volume}", None) is not None}

    def _do_set_autostart(self, identity: str, on: bool) -> dict[str, Any]:
        before = self._find(identity)
        self.machines[identity] = replace(before, autostart=on)
        return {"changed": before.autostart != on}

    def _do_set_shape(
        self, identity: str, next: Optional[Mapping[str, int]] = None, **shape: int
    ) -> dict[str, Any]:
        before = self._find(identity)
        if before.state is MachineState.OFF:
            later = {key: value for key, value in (next or {}).items() if key.replace("max_", "") in shape}
            more = {"max_memory_mb": shape["memory_mb"]} if "memory_mb" in shape else {}
            self.machines[identity] = replace(before, **{**shape, **more, **later})
        when = "now" if before.state is MachineState.OFF else "next-start"
        return {key: when if key in shape else None for key in ("memory_mb", "vcpus")}

    def _do_rename(self, identity: str, name: str) -> dict[str, Any]:
        before, there = self._find(identity), self.named(name)
        if there is not None and there.uuid != identity:
            raise Refusal("NameTaken", f"{name} is the machine {there.uuid} already")
        self.machines[identity] = replace(before, name=name)
        return {"changed": before.name != name}

    def _do_adopt(self, identity: str) -> dict[str, Any]:
        before = self.details[identity]["managed"]
        self.details[identity]["managed"] = True
        self.machines[identity] = replace(self._find(identity), managed=True)
        return {"changed": not before}

    def _resources(self) -> dict[str, Any]:
        return {
            "arch": "x86_64", "firmwares": ["bios", "uefi"], "networks": self.networks, "bridges": [],
            "pools": [{"name": "default", "capacity_gb": 1000, "free_gb": 1000, "default": True}],
            "isos": [key for key in self.volumes if key.endswith(".iso")], "virt_type": "test",
            "machine_types": ["q35", "pc"],
        }  # fmt: skip

    def _save(self) -> None:
        if self.file is None:
            return
        state = {
            "machines": [asdict(m) for m in self.machines.values()], "details": self.details,
            "volumes": self.volumes, "journal": self.journal, "acts": self.acts,
        }  # fmt: skip
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self.file)

    def _load(self, state: Mapping[str, Any]) -> None:
        for each in state["machines"]:
            found = ObservedMachine(**{**each, "state": MachineState(each["state"])})
            self.machines[found.uuid] = found
        self.details, self.volumes, self.journal = state["details"], state["volumes"], state["journal"]
        self.acts.update(state["acts"])


Minion = Union[FakeMinion, ClassicMinion]


class FakeFabric:
    """Cloud instances in memory. One named in `down` fails so; one in `hung` answers once its event is set.

    Hung ones answer last, each in a group of its own, as they would over a network.
    """

    def __init__(self, **minions: Minion) -> None:
        self.minions: dict[str, Minion] = dict(minions)
        self.expiries: dict[str, Optional[datetime]] = {}
        self.down: dict[str, FabricError] = {}
        self.hung: dict[str, threading.Event] = {}
        self.without_certificate: set[str] = set()
        self.asked: list[list[str]] = []
        self.waiting = threading.Semaphore(0)  # released when an answer of a hung one is being waited for
        self.lost_requests: Counter[str] = Counter()  # how many of a verb of machine.perform get lost on
        self.lost_replies: Counter[str] = Counter()  # the way there, and on the way back
        self._losing = threading.Lock()

    def list_clouds(self) -> list[str]:
        return sorted(self.minions.keys() - self.without_certificate)

    def certificate_expires_at(self, cloud: str) -> Optional[datetime]:
        return self.expiries.get(cloud)

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        if cloud in self.hung:
            self.waiting.release()
            if not self.hung[cloud].wait(DEADLINE_S):
                raise CloudUnreachable(f"{cloud} did not answer")
        if cloud in self.down:
            raise self.down[cloud]
        verb = args[1] if method == "machine.perform" else method
        if self._loses(self.lost_requests, verb):
            raise CloudUnreachable(f"{cloud} did not answer {method}: the request was lost")
        try:
            return self.minions[cloud].call(method, args)
        finally:
            if self._loses(self.lost_replies, verb):
                raise CloudUnreachable(f"{cloud} did not answer {method}: the reply was lost")

    def _loses(self, left: Counter[str], verb: str) -> bool:
        with self._losing:
            lost = left[verb] > 0
            left[verb] -= lost
            return lost

    def ask_all(
        self, calls: Mapping[str, Call], timeout_s: Optional[float] = None
    ) -> Iterator[Sequence[Answer]]:
        self.asked.append(sorted(calls))
        quick = [cloud for cloud in calls if cloud not in self.hung]
        if quick:
            yield [self._answer(cloud, calls[cloud]) for cloud in quick]
        for cloud in [cloud for cloud in calls if cloud not in quick]:
            yield [self._answer(cloud, calls[cloud])]

    def close(self) -> None:
        for event in self.hung.values():
            event.set()

    def _answer(self, cloud: str, call: Call) -> Answer:
        try:
            return Answer(cloud, self.call(cloud, call.method, *call.args))
        except FabricError as exc:
            return Answer(cloud, error=exc)


def wait_for(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until the condition holds; fail when it does not within the deadline."""
    tick = threading.Event()
    for _ in range(int(DEADLINE_S / 0.01)):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError(f"{what} did not come true within {DEADLINE_S} s")
