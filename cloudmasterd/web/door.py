"""Tell who somebody is: by a token, by the session of their browser, or by the web server in front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cloudmasterd.access import Access
from cloudmasterd.rights import ANONYMOUS, Identity
from cloudmasterd.web import cookies, csrf
from cloudmasterd.web.bearer import bearer_of
from cloudmasterd.web.proxy import Proxy

UNASKED = "X-Unasked"  # live.js sends it when it asks by itself and nobody sits there


class Entrance:
    """The door of a cloud master that has users. `key` is its secret for the forms of proxy users."""

    def __init__(self, access: Access, proxy: Proxy, key: str) -> None:
        self._access = access
        self._proxy = proxy
        self._key = key

    def identify(self, headers: Mapping[str, str], address: str) -> Identity:
        """Who sent a request with these headers; ANONYMOUS when they do not say.

        Raises Unauthenticated for a credential that is no good, Forbidden for one that is forged.
        """
        origin = self._proxy.origin(headers, address)
        name = self._proxy.remote_user(headers, address)
        if name is not None:
            # what the browser showed the web server in front may be in Authorization: that is not for us
            found = self._access.by_proxy(name)
            return replace(found, csrf=csrf.made_of(self._key, found.name))
        token = bearer_of(headers)
        if token is not None:
            return self._access.by_token(token, origin.address)
        secret = cookies.read(headers, cookies.SESSION, origin.tls)
        if secret is None:
            return ANONYMOUS
        found = self._access.by_session(secret, origin.address, by_hand=headers.get(UNASKED) is None)
        return replace(found, csrf=csrf.made_of(secret, "session"))
