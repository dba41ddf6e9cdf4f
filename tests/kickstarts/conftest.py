"""Kickstarts are rendered, and their scripts run on machines that are made up."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.kickstarts.installer import Installer, why_not


@pytest.fixture
def needs_templates() -> None:
    for module, package in (("Cheetah", "ct3"), ("pykickstart", "pykickstart")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{package} of requirements-dev.txt is not installed for this Python")


@pytest.fixture
def machine(needs_templates: None, tmp_path: Path) -> Callable[..., Installer]:
    reason = why_not()
    if reason:
        pytest.skip(reason)

    def make(shell: str = "bash", version: str = "F42", bare: bool = False) -> Installer:
        """A machine with a disk of 100 GB and a card that leads out; `bare`: without them."""
        if shell == "busybox" and not Path("/usr/bin/busybox").exists():
            pytest.skip("no busybox on this machine")
        made = Installer(tmp_path / "machine", shell, version)
        if not bare:
            made.disk("sda", 102400)
            made.card("eth0", route=True)
        return made

    return make


class Reports:
    """A cloud master that takes reports down."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[tuple[str, str]] = []  # phase, text

    @property
    def phases(self) -> list[str]:
        return [phase for phase, _ in self.heard]


@pytest.fixture
def reports() -> Iterator[Reports]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            text = parse_qs(parts.query, keep_blank_values=True).get("text", [""])[0]
            said.heard.append((parts.path.removeprefix("/install/WORD/"), text))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    said = Reports(f"http://127.0.0.1:{server.server_address[1]}/install/WORD")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield said
    server.shutdown()
    server.server_close()
    thread.join()
