"""Who may call what."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from certmaster import ca
from func.minion.acl import Acl, Peer, Rule, certificates_of, parse
from tests.func.minion.helpers import Authority, Identity


@pytest.fixture
def peer(peer_identity: Identity) -> Peer:
    return Peer("127.0.0.1", peer_identity.der)


def acl_of(folder: Path, **files: str) -> Acl:
    for name, text in files.items():
        (folder / f"{name}.acl").write_text(text)
    return Acl(folder, frozenset())


def test_a_peer_is_named_by_its_common_name_and_the_decimal_hash(peer: Peer, peer_identity: Identity) -> None:
    assert peer.key == f"peer.example.org-{ca.subject_hash(peer_identity.cert_file.read_bytes())}"
    assert peer.key.rpartition("-")[2].isdigit()


def test_nobody_may_do_anything_where_nothing_is_written(tmp_path: Path, peer: Peer) -> None:
    assert not acl_of(tmp_path).allows(peer, "test.ping")
    assert not Acl(tmp_path / "missing", frozenset()).allows(peer, "test.ping")


@pytest.mark.parametrize(
    ("line", "method", "allowed"),
    [
        ("{key} = test.ping", "test.ping", True),
        ("{key} = test.ping", "test.add", False),
        ("{key} = test.add, virt.*", "virt.info", True),
        ("{key} = test.add virt.info", "virt.info", True),
        ("{KEY} = test.*", "test.ping", True),
        ("peer.example.org-* = *", "test.ping", True),
        ("*.example.org-* = test.p?ng # a comment", "test.ping", True),
        ("peer.example.org = *", "test.ping", False),
        ("peer.example.org-1 = *", "test.ping", False),
        ("# {key} = *", "test.ping", False),
        ("{key} = Test.Ping", "test.ping", False),
    ],
)
def test_a_line_allows_what_it_says(
    tmp_path: Path, peer: Peer, line: str, method: str, allowed: bool
) -> None:
    acl = acl_of(tmp_path, a=line.format(key=peer.key, KEY=peer.key.upper()))
    assert acl.allows(peer, method) is allowed


def test_files_merge(tmp_path: Path, peer: Peer) -> None:
    acl = acl_of(tmp_path, a=f"{peer.key} = test.ping", b=f"{peer.key} = test.add")
    assert acl.allows(peer, "test.ping")
    assert acl.allows(peer, "test.add")


def test_a_bad_line_is_named_and_costs_the_others_nothing(
    tmp_path: Path, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    acl = acl_of(tmp_path, a=f"what is this\n\n= x\n{peer.key} =\n{peer.key} = test.ping\n")
    with caplog.at_level(logging.ERROR):
        assert acl.allows(peer, "test.ping")
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert all(f"a.acl:{number}:" in text for number, text in zip((1, 3, 4), told))
    assert "CN-HASH = method1, method2" in caplog.text


def test_a_file_that_cannot_be_read_is_named_and_costs_the_others_nothing(
    tmp_path: Path, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.acl").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.acl").mkdir()
    assert acl_of(tmp_path, z=f"{peer.key} = test.ping").allows(peer, "test.ping")
    assert "bad.acl" in caplog.text
    assert "folder.acl" in caplog.text


def test_the_first_call_after_a_change_is_judged_by_it(tmp_path: Path, peer: Peer) -> None:
    acl = acl_of(tmp_path, a=f"{peer.key} = test.ping")
    assert acl.allows(peer, "test.ping")
    acl_of(tmp_path, b=f"{peer.key} = test.add")
    assert acl.allows(peer, "test.add")
    (tmp_path / "a.acl").unlink()
    assert not acl.allows(peer, "test.ping")
    assert acl.allows(peer, "test.add")


def test_a_link_to_nothing_hides_no_change(tmp_path: Path, peer: Peer) -> None:
    (tmp_path / ".#a.acl").symlink_to("root@host.1234:567")  # as Emacs leaves it while a file is edited
    acl = acl_of(tmp_path, a=f"{peer.key} = test.ping")
    assert acl.allows(peer, "test.ping")
    (tmp_path / "a.acl").write_text("# nothing any more\n")
    assert not acl.allows(peer, "test.ping")


def test_a_byte_order_mark_belongs_to_no_name(tmp_path: Path, peer: Peer) -> None:
    assert acl_of(tmp_path, a=f"\ufeff{peer.key} = test.ping").allows(peer, "test.ping")


def test_the_certmasters_own_certificate_may_do_everything(tmp_path: Path, authority: Authority) -> None:
    trusted = certificates_of(authority.own.ca_file.read_text())
    owner = Peer("127.0.0.1", authority.own.der)
    assert Acl(tmp_path, trusted).allows(owner, "anything.at_all")
    assert not Acl(tmp_path, trusted, ca_may_all=False).allows(owner, "anything.at_all")


def test_a_certificate_with_the_certmasters_subject_is_not_the_certmaster(
    tmp_path: Path, authority: Authority, foreign: Authority
) -> None:
    owner, copy = Peer("127.0.0.1", authority.own.der), Peer("127.0.0.1", foreign.own.der)
    assert owner.key == copy.key
    assert not Acl(tmp_path, certificates_of(authority.own.ca_file.read_text())).allows(copy, "test.ping")


def test_a_certificate_nobody_can_read_is_granted_nothing(tmp_path: Path) -> None:
    assert not acl_of(tmp_path, a="* = *").allows(Peer("127.0.0.1", b"\x30\x00"), "test.ping")


def test_rules_are_read_without_a_file() -> None:
    assert parse("A-1 = x.y,z.*  # who\n", "f") == ([Rule("a-1", ("x.y", "z.*"))], [])
