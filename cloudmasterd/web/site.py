"""What the web needs of the rest of the cloud master, gathered in one value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol, Union, cast

from cloudmasterd.access import Access
from cloudmasterd.acting import Deed
from cloudmasterd.clock import Clock
from cloudmasterd.enrolment import DEFAULT_S, EnrolmentToken, KnownToken, WaitingRequest
from cloudmasterd.flavors import DEFAULT_FLAVORS, Flavor
from cloudmasterd.machines import Asker
from cloudmasterd.model import (
    Author,
    Catalogue,
    CloudInstance,
    CloudState,
    Event,
    Image,
    Install,
    MachineInstance,
    MachineState,
    Profile,
    Task,
    TaskState,
)
from cloudmasterd.operations import Resources
from cloudmasterd.people import People
from cloudmasterd.placement import Capacity, Placement
from cloudmasterd.rebuild_spec import RebuildSpec
from cloudmasterd.record import Entry, Filter, Head, Verdict
from cloudmasterd.rights import ANONYMOUS, Identity
from cloudmasterd.scopes import Scopes
from cloudmasterd.spec import Change, MachineSpec
from cloudmasterd.web.proxy import NO_PROXY, Proxy


class TaskReads(Protocol):
    """The part of the Store that knows the tasks."""

    def get(self, task_id: int) -> Task:
        """One task, with steps and log; raises NotFound."""

    def list(
        self,
        *,
        states: Collection[TaskState] = (),
        machine: Optional[str] = None,
        cloud: Optional[str] = None,
        before: Optional[int] = None,
        limit: int = 100,
    ) -> list[Task]:
        """Tasks, newest first: those with an id below `before`."""


class EventReads(Protocol):
    """The part of the Store that knows what happened."""

    @property
    def latest(self) -> int:
        """The id of the latest event; 0 when there is none."""

    def list(
        self,
        after: int = 0,
        limit: int = 100,
        machine: Optional[str] = None,
        cloud: Optional[str] = None,
    ) -> list[Event]:
        """Events with an id above `after`, oldest first."""

    def newest(
        self,
        limit: int,
        before: Optional[int] = None,
        machine: Optional[str] = None,
        cloud: Optional[str] = None,
    ) -> Sequence[Event]:
        """Events with an id below `before`, newest first."""

    def wait(self, after: int, timeout_s: float) -> bool:
        """Wait until there is an event behind `after`; False when time ran out."""


class AuditRecord(Protocol):
    """The part of the Store that keeps who did what."""

    def add(self, deed: Deed, *, durable: bool = False) -> None:
        """Put a deed on the record that no change of the store goes with."""

    def list(
        self, wanted: Filter, before: Optional[int], limit: int, *, after: Optional[int] = None
    ) -> Sequence[Entry]:
        """Records with an id below `before`, newest first; with `after` those above it, oldest first."""

    def head(self) -> Head:
        """How many there are, and the hash of the last one."""

    def verify(self, last: int) -> Verdict:
        """Whether the last records are whole."""


class Reads(Protocol):
    """The part of the Store that answers questions, and keeps what people say of a cloud instance."""

    @property
    def tasks(self) -> TaskReads:
        """The tasks."""

    @property
    def events(self) -> EventReads:
        """The events."""

    @property
    def audit(self) -> AuditRecord:
        """Who did what."""

    @property
    def change_count(self) -> int:
        """Grows with every committed change of a fact, and outlives a restart."""

    @property
    def write_count(self) -> int:
        """Grows with every committed write, of this process only."""

    def get_cloud(self, name: str) -> CloudInstance:
        """One cloud instance; raises NotFound."""

    def list_clouds(
        self, *, states: Collection[CloudState] = (), after: Optional[str] = None, limit: Optional[int] = None
    ) -> list[CloudInstance]:
        """Cloud instances by name."""

    def get_machine(self, name_or_uuid: str) -> MachineInstance:
        """One machine instance; raises NotFound, or Conflict where two carry the name."""

    def list_machines(
        self,
        *,
        clouds: Sequence[str] = (),
        states: Collection[MachineState] = (),
        after: Optional[tuple[str, str]] = None,
        limit: Optional[int] = None,
    ) -> list[MachineInstance]:
        """Machine instances by (name, uuid)."""

    def change_cloud(
        self,
        name: str,
        *,
        maintenance: Optional[bool] = None,
        maintenance_reason: Optional[str] = None,
        reserve_mb: Optional[int] = None,
        tags: Optional[Mapping[str, str]] = None,
        notes: Optional[str] = None,
        revision: Optional[int] = None,
        by: Optional[Author] = None,
    ) -> CloudInstance:
        """Change what is given; raises NotFound, or StaleVersion when it is not at `revision`."""


class Refreshes(Protocol):
    """The part of the Fleet that asks a cloud instance now."""

    def refresh_cloud(self, name: str) -> CloudInstance:
        """Ask and store; raises NotFound, CloudUnreachable, CloudRefused or RemoteFault."""


class UseCases(Protocol):
    """What can be done with machine instances. All raise CloudError; a machine is a name or a uuid."""

    def create(self, spec: MachineSpec, asker: Asker) -> Task:
        """Place and make one; MachineExists, NoRoom."""

    def act(
        self, machine: str, action: str, asker: Asker, revision: Optional[int] = None, force: bool = False
    ) -> Task:
        """start, shutdown, poweroff, reboot, reset, pause or resume."""

    def change(
        self, machine: str, change: Change, asker: Asker, revision: Optional[int] = None
    ) -> Union[MachineInstance, Task]:
        """Change it; what the cloud instance has no part in is done at once."""

    def delete(
        self,
        machine: str,
        asker: Asker,
        revision: Optional[int] = None,
        force: bool = False,
        keep_disks: bool = False,
    ) -> Task:
        """Take it away with its disks."""

    def adopt(self, machine: str, asker: Asker) -> Task:
        """Mark it as managed by this cloud master."""

    def place(self, spec: MachineSpec) -> Placement:
        """Where it would go, and why not elsewhere; changes nothing."""

    def capacity(self) -> Capacity:
        """How many more of each flavor fit."""

    def resources(self, cloud: str) -> Optional[tuple[Resources, float]]:
        """What a cloud instance has to give as last heard, and seconds since; NotFound."""

    def learn_resources(self, cloud: str) -> None:
        """Ask a cloud instance what it has to give."""

    def wait(self, task_id: int, seconds: float) -> Task:
        """The task, once it has ended or the time is over."""

    def cancel(self, task_id: int, asker: Asker) -> Task:
        """Ask a task to end; NotFound, or Conflict when it has ended."""


class RebuildCases(Protocol):
    """Cloud instances installed anew."""

    def rebuild(self, cloud: str, spec: RebuildSpec, asker: Asker, revision: Optional[int] = None) -> Task:
        """Submit the task; CloudError, Conflict with who would be lost in its fields."""

    def default_profile(self, cloud: CloudInstance) -> str:
        """What it is installed from when nobody names a profile; empty where that is not known."""


class RemovalCases(Protocol):
    """Cloud instances that are to be none any more."""

    def remove(
        self, cloud: str, asker: Asker, *, force: bool = False, revision: Optional[int] = None
    ) -> None:
        """Revoke and forget one; CloudError, Conflict with what stands against it in its fields."""


class ImageCases(Protocol):
    """What can be done with images. All raise CloudError."""

    def create(self, body: Any, scopes: Scopes = ()) -> Image:
        """Announce one; Invalid, Conflict."""

    def get(self, name: str) -> Image:
        """One image; NotFound."""

    def list(self, after: Optional[str] = None, limit: Optional[int] = None) -> Sequence[Image]:
        """Images by name."""

    def receive(self, name: str, offset: int, data: bytes, scopes: Scopes = ()) -> Image:
        """Take a chunk; Conflict with the right offset, or when the whole is not what was announced."""

    def delete(self, name: str, scopes: Scopes = ()) -> None:
        """Take it out; Conflict while a task is to clone it."""


class InstallReports(Protocol):
    """What installing machines may say, each known by its token. Both raise NotFound for a wrong one."""

    def report(self, token: str, phase: str, text: str = "") -> None:
        """Take down a phase; Invalid for one there is not."""

    def check(self, token: str) -> Install:
        """Whether it would be taken."""


class ProfileCases(Protocol):
    """What can be done with profiles. All raise CloudError."""

    def list(
        self, *, arches: Collection[str] = (), after: Optional[str] = None, limit: Optional[int] = None
    ) -> Sequence[Profile]:
        """Profiles by name, as the store has them."""

    def about(self) -> Catalogue:
        """Where they are from, how old that is, and why it is not newer; without the profiles."""

    def get(self, name: str) -> Profile:
        """One profile; NotFound."""

    def refresh(self) -> Catalogue:
        """Ask the cobbler server now; CobblerError."""


class EnrolmentCases(Protocol):
    """What can be asked of certmaster. All raise CertmasterUnreachable, and what else is said."""

    @property
    def master(self) -> str:
        """What cloud instances call this cloud master."""

    def new_token(
        self, name_glob: str, expires_s: int = DEFAULT_S, replace: bool = False, mark: str = ""
    ) -> EnrolmentToken:
        """A one-time token; Invalid, or Conflict for a mark that made one already."""

    def metadata(self, token: EnrolmentToken) -> dict[str, str]:
        """The kernel options a machine enrols with."""

    def list_tokens(self) -> Sequence[KnownToken]:
        """The tokens, newest first, without their secrets."""

    def delete_token(self, token_id: str) -> None:
        """Take one back; NotFound."""

    def authority(self) -> str:
        """The fingerprint of the authority, in hex."""

    def list_waiting(self) -> Sequence[WaitingRequest]:
        """The requests that wait for a signature, by name."""

    def sign(self, name: str, key_fingerprint: str = "", by: str = "") -> None:
        """Sign one; NotFound, Conflict where another key waits than the one given."""

    def reject(self, name: str, key_fingerprint: str = "", by: str = "") -> None:
        """Drop one, and let its key wait no more; NotFound, Conflict."""


class Door(Protocol):
    """Tells who somebody is."""

    def identify(self, headers: Mapping[str, str], address: str) -> Identity:
        """Who sent a request with these headers; ANONYMOUS when they do not say.

        `address` is the connection's other end: where a web server in front asks, that is its own.

        Unauthenticated for a credential that is no good, Forbidden for one that is forged.
        """


class ClosedDoor:
    """Knows nobody, so that a site to which nobody gave a door lets nobody in."""

    def identify(self, headers: Mapping[str, str], address: str) -> Identity:
        """ANONYMOUS."""
        return ANONYMOUS


@dataclass(frozen=True)
class Site:
    """One cloud master as its pages and its REST interface see it.

    `name` is what the pages call it, `refresh_s` how often cloud instances are asked, `problems` answers the
    reasons why this master is not ready (none when it is).
    """

    store: Reads
    fleet: Refreshes
    clock: Clock
    name: str
    refresh_s: int
    problems: Callable[[], list[str]]
    machines: UseCases = cast(UseCases, None)  # noqa: RUF009  a site that only shows needs none
    flavors: Sequence[Flavor] = DEFAULT_FLAVORS
    images: ImageCases = cast(ImageCases, None)  # noqa: RUF009  as above
    installs: InstallReports = cast(InstallReports, None)  # noqa: RUF009  as above
    profiles: ProfileCases = cast(ProfileCases, None)  # noqa: RUF009  as above
    enrolment: EnrolmentCases = cast(EnrolmentCases, None)  # noqa: RUF009  as above
    rebuilds: RebuildCases = cast(RebuildCases, None)  # noqa: RUF009  as above
    removals: RemovalCases = cast(RemovalCases, None)  # noqa: RUF009  as above
    people: People = cast(People, None)  # noqa: RUF009  as above
    access: Access = cast(Access, None)  # noqa: RUF009  as above
    door: Door = ClosedDoor()  # noqa: RUF009  it has no state
    proxy: Proxy = NO_PROXY
