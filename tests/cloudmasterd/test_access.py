"""Signing in, and being known again by a session, a token or the proxy; and everything that ends that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Optional

import pytest

from cloudmasterd.access import ENDED, UNKNOWN_TOKEN, WRONG
from cloudmasterd.accounts import FIRST_ADMIN
from cloudmasterd.errors import TooManyAttempts, Unauthenticated
from cloudmasterd.passwords import Cost, Passwords
from cloudmasterd.rights import Identity, Means, Role
from cloudmasterd.throttle import FREE_OF_PAIR
from tests.cloudmasterd.folk import ELSEWHERE, HERE, LIMITS, OTHER, PASSWORD, THERE, WEAK, Folk

WEB = frozenset({"team=web"})


@pytest.fixture
def ann(folk: Folk) -> str:
    """An operator of team=web."""
    folk.people.create_user("ann", Role.OPERATOR, PASSWORD, ["team=web"])
    return "ann"


def token(folk: Folk, user: str = FIRST_ADMIN, role: Role = Role.VIEWER, **more: object) -> str:
    return folk.people.create_token(user, "a script", role, **more)[1]  # type: ignore[arg-type]


def test_who_signs_in_is_known_by_the_session(folk: Folk, ann: str) -> None:
    secret, identity = folk.access.log_in("ann", PASSWORD, HERE, "a browser")
    assert identity == Identity("ann", Role.OPERATOR, Means.SESSION, identity.credential, (WEB,))
    assert folk.access.by_session(secret, THERE) == identity
    assert identity.credential not in secret, "what is shown of a session is no part of what opens it"
    (session,) = folk.people.list_sessions("ann")
    assert (session.id, session.address, session.agent) == (identity.credential, HERE, "a browser")
    assert folk.people.get_user("ann").last_login_at == folk.clock.now()


@pytest.mark.parametrize("name", ["ADMIN", "Admin", " admin", "admin\t"])
def test_a_name_is_known_however_it_is_typed(folk: Folk, name: str) -> None:
    assert folk.access.log_in(name, PASSWORD, HERE)[1].name == "admin"


WRONG_WAYS: list[tuple[str, str]] = [
    ("admin", OTHER),
    ("admin", ""),
    ("nobody", PASSWORD),
    ("", PASSWORD),
    ("admin\0", PASSWORD),
    ("adm\u0131n", PASSWORD),
    ("a" * 5000, PASSWORD),
    ("proxied", PASSWORD),
    ("gone", PASSWORD),
    ("admin' OR '1'='1", PASSWORD),
    ("admin", PASSWORD * 200),
    ("admin", "\ud800"),
]


@pytest.mark.parametrize(("name", "password"), WRONG_WAYS)
def test_whatever_is_wrong_has_one_answer_after_one_amount_of_work(
    folk: Folk, name: str, password: str
) -> None:
    folk.people.create_user("proxied", Role.VIEWER)
    folk.people.create_user("gone", Role.VIEWER, PASSWORD)
    folk.people.change_user("gone", disabled=True)
    before = folk.passwords.runs
    with pytest.raises(Unauthenticated) as caught:
        folk.access.log_in(name, password, HERE)
    assert str(caught.value) == WRONG
    assert folk.passwords.runs == before + 1
    assert folk.people.list_sessions() == []


def test_each_sign_in_has_a_secret_of_its_own(folk: Folk) -> None:
    first, second = folk.log_in(), folk.log_in()
    assert first != second
    assert folk.access.by_session(first, HERE) != folk.access.by_session(second, HERE)


@pytest.mark.parametrize("planted", ["", "x", "0" * 43, "a" * 100_000, "\ud800", "\0", "' OR 1=1 --"])
def test_a_secret_that_somebody_planted_opens_nothing(folk: Folk, planted: str) -> None:
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(planted, HERE)
    secret = folk.log_in()
    assert secret != planted
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(planted, HERE)


def test_a_token_is_no_session_and_a_session_no_token(folk: Folk) -> None:
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(token(folk), HERE)
    with pytest.raises(Unauthenticated, match="no token of this cloud master"):
        folk.access.by_token(folk.log_in(), HERE)


def test_a_session_ends_when_nobody_shows_for_long(folk: Folk) -> None:
    secret = folk.log_in()
    for _ in range(3):
        folk.clock.advance(LIMITS.idle_s)
        folk.access.by_session(secret, HERE)
    folk.clock.advance(LIMITS.idle_s + 1)
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(secret, HERE)
    assert folk.people.list_sessions() == []


def test_the_last_minute_of_a_session_counts_though_it_is_not_written(folk: Folk) -> None:
    secret = folk.log_in()
    folk.clock.advance(59)
    folk.access.by_session(secret, HERE)
    folk.clock.advance(LIMITS.idle_s)
    assert folk.access.by_session(secret, HERE).name == FIRST_ADMIN


def test_a_page_that_asks_by_itself_keeps_no_session_alive(folk: Folk) -> None:
    secret = folk.log_in()
    for _ in range(LIMITS.idle_s // 15):
        folk.clock.advance(15)
        folk.access.by_session(secret, HERE, by_hand=False)
    folk.clock.advance(15)
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(secret, HERE, by_hand=False)


def test_a_session_ends_some_day_whoever_shows(folk: Folk) -> None:
    secret = folk.log_in()
    for _ in range(LIMITS.max_s // 1000):
        folk.clock.advance(1000)
        folk.access.by_session(secret, HERE)
    folk.clock.advance(LIMITS.max_s % 1000 + 1)
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(secret, HERE)


def test_sessions_outlive_a_restart_and_their_limits_too(folk: Folk) -> None:
    secret = folk.log_in()
    assert folk.new_access().by_session(secret, HERE).name == FIRST_ADMIN
    folk.clock.advance(LIMITS.idle_s + 1)
    with pytest.raises(Unauthenticated):
        folk.new_access().by_session(secret, HERE)


def test_the_next_sign_in_clears_away_sessions_that_are_over(folk: Folk) -> None:
    for _ in range(5):
        folk.log_in()
    folk.clock.advance(LIMITS.idle_s + 1)
    folk.log_in()
    with folk.store._readers.borrow() as connection:
        assert connection.raw.execute("SELECT count(*) FROM session").fetchone() == (1,)


ENDINGS: dict[str, Callable[[Folk, str], object]] = {
    "signing out": lambda folk, secret: folk.access.log_out(secret),
    "being signed out everywhere": lambda folk, secret: folk.people.end_sessions("ann"),
    "another password": lambda folk, secret: folk.people.set_password("ann", OTHER),
    "another role": lambda folk, secret: folk.people.change_user("ann", role=Role.VIEWER),
    "being disabled": lambda folk, secret: folk.people.change_user("ann", disabled=True),
    "being removed": lambda folk, secret: folk.people.delete_user("ann"),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_what_ends_a_session_ends_it_at_once(
    folk: Folk, ann: str, end: Callable[[Folk, str], object]
) -> None:
    secret, others = folk.log_in("ann"), folk.log_in()
    folk.access.by_session(secret, HERE)
    end(folk, secret)
    with pytest.raises(Unauthenticated, match=ENDED):
        folk.access.by_session(secret, HERE)
    assert folk.access.by_session(others, HERE).name == FIRST_ADMIN


def test_who_changes_their_own_password_stays_signed_in_here_only(folk: Folk) -> None:
    here, there = folk.log_in(), folk.log_in()
    kept = folk.access.by_session(here, HERE).credential
    folk.people.set_password(FIRST_ADMIN, OTHER, keep_session=kept)
    assert folk.access.by_session(here, HERE).credential == kept
    with pytest.raises(Unauthenticated):
        folk.access.by_session(there, HERE)


def test_a_scope_that_changes_holds_for_sessions_at_once(folk: Folk, ann: str) -> None:
    secret = folk.log_in("ann")
    folk.access.by_session(secret, HERE)
    folk.people.change_user("ann", scope=["team=db"])
    assert folk.access.by_session(secret, HERE).scopes == (frozenset({"team=db"}),)


def test_signing_out_twice_or_with_nothing_is_well(folk: Folk) -> None:
    secret = folk.log_in()
    for _ in range(2):
        folk.access.log_out(secret)
    folk.access.log_out("")


def test_a_password_that_changes_while_it_is_checked_opens_nothing(folk: Folk) -> None:
    class Slow(Passwords):
        def check(self, password: str, phc: Optional[str], *, known: bool = False) -> bool:
            right = super().check(password, phc, known=known)
            folk.people.set_password(FIRST_ADMIN, OTHER)
            return right

    folk.access = folk.new_access(Slow(folk.clock, WEAK))
    with pytest.raises(Unauthenticated, match=WRONG):
        folk.log_in()
    assert folk.people.list_sessions() == []


def test_a_password_kept_with_too_little_work_is_kept_better_from_the_next_sign_in_on(folk: Folk) -> None:
    before = folk.store.users.password_of(FIRST_ADMIN)
    folk.access = folk.new_access(Passwords(folk.clock, Cost(3, 1, 1)))
    secret = folk.log_in()
    after = folk.store.users.password_of(FIRST_ADMIN)
    assert before is not None and after is not None
    assert (before[:16], after[:16]) == ("$scrypt$ln=2,r=1", "$scrypt$ln=3,r=1")
    assert folk.access.by_session(secret, HERE).name == FIRST_ADMIN
    folk.log_in()
    assert folk.store.users.password_of(FIRST_ADMIN) == after


def test_guessing_is_held_up_before_a_password_is_looked_at(folk: Folk) -> None:
    for _ in range(FREE_OF_PAIR):
        with pytest.raises(Unauthenticated):
            folk.access.log_in(FIRST_ADMIN, OTHER, THERE)
    before = folk.passwords.runs
    with pytest.raises(TooManyAttempts) as caught:
        folk.access.log_in(FIRST_ADMIN, PASSWORD, THERE)
    assert folk.passwords.runs == before
    folk.clock.advance(caught.value.retry_after_s)
    assert folk.access.log_in(FIRST_ADMIN, PASSWORD, THERE)


def test_where_somebody_is_signed_in_is_known_after_a_restart(folk: Folk) -> None:
    folk.log_in(address=HERE)
    access = folk.new_access()
    for number in range(40):
        with suppress(TooManyAttempts, Unauthenticated):
            access.log_in(f"user{number}", OTHER, HERE)
    assert access.log_in(FIRST_ADMIN, PASSWORD, HERE)


def test_no_storm_of_guesses_locks_the_owner_out(folk: Folk) -> None:
    for number in range(60):
        with suppress(TooManyAttempts, Unauthenticated):
            folk.access.log_in(FIRST_ADMIN, OTHER, f"10.0.0.{number % 20}")
    assert folk.access.log_in(FIRST_ADMIN, PASSWORD, ELSEWHERE)


def test_what_nobody_looked_at_for_want_of_time_is_no_failure(folk: Folk) -> None:
    class Busy(Passwords):
        busy = True

        def check(self, password: str, phc: Optional[str], *, known: bool = False) -> bool:
            if self.busy:
                raise TooManyAttempts("busy", 5)
            return super().check(password, phc, known=known)

    passwords = Busy(folk.clock, WEAK)
    folk.access = folk.new_access(passwords)
    for _ in range(50):
        with pytest.raises(TooManyAttempts, match="busy"):
            folk.log_in()
    passwords.busy = False
    assert folk.log_in()


def test_who_signed_in_from_there_before_goes_first(folk: Folk) -> None:
    seen: list[bool] = []

    class Watched(Passwords):
        def check(self, password: str, phc: Optional[str], *, known: bool = False) -> bool:
            seen.append(known)
            return super().check(password, phc, known=known)

    folk.access = folk.new_access(Watched(folk.clock, WEAK))
    for address in (HERE, HERE, THERE):
        folk.log_in(address=address)
    assert seen == [False, True, False]


def test_a_password_is_asked_for_again_and_guessing_it_there_is_held_up_too(folk: Folk) -> None:
    folk.access.check_password(FIRST_ADMIN, PASSWORD, HERE)
    for _ in range(FREE_OF_PAIR):
        with pytest.raises(Unauthenticated, match=WRONG):
            folk.access.check_password(FIRST_ADMIN, OTHER, HERE)
    with pytest.raises(TooManyAttempts):
        folk.access.check_password(FIRST_ADMIN, PASSWORD, HERE)


def test_a_token_acts_for_its_user(folk: Folk, ann: str) -> None:
    made, secret = folk.people.create_token("ann", "nightly", Role.OPERATOR, ["env=test"])
    assert secret.startswith(f"cmt_{made.id}_")
    assert folk.access.by_token(secret, HERE) == Identity(
        "ann", Role.OPERATOR, Means.TOKEN, made.id, (WEB, frozenset({"env=test"}))
    )


@pytest.mark.parametrize("of_user", list(Role))
@pytest.mark.parametrize("of_token", list(Role))
def test_a_token_never_does_more_than_its_user_nor_than_itself(
    folk: Folk, of_user: Role, of_token: Role
) -> None:
    folk.people.create_user("bob", Role.ADMIN, PASSWORD)
    secret = token(folk, "bob", of_token)
    folk.people.change_user("bob", role=of_user)
    role = folk.access.by_token(secret, HERE).role
    assert role is not None
    assert of_user.includes(role) and of_token.includes(role)
    assert role in (of_user, of_token)


@pytest.mark.parametrize("secret", ["", "cmt_", "cmt_000000000000_x", "x" * 100_000, "\ud800", "\0"])
def test_what_is_no_token_is_refused_with_what_would_be_one(folk: Folk, secret: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        folk.access.by_token(secret, HERE)
    assert str(caught.value) == UNKNOWN_TOKEN


def test_a_token_with_one_letter_wrong_is_none(folk: Folk) -> None:
    secret = token(folk)
    for place in (0, 6, 20, len(secret) - 1):
        spoiled = secret[:place] + ("x" if secret[place] != "x" else "y") + secret[place + 1 :]
        with pytest.raises(Unauthenticated):
            folk.access.by_token(spoiled, HERE)
    with pytest.raises(Unauthenticated):
        folk.access.by_token(secret.upper(), HERE)


def test_a_revoked_token_is_dead_at_once(folk: Folk) -> None:
    made, secret = folk.people.create_token(FIRST_ADMIN, "nightly", Role.ADMIN)
    folk.access.by_token(secret, HERE)
    folk.people.revoke_token(made.id)
    with pytest.raises(Unauthenticated, match=rf"the token {made.id} \(nightly\) is revoked"):
        folk.access.by_token(secret, HERE)


def test_a_token_ends_the_moment_it_expires(folk: Folk) -> None:
    secret = token(folk, expires_at=folk.clock.now() + timedelta(seconds=1.5))
    folk.access.by_token(secret, HERE)
    folk.clock.advance(0.9)
    folk.access.by_token(secret, HERE)
    folk.clock.advance(0.6)
    with pytest.raises(Unauthenticated, match="expired"):
        folk.access.by_token(secret, HERE)


def test_the_tokens_of_a_disabled_user_sleep_and_those_of_a_removed_one_are_gone(
    folk: Folk, ann: str
) -> None:
    secret = token(folk, "ann")
    folk.people.change_user("ann", disabled=True)
    with pytest.raises(Unauthenticated, match="the user ann of the token .* is disabled"):
        folk.access.by_token(secret, HERE)
    folk.people.change_user("ann", disabled=False)
    assert folk.access.by_token(secret, HERE).name == "ann"
    folk.people.delete_user("ann")
    folk.people.create_user("ann", Role.ADMIN, PASSWORD)
    with pytest.raises(Unauthenticated, match="no token of this cloud master"):
        folk.access.by_token(secret, HERE)


def test_a_token_outlives_its_users_password(folk: Folk) -> None:
    secret = token(folk)
    folk.people.set_password(FIRST_ADMIN, OTHER)
    assert folk.access.by_token(secret, HERE).name == FIRST_ADMIN


def test_the_last_use_is_noted_once_a_minute_and_costs_no_reader_anything(folk: Folk) -> None:
    made, secret = folk.people.create_token(FIRST_ADMIN, "nightly", Role.VIEWER)
    counts = folk.store.change_count, folk.store.write_count
    start = folk.clock.now()
    for _ in range(59):
        folk.access.by_token(secret, HERE)
        folk.clock.advance(1)
    assert folk.people.get_token(made.id).last_used_at == start
    folk.clock.advance(1)
    folk.access.by_token(secret, THERE)
    used = folk.people.get_token(made.id)
    assert (used.last_used_at, used.last_address) == (start + timedelta(seconds=60), THERE)
    assert (folk.store.change_count, folk.store.write_count) == counts, "replies that are kept stay good"


def test_one_whom_the_proxy_signed_in_is_the_user_of_that_name(folk: Folk, ann: str) -> None:
    assert folk.access.by_proxy("Ann") == Identity("ann", Role.OPERATOR, Means.PROXY, "", (WEB,))


@pytest.mark.parametrize("name", ["nobody", "", " ", "ann ", "\u212aate", "x" * 80, "a\nb", "../admin"])
def test_one_whom_the_proxy_signed_in_and_nobody_knows_may_nothing(folk: Folk, ann: str, name: str) -> None:
    with pytest.raises(Unauthenticated, match="no user here: ask an admin"):
        folk.access.by_proxy(name)


def test_the_role_for_everybody_of_the_proxy_is_for_names_and_not_for_the_disabled(
    folk: Folk, ann: str
) -> None:
    access = folk.new_access(remote_user_role=Role.VIEWER)
    assert access.by_proxy("carol@EXAMPLE.ORG") == Identity("carol@example.org", Role.VIEWER, Means.PROXY)
    assert access.by_proxy("ann").role is Role.OPERATOR, "who is a user here has the rights given here"
    folk.people.change_user("ann", disabled=True)
    for name in ("ann", "", "a\nb", "<script>"):
        with pytest.raises(Unauthenticated):
            access.by_proxy(name)


def test_no_secret_is_in_the_database_nor_in_the_log(folk: Folk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        session, secret = folk.log_in(), token(folk)
        folk.access.by_session(session, HERE)
        folk.access.by_token(secret, HERE)
        for wrong in (OTHER, "hunter2hunter2"):
            with pytest.raises(Unauthenticated):
                folk.log_in(password=wrong)
        folk.people.set_password(FIRST_ADMIN, OTHER)
    kept = b"".join(file.read_bytes() for file in folk.path.parent.iterdir())
    assert FIRST_ADMIN.encode() in kept, "this looks where it is"
    for clear in (session, secret, secret.split("_", 2)[2], PASSWORD, OTHER, "hunter2hunter2"):
        assert clear.encode() not in kept
        assert clear not in caplog.text
