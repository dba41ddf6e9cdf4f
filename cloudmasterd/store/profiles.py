"""The profiles of the cobbler server as it last told them; they outlive a restart of either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from typing import Any, Optional

from cloudmasterd.errors import NotFound
from cloudmasterd.model import Catalogue, Profile
from cloudmasterd.store.connection import Readers
from cloudmasterd.store.values import MAX_ID, clean, time_from_text, time_to_text
from cloudmasterd.store.writer import Unit, Writer

_ITEMS = (
    "name, distro, arch, breed, os_version, kernel_options, autoinstall, memory_mb, vcpus, disk_gb, comment,"
    " revision"
)
_SELECT = f"SELECT {_ITEMS} FROM profile"  # noqa: S608  our own names
_INSERT = f"INSERT OR REPLACE INTO profile ({_ITEMS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608
_CATALOGUE = "SELECT server, modified, fetched_at, error, failing_since FROM catalogue"

Profiles = list[Profile]


class ProfileStore:
    """The catalogue of one server at a time; what changes in it is a numbered change of a fact."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def adopt(self, server: str) -> None:
        """From now on the catalogue is that of `server` (none when empty); another one's is forgotten."""

        def work(unit: Unit) -> None:
            known = [name for (name,) in unit.raw.execute("SELECT server FROM catalogue")]
            if known == ([server] if server else []):
                return
            unit.raw.execute("DELETE FROM catalogue")
            unit.raw.execute("DELETE FROM profile")
            if server:
                unit.raw.execute("INSERT INTO catalogue (server) VALUES (?)", (server,))
            unit.changed = True

        self._writer.run(work, durable=True)

    def catalogue(self) -> Catalogue:
        """All of it."""
        with self._readers.borrow() as connection:
            about = connection.raw.execute(_CATALOGUE).fetchone()
            if about is None:
                return Catalogue("")
            found = connection.raw.execute(f"{_SELECT} ORDER BY name").fetchall()
        return replace(_catalogue(about), profiles=tuple(Profile(*row) for row in found))

    def about(self) -> Catalogue:
        """The same without the profiles."""
        with self._readers.borrow() as connection:
            about = connection.raw.execute(_CATALOGUE).fetchone()
        return Catalogue("") if about is None else _catalogue(about)

    def list(
        self, *, arches: Iterable[str] = (), after: Optional[str] = None, limit: Optional[int] = None
    ) -> Profiles:
        """Profiles by name: those for one of `arches` (any when empty), behind the name `after`."""
        wanted = [clean(arch) for arch in arches]
        where = f" AND arch IN ({', '.join('?' * len(wanted))})" if wanted else ""
        with self._readers.borrow() as connection:
            found = connection.raw.execute(
                f"{_SELECT} WHERE name > ?{where} ORDER BY name LIMIT ?",
                (clean(after or ""), *wanted, MAX_ID if limit is None else max(0, limit)),
            )
            return [Profile(*row) for row in found.fetchall()]

    def get(self, name: str) -> Profile:
        """The profile of that name; NotFound."""
        with self._readers.borrow() as connection:
            row = connection.raw.execute(f"{_SELECT} WHERE name = ?", (clean(name),)).fetchone()
        if row is None:
            raise NotFound(f"there is no profile {name[:80]!r}; GET /api/v1/profiles lists those there are")
        return Profile(*row)

    def put(self, server: str, profiles: Sequence[Profile], modified: float, at: datetime) -> None:
        """These are all profiles of `server` at the time `at`; nothing happens when it is another one's."""

        def work(unit: Unit) -> None:
            if not _answered(unit, server, at):
                return
            before = {row[0]: Profile(*row) for row in unit.raw.execute(_SELECT)}
            now = {profile.name: profile for profile in map(_cleaned, profiles)}
            new = [each for each in now.values() if _unlike(before.get(each.name), each)]
            gone = sorted(before.keys() - now.keys())
            unit.raw.executemany(_INSERT, [astuple(replace(each, revision=unit.change)) for each in new])
            unit.raw.executemany("DELETE FROM profile WHERE name = ?", [(name,) for name in gone])
            unit.raw.execute("UPDATE catalogue SET modified = ?", (modified,))
            unit.changed = unit.changed or bool(new or gone)

        self._writer.run(work, always=True, observed=True)

    def confirm(self, server: str, at: datetime) -> None:
        """`server` says at the time `at` that nothing has changed."""
        self._writer.run(lambda unit: _answered(unit, server, at), always=True, observed=True)

    def fail(self, server: str, error: str, at: datetime) -> None:
        """`server` could not be asked at the time `at`, and why; its profiles stay as they were."""

        def work(unit: Unit) -> None:
            row = unit.raw.execute("SELECT error FROM catalogue WHERE server = ?", (server,)).fetchone()
            if row is None or row[0] == clean(error):
                return
            unit.raw.execute(
                "UPDATE catalogue SET error = ?, failing_since = coalesce(failing_since, ?)",
                (clean(error), time_to_text(at)),
            )
            unit.changed = True

        self._writer.run(work, observed=True)


def _answered(unit: Unit, server: str, at: datetime) -> bool:
    """Note that the server answered; False when the catalogue is of another one by now."""
    row = unit.raw.execute("SELECT error, fetched_at FROM catalogue WHERE server = ?", (server,)).fetchone()
    if row is None:
        return False
    unit.raw.execute(
        "UPDATE catalogue SET fetched_at = ?, error = NULL, failing_since = NULL", (time_to_text(at),)
    )
    unit.changed = row[0] is not None or row[1] is None
    return True


def _cleaned(profile: Profile) -> Profile:
    values: list[Any] = [clean(value) if isinstance(value, str) else value for value in astuple(profile)]
    return Profile(*values)


def _unlike(before: Optional[Profile], now: Profile) -> bool:
    return before is None or replace(before, revision=0) != replace(now, revision=0)


def _catalogue(row: Sequence[Any]) -> Catalogue:
    server, modified, fetched_at, error, failing_since = row
    return Catalogue(
        server=server,
        fetched_at=time_from_text(fetched_at),
        error=error,
        failing_since=time_from_text(failing_since),
        modified=modified,
    )
