"""Say in three lines where the browser view is, where the first password is, and what is missing."""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import SplitResult, urlsplit

from cloudmasterd.accounts import FIRST_ADMIN
from cloudmasterd.config import Config
from cloudmasterd.errors import CloudError
from cloudmasterd.first import FirstPassword
from cloudmasterd.func_fabric import func_files, open_func

log = logging.getLogger(__name__)

ASK_S = 3.0
_BOOLEAN = "sys/fs/selinux/booleans/httpd_can_network_connect"
_ENFORCE = "sys/fs/selinux/enforce"
_POLICY = "usr/share/selinux/packages/targeted/cloudmasterd.pp.bz2"  # of the package cloudmasterd-selinux
_TLS = "dnf install mod_ssl; systemctl restart httpd"
_JOIN = "on a machine that is to be one: dnf install cloudmasterd-minion && cloudmaster-join {master}"


@dataclass(frozen=True)
class Web:
    """What answered at an address: a cloud master, something else (`status`), or nothing and why."""

    ours: bool
    status: int = 0
    error: str = ""


@dataclass(frozen=True)
class Standing:
    """What was seen of one cloud master."""

    public_url: str
    secure_url: str  # the same over TLS; empty where nobody needs that to sign in
    direct_url: str
    public: Web
    secure: Web
    direct: Web
    certmaster: str  # why it does not answer; empty when it does
    clouds: int
    clouds_error: str
    selinux_forbids: bool
    password: str  # where the first one is


@dataclass(frozen=True)
class Status:
    """The answer: the address to open, the password, and (what is missing, remedy) pairs."""

    view: str
    password: str
    missing: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """The three lines."""
        missing = "; ".join(f"{what} ({remedy})" for what, remedy in self.missing)
        return [
            f"Browser view:   {self.view}",
            f"First password: {self.password}",
            f"Missing:        {missing or 'nothing'}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The same for scripts."""
        return {
            "ready": not self.missing,
            "browser_view": self.view,
            "first_password": self.password,
            "missing": [{"what": what, "remedy": remedy} for what, remedy in self.missing],
        }


def judge(seen: Standing) -> Status:
    """What to say of what was seen."""
    missing: list[tuple[str, str]] = []
    if not seen.direct.ours:
        why = seen.direct.error or f"{seen.direct_url} is answered by another program"
        missing.append((f"cloudmasterd does not run: {why}", "systemctl enable --now cloudmasterd"))
    if seen.certmaster:
        missing.append((f"certmaster does not run: {seen.certmaster}", "systemctl enable --now certmaster"))
    if not seen.public.ours:
        missing.append(_why_no_view(seen))
    elif seen.secure_url and not seen.secure.ours:
        why = seen.secure.error or f"something else answers ({seen.secure.status})"
        missing.append((f"from other machines nobody can sign in: {seen.secure_url}: {why}", _TLS))
    if seen.clouds_error:
        missing.append((seen.clouds_error, "cloudmasterctl check"))
    elif not seen.clouds:
        master = urlsplit(seen.public_url).hostname or "MASTER"
        missing.append(("no cloud instance yet", _JOIN.format(master=master)))
    view = seen.public_url
    if seen.secure.ours:
        view = seen.secure_url
    elif not seen.public.ours:
        view = f"{seen.direct_url}, on this machine only, until {seen.public_url} answers"
    return Status(view, seen.password, tuple(missing))


def _why_no_view(seen: Standing) -> tuple[str, str]:
    if seen.selinux_forbids:
        return (
            "SELinux does not let httpd connect to cloudmasterd",
            "dnf install cloudmasterd-selinux; or setsebool -P httpd_can_network_connect on",
        )
    if seen.public.error:
        return (
            f"httpd does not answer at {seen.public_url}: {seen.public.error}",
            "systemctl enable --now httpd; or correct public_url in cloudmasterd.conf",
        )
    if seen.public.status in (502, 503, 504):
        return (
            f"httpd answers {seen.public.status} at {seen.public_url}: it does not reach {seen.direct_url}",
            "start cloudmasterd; see ProxyPass in /etc/httpd/conf.d/cloudmasterd.conf",
        )
    return (
        f"{seen.public_url} is answered by something else ({seen.public.status})",
        "see /etc/httpd/conf.d/cloudmasterd.conf, and public_url in cloudmasterd.conf",
    )


def look(config: Config, root: Path = Path("/"), timeout_s: float = ASK_S) -> Standing:
    """Look at a cloud master from its own machine; takes a few seconds at most, raises no CloudError."""
    direct_url, secure_url = url_of(config.listen_addr, config.listen_port), secure_url_of(config)
    clouds, clouds_error, certmaster = 0, "", ""
    try:
        files = func_files(config.func_root)
        certmaster = why_closed(files.listen_addr or "127.0.0.1", files.listen_port, timeout_s)
        fabric = open_func(config.func_root, timeout_s)
        try:
            clouds = len(fabric.list_clouds())
        finally:
            fabric.close()
    except CloudError as exc:
        clouds_error = str(exc)
    return Standing(
        public_url=config.public_url,
        secure_url=secure_url,
        direct_url=direct_url,
        public=ask(config.public_url, timeout_s),
        secure=ask(secure_url, timeout_s) if secure_url else Web(False),
        direct=ask(direct_url, timeout_s),
        certmaster=certmaster,
        clouds=clouds,
        clouds_error=clouds_error,
        selinux_forbids=_flag(root / _ENFORCE) is True
        and _flag(root / _BOOLEAN) is False
        and not (root / _POLICY).exists(),
        password=where_password(config.database),
    )


def where_password(database: Path) -> str:
    """Where the first admin's password is; never the password itself."""
    file = FirstPassword(database).path
    try:
        if file.exists():
            return f"in {file}, that of {FIRST_ADMIN}, until it is changed"
        if database.exists():
            return f"none any more: {FIRST_ADMIN} has changed it"
    except OSError as exc:
        return f"{file} cannot be looked at: {exc.strerror or exc}; run this as root"
    return f"in {file}, once cloudmasterd has started"


def log_soon(config: Config) -> threading.Thread:
    """Put the three lines into the log, from a thread: what does not answer must hold nobody up."""

    def work() -> None:
        for line in judge(look(config)).lines():
            log.info("%s", line)

    thread = threading.Thread(target=work, name="standing", daemon=True)
    thread.start()
    return thread


def url_of(listen_addr: str, listen_port: int) -> str:
    """Where the daemon itself is asked from this machine."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared with
    host = everywhere.get(listen_addr, listen_addr)
    return f"http://[{host}]:{listen_port}/" if ":" in host else f"http://{host}:{listen_port}/"


def secure_url_of(config: Config) -> str:
    """Where people from other machines sign in, through the web server in front; empty without one."""
    parts = urlsplit(config.public_url)
    if not config.behind_proxy or parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return ""
    return f"https://{parts.hostname}{parts.path}"


def is_loopback(address: str) -> bool:
    """Whether an IP address or a name is this machine's own for itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def why_closed(host: str, port: int, timeout_s: float) -> str:
    """Why nothing listens there; empty where something does."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as exc:
        return f"{host} port {port}: {exc.strerror or exc}"
    return ""


def ask(base: str, timeout_s: float, path: str = "healthz") -> Web:
    """See whether a cloud master answers below an address."""
    parts = urlsplit(base)
    connection = _connection(parts, timeout_s)
    try:
        connection.request("GET", f"{parts.path}{path}", headers={"Accept": "application/json"})
        response = connection.getresponse()
        return Web(_is_ours(response.read(4096)), response.status)
    except (OSError, http.client.HTTPException) as exc:
        return Web(False, error=str(getattr(exc, "strerror", None) or exc or type(exc).__name__))
    finally:
        connection.close()


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    # Whether browsers trust the certificate is not the question here, and nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)


def _is_ours(body: bytes) -> bool:
    try:
        return bool(json.loads(body) == {"status": "ok"})
    except ValueError:
        return False


def _flag(path: Path) -> Optional[bool]:
    """What a file of SELinux says; None where there is no SELinux."""
    try:
        return path.read_text(encoding="ascii").split()[:1] == ["1"]
    except (OSError, ValueError):
        return None
