"""The table of what a cloud master calls, held against its code and the modules, and as an access list."""

from __future__ import annotations

import ast
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from certmaster import ca
from func.minion import registry
from func.minion.acl import Acl, Peer, parse
from func.minion.cloudmaster import METHODS, PEERS, acl_path, acl_text
from tests.func.minion.helpers import Authority

CLOUDMASTERD = Path(__file__).resolve().parents[3] / "cloudmasterd"

# What stands before the name of a method, by the function that is called with it, and its place there.
ASKED_BY = {"ask_image": ("image.", 1), "ask_genome": ("genome.", 1)}


@pytest.fixture(scope="module")
def wire_methods(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every method there is on a minion, those of modules that are off included."""
    root = tmp_path_factory.mktemp("minion")
    for module in registry.OFF_UNLESS_ENABLED.values():
        file = root / f"etc/func/modules/{module.__name__}.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("[main]\nenabled = yes\n")
    found = registry.load(root, (), root / "none")
    try:
        return set(found.call("system.list_methods", ()))
    finally:
        found.close()


def text_of(node: ast.expr) -> Optional[str]:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def called(tree: ast.Module, rebuild: bool) -> Iterator[str]:
    """The methods that a file of cloudmasterd names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        prefix, place = ASKED_BY.get(name, ("genome.", 2) if rebuild and name == "_ask" else ("", -1))
        if prefix and place < len(node.args):
            short = text_of(node.args[place])
            if short is not None:
                yield prefix + short


def test_the_table_is_what_the_code_calls(wire_methods: set[str]) -> None:
    found: set[str] = set()
    for file in sorted(CLOUDMASTERD.rglob("*.py")):
        names = called(ast.parse(file.read_text(encoding="utf-8")), file.name == "rebuild.py")
        found |= wire_methods.intersection(names)
    assert found == set(METHODS)


def test_names_are_put_together_where_the_test_above_looks_and_nowhere_else() -> None:
    built = set()
    for file in sorted(CLOUDMASTERD.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            first = text_of(node.values[0]) if isinstance(node, ast.JoinedStr) and node.values else None
            if first in ("virt.", "image.", "genome.", "test."):
                built.add((file.name, first))
    assert built == {("operations.py", "image."), ("operations.py", "genome.")}


def test_the_table_names_methods_there_are_each_once(wire_methods: set[str]) -> None:
    assert set(METHODS) <= wire_methods
    assert len(set(METHODS)) == len(METHODS)
    dangerous = ("command.", "copyfile.", "getfile.", "process.", "service.", "reboot.", "certmastermod.")
    assert not [method for method in METHODS if method.startswith(dangerous)]
    assert not [method for method in METHODS if "*" in method]


def test_the_access_list_says_what_the_table_says(tmp_path: Path) -> None:
    rules, complaints = parse(acl_text(), "x")
    assert complaints == []
    assert {rule.peers for rule in rules} == {PEERS}
    assert sorted(method for rule in rules for method in rule.methods) == sorted(METHODS)
    assert acl_path(tmp_path) == tmp_path / "cloudmasterd.acl"


def test_it_is_for_a_cloud_master_and_nobody_whose_name_is_like_it(
    tmp_path: Path, wire_methods: set[str]
) -> None:
    authority = Authority(tmp_path / "ca", "cloudmaster.example.org-CA-KEY")
    acl_path(tmp_path).write_text(acl_text())
    acl = Acl(tmp_path, frozenset(), ca_may_all=False)

    def peer(der: bytes) -> Peer:
        return Peer("127.0.0.1", der)

    for name in ("cloudmaster", "cloudmaster-x", "cloudmaster.x.example.org", "xcloudmaster"):
        like_it = peer(authority.issue(name).der)
        assert not any(acl.allows(like_it, method) for method in METHODS)
    assert not any(acl.allows(peer(authority.own.der), method) for method in METHODS)
    key = ca.new_key()
    pem = ca.sign_master(
        ca.make_request(key, "x"), "cloudmaster@Master.Example.ORG", authority.cert, authority.key, 99,
        authority.now, 30,
    )  # fmt: skip
    master = peer(ssl.PEM_cert_to_DER_cert(pem.decode()))
    assert {method for method in wire_methods if acl.allows(master, method)} == set(METHODS)
