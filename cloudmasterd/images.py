"""The images that machine instances are cloned from: uploaded in chunks, checked, kept as files, deleted."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import Conflict, Invalid, NotFound, StoreError
from cloudmasterd.image_format import FORMATS, HEAD_BYTES, WrongImageError, virtual_size
from cloudmasterd.jsonbody import Field, collect, invalid, matching, one_of, text, whole
from cloudmasterd.model import Image, ImageState
from cloudmasterd.scopes import Scopes, refuse_bound
from cloudmasterd.spec import MAX_NOTES, MachineSpec
from cloudmasterd.store import Store
from cloudmasterd.store.room import Room

log = logging.getLogger(__name__)

MAX_CHUNK_BYTES = 4 * 2**20
MAX_IMAGE_BYTES = 2**42
MAX_DISK_GB = 65536
_BLOCK = 2**20
_WHAT = "an image"
_FILE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,62})\.img")

_NEW = (
    Field(
        "name",
        matching(
            r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
            "the name of an image: at most 63 of letters, digits, '.', '_' and '-', a letter or digit first",
        ),
    ),
    Field("format", one_of(FORMATS)),
    Field("sha256", matching(r"[0-9a-f]{64}", "64 hex digits in lower case, as sha256sum prints them")),
    Field("size_bytes", whole(1, MAX_IMAGE_BYTES, "bytes")),
    Field("min_disk_gb", whole(0, MAX_DISK_GB, "GB"), 0, may_be_null=True),
    Field("notes", text(MAX_NOTES, lines=True), "", may_be_null=True),
)


class ImageStoreError(StoreError):
    """The cloud master cannot keep images: its directory is missing, not its own, or full."""


def parse_image(body: Any) -> Mapping[str, Any]:
    """Read the JSON body that announces an image; raises Invalid with every wrong field."""
    values, found = collect(body, _NEW)
    if found:
        raise invalid(found)
    return values


@dataclass
class _Upload:
    """An upload under way in this process: the checksum of what came in a row."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0  # who has it, or waits for it
    sums: Any = field(default_factory=hashlib.sha256)
    summed: int = 0

    def start_anew(self) -> None:
        """Forget what was summed up: nothing came, or the whole is checked."""
        self.sums, self.summed = hashlib.sha256(), 0


class Images:
    """The use cases of images; thread-safe. All raise CloudError."""

    def __init__(self, store: Store, directory: Path, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    def create(self, body: Any, scopes: Scopes = ()) -> Image:
        """Announce an image whose data is to follow; Invalid, Conflict when the name is taken.

        Images are everybody's: who is bound to tags changes none of them (Forbidden).
        """
        refuse_bound(scopes, _WHAT)
        wanted = parse_image(body)
        with self._upload(wanted["name"]) as upload:
            image = self._store.images.add(
                Image(**wanted, state=ImageState.UPLOADING, created_at=self._clock.now())
            )
            with self._translated("make the directory for images"):
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file(image.name).unlink(missing_ok=True)
            upload.start_anew()
        return image

    def get(self, name: str) -> Image:
        """The image of that name; NotFound."""
        return self._store.images.get(name)

    def list(self, after: Optional[str] = None, limit: Optional[int] = None) -> Sequence[Image]:
        """Images by name, behind the name `after`."""
        return self._store.images.list(after, limit)

    def receive(self, name: str, offset: int, data: bytes, scopes: Scopes = ()) -> Image:
        """Take a chunk; the last one has the whole checked. A chunk that is there already changes nothing.

        Raises Conflict naming the right offset for one that does not follow, and when the whole is not what
        was announced: then its data is gone.
        """
        refuse_bound(scopes, _WHAT)
        with self._upload(name) as upload:
            image = self._store.images.get(name)
            if image.state is ImageState.CORRUPT:
                raise Conflict(
                    f"the image {name} is corrupt ({image.error}): announce it again, and send it anew"
                )
            if self._is_there(image, offset, data):
                return image
            with self._translated(f"keep the image {name}"):
                self._write(image, upload, offset, data)
            if offset + len(data) < image.size_bytes:
                return self._store.images.received(name, offset + len(data))
            return self._check(image, upload)

    def delete(self, name: str, scopes: Scopes = ()) -> None:
        """Take it out of the catalogue; Conflict while an unfinished task is to clone it.

        Machine instances that were cloned from it stay: their cloud instances have copies of their own.
        """
        refuse_bound(scopes, _WHAT)
        with self._upload(name) as upload:
            image = self._store.images.delete(name)
            upload.start_anew()
            with self._translated(f"remove the file of the image {name}"):
                self._file(image.name).unlink(missing_ok=True)

    def refuse(self, spec: MachineSpec) -> Image:
        """The image of a machine instance that is to be made; Invalid or Conflict where that cannot be."""
        name = spec.source.image or ""
        try:
            image = self.get(name)
        except NotFound as exc:
            known = ", ".join(each.name for each in self.list(limit=20)) or "none"
            told = f"there is no image {name!r}; there are: {known}"
            raise Invalid(f"source.image: {told}", [("source.image", told)]) from exc
        _refuse_state(image)
        _refuse_size(image, spec)
        self.file_of(image)
        return image

    def file_of(self, image: Image) -> Path:
        """The file of a ready image; Conflict where it is not there any more."""
        file = self._file(image.name)
        try:
            size = file.stat().st_size
        except OSError as exc:
            raise Conflict(f"the file of the image {image.name} is gone ({exc}): upload it again") from exc
        if size != image.size_bytes:
            raise Conflict(
                f"the file of the image {image.name} has {size} bytes in place of {image.size_bytes}: send it"
                " again"
            )
        return file

    def tidy(self) -> None:
        """Remove files that no image of the catalogue has; a kill between two lines left them."""
        known = {image.name for image in self.list()}
        try:
            files = sorted(self._directory.iterdir()) if self._directory.is_dir() else []
            for file in files:
                found = _FILE.fullmatch(file.name)
                if found is not None and found["name"] not in known:
                    log.info("%s belongs to no image of the catalogue and is removed", file)
                    file.unlink()
        except OSError as exc:
            log.warning("the directory of images cannot be tidied: %s", exc)

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.img"

    @contextmanager
    def _upload(self, name: str) -> Iterator[_Upload]:
        """One at a time for each name; what has nothing to remember is not kept."""
        with self._lock:
            upload = self._uploads.setdefault(name, _Upload())
            upload.users += 1
        try:
            with upload.lock:
                yield upload
        finally:
            with self._lock:
                upload.users -= 1
                if not upload.users and not upload.summed:
                    del self._uploads[name]

    def _is_there(self, image: Image, offset: int, data: bytes) -> bool:
        end = offset + len(data)
        if not data:
            raise Invalid("the chunk is empty", [("body", f"send 1 to {MAX_CHUNK_BYTES} bytes")])
        if end > image.size_bytes:
            told = (
                f"the chunk ends at {end}, the image at {image.size_bytes}: send no more than was announced"
            )
            raise Invalid(told, [("offset", told)])
        if offset == image.received_bytes:
            return False
        if end > image.received_bytes:
            right = f"offset={image.received_bytes}"
            raise Conflict(
                f"{image.received_bytes} bytes of {image.name} are there: go on with {right}, not {offset}",
                [("offset", right)],
            )
        with self._translated(f"read the image {image.name}"), self._file(image.name).open("rb") as file:
            file.seek(offset)
            if file.read(len(data)) != data:
                raise Conflict(
                    f"what is there of {image.name} from {offset} on is not this: delete it, start anew"
                )
        return True

    def _write(self, image: Image, upload: _Upload, offset: int, data: bytes) -> None:
        with os.fdopen(os.open(self._file(image.name), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.truncate(offset)  # what a chunk left that was not noted any more
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        if upload.summed != offset:
            upload.start_anew()  # all is read again in the end
        if upload.summed == offset:
            upload.sums.update(data)
            upload.summed += len(data)

    def _check(self, image: Image, upload: _Upload) -> Image:
        file = self._file(image.name)
        with self._translated(f"read the image {image.name}"), file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            stream.seek(upload.summed)
            while block := stream.read(_BLOCK):  # what another process received
                upload.sums.update(block)
                upload.summed += len(block)
        found = upload.sums.hexdigest()
        upload.start_anew()
        try:
            if found != image.sha256:
                raise WrongImageError(f"its SHA-256 is {found}, and {image.sha256} was announced")
            size = virtual_size(image.format, head, image.size_bytes)
        except WrongImageError as exc:
            self._store.images.spoil(image.name, str(exc))
            with self._translated(f"remove the file of the image {image.name}"):
                file.unlink(missing_ok=True)
            field_ = "sha256" if found != image.sha256 else "format"
            raise Conflict(f"the image {image.name} cannot be used: {exc}", [(field_, str(exc))]) from exc
        log.info("the image %s is ready: %d bytes, %s", image.name, image.size_bytes, image.sha256)
        return self._store.images.complete(image.name, size)

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise ImageStoreError(
                f"cannot {doing}: {exc}; look at image_dir of the cloud master ({self._directory})"
            ) from exc


def refuse_replaced(room: Room, image: Image) -> None:
    """Raises Conflict where the image was deleted or replaced since it was looked at."""
    now = room.find_image(image.name)
    if now is None or (now.sha256, now.state) != (image.sha256, image.state):
        raise Conflict(f"the image {image.name} was deleted or replaced just now: look which there are")


def _refuse_state(image: Image) -> None:
    if image.state is ImageState.UPLOADING:
        percent = 100 * image.received_bytes // image.size_bytes
        told = (
            f"the image {image.name} is still being uploaded ({percent} % are there): wait until it is ready"
        )
    elif image.state is ImageState.CORRUPT:
        told = f"the image {image.name} is corrupt ({image.error}): upload it again"
    else:
        return
    raise Conflict(told, [("source.image", told)])


def _refuse_size(image: Image, spec: MachineSpec) -> None:
    size_gb, least_gb = spec.disks[0].size_gb, image.least_disk_gb
    if size_gb < least_gb:
        told = (
            f"{size_gb} GB: the image is larger than the disk, {image.name} needs at least {least_gb} GB"
            f"{'; take a larger flavor' if spec.flavor else ''}"
        )
        raise Invalid(told, [("flavor" if spec.flavor else "disks[0].size_gb", told)])
