"""Ask the certmaster of minion.conf over XML-RPC, and say in words what went wrong."""

from __future__ import annotations

import http.client
import xmlrpc.client
from typing import Any
from xml.parsers import expat

from certmaster.config import MinionConfig
from certmaster.errors import NoCertificate, NotSupported, TokenNotTaken, Unreachable
from certmaster.rpc import BROKEN, TOKEN_REFUSED

CALL_TIMEOUT_S = 20.0
_LONGEST_SAID = 500

# A list of 200,000 revoked certificates. It comes over plain HTTP, from whoever is there.
LONGEST_ANSWER = 16 * 2**20


class _Transport(xmlrpc.client.Transport):
    """xmlrpc.client's HTTP with a deadline on every read and write, and an end to what is read."""

    accept_gzip_encoding = False

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """The connection to `host`, not opened yet."""
        connection = super().make_connection(host)
        connection.timeout = self._timeout_s
        return connection

    def parse_response(self, response: Any) -> Any:
        """The values in the answer; raises ValueError for one that is too long."""
        body = response.read(LONGEST_ANSWER + 1)
        if len(body) > LONGEST_ANSWER:
            raise ValueError(f"it is longer than {LONGEST_ANSWER} bytes")
        parser, unmarshaller = self.getparser()
        parser.feed(body)
        parser.close()
        return unmarshaller.close()


def where_is(config: MinionConfig) -> str:
    """The certmaster as messages call it."""
    return f"the certmaster at {config.certmaster} port {config.certmaster_port}"


def call(config: MinionConfig, timeout_s: float, method: str, *args: str) -> Any:
    """What the certmaster answers.

    Raises Unreachable, TokenNotTaken, NotSupported where it has no such method, and NoCertificate for every
    other fault.
    """
    host = f"[{config.certmaster}]" if ":" in config.certmaster else config.certmaster
    where = where_is(config)
    url = f"http://{host}:{config.certmaster_port}/RPC2"
    try:
        with xmlrpc.client.ServerProxy(url, transport=_Transport(timeout_s)) as proxy:
            return getattr(proxy, method)(*args)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise Unreachable(f"{where} cannot be reached: {reason} (set in certmaster's minion.conf)") from exc
    except xmlrpc.client.Fault as exc:
        said = "".join(c if c.isprintable() else "?" for c in exc.faultString[:_LONGEST_SAID])
        if exc.faultCode == TOKEN_REFUSED:
            raise TokenNotTaken(f"{where} refuses the request: {said}") from exc
        if f'method "{method}" is not supported' in said:
            raise NotSupported(f"{where} is of before this release: it has no {method}") from exc
        raise NoCertificate(f"{where} answers: {said}") from exc
    except (xmlrpc.client.Error, http.client.HTTPException, expat.ExpatError, *BROKEN) as exc:
        raise unlike_certmaster(config, str(exc)) from exc


def unlike_certmaster(config: MinionConfig, what: str) -> Unreachable:
    """The error for an answer that no certmaster gives."""
    return Unreachable(f"{where_is(config)} does not answer as a certmaster does: {what}")


def read_certificates(config: MinionConfig, answer: object) -> tuple[bool, bytes, bytes]:
    """Whether it is signed, certificate and authority, out of an answer; raises Unreachable for any other."""
    if isinstance(answer, (list, tuple)) and len(answer) == 3 and isinstance(answer[0], bool):
        signed, cert, authority = answer
        if not signed:
            return False, b"", b""
        if isinstance(cert, str) and isinstance(authority, str):
            return True, cert.encode(), authority.encode()
    raise unlike_certmaster(config, f"{str(answer)[:80]!r}")
