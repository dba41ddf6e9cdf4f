"""Ask a cobbler server for its profiles: XML-RPC without a token, and of each profile a few named fields."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional
from xml.parsers.expat import ExpatError

from cloudmasterd.clock import Clock
from cloudmasterd.errors import CobblerError, CobblerUnreachable
from cloudmasterd.model import Profile

PATH = "/cobbler_api"
CONNECT_S = 5.0
ANSWER_S = 20.0
MAX_REPLY_BYTES = 32 * 2**20  # a profile takes about 4 kB of XML
MAX_TEXT = 500
INHERITED = "<<inherit>>"
HIDDEN = "(hidden)"

_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
# Python's XML-RPC writes such a character as it is, and one in a comment would cost the whole catalogue.
_NO_XML = bytes(code for code in range(32) if code not in b"\t\n\r")
# kernel options are shown to everybody, and an installer's may hold the password of its screen
_SECRET_NAME = re.compile(r"pass|pw|secret|token|key|psk|auth|cred|hash", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\$[0-9a-z]{1,10}\$|//[^/@\s]+@", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Where a cobbler server is: `host`, its `port`, and whether it is spoken to over TLS."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        port = "" if self.port == usual else f":{self.port}"
        return f"{scheme}://{self.host}{port}"


def parse_address(text: str) -> Address:
    """Reads HOST, http://HOST or https://HOST, each with a port or without; raises ValueError."""
    found = _ADDRESS.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 1 <= port <= 65535):
        raise ValueError("a host name such as cobbler.example.org, or http://HOST or https://HOST")
    tls = found["scheme"] == "https"
    return Address(found["host"].lower(), port or (443 if tls else 80), tls)


class Cobbler:
    """One cobbler server; thread-safe. Every call raises CobblerError, and CobblerUnreachable for silence."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        *,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
        max_bytes: int = MAX_REPLY_BYTES,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self.address = address
        self._clock = clock
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._max_bytes = max_bytes
        self._context = (context or ssl.create_default_context()) if address.tls else None

    def modified(self) -> float:
        """The server's mark of its last change; the same mark means that nothing has changed since."""
        found = self._ask("last_modified_time")
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self._odd("last_modified_time", "a number", found)
        return float(found)

    def profiles(self) -> tuple[Profile, ...]:
        """All profiles by name, with what their distributions say; what is not named here is dropped."""
        distros = {_text(item.get("name")): item for item in self._items("get_distros")}
        items = {_text(item.get("name")): item for item in self._items("get_profiles")}
        items.pop("", None)
        return tuple(_profile(name, items, distros) for name in sorted(items))

    def _items(self, method: str) -> Sequence[Mapping[str, Any]]:
        found = self._ask(method)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._odd(method, "a list of objects", found)
        return found

    def _odd(self, method: str, wanted: str, found: Any) -> CobblerError:
        return CobblerError(
            f"{self.address} answered {method} with a {type(found).__name__} in place of {wanted}: is it a"
            " cobbler server of version 3?"
        )

    def _ask(self, method: str) -> Any:
        body = xmlrpc.client.dumps((), method, allow_none=True).encode("utf-8")
        try:
            return self._read(method, self._exchange(body))
        except ssl.SSLCertVerificationError as exc:
            raise CobblerError(
                f"the certificate of {self.address} is not to be trusted ({exc.verify_message}): add its"
                " authority to those this machine trusts, or correct cobbler_server"
            ) from exc
        except socket.gaierror as exc:
            raise CobblerUnreachable(
                f"the cobbler server {self.address.host} has no address here ({exc.strerror}): correct"
                " cobbler_server, or the name service"
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise CobblerUnreachable(
                f"the cobbler server {self.address} does not answer: {_why(exc)}"
            ) from exc

    def _exchange(self, body: bytes) -> bytes:
        """POST it and read the reply, all of it by one deadline."""
        until = self._clock.monotonic() + self._answer_s
        connection = self._open()
        try:
            connection.connect()
            sock = connection.sock  # after the head of the reply the connection may not know it any more
            assert sock is not None
            sock.settimeout(self._left(until))
            headers = {"Content-Type": "text/xml", "Accept-Encoding": "identity"}
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise CobblerError(
                    f"{self.address}{PATH} answers {response.status} {_plain(response.reason)}: is that a"
                    " cobbler server, and does cobblerd run there?"
                )
            return self._drain(sock, response, until)
        finally:
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if self._context is not None:
            return http.client.HTTPSConnection(host, port, timeout=self._connect_s, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=self._connect_s)

    def _drain(self, sock: socket.socket, response: http.client.HTTPResponse, until: float) -> bytes:
        parts, size = [], 0
        while part := response.read1(65536):
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise CobblerError(
                    f"the reply of {self.address} is longer than {self._max_bytes >> 20} MiB: that is no"
                    " catalogue of profiles"
                )
            sock.settimeout(self._left(until))
        return b"".join(parts)

    def _left(self, until: float) -> float:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _read(self, method: str, reply: bytes) -> Any:
        try:
            values, _ = xmlrpc.client.loads(reply.translate(None, delete=_NO_XML))
            return values[0]
        except xmlrpc.client.Fault as exc:
            raise CobblerError(f"{self.address} refused {method}: {_plain(exc.faultString)}") from exc
        except (ExpatError, xmlrpc.client.Error, ValueError, TypeError, LookupError) as exc:
            raise CobblerError(
                f"{self.address}{PATH} answered {method} with something that is not XML-RPC: is that a"
                " cobbler server?"
            ) from exc


def _profile(
    name: str, items: Mapping[str, Mapping[str, Any]], distros: Mapping[str, Mapping[str, Any]]
) -> Profile:
    item = items[name]
    line = _line(name, items)
    distro = next((told for told in (_text(i.get("distro")) for i in line) if told), "")
    about = distros.get(distro, {})
    return Profile(
        name=name,
        distro=distro,
        arch=_text(about.get("arch")) or None,
        breed=_text(about.get("breed")),
        os_version=_text(about.get("os_version")),
        kernel_options=_options(item.get("kernel_options")),
        autoinstall=_without_user(_inherited(line, "autoinstall", _text) or ""),
        memory_mb=_inherited(line, "virt_ram", _whole),
        vcpus=_inherited(line, "virt_cpus", _whole),
        disk_gb=_inherited(line, "virt_file_size", _size),
        comment=_text(item.get("comment")),
    )


def _line(name: str, items: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The profile, its parent, the parent's parent; a ring of them is cut open."""
    line: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    while name in items and name not in seen:
        seen.add(name)
        line.append(items[name])
        name = _text(items[name].get("parent"))
    return line


def _inherited(line: Sequence[Mapping[str, Any]], key: str, read: Any) -> Any:
    """What the nearest of the line says itself; None where all of them leave it to cobbler's settings."""
    told = (item.get(key) for item in line)
    return next((read(value) for value in told if value not in (None, "", INHERITED)), None)


def _options(given: Any) -> str:
    """Kernel options, which cobbler keeps as text or as an object, as they stand on a command line."""
    if isinstance(given, str):
        pairs = [word.partition("=")[::2] for word in given.split() if given != INHERITED]
    elif isinstance(given, Mapping):
        pairs = [(str(key), value) for key, values in given.items() for value in _each(values)]
    else:
        pairs = []
    return _text(" ".join(_option(str(key), _text(value)) for key, value in pairs))


def _each(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list) else [values]


def _option(key: str, value: str) -> str:
    if not value or value == "~":  # cobbler's mark of an option without a value
        return key
    secret = _SECRET_NAME.search(key) or _SECRET_VALUE.search(value)
    return f"{key}={HIDDEN if secret else value}"


def _without_user(address: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//", address)


def _text(value: Any) -> str:
    """Text in one line, of a length that a page can show; numbers are taken, anything else is empty."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return _plain(str(value))


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT]).split())[:MAX_TEXT]


def _whole(value: Any) -> Optional[int]:
    size = _size(value)
    return None if size is None else int(size)


def _size(value: Any) -> Optional[float]:
    """A size above nothing, as a number or as text of one."""
    try:
        size = float(_text(value) or 0)
    except ValueError:
        return None
    return size if 0 < size < 2**31 else None


def _why(exc: Exception) -> str:
    if isinstance(exc, (TimeoutError, socket.timeout)):  # two classes before Python 3.10
        return "no whole answer within its deadline"
    return _plain(str(exc)) or type(exc).__name__
