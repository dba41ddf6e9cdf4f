"""The pages of users, for admins: who may sign in, as what, and how to let somebody else in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from cloudmasterd.accounts import ApiToken, User
from cloudmasterd.errors import CloudError, NotFound, StaleVersion
from cloudmasterd.password_rules import generate
from cloudmasterd.rights import Role
from cloudmasterd.web import paths
from cloudmasterd.web.exchange import Asked, Reply
from cloudmasterd.web.pages.asking import form_page, see_other
from cloudmasterd.web.pages.forms import Form, form_of, number
from cloudmasterd.web.pages.people_forms import ROLES, role_of, scope_of
from cloudmasterd.web.pages.people_rows import row_of_user, rows_of_sessions, rows_of_tokens
from cloudmasterd.web.problems import status_of
from cloudmasterd.web.proxy import refuse_open
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param, text

PATH = "/users"
PAGE = 200
PARAMS = (Param("after", text, default=""),)
USER_PARAMS = (Param("done", text, default=""),)
LABELS = {
    "name": "Name",
    "title": "Who that is",
    "role": "Role",
    "scope": "Bound to tags",
    "password": "Password",
}
CHANGE_LABELS = {
    "title": "Who that is",
    "role": "Role",
    "scope": "Bound to tags",
    "disabled": "May not sign in",
}
FIRST = Form({"role": [Role.VIEWER.value], "password": ["yes"]})
SAID = {
    "changed": "It is changed.",
    "ended": "Signed out everywhere.",
    "revoked": "The token is revoked: it is good for nothing from now on.",
}


@dataclass(frozen=True)
class Fresh:
    """A password that was just made, shown this once."""

    user: User
    password: str


class UsersPage:
    """The page /users."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """The users by name, and the form that makes one."""
        return self._page(asked, FIRST)

    def create(self, asked: Asked) -> Reply:
        """Make a user and show their password, once; or lead to the user where there is none to show."""
        form = form_of(asked.body, tuple(LABELS))
        try:
            password = None
            if form.has("password"):
                refuse_open(asked.origin.private, "the new password")
                password = generate(self._site.clock)
            user = self._site.people.create_user(
                form.text("name"), role_of(form), password, scope_of(form), form.text("title")
            )
        except CloudError as exc:
            return self._page(asked, form.refused(exc, {}, LABELS), status_of(exc))
        if password is None:
            return see_other(user_path(user.name))
        return self._page(asked, FIRST, fresh=Fresh(user, password))

    def _page(self, asked: Asked, form: Form, status: int = 200, fresh: Optional[Fresh] = None) -> Reply:
        after = asked.query.get("after") or None
        users = self._site.people.list_users(after, PAGE + 1)
        body = self._templates.render(
            "users.mako",
            asked.who,
            section=PATH,
            form=form,
            labels=LABELS,
            fresh=fresh,
            rows=[row_of_user(user) for user in users[:PAGE]],
            user_path=user_path,
            first=PATH if after else None,
            following=f"{PATH}?after={paths.segment(users[PAGE - 1].name)}" if len(users) > PAGE else None,
            roles_offered=ROLES,
        )
        return form_page(body, status)


class UserPage:
    """The page /users/{user}."""

    def __init__(self, site: Site, templates: Templates) -> None:
        self._site = site
        self._templates = templates

    def show(self, asked: Asked) -> Reply:
        """One user; raises NotFound."""
        return self._page(asked, self._user(asked), done=SAID.get(asked.query["done"], ""))

    def change(self, asked: Asked) -> Reply:
        """Change what is said of a user, and lead back to them."""
        form = form_of(asked.body, (*CHANGE_LABELS, "revision"))
        user = self._user(asked)
        revision = number(form.text("revision"))
        try:
            self._site.people.change_user(
                user.name,
                role=role_of(form),
                scope=scope_of(form),
                disabled=form.has("disabled"),
                title=form.text("title"),
                revision=revision if isinstance(revision, int) else user.revision,
            )
        except StaleVersion as exc:
            fresh = {**form.values, "revision": [str(user.revision)]}
            failed = "It has changed since this form was opened. Look at it once more, then send it again."
            return self._page(asked, user, Form(fresh, failed=failed), status_of(exc))
        except CloudError as exc:
            return self._page(asked, user, form.refused(exc, {}, CHANGE_LABELS), status_of(exc))
        return see_other(f"{user_path(user.name)}?done=changed")

    def reset_password(self, asked: Asked) -> Reply:
        """Give a user another password and show it, once; their sessions end."""
        form_of(asked.body, ())
        user = self._user(asked)
        refuse_open(asked.origin.private, "the new password")
        password = generate(self._site.clock)
        # an admin who resets their own stays signed in here
        changed = self._site.people.set_password(user.name, password, keep_session=asked.who.credential)
        return self._page(asked, changed, fresh=Fresh(changed, password))

    def end_sessions(self, asked: Asked) -> Reply:
        """Sign a user out everywhere."""
        form_of(asked.body, ())
        user = self._user(asked)
        self._site.people.end_sessions(user.name)
        return see_other(f"{user_path(user.name)}?done=ended")

    def revoke_token(self, asked: Asked) -> Reply:
        """Let a token of the user's be good for nothing."""
        form_of(asked.body, ())
        user = self._user(asked)
        token = self._site.people.get_token(asked.names["token"])
        if token.user != user.name:
            raise NotFound(f"{user.name} has no such token: the page of the user lists those there are")
        self._site.people.revoke_token(token.id)
        return see_other(f"{user_path(user.name)}?done=revoked")

    def ask_again(self, asked: Asked) -> Reply:
        """The page that asks whether a user is really to be deleted."""
        user = self._user(asked)
        body = self._templates.render(
            "user_delete.mako",
            asked.who,
            section=PATH,
            user=user,
            href=user_path(user.name),
            tokens=len([r for r in rows_of_tokens(self._tokens(user), self._site.clock.now()) if r.good]),
        )
        return form_page(body)

    def delete(self, asked: Asked) -> Reply:
        """Delete a user, and lead to those who are left."""
        form = form_of(asked.body, ("confirm",))
        user = self._user(asked)
        if form.text("confirm") != "yes":
            return self.ask_again(asked)
        self._site.people.delete_user(user.name)
        return see_other(PATH)

    def _user(self, asked: Asked) -> User:
        return self._site.people.get_user(asked.names["user"])

    def _tokens(self, user: User) -> list[ApiToken]:
        return self._site.people.list_tokens(user.name)

    def _page(
        self,
        asked: Asked,
        user: User,
        form: Optional[Form] = None,
        status: int = 200,
        done: str = "",
        fresh: Optional[Fresh] = None,
    ) -> Reply:
        body = self._templates.render(
            "user.mako",
            asked.who,
            section=PATH,
            user=user,
            row=row_of_user(user),
            href=user_path(user.name),
            form=form or Form(_now(user)),
            labels=CHANGE_LABELS,
            roles_offered=ROLES,
            done=done,
            fresh=fresh,
            tokens=rows_of_tokens(self._tokens(user), self._site.clock.now()),
            sessions=rows_of_sessions(self._site.people.list_sessions(user.name), asked.who.credential),
        )
        return form_page(body, status)


def user_path(name: str) -> str:
    """The page of a user."""
    return f"{PATH}/{paths.segment(name)}"


def _now(user: User) -> dict[str, list[str]]:
    return {
        "title": [user.title],
        "role": [user.role.value],
        "scope": ["\n".join(sorted(user.scope))],
        "disabled": ["yes"] if user.disabled else [],
        "revision": [str(user.revision)],
    }
