"""Configure CherryPy for a site: the tree, the server and its deadlines. Starts nothing."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Callable

import cherrypy

from cloudmasterd.web.dispatch import Dispatcher, QuietLog, Response, request_class
from cloudmasterd.web.front import Front
from cloudmasterd.web.site import Site
from cloudmasterd.web.transport import MAX_CHUNK, MAX_HEAD, REQUEST_S, Server
from cloudmasterd.web.waiting import Waits

# more than may be held at once by waits (36), refreshes (12), those who wait for the cobbler server (12) and
# those whose password is checked (6), so that some are left for all the rest
THREADS = 72
BACKLOG = 128


def mount(
    site: Site,
    listen_addr: str,
    listen_port: int,
    asking: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Make CherryPy serve a site; the caller starts the engine.

    `asking` is around each request that may change something.
    """
    # CherryPy's INFO lines tell of its own start and stop only, and would stand between ours
    logging.getLogger("cherrypy").setLevel(logging.WARNING)
    cherrypy.config.update(
        {
            "log.screen": False,
            "engine.autoreload.on": False,
            "checker.on": False,
            "server.socket_host": listen_addr,
            "server.socket_port": listen_port,
            "server.socket_timeout": REQUEST_S,
            "server.socket_queue_size": BACKLOG,
            "server.thread_pool": THREADS,
            "server.thread_pool_max": THREADS,
            "server.max_request_header_size": MAX_HEAD,
            "server.max_request_body_size": MAX_CHUNK,
            "server.shutdown_timeout": 5,
        }
    )
    waits = Waits()
    cherrypy.tree.mount(application(site, waits), "")
    cherrypy.server.instance = None
    cherrypy.server.httpserver = Server(cherrypy.server, waits.stop, asking)


def application(site: Site, waits: Waits) -> cherrypy.Application:
    """The site as a CherryPy application at the root; `waits` has its requests that wait."""
    front = Front(site, waits)
    app = cherrypy.Application(None, "", {"/": {"request.dispatch": Dispatcher(front)}})
    app.request_class = request_class(front)
    app.response_class = Response
    app.log = QuietLog(id(app), cherrypy.log.logger_root)
    app.log.proxy = site.proxy
    return app
