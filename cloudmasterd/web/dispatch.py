"""CherryPy on one side, Front on the other: the dispatcher, and CherryPy's own errors told our way."""

from __future__ import annotations

import html
import logging
from http import HTTPStatus
from typing import Any

import cherrypy
from cherrypy import _cplogging, _cprequest

from cloudmasterd import request_ids
from cloudmasterd.errors import Invalid
from cloudmasterd.web import paths
from cloudmasterd.web.assets import FOREVER
from cloudmasterd.web.exchange import HTML, Reply
from cloudmasterd.web.front import Front, Incoming
from cloudmasterd.web.problems import BodyTooSlow, LengthRequired, Problem
from cloudmasterd.web.proxy import NO_PROXY

log = logging.getLogger(__name__)
access = logging.getLogger("cloudmasterd.web.access")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
STRICT_TRANSPORT = "max-age=31536000"  # browsers come by TLS alone, for a year from the last time


class QuietLog(_cplogging.LogManager):
    """An access log that costs nothing unless somebody listens at level DEBUG."""

    proxy = NO_PROXY

    def access(self) -> None:
        """One line a request."""
        if access.isEnabledFor(logging.DEBUG):
            request, response = cherrypy.serving.request, cherrypy.serving.response
            line = paths.shown(request.request_line)
            origin = self.proxy.origin(request.headers, request.remote.ip)
            access.debug("%s %r %s", origin.address, line, response.status)


class Response(_cprequest.Response):
    """A response that does not say which CherryPy made it."""

    def __init__(self) -> None:
        super().__init__()
        dict.__setitem__(self.headers, "Server", "cloudmasterd")


class Dispatcher:
    """CherryPy's dispatcher over our table of routes."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def __call__(self, path_info: str) -> None:
        """Give CherryPy the one handler, and nothing of its own to parse."""
        request = cherrypy.serving.request
        request.config = {}
        request.query_string = ""  # validate.py reads the raw one
        request.process_request_body = False  # body.py reads it for routes that take one
        request.handler = self._handle

    def _handle(self) -> bytes:
        request = cherrypy.serving.request
        headers = request.headers
        request_id = request_id_of(self._front)
        reply = self._front.answer(
            Incoming(
                request.method,
                request.wsgi_environ["REQUEST_URI"],
                dict.get(headers, "Accept"),
                dict.get(headers, "If-None-Match"),
                dict.get(headers, "Sec-Fetch-Site"),
                headers,
                read_all,
                request_id,
                request.remote.ip,
            )
        )
        return send(self._front, reply, request_id)


def request_id_of(front: Front) -> str:
    """The X-Request-Id of the request under way: the client's where it is usable, else one of ours."""
    given: str = cherrypy.serving.request.wsgi_environ.get("HTTP_X_REQUEST_ID", "")
    return given if request_ids.is_usable(given) else front.site.clock.new_id()


def read_all() -> bytes:
    """The body of the request under way; raises LengthRequired, BodyTooSlow, Invalid when it was cut off."""
    request = cherrypy.serving.request
    if dict.get(request.headers, "Transfer-Encoding") is not None:
        raise LengthRequired("the body comes in chunks: send it whole, with its Content-Length")
    # the transport refuses lengths that are no digits, and those above its limit
    length = int(dict.get(request.headers, "Content-Length") or 0)
    try:
        data: bytes = request.rfile.read(length) if length else b""
    except OSError as exc:
        raise BodyTooSlow(f"the body of {length} bytes was not all there in time: send it in one go") from exc
    if len(data) < length:
        text = f"the body ends after {len(data)} of the {length} bytes that Content-Length says"
        raise Invalid(text, [("body", text)])
    return data


def send(front: Front, reply: Reply, request_id: str) -> bytes:
    """Put a reply into CherryPy's response and return the body."""
    response = cherrypy.serving.response
    response.status = reply.status
    headers = response.headers
    # HeaderMap's own __setitem__ title-cases and checks each key again
    put = dict.__setitem__
    put(headers, "X-Content-Type-Options", "nosniff")
    put(headers, "X-Request-Id", request_id)
    put(headers, "Cross-Origin-Resource-Policy", "same-origin")
    request = cherrypy.serving.request
    if front.site.proxy.origin(request.headers, request.remote.ip).tls:
        put(headers, "Strict-Transport-Security", STRICT_TRANSPORT)
    if FOREVER not in reply.headers:
        # no answer to one goes to another, whatever caches there are on the way
        put(headers, "Vary", "Authorization, Cookie")
    if reply.content_type == HTML:
        put(headers, "Content-Type", "text/html; charset=utf-8")
        put(headers, "Content-Security-Policy", CONTENT_SECURITY_POLICY)
        put(headers, "Referrer-Policy", "same-origin")
        put(headers, "Cross-Origin-Opener-Policy", "same-origin")
        put(headers, "Vary", "Accept, Authorization, Cookie")
    elif reply.status in (204, 304):
        dict.pop(headers, "Content-Type", None)
    else:
        put(headers, "Content-Type", reply.content_type)
    if reply.etag is not None:
        put(headers, "ETag", reply.etag)
    for name, value in reply.headers:
        put(headers, name.title(), value)
    return reply.body


def request_class(front: Front) -> type:
    """CherryPy's request, telling its own errors as problems, and bugs by an id that is in the log."""

    def tell_page(status: str, message: str, traceback: str, version: str) -> bytes:
        code, _, title = status.partition(" ")
        return _tell(front, Problem(int(code), title, html.unescape(message)))

    class Request(_cprequest.Request):
        """Set on the class, because CherryPy can fail before it has read any configuration."""

        show_tracebacks = False
        error_page = {"default": tell_page}  # noqa: RUF012 - CherryPy copies it for each request

        def process_headers(self) -> None:
            """Take the headers as they were sent.

            CherryPy's own way decodes what looks like a word of e-mail (=?utf-8?q?...?=), fails where it is
            none, and refuses a browser for odd cookies that some other program on this host gave it.
            """
            for name, value in self.header_list:
                dict.__setitem__(self.headers, name.title(), value.strip())
            host = dict.get(self.headers, "Host")
            if host is None and self.protocol >= (1, 1):
                raise cherrypy.HTTPError(400, "HTTP/1.1 requires a 'Host' request header.")
            self.base = f"{self.scheme}://{host or self.local.name or self.local.ip}"

        def handle_error(self) -> None:
            """A bug: log it under an id, tell the client the id and no more."""
            error_id = front.site.clock.new_id()
            log.exception("internal error %s in %s %r", error_id, self.method, paths.shown(self.path_info))
            text = f"this is an error in cloudmasterd, not in your request; its log has it under {error_id}"
            response = cherrypy.serving.response
            response.headers.pop("Content-Length", None)
            response.body = _tell(front, Problem(500, HTTPStatus(500).phrase, text))
            response.finalize()

    return Request


def _tell(front: Front, problem: Problem) -> bytes:
    request = cherrypy.serving.request
    environ: dict[str, Any] = request.wsgi_environ
    path = environ["REQUEST_URI"].partition("?")[0]
    return send(front, front.tell(problem, path, environ.get("HTTP_ACCEPT")), request_id_of(front))
