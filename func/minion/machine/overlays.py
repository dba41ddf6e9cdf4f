"""Read from a disk's file itself what it stands on; libvirt tells it only of volumes and running machines."""

from __future__ import annotations

import os
import struct
from pathlib import Path, PurePosixPath

_MAGIC = b"QFI\xfb"


class NotAFileError(ValueError):
    """It stands on something that is no file by name: a protocol, or JSON."""


def below(path: str) -> str:
    """The path a QCOW2 file stands on; empty where it is none, or stands alone.

    Raises OSError, NotAFileError.
    """
    with Path(path).open("rb") as stream:
        head = stream.read(20)
        if head[:4] != _MAGIC or len(head) < 20:
            return ""
        offset, length = struct.unpack_from(">QI", head, 8)
        if not offset:
            return ""
        stream.seek(offset)
        name = os.fsdecode(stream.read(min(length, 4096)))
    if ":" in name.partition("/")[0]:
        raise NotAFileError(f"{path} stands on {name[:80]!r}, which is no file")
    return str(PurePosixPath(path).parent / name)
