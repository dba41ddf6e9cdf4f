"""`func SPEC group`: Func's options on Func's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.func.overlord.cli.support import NAMES, Capture, run

A, B = NAMES


@pytest.fixture
def path(root: str) -> Path:
    path = Path(root) / "etc/func/groups"
    path.write_text("# ours\n[web]\nhost = cloud1*, gone.example.org\n")
    return path


def test_groups_are_listed(root: str, path: Path, capsys: Capture) -> None:
    assert run(root, "*", "group", "--list_all") == 0
    assert capsys.readouterr().out == "Group : web\n\t Host : cloud1* \n\t Host : gone.example.org \n"
    assert run(root, "*", "group", "--la", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"web": ["cloud1*", "gone.example.org"]}
    assert run(root, "*", "group", "--lg", "w*;db") == 0
    assert capsys.readouterr().out == "GROUPS : \n\t  web\n"
    assert run(root, "*", "group", "--lh", "@web") == 0
    assert capsys.readouterr().out == f"{A}\n"


def test_groups_are_added_and_removed(root: str, path: Path, capsys: Capture) -> None:
    assert run(root, "*", "group", "--add_group", "db;Mail") == 0
    assert run(root, "*", "group", "--add_group", "db") == 1
    assert capsys.readouterr().err == "ERROR: Group name : db already exists\n"
    assert run(root, "*", "group", "--rg", "web;m*") == 0
    assert path.read_text() == "# ours\n\n[db]\nhost =\n\n"
    assert run(root, "*", "group", "--rg", "web") == 1
    assert "there is no group 'web'; there are db" in capsys.readouterr().err


def test_hosts_are_added_by_glob_and_removed(root: str, path: Path, capsys: Capture) -> None:
    assert run(root, "*", "group", "--ah", "@all:*", "--exclude", "@all:down*") == 0
    assert run(root, "*", "group", "--ah", "@web:cloud2*,cloud1*") == 0
    assert path.read_text() == (
        f"# ours\n[web]\nhost = cloud1*, gone.example.org, {B}, {A}\n\n[all]\nhost = {A}, {B}\n"
    )
    assert run(root, "*", "group", "--remove_host", "@web:gone*;@all:cloud*", "--e", "@all:*2*") == 0
    assert run(root, "@all", "list_minions") == 0
    assert capsys.readouterr().out == f"{B}\n"
    assert run(root, "*", "group", "--rh", "@web:zzz") == 1
    assert "the group 'web' has no host 'zzz'" in capsys.readouterr().err


def test_a_host_nobody_knows_is_not_added(root: str, path: Path, capsys: Capture) -> None:
    before = path.read_text()
    assert run(root, "*", "group", "--ah", "@web:cluod*") == 1
    assert capsys.readouterr().err == 'ERROR: Can\'t find any minions matching "cluod*".\n'
    assert path.read_text() == before
    assert run(root, "*", "group", "--ah", f"@web:{A}") == 0
    assert run(root, "*", "group", "--ah", f"@web:{A}") == 0


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--ah", "web"], 1, "write @GROUP:HOST"),
        (["--ag", "a:b"], 1, "cannot be a group's name"),
        (["--ag"], 2, "--add_group wants a GROUP"),
        (["--ah"], 2, "--add_host wants @GROUP:HOST"),
        ([], 2, "required"),
        (["--la", "--ag", "x"], 2, "not allowed with"),
    ],
)
def test_wrong_usage_is_said(root: str, words: list[str], status: int, text: str, capsys: Capture) -> None:
    try:
        ended = run(root, "*", "group", *words)
    except SystemExit as end:
        ended = int(str(end.code))
    assert ended == status
    assert text in capsys.readouterr().err
