"""Which files can be images: headers by the book, and files that qemu-img makes."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.image_format import HEAD_BYTES, MAX_VIRTUAL_SIZE, WrongImageError, virtual_size

GIB = 2**30


def qcow2(
    *, version: int = 3, backing: int = 0, size: int = GIB, encryption: int = 0, features: int = 0
) -> bytes:
    head = b"QFI\xfb" + struct.pack(">IQIIQI", version, backing, 20, 16, size, encryption)
    return (head.ljust(72, b"\0") + struct.pack(">Q", features)).ljust(HEAD_BYTES, b"\0")


def test_the_size_of_a_disk() -> None:
    assert virtual_size("qcow2", qcow2(size=7 * GIB), 1000) == 7 * GIB
    assert virtual_size("qcow2", qcow2(version=2)[:72], 1000) == GIB
    assert virtual_size("raw", b"\xeb\x63", 1024) == 1024


@pytest.mark.parametrize("features", [0, 1, 8, 16, 25])  # dirty, zlib's successor, extended L2 entries
def test_features_that_do_no_harm_are_taken(features: int) -> None:
    assert virtual_size("qcow2", qcow2(features=features), 1000) == GIB


REFUSED: list[tuple[str, bytes, int, str]] = [
    ("qcow2", qcow2(backing=112), 1000, "stands on a backing file"),
    ("qcow2", qcow2(version=2, backing=72), 1000, "stands on a backing file"),
    ("qcow2", qcow2(features=4), 1000, "its data is in another file"),
    ("qcow2", qcow2(features=2), 1000, "marked as corrupt"),
    ("qcow2", qcow2(features=32), 1000, r"features that are not known here \(0x20\)"),
    ("qcow2", qcow2(encryption=1), 1000, "encrypted"),
    ("qcow2", qcow2(version=1), 1000, "QCOW2 of version 1"),
    ("qcow2", qcow2(size=0), 1000, "a disk of 0 bytes"),
    ("qcow2", qcow2(size=MAX_VIRTUAL_SIZE + 512), 1000, "at most 64 TiB"),
    ("qcow2", qcow2()[:71], 71, "does not begin as QCOW2"),
    ("qcow2", qcow2()[:90], 90, "ends within its header"),
    ("qcow2", b"\xeb\x63", 512, "give its format as raw"),
    ("raw", qcow2(), 1024, "give its format as qcow2"),
    ("raw", b"x", 1000, "no whole number of sectors"),
]


@pytest.mark.parametrize(("form", "head", "size", "text"), REFUSED, ids=[row[3] for row in REFUSED])
def test_what_cannot_be_stood_on_is_told(form: str, head: bytes, size: int, text: str) -> None:
    with pytest.raises(WrongImageError, match=text):
        virtual_size(form, head, size)


@given(st.binary(max_size=HEAD_BYTES), st.sampled_from(["qcow2", "raw"]), st.booleans())
def test_any_bytes_are_taken_or_refused_in_words(data: bytes, form: str, magic: bool) -> None:
    head = b"QFI\xfb" + data if magic else data
    try:
        assert virtual_size(form, head, len(head)) > 0
    except WrongImageError as exc:
        assert str(exc)


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        (["-f", "qcow2"], True),
        (["-f", "qcow2", "-o", "compat=0.10"], True),
        (["-f", "qcow2", "-o", "extended_l2=on"], True),
        (["-f", "qcow2", "-o", "data_file=other.raw"], False),
        (["-f", "qcow2", "-b", "base.raw", "-F", "raw"], False),
    ],
)
def test_what_qemu_img_makes(tmp_path: Path, arguments: Any, right: bool) -> None:
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("needs qemu-img")
    (tmp_path / "base.raw").write_bytes(bytes(512))
    subprocess.run([program, "create", "-q", *arguments, "made", "3G"], check=True, cwd=tmp_path)
    head = (tmp_path / "made").read_bytes()[:HEAD_BYTES]
    if right:
        assert virtual_size("qcow2", head, 0) == 3 * GIB
    else:
        with pytest.raises(WrongImageError, match="another file|backing file"):
            virtual_size("qcow2", head, 0)
