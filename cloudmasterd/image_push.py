"""Send images to the cloud instances that need them, piece by piece over the fabric, each once."""

from __future__ import annotations

import base64
import logging
import threading
from dataclasses import dataclass
from typing import BinaryIO, Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import Conflict, RemoteFault
from cloudmasterd.images import Images
from cloudmasterd.model import Image
from cloudmasterd.operations import Operations

log = logging.getLogger(__name__)

PIECE_BYTES = 2**20  # as text it stays well below the 4 MiB a minion takes
TURN_S = 2.0  # how long one call goes on, so that a task can be cancelled in between
WAIT_S = 0.5
TIMES = 2


@dataclass(frozen=True)
class Underway:
    """The image is not there yet: how far it is, and when to call again."""

    percent: int
    detail: str
    after_s: float = 0.0


class ImagePush:
    """Brings images to cloud instances; thread-safe.

    What has arrived is known by the cloud instance alone, so whoever is interrupted, or is killed, goes on
    where it stopped. Of several tasks that need an image on the same cloud instance one sends at a time.
    """

    def __init__(self, operations: Operations, images: Images, clock: Clock, turn_s: float = TURN_S) -> None:
        self._operations = operations
        self._images = images
        self._clock = clock
        self._turn_s = turn_s
        self._lock = threading.Lock()
        self._turns: dict[tuple[str, str], threading.Lock] = {}
        self._spoilt: dict[tuple[str, str], int] = {}

    def advance(self, cloud: str, name: str, sha256: str) -> Optional[Underway]:
        """Send some of it; None when all of it is there. Raises CloudError."""
        image = self._images.get(name)
        if image.sha256 != sha256:
            raise Conflict(f"the image {name} was replaced by another one: create the machine instance anew")
        with self._lock:
            turn = self._turns.setdefault((cloud, sha256), threading.Lock())
        if not turn.acquire(blocking=False):
            return Underway(0, f"{name} is on its way to {cloud} for another task", WAIT_S)
        try:
            return self._advance(cloud, image)
        finally:
            turn.release()

    def _advance(self, cloud: str, image: Image) -> Optional[Underway]:
        size = str(image.size_bytes)
        status = self._operations.ask_image(cloud, "status", image.sha256, image.format, size)
        if status.get("have"):
            return None
        received = int(status.get("received", 0))
        with self._open(image) as file:
            received = self._send(cloud, image, file, received)
        if received < image.size_bytes:
            percent = 100 * received // image.size_bytes
            return Underway(percent, f"{received >> 20} of {image.size_bytes >> 20} MB sent")
        answer = self._operations.ask_image(cloud, "finish", image.sha256, image.format, size)
        if answer.get("have"):
            self._spoilt.pop((cloud, image.sha256), None)
            log.info("the image %s is on %s", image.name, cloud)
            return None
        if answer.get("wrong"):
            return self._again(cloud, image, str(answer["wrong"]))
        return Underway(99, f"{cloud} checks it: {int(answer.get('checked', 0)) >> 20} MB", WAIT_S)

    def _open(self, image: Image) -> BinaryIO:
        file = self._images.file_of(image)
        try:
            return file.open("rb")
        except OSError as exc:
            raise Conflict(f"the file of the image {image.name} cannot be read: {exc}") from exc

    def _send(self, cloud: str, image: Image, file: BinaryIO, received: int) -> int:
        end = self._clock.monotonic() + self._turn_s
        while received < image.size_bytes:
            file.seek(received)
            piece = base64.b64encode(file.read(PIECE_BYTES)).decode("ascii")
            answer = self._operations.ask_image(cloud, "put", image.sha256, str(received), piece)
            received = int(answer.get("received", received))
            if self._clock.monotonic() >= end:
                break
        return received

    def _again(self, cloud: str, image: Image, wrong: str) -> Underway:
        """What came was not what was sent: a cloud instance that lost power in the middle, or a bad disk."""
        times = self._spoilt[cloud, image.sha256] = self._spoilt.get((cloud, image.sha256), 0) + 1
        told = f"what came to {cloud} has the SHA-256 {wrong}, and {image.name} has {image.sha256}"
        log.warning("%s (%d of %d)", told, times, TIMES)
        if times >= TIMES:
            del self._spoilt[cloud, image.sha256]
            raise RemoteFault(
                "ImageDamaged", f"{told}: look at the disks of both, delete the image and upload it again"
            )
        return Underway(0, "it came damaged and is sent anew")
