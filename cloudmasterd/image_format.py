"""What an image file says of itself, and whether a machine instance may stand on it.

A QCOW2 file can name other files of the host it is opened on: a backing file, or one with its data. Whoever
uploads such an image would read files of a cloud instance with it, so none of that is taken. The header is
described in QEMU's docs/interop/qcow2.rst.
"""

from __future__ import annotations

import struct

FORMATS = ("qcow2", "raw")
HEAD_BYTES = 112  # what of a file has to be shown
MAX_VIRTUAL_SIZE = 64 * 2**40

_MAGIC = b"QFI\xfb"
_SECTOR = 512
# Of the incompatible features: dirty and corrupt, a file of its own for the data, zlib's successor, and
# extended L2 entries. The first is harmless to who only reads.
_CORRUPT, _DATA_FILE, _KNOWN = 1 << 1, 1 << 2, 0b11111


class WrongImageError(ValueError):
    """The file cannot be used as an image; the text says why and what would be right."""


def virtual_size(form: str, head: bytes, size_bytes: int) -> int:
    """The size in bytes of the disk that an image is; raises WrongImageError.

    `head` is the beginning of the file, `size_bytes` the size of all of it.
    """
    size = _qcow2_size(head) if form == "qcow2" else _raw_size(head, size_bytes)
    if not 0 < size <= MAX_VIRTUAL_SIZE:
        raise WrongImageError(f"a disk of {size} bytes: give one of at most {MAX_VIRTUAL_SIZE >> 40} TiB")
    return size


def _raw_size(head: bytes, size_bytes: int) -> int:
    if head.startswith(_MAGIC):
        raise WrongImageError("it begins as QCOW2 does: give its format as qcow2")
    if size_bytes % _SECTOR:
        raise WrongImageError(f"{size_bytes} bytes are no whole number of sectors ({_SECTOR}): is it whole?")
    return size_bytes


def _qcow2_size(head: bytes) -> int:
    if not head.startswith(_MAGIC) or len(head) < 72:
        raise WrongImageError("it does not begin as QCOW2 does: give its format as raw, if it is that")
    version, backing = struct.unpack_from(">IQ", head, 4)
    size, encryption = struct.unpack_from(">QI", head, 24)
    if version not in (2, 3):
        raise WrongImageError(f"it is QCOW2 of version {version}: convert it with qemu-img convert -O qcow2")
    if backing:
        raise WrongImageError("it stands on a backing file: put both into one with qemu-img convert -O qcow2")
    if encryption:
        raise WrongImageError("it is encrypted: decrypt it with qemu-img convert")
    if version == 3:
        _check_features(head)
    return int(size)


def _check_features(head: bytes) -> None:
    if len(head) < 104:
        raise WrongImageError("it ends within its header: is it all there?")
    (features,) = struct.unpack_from(">Q", head, 72)
    if features & _DATA_FILE:
        raise WrongImageError("its data is in another file: put both into one with qemu-img convert -O qcow2")
    if features & _CORRUPT:
        raise WrongImageError("it is marked as corrupt: repair it with qemu-img check -r all")
    if features & ~_KNOWN:
        raise WrongImageError(
            f"it has features that are not known here ({features:#x}): convert it with qemu-img"
        )
