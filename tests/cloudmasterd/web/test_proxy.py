"""A web server in front, and those who pretend to be one."""

from __future__ import annotations

from typing import Optional

import pytest

from cloudmasterd.errors import Forbidden
from cloudmasterd.web.proxy import NO_PROXY, Origin, proxy_at, refuse_open

SECRET = "5ecret" * 8
NEAR = "127.0.0.1"
FRONT = proxy_at([NEAR, "::1", "10.0.0.2"], SECRET)


def test_without_a_web_server_in_front_nothing_is_believed() -> None:
    said = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    assert NO_PROXY.origin(said, "203.0.113.5") == Origin("203.0.113.5", tls=False, private=False)
    assert NO_PROXY.origin(said, "127.0.0.1") == Origin("127.0.0.1", tls=False, private=True)


def test_of_others_than_the_web_server_nothing_is_believed() -> None:
    said = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    assert FRONT.origin(said, "203.0.113.5") == Origin("203.0.113.5")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("1.1.1.1, 192.0.2.7", "192.0.2.7"),  # the first was made up by the client
        ("1.1.1.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),  # two web servers of ours, one behind the other
        ("10.0.0.2, 127.0.0.1", "10.0.0.2"),  # nobody but ours: the farthest of them
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, unknown", NEAR),
        ("not an address", NEAR),
        ("192.0.2.7:4711", NEAR),
        ("fe80::1%" + "a" * 100, NEAR),
        (",", NEAR),
        ("", NEAR),
    ],
)
def test_the_client_is_whom_the_web_server_was_asked_by(forwarded: str, client: str) -> None:
    assert FRONT.origin({"X-Forwarded-For": forwarded}, NEAR).address == client


@pytest.mark.parametrize("peer", ["::ffff:127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "10.0.0.2"])
def test_an_address_is_the_same_however_it_is_written(peer: str) -> None:
    assert FRONT.origin({"X-Forwarded-For": "192.0.2.7"}, peer).address == "192.0.2.7"


@pytest.mark.parametrize(
    ("kind", "tls", "private"),
    [("https", True, True), ("HTTPS", True, True), ("http", False, False), ("", False, True),
     ("https, http", False, False), ("http, https", True, True), ("ftp", False, False)],
)  # fmt: skip
def test_what_comes_by_plain_http_to_the_web_server_is_not_private(
    kind: str, tls: bool, private: bool
) -> None:
    origin = FRONT.origin({"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": kind}, NEAR)
    assert (origin.tls, origin.private) == (tls, private)


def test_an_address_that_is_none_is_nobody() -> None:
    assert FRONT.origin({"X-Forwarded-For": "192.0.2.7"}, "") == Origin("")


@pytest.mark.parametrize("peer", [NEAR, "::1", "10.0.0.2", "::ffff:10.0.0.2"])
def test_whom_the_web_server_signed_in_is_believed(peer: str) -> None:
    assert FRONT.remote_user({"X-Remote-User": " eve ", "X-Proxy-Secret": SECRET}, peer) == "eve"


@pytest.mark.parametrize("name", [None, "", " ", "(null)", "-"])
def test_the_web_server_need_not_sign_everybody_in(name: Optional[str]) -> None:
    said = {"X-Proxy-Secret": SECRET} | ({} if name is None else {"X-Remote-User": name})
    assert FRONT.remote_user(said, NEAR) is None


def test_who_says_nothing_is_no_forger() -> None:
    assert FRONT.remote_user({}, "203.0.113.5") is None
    assert NO_PROXY.remote_user({}, NEAR) is None


FORGED = {
    "from elsewhere with the secret": ("203.0.113.5", {"X-Remote-User": "admin", "X-Proxy-Secret": SECRET}),
    "a client that says it is near": (
        "203.0.113.5",
        {"X-Remote-User": "admin", "X-Proxy-Secret": SECRET, "X-Forwarded-For": NEAR},
    ),
    "no secret": (NEAR, {"X-Remote-User": "admin"}),
    "an empty secret": (NEAR, {"X-Remote-User": "admin", "X-Proxy-Secret": ""}),
    "a wrong secret": (NEAR, {"X-Remote-User": "admin", "X-Proxy-Secret": SECRET[:-1]}),
    "a longer one": (NEAR, {"X-Remote-User": "admin", "X-Proxy-Secret": SECRET + "5"}),
    "not even ASCII": (NEAR, {"X-Remote-User": "admin", "X-Proxy-Secret": "s\udcffé"}),
    "no name, wrong secret": (NEAR, {"X-Proxy-Secret": "guess"}),
    "no name, from elsewhere": ("203.0.113.5", {"X-Proxy-Secret": SECRET}),
}


@pytest.mark.parametrize(("peer", "said"), FORGED.values(), ids=FORGED)
def test_who_pretends_to_be_the_web_server_is_refused(peer: str, said: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="believed of the web server in front alone") as caught:
        FRONT.remote_user(said, peer)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "guess"])
def test_without_a_shared_secret_nobody_is_believed(secret: str) -> None:
    for proxy in (proxy_at([NEAR]), NO_PROXY):
        with pytest.raises(Forbidden):
            proxy.remote_user({"X-Remote-User": "admin", "X-Proxy-Secret": secret}, NEAR)


def test_the_secret_does_not_show() -> None:
    assert SECRET not in repr(FRONT)


def test_a_secret_does_not_go_over_an_open_line() -> None:
    refuse_open(True, "a token")
    with pytest.raises(Forbidden, match="a token would go over plain HTTP"):
        refuse_open(False, "a token")
