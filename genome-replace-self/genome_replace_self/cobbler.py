"""Ask a cobbler server, without logging in: its profiles, what koan would take of one, its kickstart."""

from __future__ import annotations

import difflib
import http.client
import re
import urllib.error
import urllib.request
import xmlrpc.client
from dataclasses import dataclass
from typing import Any, Optional
from xml.parsers.expat import ExpatError

from genome_replace_self import kickstart, metadata
from genome_replace_self.errors import CobblerFailed

TIMEOUT_S = 60.0
# The installer knows nothing of a proxy in this shell's environment.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LARGEST_KICKSTART = 4 * 1024 * 1024
LARGEST_ANSWER = 32 * 1024 * 1024  # a profile takes about 4 kB of XML
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,100}")
PORT = re.compile(r"[0-9]{1,5}")
LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[?::1?\]?")
# What the standard library raises when it is answered with something else than XML-RPC.
JUNK = (xmlrpc.client.Error, ExpatError, http.client.HTTPException, ValueError, TypeError, LookupError)


@dataclass(frozen=True)
class Profile:
    """What koan takes of a profile, and its kickstart's address."""

    name: str
    distro: str
    arch: str
    os_version: str
    kernel_url: str
    initrd_url: str
    kickstart_url: str


class Transport(xmlrpc.client.Transport):
    """Neither waits nor reads for ever."""

    accept_gzip_encoding = False  # a small answer may be a large one, packed

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """As in the standard library, with a deadline for each read."""
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT_S
        return connection

    def parse_response(self, response: http.client.HTTPResponse) -> Any:
        """The value in a response; ValueError when it is larger than any server's profiles are."""
        parser, unmarshaller = self.getparser()
        size = 0
        while data := response.read(65536):
            size += len(data)
            if size > LARGEST_ANSWER:
                raise ValueError(f"more than {LARGEST_ANSWER} bytes")
            parser.feed(data)
        parser.close()
        return unmarshaller.close()


class Cobbler:
    """A cobbler server; every method raises CobblerFailed."""

    def __init__(self, server: str) -> None:
        self._server = server

    def list_profiles(self) -> list[str]:
        """The names of all profiles, in order."""
        answer = self._call("get_profiles")
        if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
            raise self._junk("get_profiles")
        return sorted(str(each["name"]) for each in answer if each.get("name"))

    def get_profile(self, name: str) -> Profile:
        """The profile of that name, as koan would see it."""
        answer = self._call("get_profile_as_rendered", name)
        if not isinstance(answer, dict):
            raise self._junk("get_profile_as_rendered")
        if not answer:
            raise CobblerFailed(f"{self._server} has no profile {name}{nearest(name, self.list_profiles())}")
        return profile_of(name, answer, self._server)

    def check_kickstart(self, profile: Profile) -> None:
        """Fetch the kickstart as the installer will, and refuse one that cobbler could not render."""
        try:
            with DIRECT.open(profile.kickstart_url, timeout=TIMEOUT_S) as reply:
                text = reply.read(LARGEST_KICKSTART).decode(errors="replace")
        except urllib.error.HTTPError as exc:
            with exc:
                said = exc.read(300).decode(errors="replace").strip()
            raise CobblerFailed(
                f"the kickstart of {profile.name} cannot be had: {profile.kickstart_url} gives"
                f" {exc.code}, {said}"
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise CobblerFailed(
                f"the kickstart of {profile.name} cannot be had from {profile.kickstart_url}: {reason(exc)}"
            ) from exc
        flaw = kickstart.flaw(text)
        if flaw:
            raise CobblerFailed(
                f"the kickstart of {profile.name} is no use: {flaw} ({profile.kickstart_url})"
            )

    def size_of(self, url: str) -> Optional[int]:
        """How many bytes a boot file has, None when the server does not say; it must be there."""
        try:
            with DIRECT.open(url, timeout=TIMEOUT_S) as reply:
                length = reply.headers.get("Content-Length", "")
                return int(length) if length.isdigit() else None
        except urllib.error.HTTPError as exc:
            exc.close()
            raise CobblerFailed(
                f"{url} answers {exc.code}: has `cobbler sync` been run on the server?"
            ) from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise CobblerFailed(f"{url} cannot be had: {reason(exc)}") from exc

    def _call(self, method: str, *args: str) -> Any:
        url = f"http://{self._server}/cobbler_api"
        try:
            with xmlrpc.client.ServerProxy(url, transport=Transport(), allow_none=True) as proxy:
                return getattr(proxy, method)(*args)
        except xmlrpc.client.Fault as exc:
            raise CobblerFailed(f"{self._server} refuses {method}: {exc.faultString[:300]}") from exc
        except xmlrpc.client.ProtocolError as exc:
            raise CobblerFailed(
                f"{url} answers {exc.errcode} {exc.errmsg}: is that a cobbler server, is cobblerd up?"
            ) from exc
        except OSError as exc:
            raise CobblerFailed(f"{self._server} cannot be reached on port 80: {reason(exc)}") from exc
        except JUNK as exc:
            raise self._junk(method) from exc

    def _junk(self, method: str) -> CobblerFailed:
        return CobblerFailed(
            f"http://{self._server}/cobbler_api answers {method} with something that no cobbler server says"
        )


def profile_of(name: str, rendered: dict[str, Any], server: str) -> Profile:
    """What we need of cobbler's answer, checked; the rest of it, with the server's settings, is dropped."""
    taken = {}
    for key in ("kernel", "initrd", "http_server", "distro", "distro_name", "arch", "os_version"):
        value = rendered.get(key) or ""
        if not isinstance(value, str):
            raise CobblerFailed(
                f"{server} says of profile {name} that its {key} is {value!r}, which is no text"
            )
        taken[key] = value
    web = check_address(taken["http_server"] or server, server)
    distro = taken["distro"] or taken["distro_name"]
    files = {}
    for key in ("kernel", "initrd"):
        file = taken[key]
        base = file.rpartition("/")[2]
        if not FILE_NAME.fullmatch(base):
            raise CobblerFailed(f"profile {name} has no {key} that koan could fetch: {file!r}")
        files[key] = (
            file
            if file.startswith(("http://", "https://"))
            else f"http://{web}/cobbler/images/{distro}/{base}"
        )
    return Profile(
        name=name,
        distro=distro,
        arch=taken["arch"],
        os_version=taken["os_version"],
        kernel_url=files["kernel"],
        initrd_url=files["initrd"],
        kickstart_url=f"http://{web}/cblr/svc/op/ks/profile/{name}",
    )


def check_address(web: str, server: str) -> str:
    """Where cobbler says it is, a host name and perhaps a port: it goes to the installer's command line."""
    if LOOPBACK.fullmatch(web.rpartition(":")[0] or web) and web != server:
        raise CobblerFailed(
            f"{server} says that its own address is {web}, which no other machine can reach:"
            " set `server` in its /etc/cobbler/settings.yaml to its name, and restart cobblerd"
        )
    host, colon, port = web.partition(":")
    if not metadata.HOST_NAME.fullmatch(host) or (colon and not PORT.fullmatch(port)):
        raise CobblerFailed(
            f"{server} says that its own address is {web[:80]!r}, which is no host name: set `server` in its"
            " /etc/cobbler/settings.yaml, and restart cobblerd"
        )
    return web


def nearest(name: str, names: list[str]) -> str:
    """Behind `no such profile`: the one that was probably meant, or where to see them all."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f": did you mean {near[0]}?"
    return ": --list shows those it has" if names else ", and no other either"


def reason(exc: BaseException) -> str:
    """An error of the network in words, not as `<urlopen error ...>`."""
    inner = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
