"""What is taken of cobbler's answer about a profile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from genome_replace_self import cobbler
from genome_replace_self.errors import CobblerFailed

RENDERED = {
    "kernel": "/var/lib/cobbler/boot/f42/vmlinuz", "initrd": "http://mirror.example.org/f42/initrd.img",
    "http_server": "cobbler.example.org", "distro": "f42", "arch": "x86_64", "os_version": "fedora35",
    "default_password_crypted": "$1$secret",
}  # fmt: skip


def profile(**changes: Any) -> cobbler.Profile:
    return cobbler.profile_of("P", {**RENDERED, **changes}, "cobbler.example.org")


def test_files_are_fetched_where_koan_fetches_them() -> None:
    made = profile()
    assert made.kernel_url == "http://cobbler.example.org/cobbler/images/f42/vmlinuz"
    assert made.initrd_url == "http://mirror.example.org/f42/initrd.img"
    assert made.kickstart_url == "http://cobbler.example.org/cblr/svc/op/ks/profile/P"


def test_nothing_but_named_fields_is_kept() -> None:
    assert "secret" not in repr(profile())


@pytest.mark.parametrize("field", ["kernel", "initrd"])
@pytest.mark.parametrize(
    "value", ["", "/boot/", "/boot/$(reboot)", "/boot/a b", "/boot/-x", "http://m/x?y=z", None]
)
def test_a_boot_file_of_a_strange_name_is_refused(field: str, value: Any) -> None:
    with pytest.raises(CobblerFailed, match=f"profile P has no {field} that koan could fetch"):
        profile(**{field: value})


@pytest.mark.parametrize("value", [17, ["x"], {"a": "b"}])
def test_a_field_that_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(CobblerFailed, match="which is no text"):
        profile(arch=value)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "127.0.0.1:8080", "0.0.0.0"])
def test_a_server_that_gives_its_own_loopback_address_is_refused(address: str) -> None:
    with pytest.raises(CobblerFailed, match=r"no other machine can reach: set `server`"):
        profile(http_server=address)


@pytest.mark.parametrize(
    "address", ["evil.example.org init=/x", "a;reboot", "$(reboot)", "a/b", "user@a", "a:b", "a:80:80", "a\n"]
)
def test_an_address_that_is_no_host_name_never_reaches_a_command_line(address: str) -> None:
    with pytest.raises(CobblerFailed, match="which is no host name"):
        profile(http_server=address)


def test_a_server_may_have_a_port() -> None:
    made = profile(http_server="cobbler.example.org:8080")
    assert made.kickstart_url.startswith("http://cobbler.example.org:8080/cblr/")


@pytest.mark.parametrize(
    ("name", "names", "said"),
    [
        ("GenomeCloud-F8-i368", ["GenomeCloud-F8-i386", "web"], ": did you mean GenomeCloud-F8-i386?"),
        ("zzz", ["web"], ": --list shows those it has"),
        ("zzz", [], ", and no other either"),
    ],
)
def test_a_misspelt_profile_is_helped_with(name: str, names: list[str], said: str) -> None:
    assert cobbler.nearest(name, names) == said


class Endless(BaseHTTPRequestHandler):
    """Begins an answer like a cobbler server, and never ends it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.end_headers()
        try:
            self.wfile.write(b"<?xml version='1.0'?><methodResponse><params><param><value><string>")
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.close_connection = True  # the reader has had enough

    def log_message(self, *args: Any) -> None:
        """No line on standard error."""


@pytest.fixture
def endless() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_that_answers_without_end_is_refused(endless: str) -> None:
    with pytest.raises(CobblerFailed, match="something that no cobbler server says"):
        cobbler.Cobbler(endless).list_profiles()
