"""Roles and scopes."""

from __future__ import annotations

import pytest

from cloudmasterd.rights import ANONYMOUS, Identity, Role, covers, scope_text

WEB, DB, EU = "team=web", "team=db", "place=eu"


@pytest.mark.parametrize(
    ("has", "may"),
    [
        (None, []),
        (Role.VIEWER, [Role.VIEWER]),
        (Role.OPERATOR, [Role.VIEWER, Role.OPERATOR]),
        (Role.ADMIN, [Role.VIEWER, Role.OPERATOR, Role.ADMIN]),
    ],
)
def test_each_role_includes_those_below_it(has: Role, may: list[Role]) -> None:
    who = Identity("somebody", has)
    assert [role for role in Role if who.may(role)] == may


def test_nobody_in_particular_may_nothing() -> None:
    assert not any(ANONYMOUS.may(role) for role in Role)


@pytest.mark.parametrize(
    ("scopes", "tags", "within"),
    [
        ((), {}, True),
        ((), {"team": "web"}, True),
        ((frozenset({WEB}),), {"team": "web", "place": "us"}, True),
        ((frozenset({WEB}),), {"team": "db"}, False),
        ((frozenset({WEB}),), {}, False),
        ((frozenset({WEB, DB}),), {"team": "db"}, True),
        ((frozenset({WEB}), frozenset({EU})), {"team": "web"}, False),
        ((frozenset({WEB}), frozenset({EU})), {"team": "web", "place": "eu"}, True),
        ((frozenset(),), {"team": "web"}, False),
    ],
)
def test_what_carries_a_tag_of_every_scope_is_within(scopes: tuple, tags: dict, within: bool) -> None:
    assert covers(scopes, tags) is within


def test_scopes_are_told_in_words() -> None:
    assert scope_text([frozenset({WEB, DB}), frozenset({EU})]) == "team=db or team=web and place=eu"
