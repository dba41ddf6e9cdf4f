"""What a cobbler server says over a real socket, however it says it, is a catalogue or a CobblerError."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import threading
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloudmasterd.clock import SystemClock
from cloudmasterd.cobbler import Address, Cobbler, parse_address
from cloudmasterd.errors import CobblerError, CobblerUnreachable
from cloudmasterd.model import Profile
from tests.ports import held_port

HASH = "$1$mF86/UHC$WvcIcX2t6crBz2onWxyac."


class Peer:
    """An HTTP server that answers each method as told: with a value, or by what a function does."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"last_modified_time": 7.25, "get_distros": [], "get_profiles": []}
        self.act: Optional[Callable[[http.server.BaseHTTPRequestHandler], None]] = None
        self.asked: list[tuple[str, str, tuple[Any, ...]]] = []
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                arguments, method = xmlrpc.client.loads(body)
                peer.asked.append((self.path, str(method), arguments))
                (peer.act or answer)(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: what it was asked is in `asked`."""

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            value = peer.values[peer.asked[-1][1]]
            reply = value if isinstance(value, xmlrpc.client.Fault) else (value,)
            send(handler, xmlrpc.client.dumps(reply, methodresponse=True, allow_none=True).encode())

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def cobbler(self, **more: Any) -> Cobbler:
        patient = {"connect_s": 60.0, "answer_s": 60.0, **more}  # where the test is not about that
        return Cobbler(Address("127.0.0.1", self.port, "context" in more), SystemClock(), **patient)


def send(handler: http.server.BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


def profiles(peer: Peer, **item: Any) -> tuple[Profile, ...]:
    peer.values["get_distros"] = [
        {"name": "el9", "arch": "x86_64", "breed": "redhat", "os_version": "rhel9", "owners": ["admin"]}
    ]
    peer.values["get_profiles"] = [{"name": "web", "distro": "el9", "parent": "", **item}]
    return peer.cobbler().profiles()


def one(peer: Peer, **item: Any) -> Profile:
    return profiles(peer, **item)[0]


def test_a_profile_is_told_with_what_its_distribution_says(peer: Peer) -> None:
    found = one(
        peer, autoinstall="/genome-cloud.ks", virt_ram=1024, virt_cpus=2, virt_file_size=8.0,
        comment="for the web team", kernel_options={"console": ["tty0", "ttyS0"], "quiet": "~"},
    )  # fmt: skip
    assert found == Profile(
        "web", "el9", "x86_64", "redhat", "rhel9", "console=tty0 console=ttyS0 quiet", "/genome-cloud.ks",
        1024, 2, 8.0, "for the web team",
    )  # fmt: skip


def test_it_asks_without_a_token_where_cobbler_listens(peer: Peer) -> None:
    assert peer.cobbler().modified() == 7.25
    profiles(peer)
    assert peer.asked == [
        ("/cobbler_api", "last_modified_time", ()),
        ("/cobbler_api", "get_distros", ()),
        ("/cobbler_api", "get_profiles", ()),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", ""),
        ("<<inherit>>", ""),
        ("console=ttyS0 quiet", "console=ttyS0 quiet"),
        ({}, ""),
        ({"b": "1", "a": ""}, "b=1 a"),
        ({"n": 8}, "n=8"),
        ({"n": None}, "n"),
        (["odd"], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_kernel_options_come_as_text_or_as_an_object(peer: Peer, given: Any, told: str) -> None:
    assert one(peer, kernel_options=given).kernel_options == told


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("inst.vncpassword", "geheim"),
        ("rootpw", "geheim"),
        ("genome_token", "geheim"),
        ("secret", "geheim"),
        ("api_key", "geheim"),
        ("plain", HASH),
        ("ks", "http://ada:geheim@cobbler.example.org/x.ks"),
    ],
)
def test_kernel_options_that_look_secret_are_hidden(peer: Peer, key: str, value: str) -> None:
    for options in ({key: value, "quiet": ""}, f"{key}={value} quiet"):
        assert one(peer, kernel_options=options).kernel_options == f"{key}=(hidden) quiet"


def test_nothing_but_the_named_fields_is_passed_on(peer: Peer) -> None:
    found = one(
        peer, default_password_crypted=HASH, autoinstall_meta={"rootpw": HASH}, owners=["geheim"],
        redhat_management_key="geheim", boot_loaders=["geheim"], kernel_options_post="pw=geheim",
        autoinstall="http://ada:geheim@cobbler.example.org/x.ks",
    )  # fmt: skip
    assert found.autoinstall == "http://cobbler.example.org/x.ks"
    assert HASH not in repr(found) and "geheim" not in repr(found)


@pytest.mark.parametrize("meta", ["tree=http://x/ rootpw=y", {"tree": "http://x/"}, "<<inherit>>"])
def test_the_metadata_of_a_profile_may_be_text_or_an_object_and_stays_there(peer: Peer, meta: Any) -> None:
    assert one(peer, autoinstall_meta=meta) == one(peer)


def test_a_profile_inherits_from_its_parent_what_it_does_not_say_itself(peer: Peer) -> None:
    peer.values["get_distros"] = [{"name": "f8", "arch": "i386", "breed": "redhat", "os_version": "fedora8"}]
    peer.values["get_profiles"] = [
        {"name": "base", "distro": "f8", "parent": "", "virt_ram": 256, "autoinstall": "/f8.ks"},
        {"name": "leaf", "distro": "", "parent": "middle", "virt_ram": "<<inherit>>", "virt_cpus": 3},
        {"name": "middle", "distro": "", "parent": "base", "autoinstall": "<<inherit>>", "comment": "x"},
    ]
    leaf = peer.cobbler().profiles()[1]
    assert (leaf.name, leaf.distro, leaf.arch, leaf.os_version) == ("leaf", "f8", "i386", "fedora8")
    assert (leaf.memory_mb, leaf.vcpus, leaf.autoinstall, leaf.comment) == (256, 3, "/f8.ks", "")


def test_parents_in_a_ring_and_distributions_that_are_gone_harm_nobody(peer: Peer) -> None:
    peer.values["get_profiles"] = [
        {"name": "a", "parent": "b"}, {"name": "b", "parent": "a"}, {"name": "c", "distro": "gone"},
        {"distro": "nameless"},
    ]  # fmt: skip
    found = peer.cobbler().profiles()
    assert [(p.name, p.distro, p.arch) for p in found] == [
        ("a", "", None),
        ("b", "", None),
        ("c", "gone", None),
    ]


@pytest.mark.parametrize("size", ["<<inherit>>", "", 0, -4, "many", None, True, 1e300, [512]])
def test_a_size_that_is_none_is_not_said(peer: Peer, size: Any) -> None:
    assert one(peer, virt_ram=size).memory_mb is None


def test_what_a_page_could_not_show_is_made_plain(peer: Peer) -> None:
    found = one(peer, comment="two\nlines\x1b[31m " + "x" * 10_000)
    assert found.comment.startswith("two lines[31m xxx")
    assert len(found.comment) == 500


def test_nobody_listens() -> None:
    with held_port() as port, pytest.raises(CobblerUnreachable, match="does not answer: .*refused"):
        Cobbler(Address("127.0.0.1", port), SystemClock()).modified()


def test_a_name_without_an_address_is_told_apart_from_silence() -> None:
    with pytest.raises(CobblerUnreachable, match=r"nowhere\.invalid has no address here"):
        Cobbler(Address("nowhere.invalid", 80), SystemClock()).modified()


def test_one_that_says_nothing_is_given_up(peer: Peer) -> None:
    ended = threading.Event()
    peer.act = lambda handler: silent(ended)
    try:
        with pytest.raises(CobblerUnreachable, match="no whole answer within its deadline"):
            peer.cobbler(answer_s=0.3).modified()
    finally:
        ended.set()


def silent(ended: threading.Event) -> None:
    assert ended.wait(60)


def test_one_that_drips_is_given_up_by_one_deadline(peer: Peer) -> None:
    ended = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not ended.wait(0.02):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    peer.act = drip
    try:
        with pytest.raises(CobblerUnreachable, match="no whole answer within its deadline"):
            peer.cobbler(answer_s=0.5).modified()
    finally:
        ended.set()


def test_a_reply_without_end_is_cut_off(peer: Peer) -> None:
    peer.act = lambda handler: send(handler, b"<" + b"x" * 3_000_000)
    with pytest.raises(CobblerError, match="longer than 1 MiB"):
        peer.cobbler(max_bytes=2**20).modified()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"It works!", b"<html><body>It works!</body></html>", b"\xff\xfe", b"<?xml version='1.0'?>",
        b"<methodResponse></methodResponse>", b"<methodResponse><params></params></methodResponse>",
        b"<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
        b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]><x>&b;</x>",
    ],
)  # fmt: skip
def test_something_else_at_that_address_is_said_to_be_no_cobbler(peer: Peer, body: bytes) -> None:
    peer.act = lambda handler: send(handler, body)
    with pytest.raises(CobblerError, match="is that a cobbler server"):
        peer.cobbler().modified()


@pytest.mark.parametrize("status", [301, 404, 500, 502])
def test_a_web_server_without_cobbler_behind_it_is_said_to_be_that(peer: Peer, status: int) -> None:
    peer.act = lambda handler: send(handler, b"no", status)
    with pytest.raises(CobblerError, match=f"answers {status} .* does cobblerd run there"):
        peer.cobbler().modified()


def test_a_refusal_of_cobbler_is_passed_on_in_one_line(peer: Peer) -> None:
    peer.values["last_modified_time"] = xmlrpc.client.Fault(1, "<class 'CX'>:'no\nway'")
    with pytest.raises(CobblerError, match="refused last_modified_time: <class 'CX'>:'no way'"):
        peer.cobbler().modified()


@pytest.mark.parametrize("value", ["now", True, [1.0], {}])
def test_a_mark_that_is_no_number_is_refused(peer: Peer, value: Any) -> None:
    peer.values["last_modified_time"] = value
    with pytest.raises(CobblerError, match="in place of a number"):
        peer.cobbler().modified()


@pytest.mark.parametrize("value", ["x", {}, ["x"], [["x"]], 7])
def test_a_list_that_is_none_is_refused(peer: Peer, value: Any) -> None:
    peer.values["get_profiles"] = value
    with pytest.raises(CobblerError, match="in place of a list of objects"):
        peer.cobbler().profiles()


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("cobbler.example.org", Address("cobbler.example.org", 80), "http://cobbler.example.org"),
        ("Cobbler.example.org/", Address("cobbler.example.org", 80), "http://cobbler.example.org"),
        ("http://10.0.0.1:8080", Address("10.0.0.1", 8080), "http://10.0.0.1:8080"),
        ("https://cobbler", Address("cobbler", 443, True), "https://cobbler"),
        ("https://cobbler:80", Address("cobbler", 80, True), "https://cobbler:80"),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(address) == shown
    assert parse_address(shown) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "-x", "a b", "ftp://a", "http://", "http://a/cobbler", "a:0", "a:99999", "http://u:p@a", "a;b",
        "a\n",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a host name such as"):
        parse_address(text)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.fixture
def secure(peer: Peer, tmp_path: Path) -> Path:
    """The peer speaks TLS; the certificate it shows."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    peer.server.socket = context.wrap_socket(peer.server.socket, server_side=True)
    return cert


def test_cobbler_is_asked_over_tls_where_its_authority_is_trusted(peer: Peer, secure: Path) -> None:
    assert peer.cobbler(context=ssl.create_default_context(cafile=str(secure))).modified() == 7.25


def test_a_certificate_of_a_stranger_is_refused(peer: Peer, secure: Path) -> None:
    with pytest.raises(CobblerError, match="is not to be trusted .* add its authority"):
        peer.cobbler(context=ssl.create_default_context()).modified()
    assert peer.asked == []
