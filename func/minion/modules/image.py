"""The wire module `image`, which is ours: take in the cloud master's images, and seeds for cloud-init."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster.config import Setting
from func.errors import HostError
from func.minion.codes import BadSpec
from func.minion.images import ImageCache
from func.minion.libvirt_connection import Calls, Link, Links, chosen_uri
from func.minion.machine import arguments
from func.minion.machine.image_use import backing_files
from func.minion.module import FuncModule
from func.minion.modules.virt import Virt
from func.minion.seeds import MAX_BYTES, Seeds

MAX_PIECE = 2 * 2**20
LOOK_LIMIT_S = 25.0  # below what the cloud master waits for an answer
SWEEP_S = 3600.0

log = logging.getLogger(__name__)


class Image(FuncModule):
    """Its libvirt is the one of the module `virt`; asked only for what is in use, before an image goes."""

    version = "0.0.1"
    description = "Take in images and seeds for machine instances to be made from"
    methods = ("status", "put", "finish", "put_seed", "delete_seed")
    settings = (
        Setting(
            "image_dir", Path("/var/lib/func/images"), "where images are kept; QEMU's user reads them there"
        ),
        Setting("seed_dir", Path("/var/lib/func/seeds"), "where the seeds of cloud-init are kept"),
        Setting(
            "keep_gb",
            50,
            "above this many GB, images that no disk stands on go, those not asked for longest first",
        ),
    )

    def __init__(
        self,
        root: Path,
        open_link: Optional[Callable[[str], Link]] = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        super().__init__(root)
        uri = chosen_uri(Virt.read_options(root)["uri"])
        self._calls = Calls((open_link or Links().get)(uri), LOOK_LIMIT_S, LOOK_LIMIT_S)
        keep_bytes = max(0, self.options["keep_gb"]) * 2**30
        self._cache = ImageCache(self.options["image_dir"], keep_bytes, self._in_use, clock, **options)
        self._seeds = Seeds(self.options["seed_dir"])
        self._clock = clock
        self._swept_at = 0.0

    def status(self, sha256: str, form: str, size_bytes: str) -> str:
        """JSON {have, received}; sizes come as text, because large ones have no form on the wire."""
        return _text(self._cache.status(sha256, form, _number(size_bytes, "size_bytes")))

    def put(self, sha256: str, offset: str, piece: str) -> str:
        """JSON {received}: where to go on; `piece` is base64."""
        return _text(self._cache.put(sha256, _number(offset, "offset"), _decoded(piece, MAX_PIECE)))

    def finish(self, sha256: str, form: str, size_bytes: str) -> str:
        """JSON {have, received, checked, wrong}; called again and again until it has it, or it is wrong."""
        return _text(self._cache.finish(sha256, form, _number(size_bytes, "size_bytes")))

    def put_seed(self, uuid: str, iso: str) -> str:
        """JSON {made}; `iso` is base64."""
        target = arguments.target({"uuid": uuid})
        self._sweep()
        return _text({"made": self._seeds.put(target.uuid, _decoded(iso, MAX_BYTES))})

    def delete_seed(self, uuid: str) -> str:
        """JSON {deleted}; one that is gone already is fine."""
        return _text({"deleted": self._seeds.delete(arguments.target({"uuid": uuid}).uuid)})

    def _sweep(self) -> None:
        """Now and then, remove seeds that machines undefined by hand left behind."""
        now = self._clock()
        if now - self._swept_at < SWEEP_S:
            return
        self._swept_at = now
        try:
            machines = self._calls.read(lambda host: {each.UUIDString() for each in host.listAllDomains()})
            for uuid in self._seeds.sweep(machines, now):
                log.info("the seed of %s is removed: the machine is gone for a week", uuid)
        except HostError as exc:  # the seed that came is there all the same
            log.warning("%s", exc)

    def _in_use(self) -> Optional[frozenset[str]]:
        try:
            return self._calls.read(backing_files)
        except HostError:
            return None  # nothing is known, so nothing goes

    def close(self) -> None:
        """Let go of the threads."""
        self._calls.close()


def _decoded(text: Any, most: int) -> bytes:
    if not isinstance(text, str) or len(text) > most * 4 // 3 + 4:
        raise BadSpec(f"a piece is base64 of at most {most} bytes")
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise BadSpec(f"a piece is base64: {exc}") from exc


def _number(text: Any, name: str) -> int:
    value = str(text)
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise BadSpec(f"{name} is a number of bytes, not {value[:40]!r}")
    return int(value)


def _text(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, separators=(",", ":"))
