"""What a new token may be: never more than who asks for it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.accounts import ApiToken
from cloudmasterd.errors import Forbidden
from cloudmasterd.grants import Granted, Wanted, grant, refuse_more
from cloudmasterd.rights import Identity, Means, Role, covers

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc)
WEB, WEB_OR_DB, NONE = frozenset({"team=web"}), frozenset({"team=web", "team=db"}), frozenset[str]()
HOUR, DAY = NOW + timedelta(hours=1), NOW + timedelta(days=1)


def own(role: Role = Role.OPERATOR, scope: Any = NONE, expires_at: Optional[datetime] = None) -> ApiToken:
    return ApiToken("0123456789ab", "ada", "ci", role, NOW, scope, expires_at)


def by_token(token: ApiToken) -> Identity:
    return Identity("ada", token.role, Means.TOKEN, token.id, (token.scope,) if token.scope else ())


SESSION = Identity("ada", Role.OPERATOR, Means.SESSION, "0123456789ff")


@pytest.mark.parametrize(("has", "wants"), list(product(Role, Role)))
def test_a_token_has_no_higher_role_than_who_asks_for_it(has: Role, wants: Role) -> None:
    for who, token in ((Identity("ada", has, Means.SESSION), None), (by_token(own(has)), own(has))):
        if has.includes(wants):
            assert grant(who, token, Wanted(wants)).role is wants
        else:
            with pytest.raises(Forbidden, match=f"ask for {has.value} or less"):
                grant(who, token, Wanted(wants))


def test_who_signed_in_gives_any_scope_and_time() -> None:
    assert grant(SESSION, None, Wanted(Role.OPERATOR, WEB, DAY)) == Granted(Role.OPERATOR, WEB, DAY)
    assert grant(SESSION, None, Wanted()) == Granted(Role.VIEWER, NONE, None)


def test_without_a_word_a_token_makes_one_like_itself() -> None:
    token = own(scope=WEB, expires_at=HOUR)
    assert grant(by_token(token), token, Wanted()) == Granted(Role.VIEWER, WEB, HOUR)


@pytest.mark.parametrize("scope", [NONE, frozenset({"team=db"}), frozenset({"team=web", "team=x"})])
def test_a_token_that_is_bound_makes_none_that_is_bound_less(scope: Any) -> None:
    token = own(scope=WEB_OR_DB if "team=db" not in scope else WEB)
    with pytest.raises(Forbidden, match="is bound to"):
        grant(by_token(token), token, Wanted(scope=scope))


def test_a_token_that_is_bound_makes_one_that_is_bound_more() -> None:
    token = own(scope=WEB_OR_DB)
    assert grant(by_token(token), token, Wanted(scope=WEB)).scope == WEB


def test_a_token_that_ends_makes_none_that_ends_later() -> None:
    token = own(expires_at=HOUR)
    assert grant(by_token(token), token, Wanted(expires_at=HOUR)).expires_at == HOUR
    with pytest.raises(Forbidden, match="ends at 2026-11-22T09:00:00Z"):
        grant(by_token(token), token, Wanted(expires_at=DAY))


@pytest.mark.parametrize(
    ("token", "role", "scope", "may"),
    [
        (None, Role.ADMIN, NONE, True),
        (own(Role.ADMIN), Role.ADMIN, NONE, True),
        (own(Role.VIEWER), Role.VIEWER, NONE, True),
        (own(Role.VIEWER), Role.OPERATOR, NONE, False),
        (own(scope=WEB), Role.OPERATOR, NONE, False),
        (own(scope=WEB), Role.OPERATOR, WEB_OR_DB, False),
        (own(scope=WEB_OR_DB), Role.VIEWER, WEB, True),
        (own(), Role.OPERATOR, WEB, True),
    ],
)
def test_a_token_takes_nothing_away_that_may_do_more(token: Any, role: Role, scope: Any, may: bool) -> None:
    if may:
        refuse_more(token, role, scope, "the token x")
    else:
        with pytest.raises(Forbidden, match="the token x can do more than the token 0123456789ab"):
            refuse_more(token, role, scope, "the token x")


PAIRS = st.frozensets(st.sampled_from(["team=web", "team=db", "tier=1"]), max_size=3)
TIMES = st.one_of(st.none(), st.integers(1, 3).map(lambda hours: NOW + timedelta(hours=hours)))
TAGS = st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from(["web", "db", "1"]), max_size=2)


@given(
    st.sampled_from(Role), PAIRS, TIMES,
    st.lists(st.tuples(st.sampled_from(Role), st.one_of(st.none(), PAIRS), TIMES), max_size=4), TAGS,
)  # fmt: skip
def test_no_chain_of_tokens_gets_further_than_the_first(
    role: Role, scope: Any, expires_at: Any, chain: Any, tags: Any
) -> None:
    first = token = own(role, scope, expires_at)
    for wanted in chain:
        try:
            granted = grant(by_token(token), token, Wanted(*wanted))
        except Forbidden:
            continue
        token = own(granted.role, granted.scope, granted.expires_at)
    assert first.role.includes(token.role)
    assert first.expires_at is None or (token.expires_at is not None and token.expires_at <= first.expires_at)
    if covers([token.scope] if token.scope else [], tags):
        assert covers([first.scope] if first.scope else [], tags)
