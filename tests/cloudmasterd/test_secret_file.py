"""A secret in a file: what is read, what is refused, and that no complaint gives it away."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmasterd.errors import ConfigError
from cloudmasterd.secret_file import read_secret

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "proxy-secret"
    made.touch(0o600)
    return made


def complaint(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_secret(file)
    return str(caught.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_secret_is_the_line_of_the_file(file: Path, end: str) -> None:
    file.write_text(SECRET + end)
    assert read_secret(file) == SECRET


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_the_owner_and_the_group_may_read_it(file: Path, mode: int) -> None:
    file.write_text(SECRET)
    file.chmod(mode)
    assert read_secret(file) == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o601])
def test_others_may_do_nothing_with_it(file: Path, mode: int) -> None:
    file.write_text(SECRET)
    file.chmod(mode)
    told = complaint(file)
    assert told.startswith(
        f"{file} has mode {mode:04o}: everybody on this machine may know the secret in it."
    )
    assert SECRET not in told


def test_a_file_that_is_missing_is_told_with_how_to_make_one(tmp_path: Path) -> None:
    assert complaint(tmp_path / "no") == (
        f"{tmp_path}/no: there is no such file; put a secret there:"
        " `openssl rand -hex 32` prints one that is good"
    )


def test_a_directory_in_its_place_is_told_with_the_reason(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_file_is_no_secret(file: Path, text: str) -> None:
    file.write_text(text)
    assert complaint(file).startswith(f"{file} is empty; put a secret there")


@pytest.mark.parametrize(
    "text",
    ["short", SECRET[:23], SECRET + " x", f"{SECRET}\n{SECRET}\n", f"{SECRET}\t", "ü" * 32, "x" * 1025],
    ids=["short", "23", "blank", "two lines", "tab", "not ASCII", "long"],
)
def test_what_could_be_guessed_or_is_no_header_is_refused_and_not_repeated(file: Path, text: str) -> None:
    file.write_text(text)
    told = complaint(file)
    assert "does not hold one line of 24 to 1024 printable characters" in told
    assert text.strip() not in told
