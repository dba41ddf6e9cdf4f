"""Files to and from minions, in Func's pieces of 60,000 bytes."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from func.errors import BadReply, FuncError, MinionUnreachable, RemoteFault
from func.overlord.client import Client
from func.overlord.fanout import Result
from func.overlord.files import CHUNK_BYTES, fetch_file, send_file
from func.overlord.jobs import Calls
from tests.func.overlord.farm import Farm, write_root
from tests.func.overlord.historic import HistoricMinion

A, B = NAMES = ("cloud1.example.org", "cloud2.example.org")
Historic = dict[str, HistoricMinion]

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]


@pytest.fixture
def client(farm: Farm, historic: Historic, tmp_path: Path) -> Iterator[Client]:
    with Client("*", root=write_root(tmp_path, farm, list(NAMES))) as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "motd"
    path.write_bytes(os.urandom(2 * CHUNK_BYTES + 5))
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_length_goes_out_and_comes_back(
    client: Client, historic: Historic, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "out").write_bytes(content)
    assert send_file(client, tmp_path / "out", "/there") == [Result(A, True), Result(B, True)]
    assert [(historic[name].folder / "there").read_bytes() for name in NAMES] == [content, content]
    fetched = fetch_file(client, "/there", tmp_path / "in")
    assert [result.value for result in fetched] == [str(tmp_path / "in" / name / "there") for name in NAMES]
    assert [Path(result.value).read_bytes() for result in fetched] == [content, content]


def test_owner_and_mode_go_along(client: Client, farm: Farm, historic: Historic, source: Path) -> None:
    send_file(client, source, "/there")
    (opened, *_) = [args for _, method, args in farm.calls if method == "copyfile.open"]
    assert opened == ["/there", 0o640, os.getuid(), os.getgid()]
    assert (historic[A].folder / "there").stat().st_mode & 0o777 == 0o640


def test_pieces_are_counted(client: Client, source: Path) -> None:
    told: list[tuple[int, int]] = []
    send_file(client, source, "/there", told=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_minion_that_cannot_write_is_left_and_the_others_go_on(
    client: Client, historic: Historic, farm: Farm, source: Path
) -> None:
    farm.answer = lambda name, method, args: (
        -1 if name == A and method == "copyfile.append" else historic[name].answer(method, args)
    )
    failed, well = send_file(client, source, "/there")
    assert isinstance(failed.error, RemoteFault)
    assert "cannot append" in str(failed.error)
    assert well == Result(B, True)
    assert [name for name, method, _ in farm.calls if method == "copyfile.append"].count(A) == 1


def test_nobody_who_can_write_means_nothing_is_sent(client: Client, farm: Farm, source: Path) -> None:
    results = send_file(client, source, "/forbidden/there")
    assert ["cannot open" in str(result.error) for result in results] == [True, True]
    assert "copyfile.append" not in {method for _, method, _ in farm.calls}


def test_a_local_file_that_is_not_there_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FuncError, match=r"nothing: cannot be read: No such file"):
        send_file(client, tmp_path / "nothing", "/there")


def test_only_who_has_a_file_gives_one(client: Client, historic: Historic, tmp_path: Path) -> None:
    (historic[B].folder / "there").write_text("mine")
    missing, given = fetch_file(client, "/there", tmp_path / "in")
    assert isinstance(missing.error, RemoteFault)
    assert Path(given.value).read_text() == "mine"
    assert Path(given.value).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "in" / A).exists()


@pytest.mark.parametrize("source", ["", "/", "/etc/", "..", "/a/.."])
def test_what_names_no_file_is_refused(client: Client, tmp_path: Path, source: str) -> None:
    with pytest.raises(FuncError, match="names no file"):
        fetch_file(client, source, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(client: Client, historic: Historic, tmp_path: Path) -> None:
    (historic[A].folder / "there").write_text("mine")
    (tmp_path / "in").write_text("a file")
    with pytest.raises(FuncError, match="cannot be written"):
        fetch_file(client, "/there", tmp_path / "in")


class Liar:
    """A minion that answers its own way; each call is answered by the next of `says`."""

    def __init__(self, *says: Any) -> None:
        self.says = list(says)

    def targets(self) -> list[str]:
        return [A]

    def ask(self, calls: Calls) -> Iterator[list[Result]]:
        said = self.says.pop(0)
        failed = isinstance(said, Exception)
        yield [Result(A, None if failed else said, said if failed else None)]


def piece(text: str) -> list[str]:
    return [hashlib.sha1(text.encode()).hexdigest(), text]


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ([-1], RemoteFault),
        ([-7], BadReply),
        (["5"], BadReply),
        ([[5]], BadReply),
        ([1, [-1, ""]], RemoteFault),
        ([1, "QQ=="], BadReply),
        ([1, ["0" * 40, "QQ=="]], BadReply),
        ([1, [piece("QQ==")[0], 5]], BadReply),
        ([2, MinionUnreachable("gone")], MinionUnreachable),
        ([1, piece("QQ=")], BadReply),
        ([3, piece("")], BadReply),
        ([2**31 - 1], BadReply),
        ([1, piece(b64encode(bytes(CHUNK_BYTES + 1)).decode())], BadReply),
    ],
    ids=lambda value: f"{value!s:.60}",
)
def test_a_file_that_does_not_come_whole_is_not_there(
    tmp_path: Path, says: list[Any], kind: type[Exception]
) -> None:
    kept = tmp_path / A / "there"
    kept.parent.mkdir()
    kept.write_text("from before")
    (result,) = fetch_file(Liar(*says), "/etc/there", tmp_path)
    assert isinstance(result.error, kind)
    assert kept.read_text() == "from before"
    assert list(kept.parent.iterdir()) == [kept]
