"""Open the database of a cloud master that may be running, for what is done to its people from a shell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudmasterd.clock import Clock
from cloudmasterd.errors import StoreError
from cloudmasterd.store.audit import AuditStore, Witness
from cloudmasterd.store.connection import OneConnection, Readers, translated
from cloudmasterd.store.migrate import schema_version
from cloudmasterd.store.opening import real_path
from cloudmasterd.store.schema import MIGRATIONS
from cloudmasterd.store.sessions import SessionStore
from cloudmasterd.store.tokens import TokenStore
from cloudmasterd.store.users import UserStore
from cloudmasterd.store.writer import Writer, _Batch, change_count

_START = "start cloudmasterd once (systemctl start cloudmasterd)"


class Beside:
    """The people of a database, and the record. The cloud master may read and write it meanwhile."""

    def __init__(self, writer: Writer, readers: Readers, clock: Clock) -> None:
        self.users = UserStore(writer, readers)
        self.tokens = TokenStore(writer, readers)
        self.sessions = SessionStore(writer, readers)
        self.audit = AuditStore(writer, readers, clock)


class _SecondWriter(Writer):
    """A writer that is not the only one: changes are counted on from wherever the database stands."""

    def _begin(self, durable: bool) -> _Batch:
        batch = super()._begin(durable)
        # now nobody else can write until the end of the batch
        self.changes = batch.changes = change_count(self.connection.raw)
        return batch


@contextmanager
def open_beside(path: Path, clock: Clock) -> Iterator[Beside]:
    """The database at `path`, for the length of the block; its cloud master may run or not.

    Nothing is made and nothing migrated: StoreError when it is not there or not of our schema version.
    """
    path = real_path(path)
    with translated(path, "open"):
        try:
            there = path.exists()
        except OSError as exc:
            raise StoreError(f"cannot look for the database {path}: {exc.strerror or exc}") from exc
        if not there:
            raise StoreError(f"there is no database {path} yet: {_START}, which makes it with a first admin")
        connection = OneConnection(path)
    readers = Readers(path)
    try:
        with translated(path, "open"):
            _check_version(connection, path)
            writer = _SecondWriter(connection, path, Witness(clock))
        yield Beside(writer, readers, clock)
    finally:
        readers.close()
        connection.close()


def _check_version(connection: OneConnection, path: Path) -> None:
    known = MIGRATIONS[-1].version
    found = schema_version(connection.raw, path, known)
    if found != known:
        raise StoreError(f"{path} has schema version {found}, not {known}: {_START}, which brings it along")
