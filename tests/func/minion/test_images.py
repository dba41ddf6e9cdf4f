"""Images on a minion: received in pieces, checked, kept as long as they are used, and what a crash leaves."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import struct
from pathlib import Path
from typing import Any, Optional

import pytest

from func.errors import HostError
from func.minion.codes import BadSpec, DiskFull, NoSuchVolume
from func.minion.images import FORGOTTEN_S, YOUNG_S, ImageCache
from func.minion.modules.image import Image
from func.minion.seeds import KEEP_S, Seeds
from tests.func.minion.helpers import wait_for

KIB = 1024
DATA = random.Random(1).randbytes(10 * KIB)  # the same in every process: it names tests
SUM = hashlib.sha256(DATA).hexdigest()
UUID = "44444444-4444-4444-4444-444444444444"
OTHER = "55555555-5555-5555-5555-555555555555"


class Host:
    """A cache with a clock, a disk and uses that are set by hand."""

    def __init__(self, folder: Path, keep_bytes: int = 100 * KIB) -> None:
        self.folder = folder / "images"
        self.now = 1_000_000.0
        self.free = 10**9
        self.used: Optional[frozenset[str]] = frozenset()
        self.looked = 0
        self.cache = self.open(keep_bytes)

    def open(self, keep_bytes: int = 100 * KIB) -> ImageCache:
        return ImageCache(self.folder, keep_bytes, self.in_use, lambda: self.now, lambda path: self.free)

    def in_use(self) -> Optional[frozenset[str]]:
        self.looked += 1
        return self.used

    def names(self) -> set[str]:
        return {file.name for file in self.folder.iterdir()}

    def take_in(self, data: bytes, form: str = "raw") -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        assert self.cache.status(sha256, form, len(data)) == {"have": False, "received": 0}
        assert self.cache.put(sha256, 0, data) == {"received": len(data)}
        assert finished(self.cache, sha256, form, len(data))["have"] is True
        return sha256

    def path(self, sha256: str, form: str = "raw") -> str:
        return str(self.folder / f"{sha256}.{form}")


def finished(cache: ImageCache, sha256: str, form: str, size: int) -> Any:
    answers: list[Any] = []

    def ended() -> bool:
        answers.append(cache.finish(sha256, form, size))
        return bool(answers[-1]["have"] or answers[-1]["wrong"] or answers[-1]["received"] < size)

    wait_for(ended, "the checksum")
    return answers[-1]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_an_image_comes_in_pieces_and_is_read_only_by_name(host: Host) -> None:
    assert host.cache.status(SUM, "raw", len(DATA)) == {"have": False, "received": 0}
    for start in range(0, len(DATA), 4 * KIB):
        answer = host.cache.put(SUM, start, DATA[start : start + 4 * KIB])
    assert answer == {"received": len(DATA)}
    assert host.names() == {f"{SUM}.part"}
    assert finished(host.cache, SUM, "raw", len(DATA)) == {
        "have": True, "received": len(DATA), "checked": len(DATA), "wrong": None
    }  # fmt: skip
    assert host.names() == {f"{SUM}.raw"}
    assert (host.folder / f"{SUM}.raw").read_bytes() == DATA
    assert (host.folder / f"{SUM}.raw").stat().st_mode & 0o777 == 0o644
    assert host.folder.stat().st_mode & 0o777 == 0o711
    assert host.cache.status(SUM, "raw", len(DATA)) == {"have": True, "received": len(DATA)}


def test_a_piece_twice_or_too_far_on_changes_nothing_and_says_where_to_go_on(host: Host) -> None:
    host.cache.status(SUM, "raw", len(DATA))
    host.cache.put(SUM, 0, DATA[: 4 * KIB])
    assert host.cache.put(SUM, 0, DATA[: 4 * KIB]) == {"received": 4 * KIB}
    assert host.cache.put(SUM, 8 * KIB, DATA[8 * KIB :]) == {"received": 4 * KIB}
    assert host.cache.status(SUM, "raw", len(DATA)) == {"have": False, "received": 4 * KIB}
    assert finished(host.cache, SUM, "raw", len(DATA))["received"] == 4 * KIB


def test_who_starts_anew_goes_on_where_the_one_before_was_killed(host: Host) -> None:
    host.cache.put(SUM, 0, DATA[: 4 * KIB])
    host.cache = host.open()
    assert host.cache.status(SUM, "raw", len(DATA))["received"] == 4 * KIB
    host.cache.put(SUM, 4 * KIB, DATA[4 * KIB :])
    host.cache = host.open()  # killed before the check ended
    assert finished(host.cache, SUM, "raw", len(DATA))["have"] is True


def test_what_is_not_what_was_wanted_goes_and_its_sum_is_told(host: Host) -> None:
    host.cache.put(SUM, 0, bytes(len(DATA)))
    answer = finished(host.cache, SUM, "raw", len(DATA))
    assert (answer["have"], answer["received"]) == (False, 0)
    assert answer["wrong"] == hashlib.sha256(bytes(len(DATA))).hexdigest()
    assert host.names() == set()


def test_more_than_the_whole_is_thrown_away(host: Host) -> None:
    host.cache.put(SUM, 0, DATA + b"more")
    assert host.cache.status(SUM, "raw", len(DATA))["received"] == 0


def test_no_room_is_told_in_numbers_before_anything_is_sent(host: Host) -> None:
    host.free = 3 * 2**20
    with pytest.raises(DiskFull, match=r"an image of 5 MB needs 5 MB more in .*images, and 3 MB are free"):
        host.cache.status(SUM, "raw", 5 * 2**20)


def test_what_exceeds_the_bound_goes_the_longest_unasked_first(host: Host) -> None:
    sums = []
    for letter in b"abc":
        sums.append(host.take_in(bytes([letter]) * 40 * KIB))
        host.now += 10
    # the third went above 100 KiB, but nobody young is thrown out
    assert len(host.names()) == 3
    host.now += YOUNG_S + 1
    host.cache.status(sums[0], "raw", 40 * KIB)  # the oldest is asked for
    new = host.take_in(b"d" * 40 * KIB)
    assert host.names() == {f"{sums[0]}.raw", f"{new}.raw"}


def test_what_a_disk_stands_on_stays_however_old(host: Host) -> None:
    old = [host.take_in(bytes([letter]) * 60 * KIB) for letter in b"ab"]
    host.used = frozenset({os.path.realpath(host.path(old[0]))})
    host.now += YOUNG_S + 1
    host.take_in(b"c" * 60 * KIB)
    assert f"{old[0]}.raw" in host.names() and f"{old[1]}.raw" not in host.names()


def test_where_it_cannot_be_told_what_is_in_use_nothing_goes(host: Host) -> None:
    old = [host.take_in(bytes([letter]) * 60 * KIB) for letter in b"ab"]
    host.used = None
    host.now += YOUNG_S + 1
    host.take_in(b"c" * 60 * KIB)
    assert {f"{name}.raw" for name in old} < host.names()


def test_while_there_is_room_nobody_is_asked_what_is_in_use(host: Host) -> None:
    host.take_in(DATA)
    assert host.looked == 0


def test_a_full_disk_makes_room_below_the_bound_too(host: Host) -> None:
    old = host.take_in(DATA)
    host.now += YOUNG_S + 1
    host.free = 0
    with pytest.raises(DiskFull):
        host.cache.status("0" * 64, "raw", KIB)
    assert f"{old}.raw" not in host.names()


def test_half_an_image_that_nobody_went_on_with_goes(host: Host) -> None:
    host.cache.put(SUM, 0, DATA[:KIB])
    os.utime(host.folder / f"{SUM}.part", (host.now, host.now))
    host.now += FORGOTTEN_S + 1
    host.free = 0
    with pytest.raises(DiskFull):
        host.cache.status("0" * 64, "raw", KIB)
    assert host.names() == set()


def test_the_size_of_the_disk_that_an_image_is(host: Host) -> None:
    head = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, 7 * 2**30)
    raw, qcow2 = host.take_in(DATA), host.take_in(head.ljust(KIB, b"\0"), "qcow2")
    found = [host.cache.find(name) for name in (raw, qcow2)]
    assert [(each.format, each.virtual_size) for each in found if each] == [
        ("raw", len(DATA)), ("qcow2", 7 * 2**30)
    ]  # fmt: skip
    assert host.cache.find("0" * 64) is None


@pytest.mark.parametrize("data", [b"tiny", bytes(KIB)], ids=["short", "long"])
def test_what_is_called_qcow2_and_is_none_is_refused(host: Host, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    host.cache.put(sha256, 0, data)
    with pytest.raises(BadSpec, match="is no QCOW2 file, which it was said to be"):
        finished(host.cache, sha256, "qcow2", len(data))
    assert host.names() == set()
    assert host.take_in(data) == sha256


def test_one_that_is_used_counts_as_asked_for(host: Host) -> None:
    sha256 = host.take_in(DATA)
    host.now += 10**6
    with host.cache.using(sha256) as found:
        assert found.path.stat().st_mtime == host.now
    with pytest.raises(NoSuchVolume, match="image 000000000000 is not on this host"):
        with host.cache.using("0" * 64):
            raise AssertionError("it is not there")


@pytest.mark.parametrize(
    ("sha256", "form", "size", "text"),
    [
        ("../../etc/passwd", "raw", 1, "is no SHA-256"),
        (SUM.upper(), "raw", 1, "is no SHA-256"),
        (None, "raw", 1, "is no SHA-256"),
        (SUM, "vmdk", 1, "one of qcow2, raw, not 'vmdk'"),
        (SUM, "raw", 0, "a number of bytes, not '0'"),
        (SUM, "raw", True, "a number of bytes"),
    ],
)
def test_nothing_but_a_checksum_becomes_a_name(
    host: Host, sha256: Any, form: Any, size: Any, text: str
) -> None:
    with pytest.raises(BadSpec, match=text):
        host.cache.status(sha256, form, size)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file")
    with pytest.raises(HostError, match="images in .*images"):
        Host(tmp_path).cache.put(SUM, 0, DATA)


@pytest.fixture
def module(tmp_path: Path) -> Image:
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "etc/func/modules/Virt.conf").write_text("[main]\nuri = test:///default\n")
    return Image(tmp_path)


def test_the_module_speaks_json_and_base64(module: Image, tmp_path: Path) -> None:
    assert json.loads(module.status(SUM, "raw", str(len(DATA)))) == {"have": False, "received": 0}
    assert json.loads(module.put(SUM, "0", base64.b64encode(DATA).decode())) == {"received": len(DATA)}
    wait_for(lambda: json.loads(module.finish(SUM, "raw", str(len(DATA))))["have"], "the checksum")
    assert (tmp_path / f"var/lib/func/images/{SUM}.raw").read_bytes() == DATA
    for wrong in ("no base64!", "ä", 7):
        with pytest.raises(BadSpec, match="a piece is base64"):
            module.put(SUM, "0", wrong)  # type: ignore[arg-type]
    with pytest.raises(BadSpec, match="offset is a number of bytes, not '-1'"):
        module.put(SUM, "-1", "")


def test_a_seed_is_written_whole_for_its_owner_alone(module: Image, tmp_path: Path) -> None:
    iso = base64.b64encode(b"first").decode()
    assert json.loads(module.put_seed(UUID, iso)) == {"made": True}
    assert json.loads(module.put_seed(UUID, base64.b64encode(b"second").decode())) == {"made": False}
    seed = tmp_path / f"var/lib/func/seeds/{UUID}.iso"
    assert (seed.read_bytes(), seed.stat().st_mode & 0o777) == (b"second", 0o600)
    assert seed.parent.stat().st_mode & 0o777 == 0o711
    assert json.loads(module.delete_seed(UUID)) == {"deleted": True}
    assert json.loads(module.delete_seed(UUID)) == {"deleted": False}
    assert list(seed.parent.iterdir()) == []
    with pytest.raises(BadSpec, match="is no uuid"):
        module.put_seed("../x", iso)


def test_the_seed_of_a_machine_that_was_undefined_by_hand_goes_after_a_week(tmp_path: Path) -> None:
    seeds, now = Seeds(tmp_path), 1_000_000.0
    seeds.put(UUID, b"a secret")
    assert seeds.sweep([], now) == [], "it may be defined in a moment"
    assert seeds.sweep([UUID], now + KEEP_S) == [], "it was only defined anew"
    assert seeds.sweep([], now + 2 * KEEP_S) == [] and seeds.path(UUID).exists()
    assert seeds.sweep([], now + 3 * KEEP_S) == []
    assert seeds.sweep([], now + 3 * KEEP_S + 1) == [UUID]
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_swept_now_and_then_when_one_comes(tmp_path: Path) -> None:
    pytest.importorskip("libvirt", reason="needs libvirt's test driver: install python3-libvirt")
    (tmp_path / "etc/func/modules").mkdir(parents=True)
    (tmp_path / "etc/func/modules/Virt.conf").write_text("[main]\nuri = test:///default\n")
    now = [1_000_000.0]
    module = Image(tmp_path, clock=lambda: now[0])
    kept = module._calls.read(lambda host: host.listAllDomains()[0].UUIDString())
    seed = base64.b64encode(b"x").decode()
    for uuid in (UUID, kept):
        module.put_seed(uuid, seed)
    for _ in range(2):
        now[0] += KEEP_S + 1
        module.put_seed(OTHER, seed)
    left = {file.name for file in (tmp_path / "var/lib/func/seeds").glob("*.iso")}
    assert left == {f"{kept}.iso", f"{OTHER}.iso"}
    module.close()


def test_a_seed_that_a_crash_left_half_written_is_written_over_or_removed(tmp_path: Path) -> None:
    seeds = Seeds(tmp_path)
    half = tmp_path / f"{UUID}.new"
    half.write_bytes(b"half")
    assert seeds.put(UUID, b"whole")
    half.write_bytes(b"half")
    assert seeds.delete(UUID)
    assert list(tmp_path.iterdir()) == []
