"""The URLs for people about people: signing in and out, one's own account, and all users."""

from __future__ import annotations

from typing import Callable, Optional

from cloudmasterd.rights import Role
from cloudmasterd.web.body import Body
from cloudmasterd.web.exchange import HTML, Asked, Reply
from cloudmasterd.web.pages import account as account_page
from cloudmasterd.web.pages import login as login_page
from cloudmasterd.web.pages import users as users_page
from cloudmasterd.web.pages.account import AccountPage
from cloudmasterd.web.pages.login import LoginPage
from cloudmasterd.web.pages.users import UserPage, UsersPage
from cloudmasterd.web.router import Route
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param

ADMIN = Role.ADMIN
VIEWER = Role.VIEWER


def people_table(site: Site, templates: Templates) -> tuple[Route, ...]:
    """The pages about people."""
    login = LoginPage(site, templates)
    return (
        _page("/login", login.show, login_page.PARAMS, role=None),
        _form("/login", login.submit, role=None),
        _form("/logout", login.log_out),
        *_account_pages(AccountPage(site, templates)),
        *_user_pages(UsersPage(site, templates), UserPage(site, templates)),
    )


def _account_pages(account: AccountPage) -> tuple[Route, ...]:
    return (
        _page("/account", account.show, account_page.PARAMS),
        _form("/account/password", account.change_password),
        _form("/account/sessions/end", account.end_sessions),
        _form("/account/sessions/{session}/end", account.end_session),
        _form("/account/tokens", account.create_token),
        _form("/account/tokens/{token}/revoke", account.revoke_token),
    )


def _user_pages(users: UsersPage, user: UserPage) -> tuple[Route, ...]:
    return (
        _page("/users", users.show, users_page.PARAMS, role=ADMIN),
        _form("/users", users.create, role=ADMIN),
        _page("/users/{user}", user.show, users_page.USER_PARAMS, role=ADMIN),
        _form("/users/{user}/change", user.change, role=ADMIN),
        _form("/users/{user}/password", user.reset_password, role=ADMIN),
        _form("/users/{user}/sessions/end", user.end_sessions, role=ADMIN),
        _form("/users/{user}/tokens/{token}/revoke", user.revoke_token, role=ADMIN),
        _page("/users/{user}/delete", user.ask_again, role=ADMIN),
        _form("/users/{user}/delete", user.delete, role=ADMIN),
    )


def _page(
    path: str,
    show: Callable[[Asked], Reply],
    params: tuple[Param, ...] = (),
    role: Optional[Role] = VIEWER,
) -> Route:
    return Route("GET", path, show, params, media=HTML, role=role)


def _form(path: str, submit: Callable[[Asked], Reply], role: Optional[Role] = VIEWER) -> Route:
    return Route("POST", path, submit, media=HTML, body=Body.FORM, role=role)
