"""The frozen things the cloud master talks about, and the arithmetic of free memory.

Memory is in MB (MiB) and times are timezone-aware datetimes in UTC, everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Optional


class CloudState(str, Enum):
    """How a cloud instance stands with the cloud master."""

    NEW = "new"  # its certificate is known, it has not answered yet
    UP = "up"
    UNREACHABLE = "unreachable"
    MAINTENANCE = "maintenance"


class MachineState(str, Enum):
    """What a machine instance is doing, as last seen."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    SHUTTING_DOWN = "shutting-down"
    CRASHED = "crashed"
    CREATING = "creating"
    UNKNOWN = "unknown"


ACTIVE_STATES = frozenset({MachineState.RUNNING, MachineState.PAUSED, MachineState.SHUTTING_DOWN})
"""The states in which a machine instance holds its memory."""


@dataclass(frozen=True)
class MemoryPolicy:
    """How much of a cloud instance's memory machine instances may not have.

    free = total - reserved - sum over active machines of (max_memory_mb + overhead_mb),
    reserved = the larger of reserve_min_mb and reserve_percent of the total.
    """

    reserve_min_mb: int = 1024
    reserve_percent: int = 5
    overhead_mb: int = 128

    def reserved_mb(self, total_mb: int, override_mb: Optional[int] = None) -> int:
        """MB kept for the cloud instance itself; `override_mb` is what was said of that one alone."""
        if override_mb is not None:
            return override_mb
        return max(self.reserve_min_mb, total_mb * self.reserve_percent // 100)

    def free_mb(
        self, total_mb: int, committed_mb: int, active: int, override_mb: Optional[int] = None
    ) -> int:
        """MB that new machine instances can still have; negative when a cloud instance is overcommitted.

        `committed_mb` is the sum of max_memory_mb over the `active` machine instances, and of what is
        reserved for tasks; each reservation counts as one active.
        """
        reserved = self.reserved_mb(total_mb, override_mb)
        return total_mb - reserved - committed_mb - active * self.overhead_mb


RESERVE_BY_POLICY = -1
"""Given as a cloud instance's reserve: drop the one said of it alone, go by the MemoryPolicy again."""


@dataclass(frozen=True)
class CloudInstance:
    """A hypervisor as the store knows it. Figures are None until it has answered once."""

    name: str
    state: CloudState
    arch: Optional[str] = None
    cpus: Optional[int] = None
    memory_mb: Optional[int] = None
    reserved_memory_mb: Optional[int] = None
    free_memory_mb: Optional[int] = None
    live_free_memory_mb: Optional[int] = None  # what its kernel calls available, when it says
    machines: int = 0
    running: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    observed_at: Optional[datetime] = None  # when these figures were true
    error: Optional[str] = None  # why it is unreachable, in words for a user
    unreachable_since: Optional[datetime] = None
    certificate_expires_at: Optional[datetime] = None
    revision: int = 0  # grows with each change of anything but observed_at
    maintenance_reason: str = ""  # why no new machine instance goes there, in words for a user
    maintenance_since: Optional[datetime] = None
    notes: str = ""
    reserve_override_mb: Optional[int] = None  # said of this one alone; None: the MemoryPolicy holds
    profile: Optional[str] = None  # what this cloud master installed it from; None: it did not


@dataclass(frozen=True)
class MachineInstance:
    """A virtual machine as the store knows it."""

    name: str
    uuid: str
    cloud: str
    state: MachineState
    memory_mb: int
    max_memory_mb: int
    vcpus: int
    autostart: bool = False
    managed: bool = False  # made or adopted by this cloud master
    profile: Optional[str] = None
    image: Optional[str] = None
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    observed_at: Optional[datetime] = None
    revision: int = 0
    groups: tuple[str, ...] = ()  # anti-affinity: no two machine instances of one group on one cloud instance


@dataclass(frozen=True)
class ObservedMachine:
    """A machine instance as its cloud instance reports it."""

    uuid: str
    name: str
    state: MachineState
    memory_mb: int
    max_memory_mb: int
    vcpus: int
    autostart: bool
    managed: bool = False  # it bears the mark of a cloud master; a func that does not tell is no denial


@dataclass(frozen=True)
class ObservedCloud:
    """The figures a cloud instance reports of itself."""

    arch: str
    cpus: int
    memory_mb: int
    live_free_memory_mb: Optional[int]


@dataclass(frozen=True)
class Inventory:
    """One answer of a cloud instance: everything (`full`), or only what changed since the cursor sent.

    `cloud` is None when its figures did not change. `gone` are uuids; empty when `full`, where a machine
    that is not listed is gone. `cursor` is opaque and None for a minion that keeps none.
    """

    full: bool
    cursor: Optional[str]
    cloud: Optional[ObservedCloud]
    machines: tuple[ObservedMachine, ...] = ()
    gone: tuple[str, ...] = ()


class TaskState(str, Enum):
    """How far a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_STATES = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED})


class StepState(str, Enum):
    """How far a step of a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"  # the task failed later on; what this step made is being taken away
    UNDONE = "undone"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """One step of a task. `operation` is written before the step acts; the cloud instance remembers it."""

    name: str  # of the recipe, e.g. "define"
    title: str  # for people, e.g. "Define the machine on cloud1.example.org"
    state: StepState = StepState.WAITING
    operation: Optional[str] = None
    detail: str = ""  # what it found, waits for, or what went wrong
    result: Mapping[str, Any] = field(default_factory=dict)  # what later steps and the undoing need
    progress: Optional[int] = None  # percent, where it is known
    started_at: Optional[datetime] = None
    ended_at: Optional[datetime] = None


@dataclass(frozen=True)
class Task:
    """One background operation. `arguments` and `result` are JSON objects; secrets never stand in them."""

    id: int
    kind: str  # machine.create, machine.start, ...
    state: TaskState
    target: str  # e.g. /api/v1/machines/jboss1.example.org
    cloud: Optional[str]
    machine: Optional[str]  # uuid
    machine_name: Optional[str]
    arguments: Mapping[str, Any]
    steps: tuple[Step, ...]
    asked_by: str
    request_id: str
    created_at: datetime
    started_at: Optional[datetime] = None
    ended_at: Optional[datetime] = None
    cancel_asked: bool = False
    error: Optional[str] = None
    result: Mapping[str, Any] = field(default_factory=dict)
    position: Optional[int] = None  # while it waits: 1 is next
    log: tuple[tuple[datetime, str], ...] = ()
    revision: int = 0


@dataclass(frozen=True)
class NewTask:
    """A task as it is submitted; the store adds its id."""

    kind: str
    target: str
    cloud: Optional[str]
    machine: Optional[str]
    machine_name: Optional[str]
    arguments: Mapping[str, Any]
    steps: tuple[Step, ...]
    asked_by: str
    request_id: str
    reserve_mb: int = 0  # held on `cloud` for `machine` until that is seen active or the task has ended
    groups: tuple[str, ...] = ()  # anti-affinity groups the machine will be in; taken on `cloud` meanwhile
    secret: Optional[str] = field(default=None, repr=False)  # kept apart, for the steps alone, until it ends
    report_token: Optional[str] = field(default=None, repr=False)  # by which an installing machine is known


@dataclass(frozen=True)
class Author:
    """Who changes what people say of a cloud or machine instance, and in which task if in one."""

    name: str
    task: Optional[int] = None


@dataclass(frozen=True)
class Event:
    """Something that happened to a machine instance or a cloud instance. `id` only grows."""

    id: int
    at: datetime
    kind: str  # machine.appeared|vanished|changed|moved|doubled, cloud.unreachable|reachable, ...
    text: str  # one sentence for people
    cloud: Optional[str] = None
    machine: Optional[str] = None  # uuid
    machine_name: Optional[str] = None
    task: Optional[int] = None


class ImageState(str, Enum):
    """How far an image of the catalogue is."""

    UPLOADING = "uploading"
    READY = "ready"
    CORRUPT = "corrupt"  # what was uploaded is not what was announced; its data is gone


@dataclass(frozen=True)
class Image:
    """A disk image of the catalogue, which machine instances are cloned from."""

    name: str
    format: str  # qcow2 or raw
    sha256: str
    size_bytes: int
    min_disk_gb: int  # what was asked for; the virtual size counts beside it
    notes: str
    state: ImageState
    created_at: datetime
    received_bytes: int = 0
    virtual_size: Optional[int] = None  # bytes; None until it is ready
    error: Optional[str] = None  # why it is corrupt
    revision: int = 0

    @property
    def least_disk_gb(self) -> int:
        """The smallest disk it can be cloned to."""
        return max(self.min_disk_gb, -(-(self.virtual_size or 0) // 2**30), 1)


@dataclass(frozen=True)
class Profile:
    """A profile of the cobbler server, as far as the cloud master keeps it; None: not said there."""

    name: str
    distro: str
    arch: Optional[str]  # cobbler's word, e.g. i386 or x86_64
    breed: str = ""  # redhat, suse ...
    os_version: str = ""  # rhel9, fedora42 ...; empty where cobbler does not know it
    kernel_options: str = ""  # of its own, as on a command line; values that look secret are left out
    autoinstall: str = ""  # the name of its kickstart template
    memory_mb: Optional[int] = None  # what the profile proposes
    vcpus: Optional[int] = None
    disk_gb: Optional[float] = None
    comment: str = ""
    revision: int = 0


@dataclass(frozen=True)
class Catalogue:
    """The profiles of a cobbler server as it last told them."""

    server: str  # as the settings name it; empty where none is set
    profiles: tuple[Profile, ...] = ()
    fetched_at: Optional[datetime] = None  # when the server last said that these are all; None: never
    error: Optional[str] = None  # why it could not be asked the last time
    failing_since: Optional[datetime] = None
    modified: Optional[float] = None  # the server's own mark of its last change


class Phase(str, Enum):
    """How far an installation is, in the installing machine's own words; the first five in this order."""

    BOOTED = "booted"
    KICKSTART = "kickstart"
    PACKAGES = "packages"
    POST = "post"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Install:
    """What an installing machine has said so far. Nothing of it is known to be true: anybody could say it."""

    task: int
    reached: Optional[Phase] = None  # the furthest phase; never FAILED
    said: Optional[Phase] = None  # the last one it spoke of
    text: str = ""  # what it said with that
    heard_at: Optional[datetime] = None
    failure: Optional[str] = None  # what it said when it failed; None: it did not say so
