"""The public face of the database: takes and gives dataclasses, never rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Optional

from cloudmasterd.clock import Clock, SystemClock
from cloudmasterd.model import (
    Author,
    CloudInstance,
    CloudState,
    Inventory,
    MachineInstance,
    MachineState,
    MemoryPolicy,
)
from cloudmasterd.store import owned, reading, writing
from cloudmasterd.store.audit import AuditStore, Witness
from cloudmasterd.store.connection import OneConnection, Readers, translated
from cloudmasterd.store.events import EventStore, latest_event, skip_ids
from cloudmasterd.store.images import ImageStore
from cloudmasterd.store.installs import InstallStore
from cloudmasterd.store.lock import DatabaseLock
from cloudmasterd.store.migrate import migrate
from cloudmasterd.store.opening import open_database, real_path
from cloudmasterd.store.profiles import ProfileStore
from cloudmasterd.store.sessions import SessionStore
from cloudmasterd.store.tasks import TaskStore
from cloudmasterd.store.tokens import TokenStore
from cloudmasterd.store.users import UserStore
from cloudmasterd.store.writer import Unit, Writer

# A power cut can take the last commits along, and with them the numbers they used up. After a stop that was
# not clean numbering goes on far beyond them, so that no number ever means two things.
_SKIP = 1_000_000


class Store:
    """The database of one cloud master; every method may be called from any thread.

    Opening creates or migrates it. Raises StoreLocked when another cloud master has it, StoreTooNew when a
    newer one wrote it, StoreError when it cannot be used; every method raises StoreError when it stops being
    usable. Changes are numbered: revisions are the number of a row's latest change. `web_key` is a secret of
    this database: what pages prove with it they can prove after a restart, too.
    """

    def __init__(
        self,
        path: Path,
        policy: MemoryPolicy = MemoryPolicy(),  # noqa: B008  frozen
        *,
        clock: Optional[Clock] = None,
        keep_tasks_days: int = 30,
    ) -> None:
        self._path = real_path(path)
        self._policy = policy
        self._clock = clock or SystemClock()
        with ExitStack() as stack:
            lock = DatabaseLock(Path(f"{self._path}.lock"))
            stack.callback(lock.release)
            with translated(self._path, "open"):
                connection: OneConnection = stack.enter_context(open_database(self._path))
                migrate(connection.raw, self._path)
                self._writer = Writer(connection, self._path, Witness(self._clock))
            self._readers = Readers(self._path)
            stack.callback(self._readers.close)
            if lock.unclean:
                self._writer.skip(_SKIP)
                self._writer.run(_take_up_numbers, doing="open", durable=True)
                lock.unclean = False
            self.web_key = self._writer.run(self._take_up, doing="open", durable=True)
            self._writer.run(_take_up_events, doing="open")
            self._closing = stack.pop_all()
        self.tasks = TaskStore(self._writer, self._readers, policy, self._clock, keep_tasks_days)
        self.events = EventStore(self._writer, self._readers)
        self.images = ImageStore(self._writer, self._readers)
        self.profiles = ProfileStore(self._writer, self._readers)
        self.installs = InstallStore(self._writer, self._readers)
        self.users = UserStore(self._writer, self._readers)
        self.tokens = TokenStore(self._writer, self._readers)
        self.sessions = SessionStore(self._writer, self._readers)
        self.audit = AuditStore(self._writer, self._readers, self._clock)

    def _take_up(self, unit: Unit) -> str:
        writing.adopt_policy(unit, self._policy)
        return _web_key(unit, self._clock)

    def close(self) -> None:
        """Close the database and let another process have it; a second call does nothing."""
        with self._writer.closed():
            self._closing.close()

    @property
    def change_count(self) -> int:
        """The number of the latest committed change of a fact; never goes back, not even after a restart."""
        return self._writer.changes

    @property
    def write_count(self) -> int:
        """How often this process committed anything, `observed_at` included."""
        return self._writer.writes

    def get_cloud(self, name: str) -> CloudInstance:
        """The cloud instance of that name; NotFound."""
        with self._readers.borrow() as connection:
            return reading.get_cloud(connection, name, self._policy)

    def list_clouds(
        self, *, states: Iterable[CloudState] = (), after: Optional[str] = None, limit: Optional[int] = None
    ) -> list[CloudInstance]:
        """Cloud instances by name: those in one of `states` (any when empty), behind the name `after`."""
        with self._readers.borrow() as connection:
            return reading.list_clouds(connection, self._policy, states, after, limit)

    def get_machine(self, name_or_uuid: str) -> MachineInstance:
        """The machine instance of that uuid or name; NotFound, Conflict when several carry the name."""
        with self._readers.borrow() as connection:
            return reading.get_machine(connection, name_or_uuid)

    def list_machines(
        self,
        *,
        clouds: Sequence[str] = (),
        states: Iterable[MachineState] = (),
        after: Optional[tuple[str, str]] = None,
        limit: Optional[int] = None,
    ) -> list[MachineInstance]:
        """Machine instances by (name, uuid): those on one of `clouds` and in one of `states` (any when
        empty), behind the pair `after`."""
        with self._readers.borrow() as connection:
            return reading.list_machines(connection, clouds, states, after, limit)

    def list_cursors(self) -> dict[str, Optional[str]]:
        """What to send each cloud instance to hear only what changed; None where it has to say everything."""
        with self._readers.borrow() as connection:
            return reading.list_cursors(connection)

    def names_to_uuids(self, cloud: str) -> dict[str, str]:
        """The machine instances a cloud instance reports; empty for one that is not known."""
        with self._readers.borrow() as connection:
            return reading.names_to_uuids(connection, cloud)

    def sync_clouds(self, expiries: Mapping[str, Optional[datetime]]) -> None:
        """Take over which cloud instances have a certificate and when each ends; removes none."""
        if expiries:
            self._writer.run(lambda unit: writing.sync_clouds(unit, expiries), observed=True)

    def reconcile(self, inventories: Mapping[str, Inventory], at: datetime) -> None:
        """Take over what cloud instances answered at the time `at`, all or nothing; they are up then.

        One that is not known yet becomes so. What is not as it was becomes an event, but for the first
        answer of a cloud instance.
        """
        if inventories:
            self._writer.run(
                lambda unit: writing.reconcile(unit, inventories, at), always=True, observed=True
            )

    def mark_unreachable(self, errors: Mapping[str, str], at: datetime) -> None:
        """Note that cloud instances did not answer at the time `at`, and why; their figures stay."""
        if errors:
            self._writer.run(lambda unit: writing.mark_unreachable(unit, errors, at), observed=True)

    def remove_cloud(self, name: str, by: str) -> list[int]:
        """Forget a cloud instance and what it reported; the ids of the tasks there that had not ended.

        They are asked to end. It comes back with the next answer, or the next look at who has a certificate:
        both have to be over. Raises NotFound.
        """
        return self._writer.run(
            lambda unit: writing.remove_cloud(unit, name, by, self._clock.now()), durable=True
        )

    def change_cloud(
        self,
        name: str,
        *,
        maintenance: Optional[bool] = None,
        maintenance_reason: Optional[str] = None,
        reserve_mb: Optional[int] = None,
        tags: Optional[Mapping[str, str]] = None,
        notes: Optional[str] = None,
        profile: Optional[str] = None,
        revision: Optional[int] = None,
        by: Optional[Author] = None,
    ) -> CloudInstance:
        """Change what people say of a cloud instance; None: as it was, RESERVE_BY_POLICY: no override.

        It is told as an event when it is known `by` whom it is changed.
        Raises NotFound, StaleVersion when it is not at `revision` any more, Invalid for a reason without
        maintenance.
        """
        wish = owned.CloudWish(maintenance, maintenance_reason, reserve_mb, tags, notes, profile)
        wishing = owned.Wishing(revision, self._clock.now(), by)
        return self._writer.run(
            lambda unit: owned.change_cloud(unit, name, wish, wishing, self._policy), durable=True
        )

    def change_machine(
        self,
        uuid: str,
        *,
        tags: Optional[Mapping[str, str]] = None,
        notes: Optional[str] = None,
        managed: Optional[bool] = None,
        image: Optional[str] = None,
        groups: Optional[Sequence[str]] = None,
        profile: Optional[str] = None,
        revision: Optional[int] = None,
        by: Optional[Author] = None,
        allow: Optional[owned.Allow] = None,
    ) -> MachineInstance:
        """Change what belongs to a machine instance wherever it lives; None: as it was.

        It is told as an event when it is known `by` whom it is changed.
        One that no cloud instance reports yet can be written about while an unfinished task works on it.
        `allow` sees it before and after, and raises what stands against that.
        Raises NotFound, StaleVersion when it is not at `revision` any more.
        """
        wish = owned.MachineWish(tags, notes, managed, image, groups, profile)
        wishing = owned.Wishing(revision, self._clock.now(), by, allow)
        return self._writer.run(lambda unit: owned.change_machine(unit, uuid, wish, wishing), durable=True)


def _take_up_numbers(unit: Unit) -> None:
    skip_ids(unit)
    unit.changed = True


def _take_up_events(unit: Unit) -> None:
    unit.latest_event = latest_event(unit)


def _web_key(unit: Unit, clock: Clock) -> str:
    known = unit.raw.execute("SELECT value FROM meta WHERE key = 'web_key'").fetchone()
    if known is not None:
        return str(known[0])
    key = clock.new_token()
    unit.raw.execute("INSERT INTO meta (key, value) VALUES ('web_key', ?)", (key,))
    return key
