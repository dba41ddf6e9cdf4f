"""A certmaster administered through its own minion."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca
from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from certmaster.errors import BadRequest
from func import wire
from func.minion.codes import FuncException
from func.minion.modules.certmastermod import CertMasterModule


@pytest.fixture(scope="module")
def request_pem() -> bytes:
    return ca.make_request(ca.new_key(), "cloud7.example.org")


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, request_pem: bytes) -> Path:
    """A root with an authority and one that waits for it, made once: keys take time."""
    root = tmp_path_factory.mktemp("waiting")
    config = load_certmaster_config(root)
    authority = Authority(config, "master", lambda: datetime.now(timezone.utc), key_bits=2048)
    authority.prepare()
    assert authority.enrol(request_pem) is None
    return root


@pytest.fixture
def module(tmp_path: Path, waiting: Path) -> CertMasterModule:
    shutil.copytree(waiting, tmp_path, dirs_exist_ok=True)
    return CertMasterModule(tmp_path)


def test_what_waits_is_signed_and_cleaned(module: CertMasterModule) -> None:
    assert module.get_hosts_to_sign() == ["cloud7.example.org"]
    assert module.get_signed_certs() == []
    assert module.sign_hosts("CLOUD7.example.org") is True
    assert module.get_hosts_to_sign() == []
    assert module.get_signed_certs() == ["cloud7.example.org"]
    assert module.cleanup_hosts(["cloud7.example.org"]) is True
    assert module.get_signed_certs() == []
    with pytest.raises(FuncException, match=r"cloud7\.example\.org"):
        module.sign_hosts(["cloud7.example.org"])


@pytest.mark.parametrize("name", ["*", "", "../../etc/passwd", "a b", "x" * 100, None])
def test_names_are_names_and_no_globs(module: CertMasterModule, name: Any) -> None:
    for act in (module.sign_hosts, module.cleanup_hosts, module.remove_peer_certs):
        with pytest.raises((BadRequest, FuncException)):
            act([name])
    assert module.get_hosts_to_sign() == ["cloud7.example.org"]


def test_peers_come_and_go(module: CertMasterModule, tmp_path: Path) -> None:
    pem = (tmp_path / "etc/pki/certmaster/ca/certmaster.crt").read_bytes()
    assert module.peering_enabled() is True
    assert module.known_peers() == []
    assert module.copy_peer_cert("cloud7.example.org", pem) == 1
    assert module.copy_peer_cert("cloud7.example.org", pem) == 0
    assert module.known_peers() == [["cloud7.example.org", hashlib.sha1(pem).hexdigest()]]
    wire.encode_result(module.known_peers())
    assert module.remove_peer_certs(["cloud7.example.org", "never.example.org"]) is True
    assert module.known_peers() == []


@pytest.mark.parametrize("blob", [b"", b"no certificate", None, b"x" * 100_000])
def test_what_is_no_certificate_makes_no_peer(module: CertMasterModule, blob: Any) -> None:
    with pytest.raises(FuncException, match="certificate"):
        module.copy_peer_cert("cloud7.example.org", blob)
    assert module.known_peers() == []


def test_without_peering_nobody_becomes_a_peer(module: CertMasterModule, tmp_path: Path) -> None:
    (tmp_path / "etc/certmaster").mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/certmaster/certmaster.conf").write_text("[main]\npeering = no\n")
    assert module.peering_enabled() is False
    with pytest.raises(FuncException, match="peering = yes in certmaster.conf"):
        module.copy_peer_cert("cloud7.example.org", b"x")


def test_a_machine_that_is_no_certmaster_does_not_become_one(tmp_path: Path) -> None:
    module = CertMasterModule(tmp_path)
    for act in (module.get_hosts_to_sign, module.get_signed_certs):
        with pytest.raises(FuncException, match="this machine is no certmaster"):
            act()
    with pytest.raises(FuncException, match="this machine is no certmaster"):
        module.sign_hosts("cloud7.example.org")
    assert list(tmp_path.iterdir()) == []
