"""Three lines that say where the browser view is, where the first password is, and what is missing."""

from __future__ import annotations

import http.server
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cloudmasterd.config import Config, load_config
from cloudmasterd.control.places import Places
from cloudmasterd.control.status import (
    Standing,
    Web,
    ask,
    judge,
    log_soon,
    look,
    secure_url_of,
    url_of,
    where_password,
    why_closed,
)
from tests.cloudmasterd.control.conftest import write

OURS = Web(True, 200)
PASSWORD = "in /var/lib/cloudmasterd/first-password, that of admin, until it is changed"
WELL = Standing(
    "http://cloud.example.org/", "https://cloud.example.org/", "http://127.0.0.1:8107/", OURS, OURS, OURS,
    "", 3, "", False, PASSWORD,
)  # fmt: skip


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of a web server that answers everything like this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_when_all_is_well_three_lines_say_so() -> None:
    found = judge(WELL)
    lines = found.lines()
    assert len(lines) == 3
    assert lines[0] == "Browser view:   https://cloud.example.org/"
    assert lines[1] == f"First password: {PASSWORD}"
    assert lines[2] == "Missing:        nothing"
    assert found.to_dict()["ready"] is True


MISSING = [
    (replace(WELL, clouds=0), "no cloud instance yet", "cloudmaster-join cloud.example.org"),
    (
        replace(WELL, direct=Web(False, error="Connection refused")),
        "cloudmasterd does not run",
        "enable --now",
    ),
    (replace(WELL, direct=Web(False, 404)), "answered by another program", "cloudmasterd"),
    (replace(WELL, certmaster="Connection refused"), "certmaster does not run", "enable --now certmaster"),
    (
        replace(WELL, public=Web(False, error="Connection refused")),
        "httpd does not answer",
        "enable --now httpd",
    ),
    (replace(WELL, public=Web(False, 503)), "httpd answers 503", "ProxyPass"),
    (replace(WELL, public=Web(False, 404)), "answered by something else", "public_url"),
    (
        replace(WELL, public=Web(False, 503), selinux_forbids=True),
        "SELinux does not let httpd connect",
        "dnf install cloudmasterd-selinux; or setsebool -P httpd_can_network_connect on",
    ),
    (
        replace(WELL, secure=Web(False, error="Connection refused")),
        "nobody can sign in: https://cloud.example.org/: Connection refused",
        "mod_ssl",
    ),
    (replace(WELL, secure=Web(False, 404)), "something else answers (404)", "mod_ssl"),
    (replace(WELL, clouds_error="certmaster.conf is wrong"), "certmaster.conf is wrong", "check"),
]


@pytest.mark.parametrize(("seen", "what", "remedy"), MISSING, ids=[what for _, what, _ in MISSING])
def test_what_is_missing_is_said_with_its_remedy(seen: Standing, what: str, remedy: str) -> None:
    ((found, told),) = judge(seen).missing
    assert what in found and remedy in told
    assert len(judge(seen).lines()) == 3


def test_the_view_is_where_it_can_be_opened_now() -> None:
    dead = Web(False, error="refused")
    assert judge(replace(WELL, secure=dead)).view == "http://cloud.example.org/"
    view = judge(replace(WELL, secure=dead, public=dead)).view
    assert view.startswith("http://127.0.0.1:8107/, on this machine only, until http://cloud.example.org/")


@pytest.mark.parametrize(
    ("status", "body", "ours"),
    [(200, b'{"status": "ok"}', True), (200, b"<html>It works!</html>", False), (503, b"", False)],
)
def test_only_a_cloud_master_counts_as_one(status: int, body: bytes, ours: bool) -> None:
    with answering(status, body) as base:
        assert ask(base, 60) == Web(ours, status)


@pytest.mark.parametrize("base", ["http://nowhere.invalid/", "http://127.0.0.1:PORT/"])
def test_nothing_that_answers_is_no_error(base: str, unused_port: Callable[[], int]) -> None:
    base = base.replace("PORT", str(unused_port()))  # not in the id of the test, which is always the same
    found = ask(base, 3)
    assert not found.ours and found.error


@pytest.mark.parametrize(
    ("address", "told"),
    [("0.0.0.0", "http://127.0.0.1:1/"), ("::", "http://[::1]:1/"), ("192.0.2.1", "http://192.0.2.1:1/")],
)
def test_an_address_for_everybody_is_asked_on_the_loopback(address: str, told: str) -> None:
    assert url_of(address, 1) == told


@pytest.mark.parametrize(
    ("public_url", "behind_proxy", "told"),
    [
        ("http://cloud.example.org/", True, "https://cloud.example.org/"),
        ("http://cloud.example.org:8080/x/", True, "https://cloud.example.org/x/"),
        ("https://cloud.example.org/", True, ""),
        ("http://cloud.example.org/", False, ""),
        ("http://127.0.0.1:8107/", True, ""),
        ("http://localhost/", True, ""),
    ],
)
def test_tls_is_looked_for_where_somebody_needs_it_to_sign_in(
    config: Config, public_url: str, behind_proxy: bool, told: str
) -> None:
    assert secure_url_of(replace(config, public_url=public_url, behind_proxy=behind_proxy)) == told


def test_a_port_nobody_has_is_closed(unused_port: Callable[[], int]) -> None:
    assert "refused" in why_closed("127.0.0.1", unused_port(), 1)


@pytest.fixture
def config(master: Places, unused_port: Callable[[], int]) -> Config:
    return replace(load_config(None, master.root), public_url=f"http://127.0.0.1:{unused_port()}/")


def test_a_machine_without_anything_running_is_seen_as_that(config: Config, master: Places) -> None:
    seen = look(config, master.root, 1)
    assert not seen.direct.ours and not seen.public.ours and "refused" in seen.certmaster
    assert (seen.clouds, seen.clouds_error, seen.selinux_forbids) == (0, "", False)


@pytest.mark.parametrize(
    ("enforce", "boolean", "forbids"),
    [("1", "0 0\n", True), ("1", "1 1\n", False), ("0", "0 0\n", False), ("1", None, False)],
    ids=["enforcing and off", "enforcing and on", "permissive", "no such boolean"],
)
def test_selinux_is_read_from_the_kernel(
    config: Config, master: Places, enforce: str, boolean: str, forbids: bool
) -> None:
    write(master.root / "sys/fs/selinux/enforce", enforce)
    if boolean is not None:
        write(master.root / "sys/fs/selinux/booleans/httpd_can_network_connect", boolean)
    assert look(config, master.root, 1).selinux_forbids is forbids


def test_our_own_policy_stands_in_the_place_of_the_boolean(config: Config, master: Places) -> None:
    write(master.root / "sys/fs/selinux/enforce", "1")
    write(master.root / "sys/fs/selinux/booleans/httpd_can_network_connect", "0 0\n")
    write(master.root / "usr/share/selinux/packages/targeted/cloudmasterd.pp.bz2", "")
    assert look(config, master.root, 1).selinux_forbids is False


def test_the_log_has_the_same_three_lines(
    config: Config, caplog: pytest.LogCaptureFixture, master: Places
) -> None:
    caplog.set_level(logging.INFO, logger="cloudmasterd.control.status")
    log_soon(config).join(60)
    told = [record.getMessage() for record in caplog.records if record.name == "cloudmasterd.control.status"]
    assert told == judge(look(config)).lines()


def test_where_the_first_password_is_and_never_what_it_is(config: Config, master: Places) -> None:
    file = master.root / "var/lib/cloudmasterd/first-password"
    said = look(config, master.root, 1).password
    assert said == f"in {file}, that of admin, until it is changed"
    file.unlink()
    assert where_password(master.database) == "none any more: admin has changed it"
    master.database.unlink()
    assert where_password(master.database) == f"in {file}, once cloudmasterd has started"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_is_closed_to_somebody_is_said_to_be(config: Config, master: Places) -> None:
    master.database.parent.chmod(0)
    try:
        assert "run this as root" in where_password(master.database)
    finally:
        master.database.parent.chmod(0o750)


def test_a_certmaster_configuration_that_is_wrong_is_said(config: Config, master: Places) -> None:
    write(master.root / "etc/certmaster/certmaster.conf", "[main]\nlisten_port = many\n")
    assert "listen_port" in look(config, master.root, 1).clouds_error
