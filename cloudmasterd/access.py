"""Who comes to the door: signing in, and knowing a token, a session or a user of the proxy again."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Protocol

from cloudmasterd import acting
from cloudmasterd.accounts import Session, SessionLimits, TokenState, User
from cloudmasterd.clock import Clock
from cloudmasterd.errors import TooManyAttempts, Unauthenticated
from cloudmasterd.last_use import LastUse
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import TOKEN_PREFIX, Rows, is_name
from cloudmasterd.recall import Recall
from cloudmasterd.rights import Identity, Means, Role, Scope
from cloudmasterd.throttle import Attempt, Throttle

LONGEST_SECRET = 256
LONGEST_AGENT = 200

WRONG = "this name and this password are not those of a user who may sign in"
ENDED = "this session has ended: sign in again"
UNKNOWN_TOKEN = f"this is no token of this cloud master: send one that begins with {TOKEN_PREFIX}, whole"


class Guarded(Rows, Protocol):
    """What is needed of the Store."""

    @property
    def change_count(self) -> int:
        """Grows with every committed change of a fact."""


class Access:
    """Tells who somebody is. A secret never goes further than this; any thread may call it.

    Signing in with a password costs much work and is held up for those who guess; all else is cheap.
    `remote_user_role` is what a user of the proxy may do who is no user here; None: nothing.
    """

    def __init__(
        self,
        store: Guarded,
        clock: Clock,
        passwords: Passwords,
        *,
        limits: SessionLimits = SessionLimits(),  # noqa: B008  frozen
        remote_user_role: Optional[Role] = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._limits = limits
        self._remote_user_role = remote_user_role
        self._throttle = Throttle(clock)
        self._tokens = Recall(store.tokens.find, lambda: store.change_count, clock)
        self._sessions = Recall(store.sessions.find, lambda: store.change_count, clock)
        self._token_uses = LastUse(store.tokens.note_use)
        self._session_uses = LastUse(store.sessions.note_seen)
        for session in store.sessions.list(limits, clock.now()):
            self._throttle.know(session.user, session.address)

    def log_in(self, name: str, password: str, address: str, agent: str = "") -> tuple[str, Identity]:
        """Sign a user in: the secret of a new session, and who it is.

        Raises Unauthenticated, with one text and after one amount of work whether it was the name or the
        password, and TooManyAttempts.
        """
        account = _account(name.strip())
        attempt = self._throttle.admit(account, address)
        seen = self._verify(attempt, password)
        better = self._better(password, seen)
        now = self._clock.now()
        session = Session(self._clock.new_id()[-12:], account, now, now, address, _line(agent))
        secret = self._clock.new_token()
        acting.become(account, Means.SESSION.value, session.id)
        user = self._store.sessions.open(session, secret, seen, better, self._limits)
        if user is None:  # disabled, or the password was changed this very moment
            acting.become("", Means.NONE.value, "")
            acting.tell(account=account)
            raise Unauthenticated(WRONG)
        self._throttle.succeeded(attempt)
        return secret, _of_session(session, user)

    def check_password(self, name: str, password: str, address: str) -> None:
        """See whether it is the user's password, before something that asks for it once more.

        Raises Unauthenticated, TooManyAttempts.
        """
        attempt = self._throttle.admit(_account(name), address)
        self._verify(attempt, password)
        self._throttle.succeeded(attempt)

    def log_out(self, secret: str) -> None:
        """End the session with that secret, if there is one."""
        found = self._store.sessions.find(secret[:LONGEST_SECRET])
        if found is not None:
            self._store.sessions.end(found[0].id)

    def by_token(self, secret: str, address: str) -> Identity:
        """Who shows this token; Unauthenticated when it is none, revoked or expired, or its user disabled."""
        found = self._tokens.find(secret[:LONGEST_SECRET])
        if found is None:
            raise Unauthenticated(UNKNOWN_TOKEN)
        token, user = found
        now = self._clock.now()
        state = token.state(now)
        if state is not TokenState.GOOD:
            raise Unauthenticated(
                f"the token {token.id} ({token.title}) is {state.value}: ask for another one"
            )
        if user.disabled:
            raise Unauthenticated(f"the user {user.name} of the token {token.id} is disabled: ask an admin")
        self._token_uses.note(token.id, now, address, token.last_used_at)
        role = token.role if user.role.includes(token.role) else user.role
        return Identity(user.name, role, Means.TOKEN, token.id, _scopes(user.scope, token.scope))

    def by_session(self, secret: str, address: str, *, by_hand: bool = True) -> Identity:
        """Whose session has this secret; Unauthenticated when it is over.

        `by_hand` is False for what a page asks by itself: that shows nobody at the screen, and keeps no
        session alive.
        """
        found = self._sessions.find(secret[:LONGEST_SECRET])
        if found is None:
            raise Unauthenticated(ENDED)
        session, user = found
        now = self._clock.now()
        seen_at = max(session.seen_at, self._session_uses.find(session.id) or session.seen_at)
        if self._limits.over(replace(session, seen_at=seen_at), now):
            # its row goes when somebody signs in: whoever only asks changes nothing
            raise Unauthenticated(ENDED)
        if by_hand:
            self._session_uses.note(session.id, now, address, session.seen_at)
        return _of_session(session, user)

    def by_proxy(self, name: str) -> Identity:
        """Who a user is whom the proxy has signed in; Unauthenticated when they may not be here."""
        account = _account(name)
        user = self._store.users.find(account)
        if user is not None and not user.disabled:
            return Identity(user.name, user.role, Means.PROXY, "", _scopes(user.scope))
        if user is None and self._remote_user_role is not None and is_name(account):
            return Identity(account, self._remote_user_role, Means.PROXY)
        raise Unauthenticated(
            f"the web server knows you as {account[:80]!r}, who is {'disabled' if user else 'no user'} here:"
            " ask an admin"
        )

    def _verify(self, attempt: Attempt, password: str) -> str:
        """The PHC text that the password fits; Unauthenticated, and the attempt stays a failed one."""
        kept = self._store.users.password_of(attempt.account)
        try:
            right = self._passwords.check(password, kept, known=attempt.known)
        except TooManyAttempts:
            self._throttle.take_back(attempt)
            raise
        if kept is None or not right:
            # what is nobody's name may be a password that was typed into the wrong field
            acting.tell(account=attempt.account if kept is not None else "no user of this cloud master")
            raise Unauthenticated(WRONG)
        return kept

    def _better(self, password: str, kept: str) -> Optional[str]:
        """The password with more work, where it is kept with less than is usual now."""
        if not self._passwords.is_weak(kept):
            return None
        try:
            return self._passwords.hash(password)
        except TooManyAttempts:
            return None  # some other time


def _of_session(session: Session, user: User) -> Identity:
    return Identity(user.name, user.role, Means.SESSION, session.id, _scopes(user.scope))


def _scopes(*scopes: Scope) -> tuple[Scope, ...]:
    return tuple(scope for scope in scopes if scope)


def _account(name: str) -> str:
    """The name that is looked up; longer than any user's where it was longer."""
    # what is no ASCII is nobody's: lower() would make a k of a Kelvin sign
    return (name.lower() if name.isascii() else name)[:65]


def _line(agent: str) -> str:
    """What a browser says it is, for one line of a page."""
    return "".join(letter for letter in agent if letter.isprintable())[:LONGEST_AGENT]
