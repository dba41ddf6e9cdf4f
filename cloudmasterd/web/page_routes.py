"""The URLs for people: the pages, their forms, and what they are made with."""

from __future__ import annotations

from typing import Callable

from cloudmasterd.rights import Role
from cloudmasterd.web.api.clouds import Clouds
from cloudmasterd.web.assets import Assets
from cloudmasterd.web.body import Body
from cloudmasterd.web.exchange import HTML, Asked, Reply
from cloudmasterd.web.pages import audit as audit_page
from cloudmasterd.web.pages import create as create_page
from cloudmasterd.web.pages import events as events_page
from cloudmasterd.web.pages import images as images_page
from cloudmasterd.web.pages import machines as machines_page
from cloudmasterd.web.pages import profiles as profiles_page
from cloudmasterd.web.pages import tasks as tasks_page
from cloudmasterd.web.pages.actions import ACTIONS
from cloudmasterd.web.pages.audit import AuditPage
from cloudmasterd.web.pages.cloud import CloudPage
from cloudmasterd.web.pages.cloud_forms import CloudForms
from cloudmasterd.web.pages.create import CreatePage
from cloudmasterd.web.pages.enrolment import EnrolmentPage
from cloudmasterd.web.pages.events import EventsPage
from cloudmasterd.web.pages.images import ImagesPage
from cloudmasterd.web.pages.machine import MachinePage
from cloudmasterd.web.pages.machine_forms import ChangePage, DeletePage
from cloudmasterd.web.pages.machines import MachinesPage
from cloudmasterd.web.pages.overview import OverviewPage
from cloudmasterd.web.pages.profiles import ProfilesPage
from cloudmasterd.web.pages.rebuild import RebuildPage
from cloudmasterd.web.pages.removal import RemovalPage
from cloudmasterd.web.pages.tasks import TaskPage, TasksPage
from cloudmasterd.web.router import Route
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import Param

ADMIN = Role.ADMIN
OPERATOR = Role.OPERATOR
VIEWER = Role.VIEWER


def page_table(site: Site, templates: Templates, assets: Assets, clouds: Clouds) -> tuple[Route, ...]:
    """The pages; they share `clouds` with the REST interface, and with it the bound on refreshes."""
    return (
        _page("/", OverviewPage(site, templates).show),
        *_cloud_pages(site, templates, clouds),
        *_machine_pages(site, templates),
        *_task_pages(site, templates),
        *_enrolment_pages(EnrolmentPage(site, templates)),
        _page("/images", ImagesPage(site, templates).show, images_page.PARAMS),
        *_profile_pages(ProfilesPage(site, templates)),
        _page("/events", EventsPage(site, templates).show, events_page.PARAMS),
        _page("/audit", AuditPage(site, templates).show, audit_page.PARAMS, role=ADMIN),
        Route("GET", "/static/{asset}", assets.get, media=None, role=None),
    )


def _cloud_pages(site: Site, templates: Templates, clouds: Clouds) -> tuple[Route, ...]:
    cloud, forms = CloudPage(site, templates, clouds), CloudForms(site, templates)
    rebuild, removal = RebuildPage(site, templates), RemovalPage(site, templates)
    return (
        _page("/clouds/{cloud}", cloud.show),
        _form("/clouds/{cloud}/refresh", cloud.refresh),
        _form("/clouds/{cloud}/maintenance", forms.maintenance, role=ADMIN),
        _page("/clouds/{cloud}/change", forms.show, role=ADMIN),
        _form("/clouds/{cloud}/change", forms.submit, role=ADMIN),
        _page("/clouds/{cloud}/rebuild", rebuild.show, role=ADMIN),
        _form("/clouds/{cloud}/rebuild", rebuild.submit, role=ADMIN),
        _page("/clouds/{cloud}/remove", removal.show, role=ADMIN),
        _form("/clouds/{cloud}/remove", removal.submit, role=ADMIN),
    )


def _machine_pages(site: Site, templates: Templates) -> tuple[Route, ...]:
    listed, create, machine = (
        MachinesPage(site, templates),
        CreatePage(site, templates),
        MachinePage(site, templates),
    )
    change, delete = ChangePage(site, templates), DeletePage(site, templates)
    return (
        _page("/machines", listed.show, machines_page.PARAMS),
        _page("/machines/new", create.show, create_page.PARAMS, role=OPERATOR),
        _form("/machines/new", create.submit),
        _page("/machines/{machine}", machine.show),
        *(_form(f"/machines/{{machine}}/{action.name}", machine.act) for action in ACTIONS),
        *(
            _page(f"/machines/{{machine}}/{a.name}", machine.ask_again, role=OPERATOR)
            for a in ACTIONS
            if a.means
        ),
        _form("/machines/{machine}/adopt", machine.adopt),
        _page("/machines/{machine}/change", change.show, role=OPERATOR),
        _form("/machines/{machine}/change", change.submit),
        _page("/machines/{machine}/delete", delete.show, role=OPERATOR),
        _form("/machines/{machine}/delete", delete.submit),
    )


def _enrolment_pages(page: EnrolmentPage) -> tuple[Route, ...]:
    return (
        _page("/enrolment", page.show, role=ADMIN),
        _form("/enrolment", page.create, role=ADMIN),
        _form("/enrolment/{token}/delete", page.delete, role=ADMIN),
        _form("/enrolment/requests/{name}/sign", page.sign, role=ADMIN),
        _form("/enrolment/requests/{name}/reject", page.reject, role=ADMIN),
    )


def _profile_pages(profiles: ProfilesPage) -> tuple[Route, ...]:
    return (
        _page("/profiles", profiles.show, profiles_page.PARAMS),
        _form("/profiles/refresh", profiles.refresh),
    )


def _task_pages(site: Site, templates: Templates) -> tuple[Route, ...]:
    task = TaskPage(site, templates)
    return (
        _page("/tasks", TasksPage(site, templates).show, tasks_page.PARAMS),
        _page("/tasks/{task}", task.show),
        _form("/tasks/{task}/cancel", task.cancel),
    )


def _page(
    path: str,
    show: Callable[[Asked], Reply],
    params: tuple[Param, ...] = (),
    role: Role = VIEWER,
) -> Route:
    return Route("GET", path, show, params, media=HTML, role=role)


def _form(path: str, submit: Callable[[Asked], Reply], role: Role = OPERATOR) -> Route:
    return Route("POST", path, submit, media=HTML, body=Body.FORM, role=role)
