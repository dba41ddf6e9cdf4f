"""Uploads that are killed, resumed and raced: the use cases of images over a real store and real files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest

from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import Conflict, Invalid, NotFound
from cloudmasterd.images import Images, ImageStoreError
from cloudmasterd.model import ImageState
from cloudmasterd.store import Store
from tests.blank import blank

KIB = 1024
DATA = os.urandom(8 * KIB)


class Master:
    """One process after another on the same files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.store = Store(blank(self.folder / "db"))
        self.images = Images(self.store, self.folder / "images", SystemClock())

    def restart(self) -> None:
        self.store.close()
        self.start()

    def announce(self, data: bytes = DATA, name: str = "img", form: str = "raw") -> Any:
        sha256 = hashlib.sha256(data).hexdigest()
        return self.images.create({"name": name, "format": form, "sha256": sha256, "size_bytes": len(data)})

    def file(self, name: str = "img") -> Path:
        return self.folder / f"images/{name}.img"


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    master = Master(tmp_path)
    yield master
    master.store.close()


def test_an_upload_goes_on_in_another_process(master: Master) -> None:
    master.announce()
    master.images.receive("img", 0, DATA[: 3 * KIB])
    master.restart()
    assert master.images.get("img").received_bytes == 3 * KIB
    assert master.images.receive("img", 3 * KIB, DATA[3 * KIB :]).state is ImageState.READY
    assert master.file().read_bytes() == DATA


def test_what_was_written_and_not_noted_is_written_again(master: Master) -> None:
    master.announce()
    master.images.receive("img", 0, DATA[:KIB])
    master.file().write_bytes(DATA[: 2 * KIB])  # killed before the note
    master.restart()
    with pytest.raises(Conflict, match="1024 bytes of img are there: go on with offset=1024, not 2048"):
        master.images.receive("img", 2 * KIB, DATA[2 * KIB :])
    assert master.images.receive("img", KIB, DATA[KIB:]).state is ImageState.READY


def test_a_chunk_whose_note_failed_may_be_another_the_second_time(master: Master) -> None:
    """The sum must be that of what is in the file."""
    master.announce()
    failing = master.store.images
    received = failing.received
    failing.received = _raise  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="not now"):
        master.images.receive("img", 0, bytes(KIB))
    failing.received = received  # type: ignore[method-assign]
    master.images.receive("img", 0, DATA[:KIB])
    assert master.images.receive("img", KIB, DATA[KIB:]).state is ImageState.READY


def _raise(*args: Any) -> Any:
    raise Conflict("not now")


def test_two_who_send_the_same_at_once_do_no_harm(master: Master) -> None:
    master.announce()

    def send(offset: int) -> object:
        try:
            return master.images.receive("img", offset, DATA[offset : offset + KIB])
        except Conflict as exc:
            return exc

    with ThreadPoolExecutor(8) as pool:
        while master.images.get("img").state is ImageState.UPLOADING:
            list(pool.map(send, [o for o in range(0, len(DATA), KIB) for _ in range(2)]))
    assert master.images.get("img").state is ImageState.READY
    assert master.file().read_bytes() == DATA


def test_an_image_that_stands_on_another_file_is_refused_and_gone(master: Master) -> None:
    data = (b"QFI\xfb" + (3).to_bytes(4, "big") + (112).to_bytes(8, "big")).ljust(KIB, b"\0")
    master.announce(data, form="qcow2")
    with pytest.raises(Conflict, match="stands on a backing file") as caught:
        master.images.receive("img", 0, data)
    assert caught.value.fields[0][0] == "format"
    assert master.images.get("img").state is ImageState.CORRUPT
    assert not master.file().exists()


def test_files_are_for_their_owner_alone(master: Master) -> None:
    master.announce()
    master.images.receive("img", 0, DATA)
    assert master.file().stat().st_mode & 0o777 == 0o600
    assert master.file().parent.stat().st_mode & 0o777 == 0o700


def test_what_no_image_has_is_tidied_away_and_nothing_else(master: Master) -> None:
    master.announce()
    master.images.receive("img", 0, DATA)
    (master.folder / "images/left.img").write_bytes(b"x")
    (master.folder / "images/notes.txt").write_bytes(b"x")
    master.images.tidy()
    assert {file.name for file in master.file().parent.iterdir()} == {"img.img", "notes.txt"}


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file")
    master = Master(tmp_path)
    try:
        with pytest.raises(ImageStoreError, match="image_dir of the cloud master"):
            master.announce()
    finally:
        master.store.close()


def test_names_lead_nowhere_else(master: Master) -> None:
    for name in ("../x", "a/b", ".x", "", "a" * 64, "x\n"):
        with pytest.raises(Invalid):
            master.images.create({"name": name, "format": "raw", "sha256": "0" * 64, "size_bytes": 1})
        with pytest.raises(NotFound):
            master.images.receive(name, 0, b"x")


@pytest.mark.parametrize("doing", [lambda i: i.get("none"), lambda i: i.delete("none")])
def test_what_is_not_there_is_not_found(master: Master, doing: Callable[[Images], object]) -> None:
    with pytest.raises(NotFound, match="GET /api/v1/images lists"):
        doing(master.images)


def test_images_are_listed_by_name_behind_a_name(master: Master) -> None:
    for name in ("b", "a", "c"):
        master.announce(DATA, name)
    assert [image.name for image in master.images.list()] == ["a", "b", "c"]
    assert [image.name for image in master.images.list(after="a", limit=1)] == ["b"]


def test_only_uploads_under_way_are_remembered(master: Master) -> None:
    master.announce()
    master.images.receive("img", 0, DATA[:KIB])
    for number in range(50):
        with pytest.raises(NotFound):
            master.images.receive(f"none{number}", 0, DATA)
        with pytest.raises(NotFound):
            master.images.delete(f"none{number}")
    assert list(master.images._uploads) == ["img"]
    with ThreadPoolExecutor(8) as pool:  # the same chunk eight times at once: each waits for the one before
        list(pool.map(lambda _: master.images.receive("img", KIB, DATA[KIB : 2 * KIB]), range(8)))
    assert master.images.receive("img", 2 * KIB, DATA[2 * KIB :]).state is ImageState.READY
    assert master.images._uploads == {}
