"""Which minions a specification means."""

from __future__ import annotations

from pathlib import Path

import pytest

from func.errors import ConfigError, NoMinions
from func.overlord.targets import read_groups, select

MINIONS = ["Web1.example.org", "web2.example.org", "db1.example.org", "web1.example.com"]
GROUPS = {
    "web": ("web*.example.org",),
    "all": ("*",),
    "mixed": ("db1.example.org", "WEB1.example.com", "gone"),
}


@pytest.mark.parametrize(
    ("spec", "exclude", "chosen"),
    [
        ("*", "", sorted(MINIONS)),
        ("WEB?.EXAMPLE.ORG", "", ["Web1.example.org", "web2.example.org"]),
        ("db1.example.org; web1*com", "", ["db1.example.org", "web1.example.com"]),
        ("*.org", "web*", ["db1.example.org"]),
        ("*", "@web;db1.example.org", ["web1.example.com"]),
        ("@web", "", ["Web1.example.org", "web2.example.org"]),
        ("@mixed", "", ["db1.example.org", "web1.example.com"]),
        ("@all:web1*", "", ["Web1.example.org", "web1.example.com"]),
        ("@WE*;db1*;", "", ["Web1.example.org", "db1.example.org", "web2.example.org"]),
    ],
)
def test_a_specification_chooses(spec: str, exclude: str, chosen: list[str]) -> None:
    assert select(spec, MINIONS, GROUPS, exclude) == chosen


@pytest.mark.parametrize("spec", ["nobody", "@nobody", "@web:db*", "", ";", "web1"])
def test_no_match_says_so_in_funcs_words(spec: str) -> None:
    with pytest.raises(NoMinions) as error:
        select(spec, MINIONS, GROUPS)
    assert str(error.value) == f'Can\'t find any minions matching "{spec}".'


def test_everything_excluded_is_no_match() -> None:
    with pytest.raises(NoMinions):
        select("web*", MINIONS, GROUPS, "*")


def test_a_name_without_a_certificate_is_taken_only_when_allowed() -> None:
    assert select("New.example.org;web2*", MINIONS, GROUPS, allow_unknown=True) == [
        "New.example.org",
        "web2.example.org",
    ]
    with pytest.raises(NoMinions):
        select("new*;@new", MINIONS, GROUPS, allow_unknown=True)


def test_groups_are_read_with_any_separator(tmp_path: Path) -> None:
    path = tmp_path / "groups"
    path.write_text("[Web]\nhost = a, b; c*\n\n[empty]\n[web]\nhost = d %s\n")
    assert read_groups(path) == {"web": ("d", "%s"), "empty": ()}
    assert read_groups(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("text", "where"), [("host = a\n", "line 1"), ("[web\n", "line 1"), ("[web]\nwhat\n", "line 2")]
)
def test_a_broken_file_of_groups_is_named(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "groups"
    path.write_text(text)
    with pytest.raises(ConfigError, match=where):
        read_groups(path)
