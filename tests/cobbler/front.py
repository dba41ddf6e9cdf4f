"""The web server before cobblerd, in the place of Apache: `front.py ADDRESS LISTENER`.

It serves what cobbler's own Apache file does, on port 80 of ADDRESS and of 127.0.0.1 inside, and on LISTENER,
a socket that listens outside: /cobbler_api goes to cobblerd, /cblr/svc/ to cobbler's WSGI file, /cobbler/
is /var/www/cobbler. On port 53 it answers that every name of example.org is ADDRESS, for guests.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import shutil
import socket
import socketserver
import sys
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

WEB_ROOT = Path("/var/www/cobbler")
COBBLERD = ("127.0.0.1", 25151)


def load_wsgi() -> Any:
    spec = importlib.util.spec_from_file_location("cobbler_svc", WEB_ROOT / "svc/services.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.application


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    application: Any = None

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/cblr/svc/"):
            self.serve_wsgi()
        elif path.startswith("/cobbler/"):
            self.serve_file(WEB_ROOT / unquote(path).removeprefix("/cobbler/"))
        else:
            self.answer(404, b"not found\n")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.rstrip("/") == "/cobbler_api":
            self.proxy(body)
        else:
            self.answer(404, b"not found\n")

    def proxy(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(*COBBLERD, timeout=60)
        try:
            connection.request("POST", "/", body, {"Content-Type": "text/xml"})
            response = connection.getresponse()
            self.answer(response.status, response.read(), "text/xml")
        except OSError as exc:
            self.answer(503, f"cobblerd: {exc}\n".encode())
        finally:
            connection.close()

    def serve_wsgi(self) -> None:
        path, _, query = self.path.partition("?")
        environ = {
            "REQUEST_METHOD": self.command, "REQUEST_URI": path, "PATH_INFO": unquote(path),
            "QUERY_STRING": query, "REMOTE_ADDR": self.client_address[0],
        }  # fmt: skip
        begun: list[str] = []

        def start_response(status: str, headers: Iterable[tuple[str, str]]) -> None:
            begun.append(status)

        try:
            content = b"".join(self.application(environ, start_response))
        except Exception as exc:  # noqa: BLE001 - Apache answers 500 to whatever an application throws
            self.answer(500, f"{type(exc).__name__}: {exc}\n".encode())
            return
        self.answer(int(begun[0].split()[0]), content)

    def serve_file(self, path: Path) -> None:
        path = path.resolve()
        if WEB_ROOT not in path.parents or not path.is_file():
            self.answer(404, b"not found\n")
            return
        with path.open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def answer(self, status: int, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        print(f"front: {self.client_address[0]} {format % args}", file=sys.stderr, flush=True)


class Outside(ThreadingHTTPServer):
    """Serves a socket that somebody else has made."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


class Names(socketserver.BaseRequestHandler):
    """Answers DNS questions for example.org's addresses; to all others, that there is no such name."""

    address = ""

    def handle(self) -> None:
        query, sock = self.request
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]])
            at += query[at] + 1
        question = query[12 : at + 5]
        name = b".".join(labels).decode("latin-1").lower()
        ours = re.fullmatch(r"(.+\.)?example\.org", name) is not None
        wanted = ours and question[-4:] == b"\0\1\0\1"  # an A record, of the Internet
        flags = b"\x81\x80" if ours else b"\x81\x83"
        reply = query[:2] + flags + b"\0\1" + (b"\0\1" if wanted else b"\0\0") + b"\0\0\0\0" + question
        if wanted:
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(self.address)
        sock.sendto(reply, self.client_address)


def main() -> None:
    Names.address = sys.argv[1]
    Handler.application = staticmethod(load_wsgi())
    servers = [
        Outside(socket.socket(fileno=int(sys.argv[2]))),
        ThreadingHTTPServer((Names.address, 80), Handler),
        ThreadingHTTPServer(("127.0.0.1", 80), Handler),
        socketserver.UDPServer(("127.0.0.1", 53), Names),
    ]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
