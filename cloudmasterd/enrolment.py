"""Ask the certmaster on this machine, over its local socket, who may come in, and have it say so."""

from __future__ import annotations

import http.client
import os
import socket
import xmlrpc.client
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Optional, TypeVar
from xml.parsers import expat

from cloudmasterd import acting
from cloudmasterd.errors import CertmasterUnreachable, CloudError, Conflict, Invalid, NotFound

T = TypeVar("T")

TIMEOUT_S = 10.0
SHORTEST_S, LONGEST_S, DEFAULT_S = 60, 30 * 86400, 3600

# The codes of certmaster's faults; 1 is whatever else went wrong there.
_FAULTS: dict[int, type[CloudError]] = {2: NotFound, 3: Invalid, 4: Conflict}

# A path of a Unix socket may not be longer than 107 bytes; a longer one is reached through its directory.
_LONGEST_PATH = 100

# What xmlrpc.client is seen to raise on an answer that is none, or of another shape.
_NO_ANSWER = (
    xmlrpc.client.Error,
    http.client.HTTPException,
    expat.ExpatError,
    ValueError,
    TypeError,
    KeyError,
)


@dataclass(frozen=True)
class EnrolmentToken:
    """A token that was just made; nobody can show `token` a second time."""

    id: str
    token: str = field(repr=False)
    name: str
    expires_at: datetime
    replace: bool
    ca_fingerprint: str


@dataclass(frozen=True)
class KnownToken:
    """What is known of a token: everything but its secret. `state` is open, claimed, used or expired."""

    id: str
    name: str
    state: str
    created_at: datetime
    expires_at: datetime
    replace: bool
    used_by: str  # the name that used it; empty while nobody has


@dataclass(frozen=True)
class WaitingRequest:
    """A request for a certificate that waits for an administrator."""

    name: str
    key_fingerprint: str  # SHA-256 of the public key, hex
    since: datetime
    address: str = ""  # where it came from; empty for one that waits since before this was kept


@dataclass(frozen=True)
class MasterCertificate:
    """What certmaster signed for this cloud master, and the authority it is of; both PEM."""

    certificate: str
    authority: str


class Enrolment:
    """The certmaster of this machine, over its local socket; `master` is what cloud instances call it.

    Every method raises CertmasterUnreachable where there is no answer, and Invalid, NotFound or Conflict in
    the certmaster's own words. Nothing is kept open between calls; safe to use from several threads.
    """

    def __init__(self, socket_path: Path, master: str, timeout_s: float = TIMEOUT_S) -> None:
        self.master = master
        self._path = socket_path
        self._timeout_s = timeout_s

    def new_token(
        self, name_glob: str, expires_s: int = DEFAULT_S, replace: bool = False, mark: str = ""
    ) -> EnrolmentToken:
        """A one-time token for the cloud instance of that name, or the first whose name the glob matches.

        With `replace` (one name, no glob) a new key may take the name although another has its certificate. A
        second token of the same `mark`, the caller's name for its request, is a Conflict.
        """
        try:
            made = self._call(_read_made, "new_token", name_glob, expires_s, replace, mark)
        except Invalid as exc:
            raise Invalid(str(exc), [("name", str(exc))]) from exc
        acting.tell(token=made.id, name=made.name, replace=made.replace)
        return made

    def metadata(self, token: EnrolmentToken) -> dict[str, str]:
        """The kernel options that make a machine enrol with the token while it is installed."""
        told = {"certmaster": self.master, "genome_token": token.token, "genome_ca": token.ca_fingerprint}
        if set(token.name).isdisjoint("*?[]!"):
            told["genome_name"] = token.name  # or the machine might go by another name than its token
        return told

    def list_tokens(self) -> tuple[KnownToken, ...]:
        """The tokens there are, newest first; those that ended stay for a week."""
        return self._call(_read_known, "list_tokens")

    def delete_token(self, token_id: str) -> None:
        """Take a token back; NotFound."""
        self._call(bool, "delete_token", token_id)

    def authority(self) -> str:
        """The SHA-256 of the authority's certificate (DER), 64 lower-case hexadecimal digits."""
        return self._call(lambda answer: str(answer["fingerprint"]), "authority")

    def list_waiting(self) -> tuple[WaitingRequest, ...]:
        """The requests that wait for an administrator, by name."""
        return self._call(_read_waiting, "list_waiting")

    def sign(self, name: str, key_fingerprint: str = "", by: str = "") -> None:
        """Sign what waits under a name; NotFound, and Conflict where another key waits than the one given.

        `by` is who wants it, for certmaster's own record.
        """
        acting.tell(key=key_fingerprint or "whichever waits")
        self._call(bool, "sign", name, key_fingerprint, by)

    def reject(self, name: str, key_fingerprint: str = "", by: str = "") -> None:
        """Drop what waits under a name, and let its key wait no more; NotFound, Conflict."""
        self._call(bool, "reject", name, key_fingerprint, by)

    def clean(self, name: str, by: str = "") -> int:
        """Remove the request of that one name and revoke its certificate; how many files went. NotFound."""
        return self._call(len, "clean", name, by)

    def master_certificate(self, csr_pem: str) -> MasterCertificate:
        """The certificate of this cloud master for the key of a request, whatever name that asks for.

        The same key gets the same certificate again; a new one takes its place, and that is revoked. Invalid,
        Conflict for a key that was revoked.
        """
        return self._call(_read_master, "master_certificate", csr_pem)

    def _call(self, read: Callable[[Any], T], method: str, *args: Any) -> T:
        transport = _UnixTransport(self._path, self._timeout_s)
        try:
            with xmlrpc.client.ServerProxy("http://certmaster/RPC2", transport=transport) as proxy:
                return read(getattr(proxy, method)(*args))
        except OSError as exc:
            raise CertmasterUnreachable(self._why(exc)) from exc
        except xmlrpc.client.Fault as exc:
            raise _FAULTS.get(exc.faultCode, CertmasterUnreachable)(exc.faultString) from exc
        except _NO_ANSWER as exc:
            text = f"{self._path} does not answer as a certmaster of this version does: {exc}"
            raise CertmasterUnreachable(f"{text}: bring certmaster up to date and start it again") from exc

    def _why(self, exc: OSError) -> str:
        if isinstance(exc, (FileNotFoundError, ConnectionRefusedError)):
            return (
                f"certmaster is not running, or listens elsewhere: nobody answers at {self._path}. Start "
                "certmaster, or set certmaster_socket to admin_socket of its certmaster.conf"
            )
        if isinstance(exc, PermissionError):
            return (
                f"{self._path} may not be used by this user: set admin_group in certmaster.conf to a group "
                "cloudmasterd is in, and start certmaster again"
            )
        if isinstance(exc, socket.timeout):
            return f"certmaster did not answer at {self._path} within {self._timeout_s:g} s: see its log"
        return f"certmaster cannot be asked at {self._path}: {exc.strerror or exc}"


def _read_made(answer: Any) -> EnrolmentToken:
    return EnrolmentToken(
        id=answer["id"],
        token=answer["token"],
        name=answer["name"],
        expires_at=datetime.fromisoformat(answer["expires_at"]),
        replace=answer["replace"],
        ca_fingerprint=answer["ca_fingerprint"],
    )


def _read_known(answer: Any) -> tuple[KnownToken, ...]:
    return tuple(
        KnownToken(
            id=item["id"],
            name=item["name"],
            state=item["state"],
            created_at=datetime.fromisoformat(item["created_at"]),
            expires_at=datetime.fromisoformat(item["expires_at"]),
            replace=item["replace"],
            used_by=item["used_by"],
        )
        for item in answer
    )


def _read_waiting(answer: Any) -> tuple[WaitingRequest, ...]:
    return tuple(
        WaitingRequest(
            item["name"], item["key_fingerprint"], datetime.fromisoformat(item["since"]), item["address"]
        )
        for item in answer
    )


def _read_master(answer: Any) -> MasterCertificate:
    return MasterCertificate(str(answer["certificate"]), str(answer["authority"]))


class _UnixTransport(xmlrpc.client.Transport):
    """xmlrpc.client's HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        """Send a call once: xmlrpc.client would send it again where the answer was lost."""
        return self.single_request(host, handler, request_body, verbose)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """The connection, not opened yet; the host of the URL means nothing here."""
        connection = _UnixConnection(self._path, self._timeout_s)
        self._connection = host, connection  # for close() to find
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("certmaster", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket; raises OSError."""
        with ExitStack() as on_error:
            sock = on_error.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.settimeout(self.timeout)
            self._reach(sock)
            on_error.pop_all()
        self.sock: Optional[socket.socket] = sock

    def _reach(self, sock: socket.socket) -> None:
        if len(os.fsencode(self._path)) <= _LONGEST_PATH:
            sock.connect(str(self._path))
            return
        directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)
