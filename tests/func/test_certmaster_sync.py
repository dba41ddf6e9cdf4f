"""certmaster-sync: what it would tell whom, and what real minions have afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from demo.cloud import Cloud, free_ports
from func.certmaster_sync.cli import _bring_in_step, _Told, main
from func.certmaster_sync.plan import Change, plan
from func.errors import BadReply
from func.overlord.fanout import Fanout

ONE, TWO = "cloud1.example.org", "cloud2.example.org"


@pytest.mark.parametrize(
    ("known", "change"),
    [
        ([], Change(("b", "c"), ())),
        ([["b", "2"], ["c", "3"]], Change((), ())),
        ([["b", "old"], ["c", "3"]], Change(("b",), ())),
        ([["b", "2"], ["c", "3"], ["gone", "9"]], Change((), ("gone",))),
        ([["a", "1"], ["b", "2"], ["c", "3"]], Change((), ("a",))),
    ],
    ids=["nothing there", "all there", "renewed", "removed", "its own"],
)
def test_a_minion_gets_the_others_and_loses_who_is_gone(known: list[list[str]], change: Change) -> None:
    assert plan("a", known, {"a": "1", "b": "2", "c": "3"}) == change


@pytest.mark.parametrize(
    "known", [5, None, "ab", {"b": "2"}, [5], ["bc"], [["b", "2", "x"]], [["b", 2]], [[[], {}]]]
)
def test_an_answer_that_is_no_list_of_peers_is_that_minions_fault_alone(
    known: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadReply, match="where its peers and their checksums should be"):
        plan("a", known, {"b": "2"})
    told = _Told(cast(Fanout, None))  # nobody is asked any more
    _bring_in_step(told, "a", known, {"b": b"pem"}, {"b": "2"})
    assert told.failed
    assert capsys.readouterr().err.startswith("error: a: it answered")


def test_without_sync_certs_it_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "some.host"]) == 0
    assert main(["--root", str(tmp_path), "--force"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("sync"), clouds=2, ports=free_ports())
    try:
        made.prepare()
        made.start_certmaster()
        for name in (ONE, TWO):
            made.start_minion(name)
        yield made
    finally:
        made.stop()


@pytest.mark.integration
def test_minions_have_each_others_certificates_afterwards(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    master = cloud.root_of("certmaster")
    certs = master / "var/lib/certmaster/certs"
    peers = {name: cloud.root_of(name) / "var/lib/certmaster/peers" for name in (ONE, TWO)}
    assert main(["--root", str(master), "--force"]) == 0, capsys.readouterr().err
    assert (peers[ONE] / f"{TWO}.cert").read_bytes() == (certs / f"{TWO}.cert").read_bytes()
    assert (peers[TWO] / f"{ONE}.cert").read_bytes() == (certs / f"{ONE}.cert").read_bytes()
    assert not (peers[ONE] / f"{ONE}.cert").exists()
    assert capsys.readouterr().out.splitlines() == [f"{name}: 1 copied, 0 removed" for name in (ONE, TWO)]
    assert main(["--root", str(master), "--force"]) == 0
    assert capsys.readouterr().out == "", "once is enough"
    cloud.end(TWO)
    (peers[ONE] / "gone.example.org.cert").write_bytes(b"whatever")
    assert main(["--root", str(master), "--force"]) == 1
    said = capsys.readouterr()
    assert said.out == f"{ONE}: 0 copied, 1 removed\n"
    assert said.err.startswith(f"error: {TWO}: [Errno 111]")
