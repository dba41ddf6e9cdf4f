"""The tables of the current schema version as SQLObject sees them; `schema.py` makes them.

A machine instance is in two tables. `sighting` says what a cloud instance reports of it, one row for each
cloud instance that has it; one of them is shown. `machine` is what belongs to the machine instance itself and
goes with it from one cloud instance to the next.

Who may do what, and what was done, is in `tables_people.py`.

A task is one row of `task`, with a row of `step` for each step, of `task_log` for each line of its log, and
of `reservation` while it holds memory.
"""

from __future__ import annotations

from sqlobject import FloatCol, IntCol, SQLObject, StringCol

from cloudmasterd.store.tables_people import Audit, Session, Token, User

_REGISTRY = "cloudmasterd"  # of SQLObject: keeps these names apart from other users of it in the process


class Meta(SQLObject):
    """Facts about the database: schema_version, change_count, policy, web_key, audit_head."""

    class sqlmeta:  # noqa: N801  SQLObject's word
        """The key is the name of the fact."""

        table = "meta"
        idName = "key"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    value = StringCol(notNone=True)


class Cloud(SQLObject):
    """A cloud instance. Memory is in MB, times are ISO 8601 text in UTC, tags are a JSON object.

    `reachability` is new, up or unreachable; `maintenance` is a wish of the administrator beside it.
    committed_mb and active sum up all its active sightings and the reservations of machine instances that are
    not active on it, machines and running the shown sightings; pending counts those reservations alone.
    reserve_mb is NULL where the policy holds.
    """

    class sqlmeta:  # noqa: N801
        """The key is the name."""

        table = "cloud"
        idName = "name"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    reachability = StringCol(notNone=True)
    maintenance = IntCol(notNone=True)
    maintenance_reason = StringCol(notNone=True)
    maintenance_since = StringCol()
    reserve_mb = IntCol()
    notes = StringCol(notNone=True)
    profile = StringCol()
    arch = StringCol()
    cpus = IntCol()
    memory_mb = IntCol()
    live_free_memory_mb = IntCol()
    committed_mb = IntCol(notNone=True)
    active = IntCol(notNone=True)
    pending = IntCol(notNone=True)
    machines = IntCol(notNone=True)
    running = IntCol(notNone=True)
    tags = StringCol(notNone=True)
    observed_at = StringCol()
    error = StringCol()
    unreachable_since = StringCol()
    certificate_expires_at = StringCol()
    cursor = StringCol()
    revision = IntCol(notNone=True)


class Machine(SQLObject):
    """What belongs to a machine instance wherever it lives. `vanished_at` is set while nobody reports it.

    `anti_affinity` is a JSON list of group names.
    """

    class sqlmeta:  # noqa: N801
        """The key is the uuid."""

        table = "machine"
        idName = "uuid"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    managed = IntCol(notNone=True)
    profile = StringCol()
    image = StringCol()
    tags = StringCol(notNone=True)
    notes = StringCol(notNone=True)
    anti_affinity = StringCol(notNone=True)
    vanished_at = StringCol()
    revision = IntCol(notNone=True)


class Sighting(SQLObject):
    """A machine instance as one cloud instance reports it. `appeared` is the change that brought it."""

    class sqlmeta:  # noqa: N801
        """The key is SQLite's row id."""

        table = "sighting"
        registry = _REGISTRY

    cloud = StringCol(notNone=True)
    uuid = StringCol(notNone=True)
    name = StringCol(notNone=True)
    state = StringCol(notNone=True)
    memory_mb = IntCol(notNone=True)
    max_memory_mb = IntCol(notNone=True)
    vcpus = IntCol(notNone=True)
    autostart = IntCol(notNone=True)
    appeared = IntCol(notNone=True)
    shown = IntCol(notNone=True)


class Task(SQLObject):
    """A task. `ended_at` is NULL while it waits or runs; arguments and result are JSON objects."""

    class sqlmeta:  # noqa: N801
        """The key only grows."""

        table = "task"
        registry = _REGISTRY

    kind = StringCol(notNone=True)
    state = StringCol(notNone=True)
    target = StringCol(notNone=True)
    cloud = StringCol()
    machine = StringCol()
    machine_name = StringCol()
    arguments = StringCol(notNone=True)
    anti_affinity = StringCol(notNone=True)
    asked_by = StringCol(notNone=True)
    request_id = StringCol(notNone=True)
    idempotency_key = StringCol()
    request_hash = StringCol(notNone=True)
    created_at = StringCol(notNone=True)
    started_at = StringCol()
    ended_at = StringCol()
    cancel_asked = IntCol(notNone=True)
    error = StringCol()
    result = StringCol(notNone=True)
    revision = IntCol(notNone=True)


class Step(SQLObject):
    """One step of a task; `number` counts from 0 in each task."""

    class sqlmeta:  # noqa: N801
        """The key is SQLite's row id."""

        table = "step"
        registry = _REGISTRY

    task = IntCol(notNone=True)
    number = IntCol(notNone=True)
    name = StringCol(notNone=True)
    title = StringCol(notNone=True)
    state = StringCol(notNone=True)
    operation = StringCol()
    detail = StringCol(notNone=True)
    result = StringCol(notNone=True)
    progress = IntCol()
    started_at = StringCol()
    ended_at = StringCol()


class TaskLog(SQLObject):
    """One line of the log of a task."""

    class sqlmeta:  # noqa: N801
        """The key is SQLite's row id, and the order."""

        table = "task_log"
        registry = _REGISTRY

    task = IntCol(notNone=True)
    at = StringCol(notNone=True)
    text = StringCol(notNone=True)


class Reservation(SQLObject):
    """Memory held on a cloud instance for a machine instance while its task is not finished."""

    class sqlmeta:  # noqa: N801
        """The key is the task."""

        table = "reservation"
        idName = "task"  # noqa: N815
        registry = _REGISTRY

    cloud = StringCol(notNone=True)
    uuid = StringCol()
    name = StringCol()
    memory_mb = IntCol(notNone=True)


class Event(SQLObject):
    """Something that happened. Nothing it names needs to be there any more."""

    class sqlmeta:  # noqa: N801
        """The key only grows."""

        table = "event"
        registry = _REGISTRY

    at = StringCol(notNone=True)
    kind = StringCol(notNone=True)
    text = StringCol(notNone=True)
    cloud = StringCol()
    machine = StringCol()
    machine_name = StringCol()
    task = IntCol()


class TaskSecret(SQLObject):
    """What only the steps of a task may read; gone when it ends."""

    class sqlmeta:  # noqa: N801
        """The key is the task."""

        table = "task_secret"
        idName = "task"  # noqa: N815
        registry = _REGISTRY

    body = StringCol(notNone=True)


class Image(SQLObject):
    """A disk image of the catalogue; its data is a file beside the database."""

    class sqlmeta:  # noqa: N801
        """The key is the name."""

        table = "image"
        idName = "name"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    format = StringCol(notNone=True)
    sha256 = StringCol(notNone=True)
    size_bytes = IntCol(notNone=True)
    min_disk_gb = IntCol(notNone=True)
    notes = StringCol(notNone=True)
    state = StringCol(notNone=True)
    created_at = StringCol(notNone=True)
    received_bytes = IntCol(notNone=True)
    virtual_size = IntCol()
    error = StringCol()
    revision = IntCol(notNone=True)


class Profile(SQLObject):
    """A profile of the cobbler server, as far as it is kept."""

    class sqlmeta:  # noqa: N801
        """The key is the name."""

        table = "profile"
        idName = "name"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    distro = StringCol(notNone=True)
    arch = StringCol()
    breed = StringCol(notNone=True)
    os_version = StringCol(notNone=True)
    kernel_options = StringCol(notNone=True)
    autoinstall = StringCol(notNone=True)
    memory_mb = IntCol()
    vcpus = IntCol()
    disk_gb = FloatCol()
    comment = StringCol(notNone=True)
    revision = IntCol(notNone=True)


class Catalogue(SQLObject):
    """Which cobbler server the profiles are of; `fetched_at` is when it last said that these are all."""

    class sqlmeta:  # noqa: N801
        """The key is the server as the settings name it."""

        table = "catalogue"
        idName = "server"  # noqa: N815
        idType = str  # noqa: N815
        registry = _REGISTRY

    modified = FloatCol()
    fetched_at = StringCol()
    error = StringCol()
    failing_since = StringCol()


class Install(SQLObject):
    """What the machine that a task installs has said of itself; gone when the task ends.

    `token_hash` is the SHA-256 of what it is known by, in hexadecimal; the token itself is not kept here.
    """

    class sqlmeta:  # noqa: N801
        """The key is the task."""

        table = "install"
        idName = "task"  # noqa: N815
        registry = _REGISTRY

    token_hash = StringCol(notNone=True)
    reached = StringCol()
    said = StringCol()
    text = StringCol(notNone=True)
    heard_at = StringCol()
    failure = StringCol()


TABLES = (
    Meta,
    Cloud,
    Machine,
    Sighting,
    Task,
    Step,
    TaskLog,
    Reservation,
    Event,
    TaskSecret,
    Image,
    Profile,
    Catalogue,
    Install,
    User,
    Token,
    Session,
    Audit,
)
