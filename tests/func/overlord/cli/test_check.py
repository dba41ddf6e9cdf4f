"""`func SPEC check`: what it finds wrong, and that it finds nothing where nothing is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.func.overlord.cli.support import DOWN, NAMES, Capture, run
from tests.func.overlord.farm import Farm
from tests.func.overlord.historic import HistoricMinion

A, B = NAMES
Historic = dict[str, HistoricMinion]


@pytest.fixture
def port() -> Iterator[int]:
    """One that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def nobodys_port() -> Iterator[int]:
    """One that is taken, so that nobody comes to listen on it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def found(root: str, capsys: Capture, *words: str) -> list[str]:
    status = run(root, *words, "--json")
    lines: list[str] = json.loads(capsys.readouterr().out)
    assert status == (4 if lines else 0)
    return lines


def test_a_network_in_order_gives_an_empty_report(root: str, historic: Historic, capsys: Capture) -> None:
    assert run(root, "cloud*", "check") == 0
    assert capsys.readouterr().out == "SCAN RESULTS:\nEnd of Report.\n"


def test_minions_that_do_not_answer_are_named(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    farm.answer = lambda name, method, args: 4 if name == B else historic[name].answer(method, args)
    wrong, down = found(root, capsys, "*", "check")
    assert wrong == f"{B} cannot add: test.add(1, 2) gave 4"
    assert down.startswith(f"{DOWN} does not answer: [Errno 111] Connection refused")


def test_nobody_matching_is_found_with_who_was_meant(root: str, capsys: Capture) -> None:
    (line,) = found(root, capsys, "cloud1", "check")
    assert f"Did you mean {A}?" in line


def test_an_overlord_without_a_certificate_is_found(root: str, capsys: Capture) -> None:
    (Path(root) / "etc/pki/certmaster/ca/certmaster.key").unlink()
    (line,) = found(root, capsys, "*", "check")
    assert line.startswith("no certificate to call minions with")


def write_minion(root: str, farm: Farm, port: int, days: int = 90) -> Path:
    etc = Path(root) / "etc"
    (etc / "certmaster").mkdir(exist_ok=True)
    (etc / "func/minion.conf").write_text(
        f"[main]\nminion_name = {A}\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
    )
    (etc / "certmaster/minion.conf").write_text(f"[main]\ncertmaster = 127.0.0.1\ncertmaster_port = {port}\n")
    cert = etc / f"pki/certmaster/{A}.cert"
    cert.write_bytes(farm.authority.issue(A, days=days))
    return cert


def test_a_minion_in_order_gives_nothing(
    root: str, historic: Historic, farm: Farm, port: int, capsys: Capture
) -> None:
    write_minion(root, farm, port)
    assert found(root, capsys, "cloud*", "check", "--minion") == []


def test_a_minion_that_is_not_running_is_found(
    root: str, historic: Historic, farm: Farm, nobodys_port: int, capsys: Capture
) -> None:
    cert = write_minion(root, farm, nobodys_port, days=12)
    ending, funcd, certmaster = found(root, capsys, "cloud*", "check", "-m")
    assert ending.startswith(f"{cert} ends in 1")
    assert funcd.startswith(f"funcd does not listen on 127.0.0.1 port {nobodys_port}")
    assert certmaster.startswith("the certmaster 127.0.0.1 cannot be reached on port")
    cert.unlink()
    assert "is not there: start funcd" in found(root, capsys, "cloud*", "check", "-m")[0]


def test_what_waits_at_the_certmaster_is_found(
    root: str, historic: Historic, farm: Farm, port: int, capsys: Capture
) -> None:
    certmaster = Path(root) / "etc/certmaster/certmaster.conf"
    certmaster.parent.mkdir()
    certmaster.write_text(f"[main]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n")
    certs, csrs = Path(root) / "var/lib/certmaster/certs", Path(root) / "var/lib/certmaster/csrs"
    csrs.mkdir()
    (csrs / "new.example.org.csr").write_text("")
    (certs / f"{A}.cert").write_bytes(farm.authority.issue(A, days=90))
    (certs / f"{B}.cert").write_bytes(farm.authority.expired_cert_file(B).read_bytes())
    (certs / f"{DOWN}.cert").unlink()
    ended, waiting = found(root, capsys, "cloud*", "check", "-c")
    assert ended.startswith(f"{certs}/{B}.cert ended 20")
    assert waiting.startswith("1 wait for a signature: new.example.org")
