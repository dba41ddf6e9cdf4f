"""A cloud under attack: names out of libvirt that mean harm, people of every role, raw ways to its door."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlencode

from cloudmasterd.clock import SystemClock
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Role
from cloudmasterd.store.beside import open_beside
from demo.cloud import MASTER, Cloud, free_ports
from demo.nodes import Machine
from tests.attacks.harm import HARM, PATHS
from tests.attacks.hostile_cobbler import hostile_cobbler

SESSION = "cloudmasterd_session"
ENTRY = "cloudmasterd_login"
FORM = "application/x-www-form-urlencoded"
CSRF = re.compile(r'name="csrf" value="(\w+)"')

_DOMAIN = """\
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>{name}</name><uuid>{uuid}</uuid><title>{title}</title><description>{title}</description>
    <metadata>
      <m:machine xmlns:m='urn:cloudmasterd:machine' managed='yes' task='{title}' operation='{title}'/>
      <o:owner xmlns:o='urn:example:other' by='{title}'>{title}</o:owner>
    </metadata>
    <memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>
    <test:runstate>5</test:runstate>
  </domain>
"""


def xml_text(text: str) -> str:
    """Text as it may stand in an element or an attribute."""
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&apos;"), ('"', "&quot;")):
        text = text.replace(letter, entity)
    return text


class HostileCloud(Cloud):
    """A cloud whose first instance has machine instances that somebody named to do harm."""

    harmful: tuple[Machine, ...] = tuple(
        Machine(name.replace("/", "∕"), "off", 128, 1) for name in (*HARM, *PATHS)
    )

    def prepare(self) -> None:
        super().prepare()
        file = self.root_of(self.nodes[0].name) / "node.xml"
        more = "".join(
            _DOMAIN.format(
                name=xml_text(machine.name), uuid=machine.uuid, title=xml_text(HARM[i % len(HARM)])
            )
            for i, machine in enumerate(self.harmful)
        )
        text = file.read_text(encoding="utf-8")
        assert "  <network>\n" in text
        file.write_text(text.replace("  <network>\n", more + "  <network>\n", 1), encoding="utf-8")


def is_whole(answers: bytes) -> bool:
    """Whether nothing is missing of the last of these answers, as far as the heads say how long they are."""
    while answers:
        head, end, rest = answers.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\nContent-Length: *(\d+)", head)
        has_body = not re.match(rb"HTTP/1\.1 (1\d\d|204|304) ", head)
        if not end or (has_body and (length is None or len(rest) < int(length[1]))):
            return False
        answers = rest[int(length[1]) :] if has_body and length is not None else rest
    return True


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    all_headers: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    def json(self) -> Any:
        return json.loads(self.body)

    def cookie(self, name: str) -> Optional[str]:
        """What the answer sets a cookie to."""
        for key, value in self.all_headers:
            if key.lower() == "set-cookie" and value.partition("=")[0] == name:
                return SimpleCookie(value)[name].value
        return None


@dataclass(frozen=True)
class Person:
    """Somebody with a password and a token; `cookie` and `csrf` are those of their session."""

    name: str
    password: str
    token: str
    role: Role
    cookie: str = ""
    csrf: str = ""

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def session(self) -> dict[str, str]:
        return {"Cookie": f"{SESSION}={self.cookie}"}


@dataclass
class Town:
    """The cloud, its people by name, and what its programs said."""

    cloud: Cloud
    people: dict[str, Person] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Person:
        try:
            return self.__dict__["people"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def port(self) -> int:
        return self.cloud.ports.web

    @property
    def database(self) -> Path:
        return self.cloud.root_of(MASTER) / "var/lib/cloudmasterd/cloudmasterd.db"

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] = {},
        body: Optional[bytes] = None,
        timeout_s: float = 90.0,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            found = tuple(response.getheaders())
            return Answer(response.status, {k.lower(): v for k, v in found}, response.read(), found)
        finally:
            connection.close()

    def raw(
        self, data: bytes, timeout_s: float = 60.0, port: Optional[int] = None, silence_s: float = 1.0
    ) -> bytes:
        """All that comes back for these bytes, until the other end closes, or is silent after a whole one."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=timeout_s) as sock:
            with suppress(ConnectionError):  # it may have answered before it had it all
                sock.sendall(data)
            found = b""
            while True:
                try:
                    more = sock.recv(65536)
                except (socket.timeout, ConnectionResetError):
                    return found
                if not more:
                    return found
                found += more
                sock.settimeout(silence_s if is_whole(found) else timeout_s)

    def form(
        self, target: str, fields: Mapping[str, str], who: Optional[Person] = None, **headers: str
    ) -> Answer:
        """A form that is sent with what the page of that session gives it."""
        known = {} if who is None else who.session
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**({} if who is None else {"csrf": who.csrf}), **fields}
        accept = {"Accept": "text/html", "Content-Type": FORM}
        return self.ask("POST", target, {**accept, **known, **more}, urlencode(sent).encode())

    def entry(self, **headers: str) -> tuple[str, str]:
        """The cookie and the token of a fresh login form."""
        page = self.ask("GET", "/login", {"Accept": "text/html", **headers})
        found = CSRF.search(page.text)
        cookie = page.cookie(ENTRY)
        assert page.status == 200 and found is not None and cookie is not None, page
        return cookie, found[1]

    def log_in(self, name: str, password: str, next_: str = "/", **headers: str) -> Answer:
        """What the form of the login answers."""
        cookie, csrf = self.entry()
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"user": name, "password": password, "csrf": csrf, "next": next_}
        known = {"Cookie": f"{ENTRY}={cookie}", "Accept": "text/html", "Content-Type": FORM}
        return self.ask("POST", "/login", {**known, **more}, urlencode(sent).encode())

    def signed_in(self, person: Person, **headers: str) -> Person:
        """The person with a new session."""
        answer = self.log_in(person.name, person.password, **headers)
        cookie = answer.cookie(SESSION)
        assert answer.status == 303 and cookie, answer
        page = self.ask("GET", "/account", {"Cookie": f"{SESSION}={cookie}", "Accept": "text/html"})
        found = CSRF.search(page.text)
        assert page.status == 200 and found is not None, page
        return replace(person, cookie=cookie, csrf=found[1])

    def make(
        self, name: str, role: Role, scope: tuple[str, ...] = (), password: str = "", session: bool = True
    ) -> Person:
        """A new user, with a token of the same rights, straight into the database."""
        clock = SystemClock()
        password = password or f"the long secret of {name}"
        with open_beside(self.database, clock) as rows:
            people = People(rows, clock, Passwords(clock))
            people.create_user(name, role, password, scope)
            _, secret = people.create_token(name, "for tests", role)
        person = Person(name, password, secret, role)
        return self.signed_in(person) if session else person


@contextmanager
def open_town(folder: Path, **settings: object) -> Iterator[Town]:
    """A cloud of one instance; its admin, an operator, one who is bound to team=web, and a viewer."""
    log: list[str] = []
    usual = {"poll_interval_s": 5, "minion_timeout_s": 5, "log_level": "debug"}
    with hostile_cobbler() as cobbler:
        cloud = HostileCloud(
            folder, 1, ports=free_ports(), log=lambda name, line: log.append(f"{name} | {line}"),
            settings={**usual, "cobbler_server": cobbler, **settings},
        )  # fmt: skip
        try:
            cloud.start()
            town = Town(cloud, log=log)
            admin = Person("admin", cloud.admin.password(), cloud.admin.token(), Role.ADMIN)
            town.people["admin"] = town.signed_in(admin)
            town.people["olga"] = town.make("olga", Role.OPERATOR)
            town.people["wendy"] = town.make("wendy", Role.OPERATOR, ("team=web",))
            town.people["vera"] = town.make("vera", Role.VIEWER)
            yield town
        finally:
            cloud.stop()
