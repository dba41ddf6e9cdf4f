"""Files: whole, private where they must be, one writer at a time."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from certmaster import certdir
from certmaster.errors import FileError


def test_a_file_is_written_with_its_mode_and_leaves_no_scrap(tmp_path: Path) -> None:
    path = tmp_path / "new/dir/x.pem"
    certdir.write_file(path, b"secret", certdir.SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    certdir.write_file(path, b"open", certdir.PUBLIC)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"open", 0o644)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_put_in_place_leaves_no_scrap_and_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.mkdir()
    (path / "in the way").touch()
    with pytest.raises(FileError, match=r"x\.pem: cannot be written"):
        certdir.write_file(path, b"data", certdir.SECRET)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pem"]


def test_readers_see_the_old_or_the_new_and_nothing_between(tmp_path: Path) -> None:
    path = tmp_path / "x"
    old, new = b"a" * 100_000, b"b" * 100_000
    certdir.write_file(path, old, certdir.PUBLIC)
    done = threading.Event()
    seen = set()

    def look() -> None:
        while not done.is_set():
            seen.add(certdir.read_file(path))

    reader = threading.Thread(target=look)
    reader.start()
    for data in [new, old] * 20:
        certdir.write_file(path, data, certdir.PUBLIC)
    done.set()
    reader.join()
    assert seen <= {old, new}


def test_a_missing_file_is_no_error_and_an_unreadable_one_is(tmp_path: Path) -> None:
    assert certdir.read_file(tmp_path / "missing") is None
    with pytest.raises(FileError, match="cannot be read"):
        certdir.read_file(tmp_path)
    certdir.remove_file(tmp_path / "missing")
    with pytest.raises(FileError, match="cannot be removed"):
        certdir.remove_file(tmp_path)


def test_files_are_found_in_any_case_the_exact_one_first(tmp_path: Path) -> None:
    (tmp_path / "Cloud1.Example.Org.pem").touch()
    (tmp_path / "CA.cert").touch()
    files = certdir.minion_files(tmp_path, "cloud1.example.org")
    assert files.key_file.name == "Cloud1.Example.Org.pem"
    assert files.ca_file.name == "CA.cert"
    assert files.cert_file == tmp_path / "cloud1.example.org.cert"
    (tmp_path / "cloud1.example.org.pem").touch()
    assert certdir.minion_files(tmp_path, "cloud1.example.org").key_file.name == "cloud1.example.org.pem"


def test_listing_leaves_hidden_and_other_files_out(tmp_path: Path) -> None:
    for name in ("b.cert", "a.cert", ".c.cert", ".b.cert.x.tmp", "a.csr"):
        (tmp_path / name).touch()
    assert [p.name for p in certdir.list_files(tmp_path, ".cert")] == ["a.cert", "b.cert"]
    assert certdir.list_files(tmp_path / "missing") == []
    with pytest.raises(FileError, match="cannot be listed"):
        certdir.list_files(tmp_path / "a.cert")


def test_one_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def enter() -> None:
        for _ in range(50):
            with certdir.locked(tmp_path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_lock_that_cannot_be_had_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"file/\.lock: cannot be locked"), certdir.locked(tmp_path / "file"):
        pass
