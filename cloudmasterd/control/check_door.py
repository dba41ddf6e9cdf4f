"""Look for the usual faults in how people get in: what could be read by whom it should not be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from cloudmasterd.accounts import FIRST_ADMIN
from cloudmasterd.config import Config
from cloudmasterd.control.findings import Finding, fault, ok, warn
from cloudmasterd.control.status import is_loopback
from cloudmasterd.errors import ConfigError
from cloudmasterd.first import FirstPassword
from cloudmasterd.secret_file import read_secret

CHANGED_WITHIN = timedelta(days=7)
_BEHIND = "set behind_proxy = yes in cloudmasterd.conf, and restart cloudmasterd"


def check_door(config: Config, now: datetime) -> Iterator[Finding]:
    """Every finding about how people get in."""
    found = [*_listening(config), *_secret(config), *_first_password(config.database, now)]
    yield from found
    if not found:
        yield ok("login", "passwords and secrets are where nobody else reads them")


def _listening(config: Config) -> Iterator[Finding]:
    at = f"{config.listen_addr} port {config.listen_port}"
    if is_loopback(config.listen_addr):
        if not config.behind_proxy and urlsplit(config.public_url).port != config.listen_port:
            yield warn(
                "login",
                f"{config.public_url} is another program in front, and its word on who asks is not believed:"
                " to cloudmasterd everybody comes from this machine",
                _BEHIND,
            )
    elif not config.behind_proxy:
        yield warn(
            "login",
            f"cloudmasterd listens on {at} in plain HTTP: from other machines nobody can sign in there",
            f"listen_addr = 127.0.0.1 and a web server in front that speaks TLS; {_BEHIND}",
        )
    elif all(map(is_loopback, config.proxy_addr)):
        yield warn(
            "login",
            f"cloudmasterd listens on {at}: who goes there passes by the web server in front, in plain HTTP",
            "listen_addr = 127.0.0.1 in cloudmasterd.conf, and restart cloudmasterd",
        )


def _secret(config: Config) -> Iterator[Finding]:
    if config.proxy_secret_file is None:
        return
    try:
        read_secret(config.proxy_secret_file)
    except ConfigError as exc:
        yield fault(
            "login", str(exc), "put it right here and in Apache's file; restart cloudmasterd and httpd"
        )


def _first_password(database: Path, now: datetime) -> Iterator[Finding]:
    file = FirstPassword(database).path
    if not file.exists():
        return
    since = now - datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    if since > CHANGED_WITHIN:
        yield warn(
            "login",
            f"the first password of {FIRST_ADMIN} stands in {file} since {since.days} days, unchanged",
            f"sign in as {FIRST_ADMIN} and change it: the file goes then",
        )
