"""Speak XML-RPC with a cobbler server."""

from __future__ import annotations

import http.client
import re
import xmlrpc.client
from collections.abc import Mapping
from typing import Any, Optional
from xml.parsers.expat import ExpatError

from genome_register_profiles.errors import Refused, ServerError

TIMEOUT_S = 60


class _Transport(xmlrpc.client.Transport):
    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT_S
        return connection


class _SafeTransport(xmlrpc.client.SafeTransport):
    def make_connection(self, host: Any) -> http.client.HTTPSConnection:
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT_S
        return connection


class Server:
    """Cobbler's XML-RPC. Every method raises Refused or ServerError."""

    def __init__(self, url: str) -> None:
        self.url = url
        transport = _SafeTransport() if url.startswith("https:") else _Transport()
        self._proxy = xmlrpc.client.ServerProxy(url, transport=transport, allow_none=True)
        self._token = ""

    def login(self, user: str, password: str) -> None:
        """Get a token, for what comes after."""
        try:
            self._token = str(self.call("login", user, password))
        except Refused as exc:
            raise ServerError(f"{self.url} does not take this password of {user}") from exc

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of cobbler's."""
        try:
            return getattr(self._proxy, method)(*arguments)
        except xmlrpc.client.Fault as exc:
            text = re.sub(r"^<class '[^']*'>:", "", exc.faultString).strip("'\"")
            raise Refused(f"cobbler refused {method}: {text}") from exc
        except xmlrpc.client.ProtocolError as exc:
            raise ServerError(f"{self.url} is no cobbler server: {exc.errcode} {exc.errmsg}") from exc
        except (xmlrpc.client.ResponseError, ExpatError) as exc:
            raise ServerError(f"{self.url} is no cobbler server: its answer is no XML-RPC") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise ServerError(f"{self.url} does not answer: {exc}") from exc

    def template(self, name: str) -> Optional[str]:
        """The text of a template, None where there is none."""
        try:
            return str(self.call("read_autoinstall_template", name, self._token))
        except Refused as exc:
            if "not found" in str(exc):
                return None
            raise

    def write_template(self, name: str, text: str) -> None:
        """Write a template, over one that is there."""
        self.call("write_autoinstall_template", name, text, self._token)

    def profile(self, name: str) -> Optional[Mapping[str, Any]]:
        """The profile as it was saved, None where there is none."""
        found = self.call("get_profile", name)
        return found if isinstance(found, dict) and found.get("name") == name else None

    def save(self, name: str, fields: Mapping[str, Any], new: bool) -> None:
        """Make a profile with these fields, or change them in one that is there."""
        if new:
            handle = self.call("new_profile", self._token)
            self.call("modify_profile", handle, "name", name, self._token)
        else:
            handle = self.call("get_profile_handle", name, self._token)
        for key, value in fields.items():
            self.call("modify_profile", handle, key, value, self._token)
        self.call("save_profile", handle, self._token)

    def has_kickstart(self, name: str) -> bool:
        """Whether clients such as koan get to see that the profile has a kickstart."""
        return bool(self.call("get_profile_as_rendered", name).get("kickstart"))

    def refresh(self, name: str, autoinstall: str) -> None:
        """Have cobbler render it anew: after a save 3.3.x shows it without its kickstart, up to a change."""
        handle = self.call("get_profile_handle", name, self._token)
        self.call("modify_profile", handle, "autoinstall", autoinstall, self._token)
