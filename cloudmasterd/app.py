"""Build the cloud master out of its parts, run it, and take it down in reverse order."""

from __future__ import annotations

import errno
import logging
import queue
import socket
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

import cherrypy

from cloudmasterd.access import Access
from cloudmasterd.accounts import SessionLimits
from cloudmasterd.alive import find_trouble
from cloudmasterd.clock import Clock, SystemClock
from cloudmasterd.cobbler import Cobbler
from cloudmasterd.config import Config
from cloudmasterd.control.status import log_soon
from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import StartError
from cloudmasterd.first import FirstPassword, ensure_first_admin
from cloudmasterd.fleet import Fleet
from cloudmasterd.func_fabric import FuncFabric, open_func, open_own
from cloudmasterd.image_push import ImagePush
from cloudmasterd.images import Images
from cloudmasterd.installs import InstallRules, Installs
from cloudmasterd.machines import Machines
from cloudmasterd.model import MemoryPolicy
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.own_certificate import CertificateKeeper
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.placement import stale_limit_s
from cloudmasterd.placing import Rules
from cloudmasterd.poller import Chore, Poller
from cloudmasterd.profiles import Profiles
from cloudmasterd.rebuilds import Rebuilds
from cloudmasterd.recipes import Tools, build_recipes
from cloudmasterd.recipes.rebuild import read_boot_id
from cloudmasterd.removals import Removals
from cloudmasterd.secret_file import read_secret
from cloudmasterd.service import Service
from cloudmasterd.store import Store
from cloudmasterd.tasks import TaskRunner
from cloudmasterd.turns import Turns
from cloudmasterd.web.door import Entrance
from cloudmasterd.web.proxy import NO_PROXY, Proxy, proxy_at
from cloudmasterd.web.server import mount
from cloudmasterd.web.site import Site

log = logging.getLogger(__name__)

# put() of this queue, unlike set() of an Event, may be called from a signal handler.
StopQueue = queue.SimpleQueue


class App:
    """One cloud master. Opening it locks its database; raises StoreError, ConfigError or StartError."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        with ExitStack() as stack:
            self.store = Store(config.database, _policy(config), clock=clock)
            stack.callback(self.store.close)
            check_port(config.listen_addr, config.listen_port)
            self.people, self.access = _people(config, self.store, clock)
            own = open_own(config.func_root, config.pki_dir, clock.now)
            self.fabric: FuncFabric = open_func(config.func_root, config.minion_timeout_s, own)
            stack.callback(self.fabric.close)
            self.turns = Turns()
            self.fleet = Fleet(
                self.store, self.fabric, clock, timeout_s=config.minion_timeout_s, turns=self.turns
            )
            stack.callback(self.fleet.close)
            resources = ResourceCache(Operations(self.fabric), clock)
            images = Images(self.store, config.image_dir, clock)
            images.tidy()
            profiles = _profiles(config, self.store, clock)
            self.enrolment = Enrolment(config.certmaster_socket, urlsplit(config.public_url).hostname or "")
            self.certificate = CertificateKeeper(own, self.enrolment)
            stack.callback(self.certificate.stop)
            self.runner = self._new_runner(resources, images, clock)
            stack.callback(self.runner.stop)
            self.poller = Poller(
                cherrypy.engine,
                self.fleet,
                clock,
                interval_s=config.poll_interval_s,
                breaker_max_s=config.breaker_max_interval_s,
                chores=[Chore("looking for profiles", profiles.look, config.profile_refresh_s)],
            )
            self.site = self._new_site(resources, images, profiles, clock)
            # at last: nothing that stops a start leaves an admin behind whom nobody was told of
            ensure_first_admin(self.people, FirstPassword(config.database), clock)
            self._closing = stack.pop_all()

    def close(self) -> None:
        """Drop what is still under way and release the database; a second call does nothing."""
        self._closing.close()

    def _new_site(self, resources: ResourceCache, images: Images, profiles: Profiles, clock: Clock) -> Site:
        rules = _rules(self.config)
        proxy = _proxy(self.config)
        return Site(
            store=self.store,
            fleet=self.fleet,
            clock=clock,
            name=self.config.name,
            refresh_s=self.config.poll_interval_s,
            problems=self._problems,
            machines=Machines(self.store, self.runner, resources, clock, rules, images, profiles),
            images=images,
            flavors=self.config.flavors,
            installs=Installs(self.store, clock),
            profiles=profiles,
            enrolment=self.enrolment,
            people=self.people,
            access=self.access,
            proxy=proxy,
            door=Entrance(self.access, proxy, self.store.web_key),
            rebuilds=Rebuilds(self.store, self.runner, profiles, clock, self.config.rebuild_profile),
            removals=Removals(self.store, self.fleet, self.enrolment, self.runner),
        )

    def _new_runner(self, resources: ResourceCache, images: Images, clock: Clock) -> TaskRunner:
        operations = Operations(self.fabric)
        push = ImagePush(operations, images, clock)
        tools = Tools(
            self.store,
            self.fleet,
            operations,
            resources,
            self.config.shutdown_timeout_s,
            push,
            _install_rules(self.config),
            self.enrolment,
            read_boot_id(),
        )
        return TaskRunner(
            self.store,
            build_recipes(tools),
            clock,
            per_cloud=self.config.tasks_per_cloud,
            patience_s=self.config.task_patience_s,
            turns=self.turns,
        )

    def _problems(self) -> list[str]:
        return [*self.certificate.problems(), *self.poller.problems(), *self.runner.problems()]


def build(config: Config, clock: Clock = SystemClock()) -> App:  # noqa: B008  it has no state
    """Put the parts together; nothing runs yet and no port is taken."""
    return App(config, clock)


def run(app: App, stop: StopQueue[str], service: Service) -> str:
    """Serve until something is put into `stop`, and return that; closes the app. Raises StartError.

    The HTTP server's own death puts "server" there. `service` is told when all is ready, and at the end.
    """
    try:
        mount(app.site, app.config.listen_addr, app.config.listen_port, app.turns.asking)
        return _serve(app, stop, service)
    finally:
        app.close()


def _serve(app: App, stop: StopQueue[str], service: Service) -> str:
    engine, server = cherrypy.engine, cherrypy.server
    # CherryPy tells of each step of its own start and stop, between our lines.
    cherrypy.log.error_log.setLevel(logging.WARNING)
    # Started by hand: when the engine itself fails to start a server it ends the process on the spot.
    server.unsubscribe()

    def server_died() -> None:
        stop.put("server")

    app.poller.subscribe()
    engine.subscribe("exit", server_died)
    try:
        app.certificate.start()
        app.runner.start()
        engine.start()
        try:
            server.start()
        except OSError as exc:
            raise StartError(_port_text(app.config.listen_addr, app.config.listen_port, exc)) from exc
        address = app.config.listen_addr, app.config.listen_port
        log.info("cloudmasterd is ready: %s", url(*address))
        log_soon(app.config)
        service.ready(url(*address))
        service.watch(partial(find_trouble, app.poller.silent_s, *address))
        reason = _wait(stop)
        log.info("cloudmasterd stops (%s)", reason)
        service.stopping()
        return reason
    finally:
        engine.unsubscribe("exit", server_died)
        server.stop()
        engine.exit()
        app.poller.unsubscribe()


def _wait(stop: StopQueue[str]) -> str:
    """What is put into `stop`, at last."""
    while True:
        try:
            # Python runs a signal's handler between its own steps only: where the signal comes just before
            # a wait, the handler runs after it. So no wait is long.
            return stop.get(timeout=1.0)
        except queue.Empty:
            continue


def url(listen_addr: str, listen_port: int) -> str:
    """Where the pages are, for a browser on this machine or one that can reach the address."""
    host = f"[{listen_addr}]" if ":" in listen_addr else listen_addr
    return f"http://{host}:{listen_port}/"


def check_port(listen_addr: str, listen_port: int) -> None:
    """See whether the address can be listened on; raises StartError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen_addr, listen_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as exc:
        raise StartError(_port_text(listen_addr, listen_port, exc)) from exc


def _port_text(listen_addr: str, listen_port: int, exc: OSError) -> str:
    hints = {
        errno.EADDRINUSE: f"a process listens there already; `ss -ltnp 'sport = :{listen_port}'` names it."
        " End it, or give another listen_port",
        errno.EADDRNOTAVAIL: "this machine has no such address; `ip address` lists those it has. Give one of"
        " them as listen_addr",
        errno.EACCES: "ports below 1024 are for root; give a listen_port of 1024 or more",
    }
    hint = hints.get(exc.errno or 0, "give another listen_addr or listen_port")
    if isinstance(exc, socket.gaierror):
        hint = "the name is not known here; give an IP address as listen_addr"
    return f"cannot listen on {listen_addr} port {listen_port}: {exc.strerror or exc}: {hint}"


def _policy(config: Config) -> MemoryPolicy:
    return MemoryPolicy(
        reserve_min_mb=config.reserve_memory_min_mb,
        reserve_percent=config.reserve_memory_percent,
        overhead_mb=config.machine_overhead_mb,
    )


def _people(config: Config, store: Store, clock: Clock) -> tuple[People, Access]:
    """The use cases about people, and the way in."""
    passwords = Passwords(clock)
    limits = SessionLimits(config.session_idle_s, config.session_max_s)
    first = FirstPassword(config.database)
    people = People(store, clock, passwords, limits=limits, first=first)
    access = Access(store, clock, passwords, limits=limits, remote_user_role=config.remote_user_role)
    return people, access


def _proxy(config: Config) -> Proxy:
    """The web server in front, where there is one; raises ConfigError for a secret that is none."""
    if not config.behind_proxy:
        return NO_PROXY
    file = config.proxy_secret_file
    return proxy_at(config.proxy_addr, "" if file is None else read_secret(file))


def _profiles(config: Config, store: Store, clock: Clock) -> Profiles:
    cobbler = None if config.cobbler_server is None else Cobbler(config.cobbler_server, clock)
    return Profiles(store, cobbler, clock)


def _rules(config: Config) -> Rules:
    return Rules(
        config.placement_policy,
        config.machine_overhead_mb,
        config.flavors,
        stale_limit_s(config.poll_interval_s),
    )


def _install_rules(config: Config) -> InstallRules:
    return InstallRules(config.public_url, config.install_silent_s, config.install_timeout_s)
