"""Users over REST: listed, made, changed, deleted, given a password, signed out."""

from __future__ import annotations

from cloudmasterd.accounts import EVERYTHING, User
from cloudmasterd.errors import Forbidden, Invalid, Unauthenticated
from cloudmasterd.grants import refuse_more
from cloudmasterd.password_rules import generate
from cloudmasterd.rights import Means, Role
from cloudmasterd.web.api.listing import page
from cloudmasterd.web.api.people_bodies import parse_new_password, parse_new_user, parse_user_change
from cloudmasterd.web.api.whoami import own_token
from cloudmasterd.web.asking import version_of
from cloudmasterd.web.exchange import NO_STORE, Asked, Reply, json_bytes
from cloudmasterd.web.paths import segment
from cloudmasterd.web.proxy import refuse_open
from cloudmasterd.web.represent_people import USER_FIELDS, user_etag, user_json
from cloudmasterd.web.site import Site
from cloudmasterd.web.validate import DEFAULT_LIMIT, MAX_LIMIT, Param, cursor, one_of, whole_number

LIST_PARAMS = (
    Param("limit", whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT),
    Param("cursor", cursor("users", 1)),
    Param("fields", one_of("a field of a user", USER_FIELDS), (), repeatable=True),
)


class Users:
    """The resource /api/v1/users. Nobody but an admin sees others than themselves; nothing of it is kept."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self, asked: Asked) -> Reply:
        """One page of the users, by name."""
        after = asked.query["cursor"]
        found = self._site.people.list_users(after[0] if after else None, asked.query["limit"] + 1)
        listed = page(asked, found, "users", user_json, lambda user: [user.name])
        return Reply(body=json_bytes(listed), headers=(NO_STORE,))

    def create(self, asked: Asked) -> Reply:
        """Make one; the same request again is a conflict, because names are given once."""
        wanted = parse_new_user(asked.body)
        if wanted.password is not None:
            refuse_open(asked.origin.private, "the password")
        user = self._site.people.create_user(
            wanted.name, Role(wanted.role), wanted.password, wanted.scope, wanted.title
        )
        where = ("Location", f"{asked.path}/{segment(user.name)}")
        return Reply(201, json_bytes(user_json(user)), etag=user_etag(user), headers=(NO_STORE, where))

    def get(self, asked: Asked) -> Reply:
        """One user."""
        return _shown(self._site.people.get_user(_own_or_any(asked)))

    def change(self, asked: Asked) -> Reply:
        """Another role, scope or title, or may not sign in any more; done at once."""
        wish = parse_user_change(asked.body)
        before = self._site.people.get_user(asked.names["user"])
        user = self._site.people.change_user(
            before.name,
            role=None if wish.role is None else Role(wish.role),
            scope=wish.scope,
            disabled=wish.disabled,
            title=wish.title,
            revision=version_of(asked, user_etag(before), before.revision),
        )
        return _shown(user)

    def delete(self, asked: Asked) -> Reply:
        """The end of a user, and of their tokens and sessions."""
        user = self._site.people.get_user(asked.names["user"])
        self._site.people.delete_user(user.name, revision=version_of(asked, user_etag(user), user.revision))
        return Reply(204, headers=(NO_STORE,))

    def set_password(self, asked: Asked) -> Reply:
        """Another password; one that is made here is told in this answer alone."""
        name = _own_or_any(asked)
        wanted = parse_new_password(asked.body)
        refuse_open(asked.origin.private, "the password")
        if name == asked.who.name:
            self._check(asked, wanted.present)
        new = generate(self._site.clock) if wanted.new is None else wanted.new
        keep = asked.who.credential if asked.who.means is Means.SESSION else ""
        self._site.people.set_password(name, new, keep_session=keep)
        told = {"name": name, "password": new if wanted.new is None else None}
        return Reply(body=json_bytes(told), headers=(NO_STORE,))

    def end_sessions(self, asked: Asked) -> Reply:
        """Sign a user out everywhere."""
        name = _own_or_any(asked)
        if name == asked.who.name:
            user = self._site.people.get_user(name)
            refuse_more(own_token(self._site, asked.who), user.role, EVERYTHING, "a session")
        self._site.people.end_sessions(name)
        return Reply(204, headers=(NO_STORE,))

    def _check(self, asked: Asked, present: object) -> None:
        """Raises Invalid unless somebody who changes their own password knows the present one."""
        wrong = "it takes the present password, and this is not it"
        try:
            self._site.access.check_password(asked.who.name, str(present or ""), asked.client)
        except Unauthenticated as exc:
            raise Invalid(f"present: {wrong}", [("present", wrong)]) from exc


def _own_or_any(asked: Asked) -> str:
    """The name in the path; Forbidden for somebody else's, unless to an admin."""
    name = asked.names["user"]
    if name != asked.who.name and not asked.who.may(Role.ADMIN):
        raise Forbidden(f"what is {name[:80]!r}'s takes the role admin: {asked.who.name} has what is theirs")
    return name


def _shown(user: User) -> Reply:
    return Reply(body=json_bytes(user_json(user)), etag=user_etag(user), headers=(NO_STORE,))
