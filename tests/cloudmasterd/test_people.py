"""What is done with users and tokens, and what is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloudmasterd.accounts import FIRST_ADMIN, TokenState, User
from cloudmasterd.errors import CloudError, Conflict, Invalid, NotFound, StaleVersion
from cloudmasterd.people import checked_name, checked_scope, is_name
from cloudmasterd.rights import Role
from tests.cloudmasterd.folk import OTHER, PASSWORD, Folk


def test_a_user_is_what_was_said_of_them(folk: Folk) -> None:
    made = folk.people.create_user("Ann", Role.OPERATOR, PASSWORD, ["team=web", "team=db"], " Ann of web ")
    assert made == User(
        "ann",
        Role.OPERATOR,
        folk.clock.now(),
        scope=frozenset({"team=web", "team=db"}),
        title="Ann of web",
        has_password=True,
        revision=made.revision,
    )
    assert folk.people.get_user("ann") == made
    assert [user.name for user in folk.people.list_users()] == ["admin", "ann"]
    assert [user.name for user in folk.people.list_users(after="admin", limit=1)] == ["ann"]


def test_nothing_of_a_user_shows_the_password(folk: Folk) -> None:
    assert "scrypt" not in repr(folk.people.list_users())


@pytest.mark.parametrize(
    "name",
    ["", ".ann", "-ann", "an n", "ann/bob", "änn", "\u212aate", "a" * 65, "ann\n", "ann%", "<b>", "a:b"],
)
def test_what_cannot_be_a_name_is_refused_with_what_can(folk: Folk, name: str) -> None:
    with pytest.raises(Invalid, match="a letter or digit first") as caught:
        folk.people.create_user(name, Role.VIEWER, PASSWORD)
    assert caught.value.fields[0][0] == "name"


@given(st.text(max_size=70))
def test_a_name_is_refused_or_fit_for_urls_and_logs(text: str) -> None:
    try:
        name = checked_name(text)
    except Invalid:
        assert not is_name(text)
    else:
        assert is_name(name) and name.isascii() and name == text.lower() and name.isprintable()


@pytest.mark.parametrize(
    "scope", [["team"], ["=web"], ["te am=web"], ["team=we\nb"], ["team=" + "x" * 256], ["-a=b"]]
)
def test_what_cannot_be_a_scope_is_refused(scope: list[str]) -> None:
    with pytest.raises(Invalid, match="e.g. team=web"):
        checked_scope(scope)
    with pytest.raises(Invalid, match="at most 32"):
        checked_scope([f"a{number}=b" for number in range(33)])


def test_a_name_is_taken_once(folk: Folk) -> None:
    with pytest.raises(Conflict, match="there is a user admin already"):
        folk.people.create_user("ADMIN", Role.VIEWER, PASSWORD)


@pytest.mark.parametrize("title", ["x" * 81, "two\nlines", "a\x00b"])
def test_a_title_is_one_short_line(folk: Folk, title: str) -> None:
    with pytest.raises(Invalid, match="one line of at most 80"):
        folk.people.create_user("ann", Role.VIEWER, PASSWORD, title=title)


def test_a_weak_password_is_taken_neither_for_a_new_user_nor_for_an_old_one(folk: Folk) -> None:
    with pytest.raises(Invalid, match="12 or more"):
        folk.people.create_user("ann", Role.VIEWER, "short")
    with pytest.raises(NotFound):
        folk.people.get_user("ann")
    with pytest.raises(Invalid, match="commonest"):
        folk.people.set_password(FIRST_ADMIN, "password1234")


def test_a_change_is_one_and_what_is_not_named_stays(folk: Folk) -> None:
    folk.people.create_user("ann", Role.OPERATOR, PASSWORD, ["team=web"], "Ann")
    changed = folk.people.change_user("ann", title="Ann of web")
    assert (changed.role, changed.scope, changed.title) == (
        Role.OPERATOR,
        frozenset({"team=web"}),
        "Ann of web",
    )
    assert folk.people.change_user("ann", title="Ann of web").revision == changed.revision


def test_who_read_an_older_user_is_told_to_read_again(folk: Folk) -> None:
    made = folk.people.create_user("ann", Role.VIEWER, PASSWORD)
    changed = folk.people.change_user("ann", role=Role.OPERATOR, revision=made.revision)
    assert changed.revision > made.revision
    with pytest.raises(StaleVersion, match="read it again"):
        folk.people.change_user("ann", role=Role.VIEWER, revision=made.revision)
    with pytest.raises(StaleVersion):
        folk.people.delete_user("ann", revision=made.revision)
    assert folk.people.set_password("ann", OTHER).revision > changed.revision


def test_no_revision_comes_back_with_a_name(folk: Folk) -> None:
    first = folk.people.create_user("ann", Role.VIEWER, PASSWORD)
    folk.people.delete_user("ann")
    assert folk.people.create_user("ann", Role.VIEWER, PASSWORD).revision > first.revision


NOBODY: dict[str, Callable[[Folk], object]] = {
    "get": lambda folk: folk.people.get_user("zed"),
    "change": lambda folk: folk.people.change_user("zed", title="x"),
    "password": lambda folk: folk.people.set_password("zed", PASSWORD),
    "delete": lambda folk: folk.people.delete_user("zed"),
    "tokens": lambda folk: folk.people.list_tokens("zed"),
    "token": lambda folk: folk.people.create_token("zed", "x", Role.VIEWER),
    "sessions": lambda folk: folk.people.list_sessions("zed"),
    "sign out": lambda folk: folk.people.end_sessions("zed"),
}


@pytest.mark.parametrize("ask", NOBODY.values(), ids=NOBODY.keys())
def test_of_nobody_is_said_where_those_are_that_there_are(folk: Folk, ask: Callable[[Folk], object]) -> None:
    with pytest.raises(NotFound, match="there is no user 'zed'; GET /api/v1/users"):
        ask(folk)


LOSSES: dict[str, Callable[[Folk], object]] = {
    "deleted": lambda folk: folk.people.delete_user(FIRST_ADMIN),
    "disabled": lambda folk: folk.people.change_user(FIRST_ADMIN, disabled=True),
    "demoted": lambda folk: folk.people.change_user(FIRST_ADMIN, role=Role.OPERATOR),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES.keys())
def test_the_last_admin_who_can_sign_in_stays(folk: Folk, lose: Callable[[Folk], object]) -> None:
    folk.people.create_user("proxied", Role.ADMIN)
    folk.people.create_user("gone", Role.ADMIN, PASSWORD)
    folk.people.change_user("gone", disabled=True)
    folk.people.create_user("op", Role.OPERATOR, PASSWORD)
    with pytest.raises(Conflict, match="the last admin .*: make another admin first"):
        lose(folk)
    assert folk.people.get_user(FIRST_ADMIN).role is Role.ADMIN
    folk.people.create_user("second", Role.ADMIN, PASSWORD)
    lose(folk)


def test_an_admin_has_no_scope(folk: Folk) -> None:
    with pytest.raises(Invalid, match="cannot be an admin with a scope"):
        folk.people.create_user("ann", Role.ADMIN, PASSWORD, ["team=web"])
    folk.people.create_user("ann", Role.OPERATOR, PASSWORD, ["team=web"])
    with pytest.raises(Invalid, match="leave the scope empty"):
        folk.people.change_user("ann", role=Role.ADMIN)
    assert folk.people.change_user("ann", role=Role.ADMIN, scope=[]).role is Role.ADMIN


def test_a_token_is_listed_for_good_without_its_secret(folk: Folk) -> None:
    soon = folk.clock.now() + timedelta(days=1)
    made, secret = folk.people.create_token(FIRST_ADMIN, " nightly ", Role.OPERATOR, ["a=b"], soon)
    folk.clock.advance(1)
    other, other_secret = folk.people.create_token(FIRST_ADMIN, "nightly", Role.ADMIN)
    assert secret != other_secret and len(secret) == 4 + 12 + 1 + 43
    assert [token.id for token in folk.people.list_tokens()] == [other.id, made.id]
    assert (made.title, made.role, made.scope) == ("nightly", Role.OPERATOR, frozenset({"a=b"}))
    folk.people.revoke_token(made.id)
    folk.clock.advance(5)
    again = folk.people.revoke_token(made.id)
    assert again.revoked_at is not None and again.revoked_at < folk.clock.now(), "it is revoked once"
    assert again.state(folk.clock.now()) is TokenState.REVOKED
    assert secret.split("_", 2)[2] not in repr(folk.people.list_tokens(FIRST_ADMIN))
    with pytest.raises(NotFound, match="there is no token 'x'"):
        folk.people.revoke_token("x")


def test_a_mark_makes_one_token(folk: Folk) -> None:
    mark = "0123456789ab" + "0" * 52
    made, secret = folk.people.create_token(FIRST_ADMIN, "x", Role.VIEWER, mark=mark)
    assert made.id == mark[:12] and mark[12:] not in secret
    with pytest.raises(Conflict, match="this request made the token 0123456789ab already"):
        folk.people.create_token(FIRST_ADMIN, "x", Role.VIEWER, mark=mark)
    assert folk.people.list_tokens() == [made]


def test_a_token_that_would_be_good_for_nothing_is_not_made(folk: Folk) -> None:
    folk.people.create_user("ann", Role.VIEWER, PASSWORD)
    with pytest.raises(Invalid, match="a token of ann cannot have the role operator: give viewer or less"):
        folk.people.create_token("ann", "x", Role.OPERATOR)
    with pytest.raises(Invalid, match="a title is missing: say what it is for"):
        folk.people.create_token("ann", "  ", Role.VIEWER)
    with pytest.raises(Invalid, match="a time to come"):
        folk.people.create_token("ann", "x", Role.VIEWER, expires_at=folk.clock.now())
    with pytest.raises(Invalid, match="an admin's with a scope"):
        folk.people.create_token(FIRST_ADMIN, "x", Role.ADMIN, ["team=web"])
    assert folk.people.list_tokens() == []


def test_sessions_are_ended_one_by_one_or_all_but_this(folk: Folk) -> None:
    for _ in range(3):
        folk.log_in()
        folk.clock.advance(1)
    newest, middle, _ = folk.people.list_sessions(FIRST_ADMIN)
    assert folk.people.end_session(middle.id)
    assert not folk.people.end_session(middle.id)
    assert folk.people.end_sessions(FIRST_ADMIN, keep_session=newest.id) == 1
    assert folk.people.list_sessions() == [newest]


@settings(max_examples=10, stateful_step_count=12, deadline=None)
class Town(RuleBasedStateMachine):
    """Whatever is done to whom in whatever order: somebody can sign in and put it right."""

    names = st.sampled_from(["admin", "ann", "bob"])

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.folk = Folk(Path(self._folder.name))

    def teardown(self) -> None:
        self.folk.close()
        self._folder.cleanup()

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except CloudError as exc:
            assert str(exc)

    @rule(name=names, role=st.sampled_from(Role), with_password=st.booleans())
    def create(self, name: str, role: Role, with_password: bool) -> None:
        self._try(lambda: self.folk.people.create_user(name, role, PASSWORD if with_password else None))

    @rule(
        name=names,
        role=st.none() | st.sampled_from(Role),
        disabled=st.none() | st.booleans(),
        scope=st.none() | st.sampled_from([(), ("team=web",)]),
    )
    def change(self, name: str, role: Role, disabled: bool, scope: tuple[str, ...]) -> None:
        self._try(lambda: self.folk.people.change_user(name, role=role, disabled=disabled, scope=scope))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self._try(lambda: self.folk.people.delete_user(name))

    @invariant()
    def an_admin_can_sign_in(self) -> None:
        admins = [user for user in self.folk.people.list_users() if user.role is Role.ADMIN]
        assert any(user.has_password and not user.disabled for user in admins)
        assert not any(user.scope for user in admins)


TestTown = Town.TestCase
