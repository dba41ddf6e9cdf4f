"""The URLs for programs: method, path, what answers it, its query parameters and what it answers with."""

from __future__ import annotations

from cloudmasterd.rights import Role
from cloudmasterd.web.api import audit as audit_api
from cloudmasterd.web.api import changes as changes_api
from cloudmasterd.web.api import clouds as clouds_api
from cloudmasterd.web.api import credentials as credentials_api
from cloudmasterd.web.api import enrolment_requests as enrolments_api
from cloudmasterd.web.api import events as events_api
from cloudmasterd.web.api import images as images_api
from cloudmasterd.web.api import installs as installs_api
from cloudmasterd.web.api import machines as machines_api
from cloudmasterd.web.api import profiles as profiles_api
from cloudmasterd.web.api import tasks as tasks_api
from cloudmasterd.web.api import users as users_api
from cloudmasterd.web.api.audit import Audit
from cloudmasterd.web.api.changes import Changes
from cloudmasterd.web.api.clouds import Clouds
from cloudmasterd.web.api.credentials import Sessions, Tokens
from cloudmasterd.web.api.document import Document
from cloudmasterd.web.api.enrolment import EnrolmentTokens
from cloudmasterd.web.api.enrolment_requests import EnrolmentRequests
from cloudmasterd.web.api.events import Events
from cloudmasterd.web.api.health import Health
from cloudmasterd.web.api.images import Images
from cloudmasterd.web.api.installs import Reports
from cloudmasterd.web.api.machines import Machines
from cloudmasterd.web.api.profiles import Profiles
from cloudmasterd.web.api.rebuilds import Rebuilds
from cloudmasterd.web.api.room import Room
from cloudmasterd.web.api.tasks import Tasks
from cloudmasterd.web.api.users import Users
from cloudmasterd.web.api.whoami import WhoAmI
from cloudmasterd.web.body import Body
from cloudmasterd.web.openapi import PATHS
from cloudmasterd.web.router import Route
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import Waits

OPERATOR = Role.OPERATOR
VIEWER = Role.VIEWER

TOKENS = "/api/v1/enrolment-tokens"
REQUESTS = "/api/v1/enrolments"
IMAGES = "/api/v1/images"
PROFILES = "/api/v1/profiles"
USERS = "/api/v1/users"
MACHINES = "/api/v1/machines"
MACHINE = "/api/v1/machines/{machine}"


def api_table(site: Site, clouds: Clouds, waits: Waits) -> tuple[Route, ...]:
    """The REST interface, and what probes ask for."""
    machines, health, api = Machines(site), Health(site), Document()
    tasks, events, room = Tasks(site, waits), Events(site, waits), Room(site)
    list_clouds, list_machines = clouds_api.LIST_PARAMS, machines_api.LIST_PARAMS
    return (
        Route("GET", "/api/v1/clouds", clouds.list, list_clouds, kept=True, role=VIEWER),
        Route("GET", "/api/v1/clouds/{cloud}", clouds.get, kept=True, role=VIEWER),
        Route("PATCH", "/api/v1/clouds/{cloud}", clouds.change, body=Body.JSON),
        Route("DELETE", "/api/v1/clouds/{cloud}", clouds.remove, clouds_api.REMOVE_PARAMS, body=Body.EMPTY),
        Route("POST", "/api/v1/clouds/{cloud}/refresh", clouds.refresh, role=OPERATOR),
        Route("GET", "/api/v1/clouds/{cloud}/resources", clouds.resources, role=VIEWER),
        Route("POST", "/api/v1/clouds/{cloud}/rebuild", Rebuilds(site, waits).rebuild, body=Body.JSON),
        Route("GET", MACHINES, machines.list, list_machines, kept=True, role=VIEWER),
        Route("GET", MACHINE, machines.get, kept=True, role=VIEWER),
        *_changes(Changes(site, waits)),
        *_images(Images(site)),
        *_profiles(Profiles(site)),
        *_enrolment(EnrolmentTokens(site), EnrolmentRequests(site)),
        *_users(Users(site)),
        *_credentials(Tokens(site), Sessions(site)),
        Route("GET", "/api/v1/whoami", WhoAmI(site, PATHS).get, role=VIEWER),
        Route("GET", "/api/v1/tasks", tasks.list, tasks_api.LIST_PARAMS, role=VIEWER),
        Route("GET", "/api/v1/tasks/{task}", tasks.get, role=VIEWER),
        Route("POST", "/api/v1/tasks/{task}/cancel", tasks.cancel, body=Body.EMPTY, role=OPERATOR),
        Route("GET", "/api/v1/events", events.list, events_api.LIST_PARAMS, role=VIEWER),
        Route("GET", "/api/v1/audit", Audit(site).list, audit_api.LIST_PARAMS, media=None),
        Route("GET", "/api/v1/flavors", room.flavors, role=VIEWER),
        Route("GET", "/api/v1/capacity", room.capacity, role=VIEWER),
        Route("POST", "/api/v1/placements", room.place, body=Body.JSON, role=VIEWER),
        Route("GET", "/api/v1/openapi.json", api.get, role=VIEWER),
        *_reports(Reports(site)),
        Route("GET", "/healthz", health.live, media=None, role=None),
        Route("GET", "/readyz", health.ready, media=None, role=None),
    )


def _reports(reports: Reports) -> tuple[Route, ...]:
    path, params = "/install/{token}/{phase}", installs_api.REPORT_PARAMS
    return (
        Route("GET", path, reports.take, params, media=None, role=None),
        Route("POST", path, reports.take, params, media=None, body=Body.FORM, role=None),
    )


def _enrolment(tokens: EnrolmentTokens, requests: EnrolmentRequests) -> tuple[Route, ...]:
    one = REQUESTS + "/{name}"
    return (
        Route("GET", REQUESTS, requests.list),
        Route("POST", one + "/sign", requests.sign, enrolments_api.SEEN, body=Body.EMPTY),
        Route("DELETE", one, requests.reject, enrolments_api.SEEN, body=Body.EMPTY),
        Route("GET", TOKENS, tokens.list),
        Route("POST", TOKENS, tokens.create, body=Body.JSON),
        Route("DELETE", TOKENS + "/{token}", tokens.delete, body=Body.EMPTY),
    )


def _users(users: Users) -> tuple[Route, ...]:
    one = USERS + "/{user}"
    return (
        Route("GET", USERS, users.list, users_api.LIST_PARAMS),
        Route("POST", USERS, users.create, body=Body.JSON),
        Route("GET", one, users.get, role=VIEWER),
        Route("PATCH", one, users.change, body=Body.JSON),
        Route("DELETE", one, users.delete, body=Body.EMPTY),
        Route("PUT", one + "/password", users.set_password, body=Body.JSON, role=VIEWER),
        Route("DELETE", one + "/sessions", users.end_sessions, body=Body.EMPTY, role=VIEWER),
    )


def _credentials(tokens: Tokens, sessions: Sessions) -> tuple[Route, ...]:
    whose = credentials_api.LIST_PARAMS
    return (
        Route("GET", "/api/v1/tokens", tokens.list, whose, role=VIEWER),
        Route("POST", "/api/v1/tokens", tokens.create, body=Body.JSON, role=VIEWER),
        Route("DELETE", "/api/v1/tokens/{token}", tokens.delete, body=Body.EMPTY, role=VIEWER),
        Route("GET", "/api/v1/sessions", sessions.list, whose, role=VIEWER),
        Route("DELETE", "/api/v1/sessions/{session}", sessions.delete, body=Body.EMPTY, role=VIEWER),
    )


def _images(images: Images) -> tuple[Route, ...]:
    return (
        Route("GET", IMAGES, images.list, images_api.LIST_PARAMS, role=VIEWER),
        Route("POST", IMAGES, images.create, body=Body.JSON, role=OPERATOR),
        Route("GET", IMAGES + "/{image}", images.get, role=VIEWER),
        Route("DELETE", IMAGES + "/{image}", images.delete, body=Body.EMPTY, role=OPERATOR),
        Route(
            "PUT",
            IMAGES + "/{image}/data",
            images.receive,
            images_api.DATA_PARAMS,
            body=Body.BYTES,
            role=OPERATOR,
        ),
    )


def _profiles(profiles: Profiles) -> tuple[Route, ...]:
    return (
        Route("GET", PROFILES, profiles.list, profiles_api.LIST_PARAMS, role=VIEWER),
        Route("POST", PROFILES + "/refresh", profiles.refresh, role=OPERATOR),
        Route("GET", PROFILES + "/{profile}", profiles.get, role=VIEWER),
    )


def _changes(changes: Changes) -> tuple[Route, ...]:
    deleting, acting = changes_api.DELETE_PARAMS, (changes_api.FORCE,)
    return (
        Route("POST", MACHINES, changes.create, body=Body.JSON, role=OPERATOR),
        Route("PATCH", MACHINE, changes.change, body=Body.JSON, role=OPERATOR),
        Route("DELETE", MACHINE, changes.delete, deleting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/adopt", changes.adopt, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/start", changes.act("start"), acting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/shutdown", changes.act("shutdown"), acting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/poweroff", changes.act("poweroff"), acting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/reboot", changes.act("reboot"), acting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/reset", changes.act("reset"), acting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/pause", changes.act("pause"), acting, body=Body.EMPTY, role=OPERATOR),
        Route("POST", MACHINE + "/resume", changes.act("resume"), acting, body=Body.EMPTY, role=OPERATOR),
    )
