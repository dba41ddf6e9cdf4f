"""A real Apache with the packaged configuration before a real cloud master: who gets in, and as whom."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlencode

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.apache import AS_FROM, apache, certify, password_file, why_not, with_tls
from tests.integration.conftest import write_log
from tests.integration.support import Reply, ask, run_command

SECRET = "0123456789abcdef0123456789abcdef"
HOST = "cloud.example.org"
DESK, STRANGER = "192.168.7.1", "203.0.113.9"


@dataclass(frozen=True)
class Front:
    """Apache: its ports, and a context that trusts it."""

    cloud: Cloud
    plain: int
    tls: int
    context: ssl.SSLContext

    def ask(
        self,
        path: str,
        headers: Mapping[str, str] = {},
        *,
        tls: bool = True,
        come_from: str = DESK,
        form: Optional[Mapping[str, str]] = None,
        body: Optional[str] = None,
    ) -> Reply:
        """The answer to somebody at that address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.tls if tls else self.plain, timeout=30)
        if tls:
            connection.connect()
            connection.sock = self.context.wrap_socket(connection.sock, server_hostname=HOST)
        sent = {"Host": HOST, "X-Comes-From": come_from, "Accept": "application/json", **headers}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        try:
            connection.request("GET" if body is None else "POST", path, body, sent)
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def sign_in(self, *, tls: bool = True, come_from: str = DESK) -> Reply:
        """What is answered to the first password in the form, as a browser sends it."""
        html = {"Accept": "text/html"}
        page = self.ask("/login", html, tls=tls, come_from=come_from)
        cookie = SimpleCookie(page.headers["set-cookie"])
        (entry,) = (f"{name}={morsel.value}" for name, morsel in cookie.items())
        csrf = "".join(re.findall(r'name="csrf" value="(\w+)"', page.body.decode()))
        form = {"user": "admin", "password": self.cloud.admin.password(), "csrf": csrf, "next": "/machines"}
        return self.ask("/login", {**html, "Cookie": entry}, tls=tls, come_from=come_from, form=form)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """As the packages have it, with mod_ssl and a secret of both."""
    if why_not(tls=True):
        pytest.skip(why_not(tls=True))
    root, folder, ports = tmp_path_factory.mktemp("behind"), tmp_path_factory.mktemp("apache"), free_ports()
    if os.geteuid() == 0:  # Apache gives up root before it writes
        folder.chmod(0o755)
    secret = root / "master/etc/cloudmasterd/proxy-secret"
    secret.parent.mkdir(parents=True)
    secret.touch(0o600)
    secret.write_text(SECRET + "\n")
    cloud = Cloud(
        root, 1, ports=free_ports(), log=write_log,
        settings={
            "behind_proxy": "yes", "proxy_secret_file": "/etc/cloudmasterd/proxy-secret",
            "remote_user_role": "viewer", "public_url": f"http://127.0.0.1:{ports.web}/",
        },
    )  # fmt: skip
    certificate, key = certify(folder)
    besides = AS_FROM + with_tls(ports.func, certificate, key)
    try:
        cloud.start()
        with apache(folder, ports.web, cloud.ports.web, besides):
            yield Front(cloud, ports.web, ports.func, ssl.create_default_context(cafile=str(certificate)))
    finally:
        cloud.stop()


@pytest.fixture
def signing_in(front: Front, tmp_path: Path) -> Iterator[Front]:
    """Another Apache before the same cloud master, which signs Ada in itself."""
    ports = free_ports()
    if os.geteuid() == 0:
        tmp_path.chmod(0o755)
    certificate, key = certify(tmp_path)
    besides = AS_FROM + with_tls(ports.func, certificate, key)
    with password_file("Ada", "right") as file:
        with apache(tmp_path, ports.web, front.cloud.ports.web, besides, passwords=file, secret=SECRET):
            context = ssl.create_default_context(cafile=str(certificate))
            yield Front(front.cloud, ports.web, ports.func, context)


def basic(password: str = "right") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"Ada:{password}".encode()).decode()}


def newest_record(cloud: Cloud) -> Any:
    return ask(cloud, "GET", "/api/v1/audit?limit=1").json["items"][0]


@pytest.mark.parametrize("come_from", [DESK, STRANGER])
def test_over_tls_one_signs_in_from_wherever_one_is(front: Front, come_from: str) -> None:
    done = front.sign_in(come_from=come_from)
    assert (done.status, done.headers["location"]) == (303, "/machines"), done.body.decode()
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Host-cloudmasterd_session=")
    assert {"Secure", "HttpOnly"} <= {part.strip() for part in cookie.split(";")}
    assert "max-age" in done.headers["strict-transport-security"]
    session = {"Cookie": cookie.partition(";")[0]}
    assert front.ask("/api/v1/whoami", session, come_from=come_from).json["name"] == "admin"
    assert newest_record(front.cloud)["address"] == come_from


def test_over_plain_http_no_password_is_taken(front: Front) -> None:
    page = front.ask("/login", {"Accept": "text/html"}, tls=False)
    assert "Not over this connection" in page.body.decode()
    done = front.sign_in(tls=False)
    assert done.status == 403 and "strict-transport-security" not in done.headers
    assert "cloudmasterd_session" not in done.headers.get("set-cookie", "")


def test_over_plain_http_a_token_is_taken_in_a_private_network_alone(front: Front) -> None:
    known = front.cloud.admin.headers()
    assert front.ask("/api/v1/whoami", known, tls=False).status == 200
    assert front.ask("/api/v1/whoami", known, tls=False, come_from=STRANGER).status == 403


FORGED = [
    {"X-Remote-User": "admin"},
    {"X-Remote-User": "admin", "X-Proxy-Secret": SECRET},
    {"X_Remote_User": "admin", "X_Proxy_Secret": SECRET},
    {"x-remote-user": "admin", "X-PROXY-SECRET": SECRET},
]


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: ",".join(headers))
def test_nobody_is_somebody_by_saying_so(front: Front, headers: dict[str, str]) -> None:
    assert front.ask("/api/v1/whoami", headers).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Remote-User": "admin", "X-Proxy-Secret": SECRET[::-1]}, 403),
        ({"X-Remote-User": "admin"}, 403),
        ({"X_Remote_User": "admin", "X_Proxy_Secret": SECRET}, 401),
    ],
    ids=["wrong", "none", "underscores"],
)
def test_past_apache_it_takes_the_secret(front: Front, headers: dict[str, str], status: int) -> None:
    answer = ask(front.cloud, "GET", "/api/v1/whoami", headers=headers, signed_in=False)
    assert answer.status == status, answer.body
    assert SECRET not in answer.body.decode()


@pytest.mark.parametrize("said", ["203.0.113.1", "127.0.0.1", "127.0.0.1, 127.0.0.1", "x"])
def test_where_somebody_says_they_come_from_is_not_where_they_come_from(front: Front, said: str) -> None:
    headers = {**front.cloud.admin.headers(), "X-Forwarded-For": said, "Forwarded": f"for={said}"}
    answer = front.ask("/clouds/nowhere.example.org/refresh", {**headers, "Accept": "text/html"}, form={})
    assert answer.status in (403, 404)
    front.ask("/api/v1/clouds/nowhere.example.org/refresh", headers, form={})
    assert newest_record(front.cloud)["address"] == DESK


def test_whom_apache_signed_in_is_who_they_are_and_no_more(signing_in: Front) -> None:
    who = signing_in.ask("/api/v1/whoami", {**basic(), "X-Remote-User": "admin"}).json
    assert (who["name"], who["role"], who["means"]) == ("ada", "viewer", "proxy")
    assert signing_in.ask("/api/v1/users", basic()).status == 403


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/machines", 200), ("/account", 200), ("/users", 403)]
)
def test_somebody_who_is_no_user_here_may_look_around(signing_in: Front, path: str, status: int) -> None:
    page = signing_in.ask(path, {**basic(), "Accept": "text/html"})
    assert page.status == status, page.body.decode()


@pytest.fixture
def operator(front: Front) -> Iterator[None]:
    """Ada is a user here, who has no password."""
    create = ("user", "create", "ada", "--role", "operator", "--no-password")
    assert run_command(front.cloud, "cloudmasterctl", *create).returncode == 0
    yield
    assert run_command(front.cloud, "cloudmasterctl", "user", "delete", "ada").returncode == 0


@pytest.mark.usefixtures("operator")
def test_a_user_without_a_password_has_their_own_role(signing_in: Front) -> None:
    assert signing_in.ask("/api/v1/whoami", basic()).json["role"] == "operator"


@pytest.mark.parametrize("headers", [{}, basic("wrong"), {"X-Remote-User": "ada", "X-Proxy-Secret": SECRET}])
def test_whom_apache_does_not_know_gets_no_further(signing_in: Front, headers: dict[str, str]) -> None:
    answer = signing_in.ask("/api/v1/whoami", headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="cloud master"')


def test_tokens_pass_apache_by(signing_in: Front) -> None:
    who = signing_in.ask("/api/v1/whoami", signing_in.cloud.admin.headers()).json
    assert (who["name"], who["means"]) == ("admin", "token")


@pytest.mark.usefixtures("operator")
def test_what_they_change_takes_a_form_of_theirs(signing_in: Front) -> None:
    """The browser sends the password by itself, also with what another site makes it send."""
    page = signing_in.ask("/machines/new", {**basic(), "Accept": "text/html"})
    (csrf, *_) = re.findall(r'name="csrf" value="(\w+)"', page.body.decode())
    wanted = json.dumps({"memory_mb": 512, "disks": [{"size_gb": 1}]})
    known = {**basic(), "Content-Type": "application/json"}
    assert signing_in.ask("/api/v1/placements", known, body=wanted).status == 403
    assert signing_in.ask("/api/v1/placements", {**known, "X-CSRF-Token": csrf}, body=wanted).status == 200


def test_nothing_of_the_secret_is_shown(front: Front) -> None:
    for command in (
        ("cloudmasterd", "--check-config"),
        ("cloudmasterctl", "check"),
        ("cloudmasterctl", "status"),
    ):
        done = run_command(front.cloud, *command)
        assert SECRET not in done.stdout + done.stderr
    assert json.loads(run_command(front.cloud, "cloudmasterctl", "status", "--json").stdout)["first_password"]
