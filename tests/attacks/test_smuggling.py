"""A second request hidden in the first, and headers that only a web server in front may send."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demo.cloud import free_ports
from tests.attacks.town import FORM, Town, open_town
from tests.integration.apache import apache, password_file, why_not
from tests.integration.support import eventually

INNER = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKS = b"0\r\n\r\n"
SECRET = "fedcba9876543210fedcba9876543210"

# What may be counted in two ways: (headers, body).
AMBIGUOUS: dict[str, tuple[bytes, bytes]] = {
    "CL.TE": (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", CHUNKS + INNER),
    "TE.CL": (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"5c\r\n" + INNER + CHUNKS),
    "TE.TE": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKS + INNER),
    "an odd TE": (b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", CHUNKS + INNER),
    "a blank before the colon": (b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", CHUNKS + INNER),
    "a tab before chunked": (b"Transfer-Encoding:\tchunked\r\nContent-Length: %d\r\n", CHUNKS + INNER),
    "a feed before chunked": (b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n", CHUNKS + INNER),
    "a folded TE": (b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", CHUNKS + INNER),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: %d\r\n", CHUNKS + INNER),
    "two equal lengths": (b"Content-Length: 5\r\nContent-Length: 5\r\n", CHUNKS + INNER),
    "a list of lengths": (b"Content-Length: 5, %d\r\n", CHUNKS + INNER),
    "a length with a sign": (b"Content-Length: +5\r\n", CHUNKS + INNER),
    "a length in hex": (b"Content-Length: 0x5\r\n", CHUNKS + INNER),
    "a length below zero": (b"Content-Length: -1\r\n", INNER),
    "a length with a bar": (b"Content-Length: 1_0\r\n", CHUNKS + INNER),
    "a folded length": (b"Content-Length: 5\r\n 0\r\n", CHUNKS + INNER),
    "a length behind a lone line feed": (b"X: a\nContent-Length: 5\r\n", CHUNKS + INNER),
    "a length behind a lone carriage return": (b"X: a\rContent-Length: 5\r\n", CHUNKS + INNER),
    "a length behind a NUL": (b"X: a\x00\r\nContent-Length: 5\r\n", CHUNKS + INNER),
    "a chunk that is none": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + INNER),
    "a chunk of a huge size": (b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffff1\r\n" + INNER),
}  # fmt: skip
ODD = {
    "HTTP/0.9": b"GET /healthz\r\n" + INNER,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "h2c": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + INNER,
    "two blanks": b"GET  /healthz  HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\n"
    + INNER,
    "a lone line feed": b"GET /healthz HTTP/1.1\nHost: x\n\n" + INNER,
    "a version of its own": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n" + INNER,
}


def post(headers: bytes, body: bytes, path: bytes = b"/api/v1/placements") -> bytes:
    """A request whose headers may name the length of its body."""
    if b"%d" in headers:
        headers = headers % len(body)
    return (
        b"POST "
        + path
        + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        + headers
        + b"\r\n"
        + body
    )


def lines_since(town: Town, begin: int, last: str) -> list[str]:
    """What cloudmasterd logged of requests until this last one."""
    eventually(lambda: any(last in line for line in town.log[begin:]), f"{last} in the log")
    return [line for line in town.log[begin:] if "web.access" in line]


def test_what_a_second_request_looks_like(town: Town) -> None:
    last = b"GET /seen-as-such HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = town.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + last, silence_s=60)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert any("/seen-as-such" in line for line in lines_since(town, 0, "/seen-as-such"))


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_counted_in_two_ways_is_one_request_and_the_last(town: Town, name: str) -> None:
    begin = len(town.log)
    answer = town.raw(post(*AMBIGUOUS[name]))
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    # 401: nobody read the body, nor what is behind it
    assert answer.split(b" ", 2)[1] in (b"400", b"401", b"411", b"501"), answer
    town.ask("GET", f"/healthz?after={len(town.log)}")
    assert not any("smuggled" in line for line in lines_since(town, begin, "/healthz?after="))


@pytest.mark.parametrize("name", ODD)
def test_a_request_of_another_kind_brings_none_behind_it(town: Town, name: str) -> None:
    begin = len(town.log)
    answer = town.raw(ODD[name])
    assert answer.count(b"HTTP/1.1 ") <= 1 and b" 101 " not in answer[:20], answer
    town.ask("GET", f"/healthz?after={len(town.log)}")
    assert not any("smuggled" in line for line in lines_since(town, begin, "/healthz?after="))


def test_of_an_absolute_target_only_the_path_counts(town: Town) -> None:
    for target in ("http://evil.example/api/v1/whoami", "https://user:word@evil.example:1/api/v1/whoami"):
        head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        assert town.raw(f"{head}\r\n".encode()).startswith(b"HTTP/1.1 401")
        known = town.raw(f"{head}Authorization: Bearer {town.vera.token}\r\n\r\n".encode())
        assert known.startswith(b"HTTP/1.1 200") and b"evil.example" not in known
    for target in ("http:/api/v1/users", "//evil.example/api/v1/whoami", "*", "evil.example:443", "http://"):
        head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert town.raw(head.encode()).split(b" ", 2)[1] in (b"303", b"400", b"401", b"404"), target


PROXY_HEADERS = (
    {"X-Remote-User": "admin"},
    {"X-Remote-User": "admin", "X-Proxy-Secret": ""},
    {"X-Remote-User": "admin", "X-Proxy-Secret": SECRET},
    {"X-REMOTE-USER": "admin", "x-proxy-secret": "x"},
    {"X-Proxy-Secret": SECRET},
    {"X_Remote_User": "admin", "X_Proxy_Secret": SECRET},
    {"Remote-User": "admin"}, {"Remote_User": "admin"}, {"X-Forwarded-User": "admin"}, {"X-User": "admin"},
    {"Authorization": "Basic YWRtaW46YWRtaW4="}, {"X-Forwarded-For": "127.0.0.1"}, {"Proxy": "http://127.0.0.1"},
)  # fmt: skip


@pytest.mark.parametrize("headers", PROXY_HEADERS, ids=lambda headers: ",".join(headers))
def test_nobody_is_signed_in_by_a_header_where_there_is_no_web_server_in_front(
    town: Town, headers: dict[str, str]
) -> None:
    assert town.ask("GET", "/api/v1/whoami", headers).status in (401, 403)
    # and somebody who is signed in does not become another
    known = town.ask("GET", "/api/v1/whoami", {**headers, **town.vera.session})
    assert known.status in (401, 403) or known.json()["name"] == "vera"


# ------------------------------------------------------------------------------------------ through an Apache


@dataclass(frozen=True)
class Behind:
    """A cloud master behind a real Apache, which signs ada in (`signing`), and one that signs nobody in."""

    town: Town
    plain: int
    signing: int


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    if why_not():
        pytest.skip(why_not())
    folders = [tmp_path_factory.mktemp(name) for name in ("town", "plain", "signing")]
    secret = folders[0] / "master/etc/cloudmasterd/proxy-secret"
    secret.parent.mkdir(parents=True)
    secret.touch(0o600)
    secret.write_text(SECRET + "\n")
    for folder in folders[1:]:
        if os.geteuid() == 0:  # Apache gives up root before it writes
            folder.chmod(0o755)
    settings = {"behind_proxy": "yes", "proxy_secret_file": "/etc/cloudmasterd/proxy-secret"}
    with (
        open_town(folders[0], **settings, remote_user_role="viewer") as town,
        password_file("ada", "right") as file,
    ):
        plain, signing = free_ports().web, free_ports().func
        with (
            apache(folders[1], plain, town.port),
            apache(folders[2], signing, town.port, passwords=file, secret=SECRET),
        ):
            yield Behind(town, plain, signing)


def ada(more: str = "", path: str = "/api/v1/whoami") -> bytes:
    basic = base64.b64encode(b"ada:right").decode()
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n{more}\r\n".encode()


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_nothing_is_smuggled_past_apache(behind: Behind, name: str) -> None:
    town, begin = behind.town, len(behind.town.log)
    headers, body = AMBIGUOUS[name]
    town.raw(
        post(headers + f"Authorization: Bearer {town.vera.token}\r\n".encode(), body), 5.0, port=behind.plain
    )
    # a connection that Apache keeps would give what is left over to whoever comes next
    for _ in range(3):
        answer = town.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port=behind.plain)
        assert answer.startswith(b"HTTP/1.1 200") and b"smuggled" not in answer
    town.ask("GET", f"/healthz?after={len(town.log)}")
    inner = [line for line in lines_since(town, begin, "/healthz?after=") if "GET /smuggled" in line]
    # Apache may take what is behind a request that was all there for the next one: then it is one of Apache's
    # own, with the headers that it adds, and is signed in by none
    assert all("401" in line for line in inner), inner


def test_whom_apache_signed_in_is_known(behind: Behind) -> None:
    answer = behind.town.raw(ada("Connection: close\r\n"), port=behind.signing)
    assert b'"name":"ada"' in answer and b'"role":"viewer"' in answer


@pytest.mark.parametrize(
    "more",
    [
        "Connection: close, X-Remote-User\r\n",
        "Connection: close, X-Proxy-Secret\r\n",
        "Connection: close, X-Remote-User, X-Proxy-Secret, X-Forwarded-For, X-Forwarded-Proto\r\n",
        "Connection: close\r\nX-Remote-User: admin\r\n",
        "Connection: close\r\nX_Remote_User: admin\r\n",
        "Connection: close\r\nX-Remote-User: admin\r\nX-Remote-User: admin\r\n",
        f"Connection: close, X-Remote-User\r\nX_Remote_User: admin\r\nX_Proxy_Secret: {SECRET}\r\n",
        "Connection: close\r\nx-remote-USER: admin\r\nX-PROXY-secret: x\r\n",
        "Connection: close\r\nX-Remote.User: admin\r\n",
        "Connection: close\r\nX-Remote-User : admin\r\n",
        "Connection: close\r\nX-A: b\r\n X-Remote-User: admin\r\n",
        "Connection: close\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
        "Connection: close, Authorization\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nX-Remote-User: admin\r\n",
    ],
)
def test_nobody_becomes_another_on_the_way_through_apache(behind: Behind, more: str) -> None:
    answer = behind.town.raw(ada(more), port=behind.signing)
    assert answer.split(b" ", 2)[1] in (b"200", b"400", b"401", b"403"), answer
    assert b'"admin"' not in answer and SECRET.encode() not in answer
    assert not answer.startswith(b"HTTP/1.1 200") or b'"name":"ada"' in answer, answer
    nobody = behind.town.raw(
        b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\n" + more.encode() + b"\r\n", port=behind.plain
    )
    assert nobody.split(b" ", 2)[1] in (b"400", b"401", b"403"), nobody


def test_who_says_to_be_elsewhere_is_where_they_are(behind: Behind) -> None:
    """Guessing with another X-Forwarded-For for each try does not get around what guessing costs."""
    town = behind.town
    before = town.ask("GET", "/api/v1/audit?limit=1", town.admin.bearer).json()["items"][0]["id"]
    for i in range(4):
        elsewhere = f"198.51.100.{i}"
        said = "".join(
            f"{name}: {value}\r\n"
            for name, value in (
                ("X-Forwarded-For", elsewhere), ("X_Forwarded_For", elsewhere), ("X-Real-IP", elsewhere),
                ("Forwarded", f"for={elsewhere}"), ("Client-IP", elsewhere), ("X-Forwarded-For", "127.0.0.1"),
            )
        )  # fmt: skip
        for head in (f"POST /login HTTP/1.1\r\nContent-Type: {FORM}\r\n", "GET /users HTTP/1.1\r\n"):
            answer = town.raw(f"{head}Host: x\r\nConnection: close\r\n{said}\r\n".encode(), port=behind.plain)
            assert answer.split(b" ", 2)[1] in (b"303", b"401", b"403")
    query = f"/api/v1/audit?after={before}&limit=100"
    found = town.ask("GET", query, town.admin.bearer).json()["items"]
    assert found != [] and {record["address"] for record in found} == {"127.0.0.1"}
