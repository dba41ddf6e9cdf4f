"""The catalogue of disk images; the data of each is a file that this knows nothing of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Optional

from cloudmasterd import acting
from cloudmasterd.errors import Conflict, NotFound
from cloudmasterd.model import Image, ImageState
from cloudmasterd.store.connection import OneConnection, Readers
from cloudmasterd.store.values import MAX_ID, clean, time_from_text, time_to_text
from cloudmasterd.store.writer import Unit, Writer

_ITEMS = (
    "name, format, sha256, size_bytes, min_disk_gb, notes, state, created_at, received_bytes, virtual_size,"
    " error, revision"
)
_SELECT = f"SELECT {_ITEMS} FROM image"  # noqa: S608  our own names

Images = list[Image]


class ImageStore:
    """Images by name; every change of one is a numbered change of a fact."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def add(self, image: Image) -> Image:
        """A new image, to be uploaded; Conflict when the name is taken by one that is not corrupt."""

        def work(unit: Unit) -> Image:
            before = find_image(unit.connection, image.name)
            if before is not None and before.state is not ImageState.CORRUPT:
                raise Conflict(
                    f"there is an image {image.name} already ({before.state.value}): take another name, or"
                    f" delete that one with DELETE /api/v1/images/{image.name}"
                )
            unit.changed = True
            acting.tell(image=image.name, sha256=image.sha256)
            unit.raw.execute("DELETE FROM image WHERE name = ?", (image.name,))
            unit.raw.execute(
                f"INSERT INTO image ({_ITEMS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, NULL, ?)",  # noqa: S608
                (clean(image.name), image.format, image.sha256, image.size_bytes, image.min_disk_gb,
                 clean(image.notes), ImageState.UPLOADING.value, time_to_text(image.created_at), unit.change),
            )  # fmt: skip
            return get_image(unit.connection, image.name)

        return self._writer.run(work, durable=True)

    def get(self, name: str) -> Image:
        """The image of that name; NotFound."""
        with self._readers.borrow() as connection:
            return get_image(connection, name)

    def list(self, after: Optional[str] = None, limit: Optional[int] = None) -> Images:
        """Images by name, behind the name `after`."""
        with self._readers.borrow() as connection:
            found = connection.raw.execute(
                f"{_SELECT} WHERE name > ? ORDER BY name LIMIT ?",
                (clean(after or ""), MAX_ID if limit is None else max(0, limit)),
            )
            return [_image(row) for row in found.fetchall()]

    def received(self, name: str, received_bytes: int) -> Image:
        """Note how much of the data is there. A power cut may take that along, and some is sent again."""
        return self._change(name, "received_bytes = ?", (received_bytes,), piece=True)

    def complete(self, name: str, virtual_size: int) -> Image:
        """The data is there and is what was announced."""
        sql = "state = 'ready', received_bytes = size_bytes, virtual_size = ?, error = NULL"
        return self._change(name, sql, (virtual_size,))

    def spoil(self, name: str, error: str) -> Image:
        """What came is not what was announced, or is no image that can be used."""
        return self._change(name, "state = 'corrupt', received_bytes = 0, error = ?", (clean(error),))

    def delete(self, name: str) -> Image:
        """Take it out of the catalogue; Conflict while an unfinished task is to clone it. What it was."""

        def work(unit: Unit) -> Image:
            image = get_image(unit.connection, name)
            users = _users(unit, image.name)
            if users:
                raise Conflict(
                    f"task {users[0]} is about to clone the image {image.name}: wait until it has ended, or"
                    f" cancel it with POST /api/v1/tasks/{users[0]}/cancel"
                )
            unit.raw.execute("DELETE FROM image WHERE name = ?", (image.name,))
            unit.changed = True
            return image

        return self._writer.run(work, durable=True)

    def _change(self, name: str, sql: str, values: tuple[Any, ...], *, piece: bool = False) -> Image:
        def work(unit: Unit) -> Image:
            get_image(unit.connection, name)
            unit.changed = True
            unit.raw.execute(
                f"UPDATE image SET {sql}, revision = ? WHERE name = ?",  # noqa: S608  our own columns
                (*values, unit.change, clean(name)),
            )
            return get_image(unit.connection, name)

        return self._writer.run(work, durable=not piece, observed=piece)


def find_image(connection: OneConnection, name: str) -> Optional[Image]:
    """The image of that name, if any."""
    row = connection.raw.execute(f"{_SELECT} WHERE name = ?", (clean(name),)).fetchone()
    return None if row is None else _image(row)


def get_image(connection: OneConnection, name: str) -> Image:
    """The image of that name; NotFound."""
    found = find_image(connection, name)
    if found is None:
        raise NotFound(f"there is no image {name[:80]!r}; GET /api/v1/images lists those there are")
    return found


def _users(unit: Unit, name: str) -> list[int]:
    """Unfinished tasks that clone the image."""
    found = unit.raw.execute("SELECT id, arguments FROM task WHERE ended_at IS NULL AND kind = ?", (CLONES,))
    return [
        int(task) for task, arguments in found if json.loads(arguments).get("source", {}).get("image") == name
    ]


CLONES = "machine.create"
"""The kind of tasks that have the name of an image among their arguments, under `source`."""


def _image(row: Sequence[Any]) -> Image:
    (name, form, sha256, size_bytes, min_disk_gb, notes, state, created_at, received_bytes, virtual_size,
     error, revision) = row  # fmt: skip
    created: Optional[datetime] = time_from_text(created_at)
    assert created is not None
    return Image(
        name=name,
        format=form,
        sha256=sha256,
        size_bytes=size_bytes,
        min_disk_gb=min_disk_gb,
        notes=notes,
        state=ImageState(state),
        created_at=created,
        received_bytes=received_bytes,
        virtual_size=virtual_size,
        error=error,
        revision=revision,
    )
