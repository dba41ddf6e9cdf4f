"""One-time tokens and requests that wait, over real HTTP, with a real certmaster behind its local socket."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca, proof
from certmaster.admin_socket import AdminSocket
from certmaster.audit import acting
from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from certmaster.errors import KeyConflict
from tests.certmaster.support import NOW, running
from tests.cloudmasterd.web.reading import page, post, read
from tests.cloudmasterd.web.test_openapi import DOCUMENT, misfit

TOKENS = "/api/v1/enrolment-tokens"
NAME = "cloud4.example.org"


@pytest.fixture(scope="module")
def key() -> bytes:
    return ca.new_key()


@pytest.fixture
def authority(tmp_path: Path, key: bytes) -> Callable[[], Authority]:
    settings = load_certmaster_config(tmp_path / "ca")
    settings.cadir.mkdir(parents=True)
    (settings.cadir / "certmaster.key").write_bytes(key)
    (settings.cadir / "certmaster.crt").write_bytes(ca.make_ca("cloud.example.org-CA-KEY", key, 1, NOW))
    return lambda: Authority(settings, "cloud.example.org", lambda: NOW)


@pytest.fixture
def certmaster(world: Any, tmp_path: Path, authority: Callable[[], Authority]) -> Iterator[Authority]:
    """A certmaster at the socket that the cloud master of `world` asks."""
    with running(authority(), admin_socket=AdminSocket(tmp_path / "admin.sock")):
        yield authority()


def schema_of(method: str, status: str) -> Any:
    content = DOCUMENT["paths"][TOKENS][method]["responses"][status]["content"]
    return content["application/json"]["schema"]


def create(world: Any, **body: Any) -> Any:
    return world.send("POST", TOKENS, {"name": NAME, **body})


def proved(key: bytes, token: str) -> bytes:
    plain = ca.make_request(key, NAME)
    return ca.make_request(key, NAME, proof.make(token, NAME, ca.read_request(plain).key_fingerprint))


def test_a_token_is_made_with_all_it_takes_and_lets_one_in(
    world: Any, certmaster: Authority, key: bytes
) -> None:
    answer = create(world, expires_s=7200)
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    pin = ca.pin(certmaster.certificate())
    assert misfit(made, schema_of("post", "201")) is None
    assert (made["name"], made["ca_fingerprint"], made["replace"]) == (NAME, pin, False)
    metadata = {"certmaster": "cloud.example.org", "genome_token": made["token"], "genome_ca": pin}
    metadata["genome_name"] = NAME
    assert made["metadata"] == metadata
    assert made["command"] == "genome-replace-self -c $COBBLER_REPO " + " ".join(
        f"-m {name}={value}" for name, value in metadata.items()
    )
    assert certmaster.enrol(proved(key, made["token"])) is not None
    known = world.get(TOKENS)
    assert known.headers["cache-control"] == "no-store"
    assert misfit(known.json(), schema_of("get", "200")) is None
    (item,) = known.json()["items"]
    assert (item["id"], item["state"], item["used_by"]) == (made["id"], "used", NAME)
    assert made["token"] not in known.text


def test_a_token_is_taken_back_once(world: Any, certmaster: Authority) -> None:
    made = create(world).json()
    assert world.ask("DELETE", f"{TOKENS}/{made['id']}").status == 204
    gone = world.ask("DELETE", f"{TOKENS}/{made['id']}")
    assert (gone.status, gone.json()["detail"][:14]) == (404, "there is no to")
    assert world.get(TOKENS).json() == {"items": [], "next": None}


def test_the_same_request_sent_again_makes_no_second_token_and_the_secret_is_kept_nowhere(
    world: Any, certmaster: Authority, tmp_path: Path
) -> None:
    key = {"Idempotency_Key": "k-1"}
    made = world.send("POST", TOKENS, {"name": NAME}, **key).json()
    again = world.send("POST", TOKENS, {"name": NAME}, **key)
    assert again.status == 409
    assert made["id"] in again.json()["detail"]
    assert made["token"] not in again.text
    assert len(world.get(TOKENS).json()["items"]) == 1
    assert world.send("POST", TOKENS, {"name": NAME}, Idempotency_Key="k-2").status == 201
    with sqlite3.connect(tmp_path / "db.sqlite") as database:
        assert made["token"] not in "".join(database.iterdump())
    database.close()
    files = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert made["token"].encode() not in files


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "name", "missing"),
        ({"name": 7}, "name", "7: give text"),
        ({"name": ""}, "name", "the name is empty"),
        ({"name": "../etc"}, "name", "not a host name"),
        ({"name": "x" * 65}, "name", "65 characters"),
        ({"name": "cloud*", "replace": True}, "name", "takes one name"),
        ({"name": NAME, "expires_s": 59}, "expires_s", "too small"),
        ({"name": NAME, "expires_s": "3600"}, "expires_s", "without quotes: 3600"),
        ({"name": NAME, "expires_s": 2592001}, "expires_s", "too large"),
        ({"name": NAME, "replace": "yes"}, "replace", "true or false"),
        ({"name": NAME, "expire_s": 60}, "expire_s", "did you mean 'expires_s'"),
    ],
)
def test_what_is_wrong_is_named(
    world: Any, certmaster: Authority, body: dict[str, Any], field: str, said: str
) -> None:
    answer = world.send("POST", TOKENS, body)
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["message"]
    assert world.get(TOKENS).json()["items"] == []


def test_without_a_certmaster_every_answer_says_so_and_the_page_is_there(world: Any) -> None:
    for answer in (create(world), world.get(TOKENS), world.ask("DELETE", f"{TOKENS}/x")):
        assert answer.status == 503
        assert "certmaster is not running" in answer.json()["detail"]
        assert answer.json()["type"] == "urn:cloudmasterd:problem:certmaster-unreachable"
    shown = read(world, "/enrolment")
    assert "Nobody can enrol now" in shown.text
    refused = post(world, shown.form("/enrolment"), name=NAME)
    assert refused.status == 503
    assert "No token was made" in page(refused).text


def test_the_form_shows_the_token_once(world: Any, certmaster: Authority, key: bytes) -> None:
    certmaster.enrol(ca.make_request(key, "waits.example.org"))
    form = read(world, "/enrolment").form("/enrolment")
    made = post(world, form, name=NAME)
    page(made)
    assert (made.status, made.headers["cache-control"]) == (200, "no-store")
    token = re.search(r"genome_token=([A-Za-z0-9_-]{43})", made.text)[1]
    assert certmaster.enrol(proved(key, token)) is not None
    again = post(world, form, name=NAME)
    assert again.status == 409
    assert token not in again.text
    assert token not in world.get("/enrolment", Accept="text/html").text
    shown = read(world, "/enrolment")
    assert "used by cloud4.example.org" in shown.text
    assert "waits.example.org" in shown.text
    assert ca.read_request(ca.make_request(key, NAME)).key_fingerprint in shown.text
    assert ca.pin(certmaster.certificate()) in shown.text


def test_a_form_that_says_something_wrong_keeps_what_was_typed(world: Any, certmaster: Authority) -> None:
    form = read(world, "/enrolment").form("/enrolment")
    answer = post(world, form, name="no host name", expires_s="86400")
    assert answer.status == 400
    shown = page(answer)
    assert "name" in shown.marked
    assert shown.form("/enrolment").values["name"] == "no host name"
    assert shown.form("/enrolment").values["expires_s"] == "86400"


def test_a_button_takes_a_token_back(world: Any, certmaster: Authority) -> None:
    made = create(world).json()
    gone = post(world, read(world, "/enrolment").form(f"/enrolment/{made['id']}/delete"))
    assert (gone.status, gone.headers["location"]) == (303, "/enrolment")
    assert "There is no token" in read(world, "/enrolment").text


# Requests that wait.

ENROLMENTS = "/api/v1/enrolments"
WAITS = "waits.example.org"
AUDIT = "ca/var/log/certmaster/audit.log"


def waiting(certmaster: Authority, key: bytes, name: str = WAITS, address: str = "192.0.2.7") -> str:
    """Have a request of that key wait; its fingerprint."""
    csr = ca.make_request(key, name)
    with acting(address):
        certmaster.enrol(csr)
    return ca.read_request(csr).key_fingerprint


def test_who_waits_is_shown_with_what_tells_them_apart(world: Any, certmaster: Authority, key: bytes) -> None:
    assert world.get(ENROLMENTS).json() == {"items": [], "next": None}
    fingerprint = waiting(certmaster, key)
    world.clock.time = certmaster.describe_waiting()[0].since + timedelta(seconds=90)
    answer = world.get(ENROLMENTS)
    assert answer.headers["cache-control"] == "no-store"
    schema = DOCUMENT["paths"][ENROLMENTS]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert misfit(answer.json(), schema) is None
    (item,) = answer.json()["items"]
    since = item.pop("since")
    assert item == {"name": WAITS, "address": "192.0.2.7", "key_fingerprint": fingerprint, "age_s": 90}
    assert datetime.fromisoformat(since.replace("Z", "+00:00")) == world.clock.time - timedelta(seconds=90)
    shown = read(world, "/enrolment").text
    assert WAITS in shown and "192.0.2.7" in shown and fingerprint in shown


def test_a_request_is_signed_if_it_is_the_one_that_was_seen(
    world: Any, certmaster: Authority, key: bytes, tmp_path: Path
) -> None:
    fingerprint = waiting(certmaster, key)
    path = f"{ENROLMENTS}/{WAITS}/sign"
    other = world.ask("POST", f"{path}?key_fingerprint={'0' * 64}")
    assert (other.status, "look at it again" in other.json()["detail"]) == (409, True)
    assert [one.name for one in certmaster.describe_waiting()] == [WAITS]
    colons = ":".join(fingerprint[n : n + 2] for n in range(0, 64, 2)).upper()
    assert world.ask("POST", f"{path}?key_fingerprint={colons}").status == 204
    assert [signed.name for signed in certmaster.list_signed()] == [WAITS]
    assert world.ask("POST", path).status == 404
    assert "for admin sign waits.example.org: signed" in (tmp_path / AUDIT).read_text()


def test_a_request_is_rejected_for_good(
    world: Any, certmaster: Authority, key: bytes, tmp_path: Path
) -> None:
    waiting(certmaster, key)
    assert world.ask("DELETE", f"{ENROLMENTS}/{WAITS}").status == 204
    assert world.ask("DELETE", f"{ENROLMENTS}/{WAITS}").status == 404
    with pytest.raises(KeyConflict, match="was rejected"):
        certmaster.enrol(ca.make_request(key, WAITS))
    assert certmaster.list_signed() == []
    assert "for admin reject waits.example.org: rejected" in (tmp_path / AUDIT).read_text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{ENROLMENTS}/{WAITS}/sign?key_fingerprint=12", 400),
        ("POST", f"{ENROLMENTS}/{WAITS}/sign?key=12", 400),
        ("DELETE", f"{ENROLMENTS}/{WAITS}?key_fingerprint=", 400),
        ("POST", f"{ENROLMENTS}/..%2fx/sign", 404),
        ("POST", f"{ENROLMENTS}/cloudmaster@x/sign", 400),
        ("DELETE", f"{ENROLMENTS}/*", 400),
        ("DELETE", f"{ENROLMENTS}/nobody.example.org", 404),
    ],
)
def test_what_nobody_asked_for_is_neither_signed_nor_rejected(
    world: Any, certmaster: Authority, key: bytes, method: str, path: str, status: int
) -> None:
    waiting(certmaster, key)
    assert world.ask(method, path).status == status
    assert [one.name for one in certmaster.describe_waiting()] == [WAITS]
    assert certmaster.list_signed() == []


def test_without_a_certmaster_nobody_is_let_in(world: Any) -> None:
    asked = [("GET", ""), ("POST", f"/{WAITS}/sign"), ("DELETE", f"/{WAITS}")]
    for answer in (world.ask(method, ENROLMENTS + path) for method, path in asked):
        assert answer.status == 503
        assert "certmaster is not running" in answer.json()["detail"]


@pytest.mark.parametrize("verb", ["sign", "reject"])
def test_a_button_decides_about_what_the_page_showed(
    world: Any, certmaster: Authority, key: bytes, verb: str
) -> None:
    waiting(certmaster, key)
    form = read(world, "/enrolment").form(f"/enrolment/requests/{WAITS}/{verb}")
    certmaster.clean(WAITS)
    other = waiting(certmaster, ca.new_key())
    late = post(world, form)
    assert late.status == 409
    assert "Nothing was decided" in page(late).text and "look at it again" in page(late).text
    assert [one.key_fingerprint for one in certmaster.describe_waiting()] == [other], "not what was seen"
    done = post(world, read(world, "/enrolment").form(f"/enrolment/requests/{WAITS}/{verb}"))
    assert (done.status, done.headers["location"]) == (303, "/enrolment")
    assert certmaster.list_waiting() == []
    assert [one.name for one in certmaster.list_signed()] == ([WAITS] if verb == "sign" else [])
    assert "Nobody waits" in read(world, "/enrolment").text


def test_what_is_no_request_can_be_rejected_and_not_signed(
    world: Any, certmaster: Authority, tmp_path: Path
) -> None:
    csrs = tmp_path / "ca/var/lib/certmaster/csrs"
    csrs.mkdir(parents=True)
    (csrs / f"{WAITS}.csr").write_text("garbage")
    actions = [form.action for form in read(world, "/enrolment").forms]
    assert f"/enrolment/requests/{WAITS}/sign" not in actions
    assert post(world, read(world, "/enrolment").form(f"/enrolment/requests/{WAITS}/reject")).status == 303
    assert certmaster.list_waiting() == []
