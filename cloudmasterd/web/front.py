"""The way of a request: cache, route, checks, resource, and every error turned into a response."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from cloudmasterd.errors import CloudError, Forbidden, RemoteFault, Unauthenticated
from cloudmasterd.rights import ANONYMOUS, Identity, Role
from cloudmasterd.web import csrf, paths
from cloudmasterd.web.assets import Assets
from cloudmasterd.web.body import Body, read_body
from cloudmasterd.web.cache import ReplyCache
from cloudmasterd.web.exchange import HTML, JSON, NO_STORE, PROBLEM, Asked, Reply, matches, not_modified
from cloudmasterd.web.negotiate import prefers_html, quality
from cloudmasterd.web.pages.failure import FailurePage
from cloudmasterd.web.problems import CrossSite, NotAcceptable, Problem, problem_of
from cloudmasterd.web.recording import Recorder, Sender, reason_of
from cloudmasterd.web.redirects import HOME, login_path
from cloudmasterd.web.router import Route, Router
from cloudmasterd.web.routes import table
from cloudmasterd.web.site import Site
from cloudmasterd.web.templating import Templates
from cloudmasterd.web.validate import read_query
from cloudmasterd.web.waiting import Waits

log = logging.getLogger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS")

KEPT_FOR = Role.VIEWER  # every route whose replies are kept answers this role, and all who hold it alike
SIGN_IN = "sign in at /login, or send a token of the API: Authorization: Bearer TOKEN"


@dataclass(frozen=True)
class Incoming:
    """A request as the server hands it over: the target still encoded, the body not yet read."""

    method: str
    target: str
    accept: Optional[str] = None
    if_none_match: Optional[str] = None
    fetch_site: Optional[str] = None  # Sec-Fetch-Site: what a browser says of where the request comes from
    headers: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[], bytes] = bytes  # the whole body; raises LengthRequired
    request_id: str = ""
    client: str = ""  # the other end of the connection; where a web server in front asks, its address


class Front:
    """Answers every request; nothing but a bug makes it raise."""

    def __init__(self, site: Site, waits: Waits) -> None:
        assets = Assets()
        templates = Templates(site, assets.url)
        self.site = site
        self.routes = table(site, templates, assets, waits)
        self._router = Router(self.routes)
        assert all(route.role is KEPT_FOR for route in self.routes if route.kept)
        self._recorder = Recorder(site.store.audit, self._router, site.clock)
        self._failures = FailurePage(templates)
        self._cache = ReplyCache()

    def answer(self, incoming: Incoming) -> Reply:
        """The response to a request."""
        path, raw_query = paths.split_target(incoming.target)
        who = ANONYMOUS
        try:
            who, doubt = self._identify(incoming)
            kept = self._find_kept(incoming, who)
            if kept is not None:
                return kept
            write_count = self.site.store.write_count
            if incoming.method == "OPTIONS" and who.role is not None:
                return Reply(status=204, headers=(("Allow", ", ".join(self._router.allow(path))),))
            route, names = self._find_route(incoming.method, path, who, doubt)
        except CloudError as exc:
            return self._turn_away(exc, path, incoming, who)
        try:
            reply = self._recorder.answer(
                route,
                names,
                self._sender(incoming, who),
                lambda: self._pass_on(route, names, path, raw_query, who, doubt, incoming),
            )
        except CloudError as exc:
            return self._refuse(exc, path, incoming, who)
        if route.kept and reply.status == 200:
            self._cache.keep(incoming.target, write_count, reply)
        return reply

    def _identify(self, incoming: Incoming) -> tuple[Identity, Optional[CloudError]]:
        """Who it is; of a credential that is no good, what is wrong with it: what anybody may see is there
        for its bearer too."""
        try:
            return self.site.door.identify(incoming.headers, incoming.client), None
        except (Unauthenticated, Forbidden) as exc:
            return ANONYMOUS, exc

    def _find_kept(self, incoming: Incoming, who: Identity) -> Optional[Reply]:
        if incoming.method not in ("GET", "HEAD") or not who.may(KEPT_FOR):
            return None
        kept = self._cache.find(incoming.target, self.site.store.write_count)
        if kept is None or quality(incoming.accept, JSON) <= 0:
            return None
        if kept.etag is not None and matches(incoming.if_none_match, kept.etag):
            return not_modified(kept.etag)
        return kept

    def _find_route(
        self, method: str, path: str, who: Identity, doubt: Optional[CloudError]
    ) -> tuple[Route, dict[str, str]]:
        """The route, when `who` may use it; whom nobody knows is not told what there is and what not."""
        try:
            route, names = self._router.find(method, path)
        except CloudError:
            if who.role is None:
                raise doubt or Unauthenticated(SIGN_IN) from None
            raise
        if route.role is not None and who.role is None:
            raise doubt or Unauthenticated(SIGN_IN)
        if route.role is not None and not who.may(route.role):
            has = "" if who.role is None else who.role.value
            takes = f"{method} {path[:200]} takes the role {route.role.value}"
            raise Forbidden(f"{takes}, and {who.name} has {has}: ask an admin")
        return route, names

    def _pass_on(
        self,
        route: Route,
        names: dict[str, str],
        path: str,
        raw_query: str,
        who: Identity,
        doubt: Optional[CloudError],
        incoming: Incoming,
    ) -> Reply:
        if route.media is not None and quality(incoming.accept, route.media) <= 0:
            raise NotAcceptable(
                f"{path[:200]} answers with {route.media} only: send Accept: {route.media}, */* or no Accept"
            )
        query = read_query(raw_query, route.params)
        body = _take_body(route, who, incoming)
        origin = self.site.proxy.origin(incoming.headers, incoming.client)
        return route.answer(
            Asked(
                path=path,
                names=names,
                query=query,
                raw_query=raw_query,
                if_none_match=incoming.if_none_match,
                method=incoming.method,
                headers=incoming.headers,
                body=body,
                request_id=incoming.request_id,
                client=origin.address,
                who=who,
                doubt="" if doubt is None else str(doubt),
                origin=origin,
            )
        )

    def _sender(self, incoming: Incoming, who: Identity) -> Sender:
        address = self.site.proxy.origin(incoming.headers, incoming.client).address
        return Sender(who, address, incoming.request_id, reason_of(incoming.headers))

    def _turn_away(self, error: CloudError, path: str, incoming: Incoming, who: Identity) -> Reply:
        reply = self._refuse(error, path, incoming, who)
        # who asks for a page and is led to the login is not refused; who wants something done is
        if reply.status != 303 or incoming.method not in SAFE:
            self._recorder.turn_away(error, incoming.method, path, self._sender(incoming, who))
        return reply

    def _refuse(self, error: CloudError, path: str, incoming: Incoming, who: Identity) -> Reply:
        problem = problem_of(error)
        if problem.status >= 500:
            log.warning("%s %s: %d: %s", incoming.method, paths.shown(path)[:200], problem.status, error)
            if isinstance(error, RemoteFault) and error.traceback:
                log.info("the cloud instance's own traceback:\n%s", error.traceback)
        if isinstance(error, Unauthenticated) and _is_page(path) and prefers_html(incoming.accept):
            # what a form was to do is not done after all once somebody has signed in
            wanted = incoming.target if incoming.method in SAFE else HOME
            return Reply(303, headers=(NO_STORE, ("Location", login_path(wanted))))
        return self.tell(problem, path, incoming.accept, who)

    def tell(self, problem: Problem, path: str, accept: Optional[str], who: Identity = ANONYMOUS) -> Reply:
        """The response that tells of a problem: a page for people, a document for programs."""
        headers = (NO_STORE, *problem.headers)
        if _is_page(path) and prefers_html(accept):
            return Reply(problem.status, self._failures.show(problem, path, who), HTML, headers=headers)
        return Reply(problem.status, problem.body(), PROBLEM, headers=headers)


def _take_body(route: Route, who: Identity, incoming: Incoming) -> Any:
    """The body of a request; raises CrossSite or StalePage where somebody else may have made it up."""
    changing = incoming.method not in SAFE
    if changing and _is_cross_site(incoming):
        raise CrossSite("another site sent this request: send it from a page of this cloud master")
    body = None
    if route.body is not Body.DROPPED:
        body = read_body(route.body, incoming.headers.get("Content-Type", ""), incoming.read())
    # what answers anybody does nothing in anybody's name
    if changing and who.csrf and route.role is not None:
        csrf.check(who.csrf, route.body, body, incoming.headers)
    return body


def _is_page(path: str) -> bool:
    return not (path.startswith("/api/") or path in ("/api", "/healthz", "/readyz"))


def _is_cross_site(incoming: Incoming) -> bool:
    """Whether a browser says that it sends a request on behalf of another site."""
    if incoming.fetch_site is not None:
        return incoming.fetch_site not in ("same-origin", "none")
    # to plain HTTP addresses browsers send no Sec-Fetch-Site, but they do name the origin of a form
    origin = incoming.headers.get("Origin")
    host = incoming.headers.get("Host") or ""
    return origin is not None and origin.partition("://")[2].lower() != host.lower()
