"""API tokens and sessions over REST: listed, made, ended. One's own, and everybody's for admins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Optional

from cloudmasterd.accounts import EVERYTHING, ApiToken, token_object
from cloudmasterd.errors import Forbidden, NotFound
from cloudmasterd.grants import Wanted, grant, refuse_more
from cloudmasterd.people import checked_scope
from cloudmasterd.rights import Role
from cloudmasterd.web.api.people_bodies import parse_new_token
from cloudmasterd.web.api.whoami import own_token
from cloudmasterd.web.asking import asker_of, mark_of
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.proxy import refuse_open
from cloudmasterd.web.represent import list_json
from cloudmasterd.web.represent_people import session_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import Param, flag, text

LIST_PARAMS = (Param("user", text), Param("all", flag, default=False))


class Tokens:
    """The resource /api/v1/tokens; nothing of it is kept anywhere."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """The newest first, with those that are good for nothing any more."""
        now = self._site.clock.now()
        whose = _whose(asked)
        own = whose == asked.who.name
        found = self._of(asked.who.name) if own else self._site.people.list_tokens(whose)
        return _list([token_object(token, now) for token in found])

    def create(self, asked: Asked) -> Reply:
        """Make one; this answer alone has its secret. The same Idempotency-Key again is a conflict."""
        wanted = parse_new_token(asked.body)
        user, now = wanted.user or asked.who.name, self._site.clock.now()
        if user != asked.who.name and not asked.who.may(Role.ADMIN):
            raise Forbidden(
                f"a token of {user[:80]!r} takes the role admin: {asked.who.name} makes their own"
            )
        refuse_open(asked.origin.private, "the token")
        granted = grant(
            asked.who,
            own_token(self._site, asked.who),
            Wanted(
                Role(wanted.role),
                None if wanted.scope is None else checked_scope(wanted.scope),
                None if wanted.expires_s is None else now + timedelta(seconds=wanted.expires_s),
            ),
        )
        mark = mark_of(asker_of(asked, self._site.clock))
        token, secret = self._site.people.create_token(
            user, wanted.title, granted.role, granted.scope, granted.expires_at, mark=mark
        )
        return Reply(201, json_bytes({**token_object(token, now), "token": secret}), headers=(NO_STORE,))

    def delete(self, asked: Asked) -> Reply:
        """Let one be good for nothing from now on."""
        wanted = asked.names["token"]
        token = self._find(wanted, asked)
        own = own_token(self._site, asked.who)
        if token.user == asked.who.name and (own is None or own.id != token.id):
            refuse_more(own, token.role, token.scope, f"the token {token.id}")
        self._site.people.revoke_token(token.id)
        return Reply(204, headers=(NO_STORE,))

    def _find(self, wanted: str, asked: Asked) -> ApiToken:
        """Somebody else's is not there, for whoever is no admin."""
        if asked.who.may(Role.ADMIN):
            return self._site.people.get_token(wanted)
        for token in self._of(asked.who.name):
            if token.id == wanted:
                return token
        raise NotFound(f"you have no token {wanted[:80]!r}; GET /api/v1/tokens lists those you have")

    def _of(self, name: str) -> Sequence[ApiToken]:
        """The tokens of somebody who may be no user here, but known to the web server in front."""
        try:
            return self._site.people.list_tokens(name)
        except NotFound:
            return ()


class Sessions:
    """The resource /api/v1/sessions: the browsers that are signed in."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """The latest seen first."""
        whose = _whose(asked)
        if whose is not None and whose != asked.who.name:
            self._site.people.get_user(whose)
        found = [s for s in self._site.people.list_sessions() if whose in (None, s.user)]
        return _list([session_json(session, asked.who.credential) for session in found])

    def delete(self, asked: Asked) -> Reply:
        """Sign one browser out."""
        wanted, who = asked.names["session"], asked.who
        found = [s for s in self._site.people.list_sessions() if s.id == wanted]
        if not found or not (found[0].user == who.name or who.may(Role.ADMIN)):
            raise NotFound(f"you have no session {wanted[:80]!r}: it has ended, or was never yours")
        if found[0].user == who.name:
            user = self._site.people.get_user(who.name)
            refuse_more(own_token(self._site, who), user.role, EVERYTHING, "a session")
        self._site.people.end_session(wanted)
        return Reply(204, headers=(NO_STORE,))


def _whose(asked: Asked) -> Optional[str]:
    """Whose are listed: one's own, or as the query says to an admin; None: everybody's."""
    user, everybody = asked.query["user"], asked.query["all"]
    if (everybody or user not in (None, asked.who.name)) and not asked.who.may(Role.ADMIN):
        raise Forbidden(f"what is others' takes the role admin: {asked.who.name} sees what is theirs")
    return None if everybody else user or asked.who.name


def _list(items: list[dict[str, object]]) -> Reply:
    return Reply(body=json_bytes(list_json(items, None)), headers=(NO_STORE,))
