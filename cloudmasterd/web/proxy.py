"""What is believed of what a web server in front says: from where a request comes, and who has signed in."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Optional

from cloudmasterd.errors import Forbidden

_LONGEST = 64  # that an address can be; what is longer is not remembered
_MOST_KNOWN = 1024  # addresses that are not worked out again; every request has one, and mostly the same

# what Apache writes for a variable that is not set
_NOBODY = ("", "(null)", "-")
_FORGED = (
    "X-Remote-User and X-Proxy-Secret are believed of the web server in front alone: have it remove both from"
    " what clients send, and set them itself (behind_proxy, proxy_addr and proxy_secret_file say which it is)"
)


@dataclass(frozen=True)
class Origin:
    """Where a request comes from: `address` is the client's own, as far as that is known.

    `tls`: its client speaks TLS with the web server in front. `private`: nobody on the way can read along,
    because of TLS or because it never leaves this machine.
    """

    address: str
    tls: bool = False
    private: bool = False


@dataclass(frozen=True)
class Proxy:
    """The web server in front: the addresses it asks from and the secret shared with it.

    Without addresses there is none, without a secret nobody is believed to have been signed in by it.
    """

    addresses: frozenset[str] = frozenset()
    secret: str = field(default="", repr=False)

    def origin(self, headers: Mapping[str, str], peer: str) -> Origin:
        """Where a request with these headers on a connection from `peer` comes from."""
        near = _address(peer)
        if near not in self.addresses:
            return _direct(near or peer)
        kind = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
        client = self._client(headers.get("X-Forwarded-For", ""), near)
        # where it does not say, what behind_proxy promises holds: it speaks TLS
        return Origin(client, tls=kind == "https", private=kind in ("https", ""))

    def remote_user(self, headers: Mapping[str, str], peer: str) -> Optional[str]:
        """The name of whom the web server has signed in; None where it says nothing of that.

        Raises Forbidden when it is not that web server who says so.
        """
        name, secret = headers.get("X-Remote-User"), headers.get("X-Proxy-Secret")
        if name is None and secret is None:
            return None
        if _address(peer) not in self.addresses or not self.secret or not _same(secret or "", self.secret):
            raise Forbidden(_FORGED)
        name = (name or "").strip()
        return None if name in _NOBODY else name

    def _client(self, forwarded: str, near: str) -> str:
        # each web server adds, at the end, whom it was asked by; what stands before the first that is none
        # of ours was made up by that one, or might be
        found = near
        for text in reversed(forwarded.split(",")):
            text = text.strip()
            before = _address(text) if len(text) <= _LONGEST else ""
            if not before:
                break
            found = before
            if before not in self.addresses:
                break
        return found


NO_PROXY = Proxy()


def proxy_at(addresses: Iterable[str], secret: str = "") -> Proxy:
    """The web server that asks from these addresses."""
    return Proxy(frozenset(filter(None, map(_address, addresses))), secret)


def refuse_open(private: bool, what: str) -> None:
    """Raises Forbidden unless nobody on the way can read along; `what` is what would be read."""
    if not private:
        raise Forbidden(
            f"{what} would go over plain HTTP, for anybody on the way to read: come by https through a web"
            " server in front (behind_proxy), or from the cloud master itself, e.g. through an SSH tunnel"
        )


@lru_cache(_MOST_KNOWN)
def _address(text: str) -> str:
    """An address in the one way it is written here; empty for what is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    # a server that listens on :: sees IPv4 clients like this
    return str((found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found)


@lru_cache(_MOST_KNOWN)
def _direct(address: str) -> Origin:
    """Of a connection from there, with no web server in between."""
    known = _address(address)
    return Origin(address, private=bool(known) and ip_address(known).is_loopback)


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode("utf-8"))
