"""The store's part of the audit record: what is put on it, and how it goes along with a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from cloudmasterd.acting import Acting, Deed, current
from cloudmasterd.clock import Clock
from cloudmasterd.record import ALL, Entry, Filter, Head, Verdict
from cloudmasterd.store.audit_rows import append as append
from cloudmasterd.store.audit_rows import read_head, select, walk
from cloudmasterd.store.audit_verify import verify
from cloudmasterd.store.connection import Readers
from cloudmasterd.store.writer import Unit, Writer

Entries = list[Entry]


class AuditStore:
    """The record of one database; nothing in it is ever changed or removed."""

    def __init__(self, writer: Writer, readers: Readers, clock: Clock) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock

    def add(self, deed: Deed, *, durable: bool = False) -> None:
        """Put a deed on the record that no change of the store goes with.

        `durable` waits for the disk: for what was changed outside the store. The record of a change is
        written with the change, by whoever writes that.
        """
        self._writer.run(lambda unit: append(unit.raw, [deed], self._clock.now()), durable=durable)

    def list(
        self,
        wanted: Filter = ALL,
        before: Optional[int] = None,
        limit: int = 100,
        *,
        after: Optional[int] = None,
    ) -> Entries:
        """Records with an id below `before`, newest first; with `after` those above it, oldest first."""
        with self._readers.borrow() as connection:
            return select(connection.raw, wanted, before, after, limit)

    def walk(self, wanted: Filter = ALL) -> Iterator[Entry]:
        """Records, oldest first, without holding them all at once."""
        with self._readers.borrow() as connection:
            yield from walk(connection.raw, wanted)

    def verify(self, last: Optional[int] = None, noted: Optional[Head] = None) -> Verdict:
        """Whether the `last` records are whole, or all; `noted` is a head that was kept elsewhere."""
        with self._readers.borrow() as connection:
            return verify(connection.raw, noted, last)

    def head(self) -> Head:
        """How many there are, and the hash of the last; of none where somebody spoiled it."""
        with self._readers.borrow() as connection:
            return read_head(connection.raw) or Head()


class Witness:
    """Puts a request that changes something on the record, in the transaction of its first change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, unit: Unit) -> None:
        """Called with every unit that has changed a fact, before it is committed."""
        doing = current()
        if doing is None or doing.recorded:
            return
        append(unit.raw, [doing.deed], self._clock.now())
        unit.when_committed.append(lambda: _note(doing))


def _note(doing: Acting) -> None:
    doing.recorded = True
