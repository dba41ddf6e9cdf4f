"""A call is judged, run and recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest

from func import wire
from func.errors import XMLRPCFault
from func.minion.acl import Acl, Peer
from func.minion.audit import FILE_NAME, Audit, line_of
from func.minion.codes import AccessToMethodDenied
from func.minion.dispatch import Dispatcher
from tests.func.minion.helpers import Authority, Identity, Running


class Methods:
    """Counts what was really run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def call(self, method: str, args: Any) -> Any:
        self.ran.append(method)
        return wire.remote_error("x.Y", "no") if method == "test.fail" else args


def test_every_call_leaves_a_line(tmp_path: Path, peer_identity: Identity) -> None:
    (tmp_path / "a.acl").write_text("* = test.*")
    peer = Peer("192.0.2.7", peer_identity.der)
    audit = Audit(tmp_path / "log")
    dispatch = Dispatcher(Methods(), Acl(tmp_path, frozenset()), audit)
    dispatch(peer, "test.echo", ["one", 2])
    dispatch(peer, "test.fail", [])
    with pytest.raises(AccessToMethodDenied):
        dispatch(peer, "virt.info", ["a\nb"])
    audit.close()
    lines = (tmp_path / "log" / FILE_NAME).read_text().splitlines()
    assert len(lines) == 3
    for line, end in zip(lines, ("test.echo('one', 2) ok", "test.fail() error", "virt.info('a\\nb') denied")):
        assert f" 192.0.2.7 {peer.key} {end} " in line
        assert line.endswith(" ms")


def test_a_long_argument_is_cut_and_nothing_begins_a_new_line() -> None:
    line = line_of("::1", "cn\n-1", "a\r.b", ["x" * 10**6, b"\0" * 10**6, {"k": "\n"}], "ok", 0.0015)
    assert len(line) < 300
    assert line.isprintable()
    assert line.endswith("...) ok 1.5 ms")


def test_a_renamed_log_is_opened_anew(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record("::1", "a-1", "x.one", [], "ok", 0)
    (tmp_path / FILE_NAME).rename(tmp_path / "calls.log.1")
    audit.record("::1", "a-1", "x.two", [], "ok", 0)
    audit.close()
    assert "x.two" in (tmp_path / FILE_NAME).read_text()
    assert "x.one" in (tmp_path / "calls.log.1").read_text()


def test_a_log_that_cannot_be_written_is_told_and_stops_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, authority: Authority
) -> None:
    (tmp_path / "file").write_text("")
    audit = Audit(tmp_path / "file" / "log")
    assert "no call will be recorded there" in caplog.text
    dispatch = Dispatcher(Methods(), Acl(tmp_path, frozenset({authority.own.der})), audit)
    assert dispatch(Peer("::1", authority.own.der), "test.echo", [1]) == [1]


def test_of_200_calls_at_once_exactly_the_allowed_ones_run(
    tmp_path: Path, serve: Callable[..., Running], peer_identity: Identity, authority: Authority
) -> None:
    methods = Methods()
    trusted = frozenset({authority.own.der})
    (tmp_path / "a.acl").write_text("peer.example.org-* = test.allowed")
    running = serve(Dispatcher(methods, Acl(tmp_path, trusted), Audit(None)), connections_per_peer=300)

    def ask(number: int) -> str:
        # The allowed half mixes the peer that may call one method with the certmaster that may call all.
        who, method = [
            (peer_identity, "test.allowed"), (peer_identity, "test.denied"),
            (authority.own, "test.denied"), (peer_identity, "virt.denied"),
        ][number % 4]  # fmt: skip
        try:
            running.call(who, method)
        except XMLRPCFault as exc:
            return exc.text
        return "ran"

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(200)))
    denied = "<class 'func.minion.codes.AccessToMethodDenied'>:"
    assert answers == ["ran", denied, "ran", denied] * 50
    assert sorted(methods.ran) == ["test.allowed"] * 50 + ["test.denied"] * 50
