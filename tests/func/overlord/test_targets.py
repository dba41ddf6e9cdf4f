"""Which minions a specification means."""

from __future__ import annotations

import pytest

from func.overlord.targets import match, nearest

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
    assert match(spec, MINIONS, GROUPS, exclude) == chosen


@pytest.mark.parametrize("spec", ["nobody", "@nobody", "@web:db*", "", ";", "web1"])
def test_what_nobody_is_called_matches_nobody(spec: str) -> None:
    assert match(spec, MINIONS, GROUPS) == []


def test_everything_excluded_is_no_match() -> None:
    assert match("web*", MINIONS, GROUPS, "*") == []


def test_a_name_without_a_certificate_is_taken_only_when_allowed() -> None:
    assert match("New.example.org;web2*", MINIONS, GROUPS, allow_unknown=True) == [
        "New.example.org",
        "web2.example.org",
    ]
    assert match("@mixed", MINIONS, GROUPS, allow_unknown=True) == [
        "db1.example.org",
        "gone",
        "web1.example.com",
    ]
    assert match("new*;@new", MINIONS, GROUPS, allow_unknown=True) == []
    assert match("WEB1.example.COM", MINIONS, GROUPS, allow_unknown=True) == ["web1.example.com"]
    assert match("new1;new2", MINIONS, GROUPS, "new2", allow_unknown=True) == ["new1"]


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("db1", ["db1.example.org"]),
        ("web1", ["Web1.example.org", "web1.example.com"]),
        ("web2.exampel.org", ["web2.example.org"]),
        ("@wbe", ["@web"]),
        ("@wbe:www*", ["@web"]),
        ("mixed", ["@mixed"]),
        ("db1;@wbe", ["db1.example.org", "@web"]),
        ("quite something else", []),
    ],
)
def test_whoever_may_have_been_meant_is_found(spec: str, near: list[str]) -> None:
    assert nearest(spec, MINIONS, GROUPS)[: max(len(near), 1)] == near
