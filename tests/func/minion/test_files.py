"""Files that come and go by copyfile and getfile, and those that must not."""

from __future__ import annotations

import base64
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from func.minion.codes import FuncException
from func.minion.folders import OutOfBounds
from func.minion.modules.copyfile import CopyFile
from func.minion.modules.getfile import GetFile

ME = (os.getuid(), os.getgid())


def configure(root: Path, folders: str) -> None:
    conf = root / "etc/func/modules"
    conf.mkdir(parents=True, exist_ok=True)
    for name in ("CopyFile", "GetFile"):
        (conf / f"{name}.conf").write_text(f"[main]\nenabled = yes\nfolders = {folders}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "srv").mkdir(parents=True)
    configure(root, "/srv, /opt")
    return root


def test_a_file_comes_in_pieces_as_an_overlord_of_func_sends_it(root: Path) -> None:
    copyfile, content = CopyFile(root), bytes(range(256)) * 800
    assert copyfile.open("/srv/a/b/file", 0o640, *ME) == "/srv/a/b/file"
    for offset in range(0, len(content), 60_000):
        assert copyfile.append("/srv/a/b/file", content[offset : offset + 60_000]) == 1
    file = root / "srv/a/b/file"
    assert file.parent.stat().st_mode & 0o7777 == 0o755
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o7777 == 0o640
    assert (file.stat().st_uid, file.stat().st_gid) == ME


def test_opening_makes_a_new_and_empty_file(root: Path) -> None:
    old = root / "srv/file"
    old.write_text("old")
    with old.open() as reader:
        assert CopyFile(root).open("/srv/file") == "/srv/file"
        assert reader.read() == "old"  # whoever has it open keeps what he has
    assert old.read_text() == ""
    assert old.stat().st_mode & 0o7777 == 0o644
    assert sorted(os.listdir(root / "srv")) == ["file"]


def test_a_file_that_went_away_is_a_problem(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert CopyFile(root).append("/srv/gone", b"x") == -1
    assert "/srv/gone: No such file" in caplog.text


def test_a_whole_file_is_put_in_place_and_the_one_before_is_kept(root: Path) -> None:
    copyfile, file = CopyFile(root), root / "srv/motd"
    assert copyfile.copyfile("/srv/motd", b"one", 0o600, *ME) == 1
    assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"one", 0o600)
    assert copyfile.copyfile("/srv/motd", b"one", 0o644, *ME) == 0
    assert file.stat().st_mode & 0o7777 == 0o600
    assert copyfile.copyfile("/srv/motd", b"two", "420", *ME) == 1
    assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"two", 0o644)
    (kept,) = (path for path in (root / "srv").iterdir() if path.name != "motd")
    assert kept.name.startswith("motd.20")
    assert kept.name.endswith("~")
    assert (kept.read_bytes(), kept.stat().st_mode & 0o7777) == (b"one", 0o600)
    assert copyfile.copyfile("/srv/motd", b"two", 0o600, *ME, "force") == 1
    assert file.stat().st_mode & 0o7777 == 0o600


def test_a_reader_sees_one_whole_file_or_the_other(root: Path) -> None:
    copyfile = CopyFile(root)
    contents = [bytes([number]) * 200_000 for number in (1, 2)]
    copyfile.copyfile("/srv/file", contents[0], 0o644, *ME)

    def write(_: Any) -> None:
        for number in range(30):
            copyfile.copyfile("/srv/file", contents[number % 2], 0o644, *ME)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(write, number) for number in range(2)]
        while not all(one.done() for one in done):
            assert (root / "srv/file").read_bytes() in contents
        assert [one.result() for one in done] == [None, None]


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/srvx/file", "/srv/../etc/file", "srv/file", "", "/", "/srv", "/srv/", "/srv/a\0b",
     None, 5, "/link/file", "/srv/out/file"],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused_and_nothing_is_made(root: Path, tmp_path: Path, path: Any) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("secret")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "srv/out").symlink_to(tmp_path / "outside")
    before = sorted(tmp_path.rglob("*"))
    copyfile, getfile = CopyFile(root), GetFile(root)
    for act in (
        lambda: copyfile.open(path), lambda: copyfile.append(path, b"x"),
        lambda: copyfile.copyfile(path, b"x", 0o644, *ME),
        lambda: getfile.chunkslen(path), lambda: getfile.getchunk(0, path),
    ):  # fmt: skip
        try:
            assert act() in (-1, [-1, ""])
        except OutOfBounds as exc:
            assert str(exc)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "outside/file").read_text() == "secret"


def test_a_link_inside_the_bounds_is_followed_and_a_new_folder_behind_one_outside_is_not(root: Path) -> None:
    (root / "opt").mkdir()
    (root / "srv/in").symlink_to("../opt")
    assert CopyFile(root).copyfile("/srv/in/new/file", b"x", 0o644, *ME) == 1
    assert (root / "opt/new/file").read_bytes() == b"x"
    (root / "etc2").mkdir()
    (root / "srv/out").symlink_to("../etc2")
    with pytest.raises(OutOfBounds, match="CopyFile.conf allows /srv, /opt"):
        CopyFile(root).copyfile("/srv/out/new/file", b"x", 0o644, *ME)
    assert os.listdir(root / "etc2") == []


def test_a_file_that_is_a_link_is_replaced_and_never_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    link = root / "srv/link"
    link.symlink_to(tmp_path / "secret")
    assert GetFile(root).getchunk(0, "/srv/link") == [-1, ""]
    assert CopyFile(root).append("/srv/link", b"x") == -1
    assert CopyFile(root).open("/srv/link") == "/srv/link"
    assert not link.is_symlink()
    assert (tmp_path / "secret").read_text() == "secret"


def test_only_regular_files_are_files(root: Path) -> None:
    os.mkfifo(root / "srv/fifo")
    (root / "srv/folder").mkdir()
    for name in ("fifo", "folder"):
        assert GetFile(root).chunkslen(f"/srv/{name}") == -1
        assert GetFile(root).getchunk(0, f"/srv/{name}") == [-1, ""]
        assert CopyFile(root).append(f"/srv/{name}", b"x") == -1
        assert CopyFile(root).copyfile(f"/srv/{name}", b"x", 0o644, *ME) == -1


def test_a_file_goes_in_chunks_of_sixty_thousand_bytes(root: Path) -> None:
    content = bytes(range(256)) * 800
    (root / "srv/file").write_bytes(content)
    getfile = GetFile(root)
    assert getfile.chunkslen("/srv/file") == 4
    found = b""
    for number in range(4):
        checksum, text = getfile.getchunk(str(number), "/srv/file")
        assert isinstance(text, str)
        assert checksum == hashlib.sha1(text.encode()).hexdigest()
        piece = base64.b64decode(text)
        assert len(piece) == (60_000 if number < 3 else len(content) % 60_000)
        found += piece
    assert found == content
    assert getfile.getchunk(4, "/srv/file") == [hashlib.sha1(b"").hexdigest(), ""]


@pytest.mark.parametrize(("size", "chunks"), [(0, 0), (1, 1), (60_000, 1), (60_001, 2)])
def test_chunks_are_counted(root: Path, size: int, chunks: int) -> None:
    (root / "srv/file").write_bytes(b"x" * size)
    assert GetFile(root).chunkslen("/srv/file") == chunks


@pytest.mark.parametrize("number", [-1, "x", None, 2**40])
def test_a_chunk_is_counted_from_nought(root: Path, number: Any) -> None:
    with pytest.raises(FuncException):
        GetFile(root).getchunk(number, "/srv/file")


def test_everything_below_the_root_may_be_allowed(root: Path, tmp_path: Path) -> None:
    configure(root, "/")
    assert CopyFile(root).copyfile("/etc/motd", b"x", 0o644, *ME) == 1
    assert (root / "etc/motd").read_bytes() == b"x"
    (root / "up").symlink_to(tmp_path)
    with pytest.raises(OutOfBounds):
        CopyFile(root).copyfile("/up/file", b"x", 0o644, *ME)


def test_a_checksum_is_of_the_file_or_of_the_text(root: Path) -> None:
    (root / "srv/file").write_bytes(b"content")
    copyfile = CopyFile(root)
    assert copyfile.checksum("/srv/file") == hashlib.sha1(b"content").hexdigest()
    assert copyfile.checksum("/srv/none") == hashlib.sha1(b"/srv/none").hexdigest()
    assert copyfile.checksum("a text") == hashlib.sha1(b"a text").hexdigest()
    assert copyfile.checksum(b"\0\xff") == hashlib.sha1(b"\0\xff").hexdigest()
    with pytest.raises(OutOfBounds):
        copyfile.checksum("/etc/passwd")


@pytest.mark.parametrize("value", [None, 5, {"a": 1}])
def test_what_is_no_content_is_told(root: Path, value: Any) -> None:
    with pytest.raises(FuncException, match="content"):
        CopyFile(root).append("/srv/file", value)


@pytest.mark.parametrize("mode", ["0o644", "rw-r--r--", [420]])
def test_what_is_no_mode_is_told(root: Path, mode: Any) -> None:
    with pytest.raises(FuncException, match="in decimal"):
        CopyFile(root).open("/srv/file", mode)
    assert os.listdir(root / "srv") == []
