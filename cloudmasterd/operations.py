"""What a cloud instance does to machine instances, as typed calls; remote failures become errors of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import (
    CloudError,
    CloudRefused,
    CloudUnreachable,
    Conflict,
    Invalid,
    MachineExists,
    NoRoom,
    NotFound,
    RemoteFault,
    Unsupported,
)
from cloudmasterd.fabric import Call, Fabric

FIRST_FUNC = "2.0"  # the first version of our func with the module `machine`
VERB_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 10.0
RESOURCES_AGE_S = 60.0

# What the module `machine` raises, and what that is to whoever asked. HostError stays a RemoteFault.
KINDS: Mapping[str, Callable[[str], CloudError]] = {
    "NameTaken": MachineExists,
    "NoSuchMachine": NotFound,
    "NoSuchNetwork": Invalid,
    "NoSuchPool": Invalid,
    "NoSuchVolume": Invalid,
    "BadSpec": Invalid,
    "VolumeExists": Conflict,
    "VolumeInUse": Conflict,
    "WrongState": Conflict,
    "OperationMismatch": Conflict,
    "DiskFull": NoRoom,
    "Unsupported": Unsupported,
    "Unanswered": CloudUnreachable,  # its libvirt fell silent: whether it was done is not known
}
MODULE_IS_MISSING = frozenset({"ModuleNotFoundException", "InvalidMethodException"})


@dataclass(frozen=True)
class PoolRoom:
    """A storage pool of a cloud instance."""

    name: str
    capacity_gb: float
    free_gb: float
    default: bool


@dataclass(frozen=True)
class Resources:
    """What a cloud instance has to give to a machine instance besides memory."""

    arch: str
    firmwares: tuple[str, ...]
    networks: tuple[str, ...]  # libvirt's active networks, by name
    bridges: tuple[str, ...]
    pools: tuple[PoolRoom, ...]
    isos: tuple[str, ...]  # "pool/name.iso"
    virt_type: str
    machine_types: tuple[str, ...]
    koan: bool = False  # whether it can install from profiles; a func of before that cannot

    @property
    def default_pool(self) -> Optional[str]:
        """The pool a disk goes to that names none; None where there is no pool at all."""
        return next((pool.name for pool in self.pools if pool.default), None)


def outcome_is_known(error: CloudError) -> bool:
    """Whether this error says that the cloud instance itself ended the operation and made nothing.

    Otherwise the request, or the reply to it, may have been lost on the way.
    """
    if isinstance(error, RemoteFault):
        return error.kind not in ("BadReply", "XMLRPCFault")
    return not isinstance(error, (CloudUnreachable, CloudRefused))


def was_sent(error: CloudError) -> bool:
    """Whether this error says that something answered, so that the request may well have been carried out."""
    return isinstance(error, RemoteFault) and error.kind == "BadReply"


class Operations:
    """The module `machine` of the minions; thread-safe. Every call raises CloudError.

    The same operation id may be sent again at will: the cloud instance answers what it answered before.
    """

    def __init__(self, fabric: Fabric, *, timeout_s: float = VERB_TIMEOUT_S) -> None:
        self._fabric = fabric
        self._timeout_s = timeout_s

    def perform(
        self, cloud: str, operation: str, verb: str, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Have a cloud instance do `verb`; returns its answer."""
        text = json.dumps(arguments, separators=(",", ":"), sort_keys=True)
        return self._ask(cloud, "machine.perform", operation, verb, text, timeout_s=self._timeout_s)

    def describe(self, cloud: str, operation: str, uuid: str) -> Mapping[str, Any]:
        """What a machine instance is made of now; needs an operation id that was not used for it before."""
        return self.perform(cloud, operation, "describe", {"uuid": uuid})

    def install(self, cloud: str, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have a cloud instance install a machine instance with koan.

        Gives {"state": "running" or "done", "detail": ...}. The first call begins it; the same call again
        asks how far it is, and raises what it failed of.
        """
        text = json.dumps(arguments, separators=(",", ":"), sort_keys=True)
        return self._ask(cloud, "machine.install", operation, text, timeout_s=self._timeout_s)

    def cancel_install(self, cloud: str, operation: str) -> Mapping[str, Any]:
        """End an install and take away what it defined; nothing happens where there is none."""
        return self._ask(cloud, "machine.cancel_install", operation, timeout_s=self._timeout_s)

    def ask_image(self, cloud: str, method: str, *args: str) -> Mapping[str, Any]:
        """Call a method of the module `image`; each can be called again at will."""
        return self._ask(cloud, f"image.{method}", *args, timeout_s=self._timeout_s)

    def ask_genome(self, cloud: str, method: str, *args: str, timeout_s: float = 0.0) -> Mapping[str, Any]:
        """Call a method of the module `genome`, which has a cloud instance installed anew."""
        return self._ask(cloud, f"genome.{method}", *args, timeout_s=timeout_s or self._timeout_s)

    def resources(self, cloud: str) -> Resources:
        """What a cloud instance has to give, asked now."""
        return _resources(cloud, self._ask(cloud, "machine.resources", timeout_s=ASK_TIMEOUT_S))

    def all_resources(self, clouds: Iterable[str], timeout_s: float) -> dict[str, Optional[Resources]]:
        """The same of many at once; None for one that did not say within `timeout_s`."""
        found: dict[str, Optional[Resources]] = dict.fromkeys(clouds)
        for answers in self._fabric.ask_all(
            {name: Call("machine.resources") for name in found}, timeout_s=timeout_s
        ):
            for answer in answers:
                if answer.ok:
                    try:
                        found[answer.cloud] = _resources(answer.cloud, _object(answer.cloud, answer.value))
                    except RemoteFault:
                        continue  # the check of whatever needs it says so
        return found

    def _ask(self, cloud: str, method: str, *args: Any, timeout_s: float) -> Mapping[str, Any]:
        try:
            return _object(cloud, self._fabric.call(cloud, method, *args, timeout_s=timeout_s))
        except RemoteFault as exc:
            raise _translated(exc, cloud) from exc


@dataclass(frozen=True)
class _Known:
    """What is known of one: when it was asked last, what it said last and when; monotonic seconds."""

    asked: float
    resources: Optional[Resources] = None
    heard: float = 0.0


class ResourceCache:
    """What the cloud instances have to give, asked at most once in `max_age_s`; thread-safe."""

    def __init__(self, operations: Operations, clock: Clock, *, max_age_s: float = RESOURCES_AGE_S) -> None:
        self._operations = operations
        self._clock = clock
        self._max_age_s = max_age_s
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._filling = threading.Lock()

    def get(self, cloud: str, *, fresh: bool = False) -> tuple[Resources, float]:
        """What this one has, and how many seconds ago it said so; CloudError."""
        known = self.heard(cloud)
        if known is not None and not fresh and not self._is_due(cloud):
            return known
        found = self._operations.resources(cloud)
        self._note({cloud: found})
        return found, 0.0

    def peek(self, cloud: str) -> Optional[Resources]:
        """What this one said last, however long ago; None where it never did."""
        known = self.heard(cloud)
        return None if known is None else known[0]

    def heard(self, cloud: str) -> Optional[tuple[Resources, float]]:
        """The same, and how many seconds ago it said so."""
        with self._lock:
            known = self._known.get(cloud)
        if known is None or known.resources is None:
            return None
        return known.resources, self._clock.monotonic() - known.heard

    def fill(self, clouds: Iterable[str], *, within_s: float) -> None:
        """Ask those whose figures are too old, all at once; who does not answer in time stays as it was.

        One caller asks; those who come meanwhile go on with what is known.
        """
        due = [name for name in clouds if self._is_due(name)]
        # Who knows nothing yet waits for the one that asks; who has old figures does not.
        with self._lock:
            must_wait = any(name not in self._known for name in due)
        if not due or not self._filling.acquire(blocking=must_wait, timeout=within_s if must_wait else -1):
            return
        try:
            self._note(self._operations.all_resources([name for name in due if self._is_due(name)], within_s))
        finally:
            self._filling.release()

    def _is_due(self, cloud: str) -> bool:
        with self._lock:
            known = self._known.get(cloud)
        return known is None or self._clock.monotonic() - known.asked > self._max_age_s

    def _note(self, found: Mapping[str, Optional[Resources]]) -> None:
        now = self._clock.monotonic()
        with self._lock:
            for name, resources in found.items():
                before = self._known.get(name, _Known(now))
                if resources is None:  # not asked again for a while, but not forgotten either
                    self._known[name] = replace(before, asked=now)
                else:
                    self._known[name] = _Known(now, resources, heard=now)


def _object(cloud: str, answer: Any) -> Mapping[str, Any]:
    try:
        value = json.loads(answer) if isinstance(answer, str) else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RemoteFault(
            "BadReply",
            f"{cloud} answered {str(answer)[:60]!r} in place of a JSON object: see its funcd's log",
        )
    return value


def _resources(cloud: str, said: Mapping[str, Any]) -> Resources:
    try:
        return Resources(
            arch=str(said["arch"]),
            firmwares=tuple(said["firmwares"]),
            networks=tuple(said["networks"]),
            bridges=tuple(said["bridges"]),
            pools=tuple(
                PoolRoom(str(p["name"]), float(p["capacity_gb"]), float(p["free_gb"]), bool(p["default"]))
                for p in said["pools"]
            ),
            isos=tuple(said["isos"]),
            virt_type=str(said["virt_type"]),
            machine_types=tuple(said["machine_types"]),
            koan=said.get("koan") is True,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise RemoteFault(
            "BadReply", f"machine.resources of {cloud} has no sound {exc}: see its funcd's log"
        ) from exc


def _translated(exc: RemoteFault, cloud: str) -> CloudError:
    if exc.kind in MODULE_IS_MISSING:
        return Unsupported(
            f"the func of {cloud} is too old to manage machine instances: its modules `machine` and"
            f" `image` came with func {FIRST_FUNC}. Bring it up to date there and start funcd again"
        )
    kind = KINDS.get(exc.kind)
    if kind is not None:
        return kind(exc.reason)
    if exc.kind in ("BadReply", "XMLRPCFault"):
        return exc
    return RemoteFault(exc.kind, f"{cloud}: {exc.reason}", exc.traceback, exc.reason)
