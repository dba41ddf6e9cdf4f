"""Look for the usual faults on the machine of the cloud master itself."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from cloudmasterd.clock import Clock
from cloudmasterd.cobbler import Cobbler
from cloudmasterd.config import Config
from cloudmasterd.control import status
from cloudmasterd.control.check_door import check_door
from cloudmasterd.control.findings import Finding, fault, judge_end, judge_mode, judge_room, ok, warn
from cloudmasterd.control.places import Kind, Places, files_of
from cloudmasterd.errors import CobblerError, StoreError
from cloudmasterd.func_fabric import certificate_ends, open_own
from cloudmasterd.store.copying import look_at, look_at_record

_ANYBODY = "others can read what must be secret, or change it"
_OWN = "certificate of this cloud master"
_RENEW_CA = "every cloud instance has to join a new authority (cloudmaster-join --force): begin early"
_RENEW_OWN = "remove it and start funcd here again; certmaster-ca --sign signs the new one"


def check_here(config: Config, where: Places, clock: Clock) -> Iterator[Finding]:
    """Every finding about this machine."""
    yield from _programs(config, where)
    yield from _names(config)
    yield from _database(where)
    yield from _permissions(where)
    yield from check_door(config, clock.now())
    yield from _certificates(where, clock.now())
    yield from _own_certificate(config, clock)
    yield from _room(config, where)
    yield from _cobbler(config, clock)


def _programs(config: Config, where: Places) -> Iterator[Finding]:
    for what, remedy in status.judge(status.look(config, where.root)).missing:
        yield (warn if what.startswith("no cloud instance") else fault)("status", what, remedy)
    direct = status.url_of(config.listen_addr, config.listen_port)
    if status.ask(direct, status.ASK_S).ours:
        reasons = _reasons(direct)
        if reasons:
            for reason in reasons:
                yield fault("cloudmasterd", f"it is not ready: {reason}", "journalctl -u cloudmasterd")
        else:
            yield ok("cloudmasterd", f"ready at {direct}")
    files = where.func
    closed = status.why_closed(files.listen_addr or "127.0.0.1", files.listen_port, status.ASK_S)
    if not closed:
        yield ok("certmaster", f"listens on port {files.listen_port}")


def _reasons(base: str) -> list[str]:
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=status.ASK_S)
    try:
        connection.request("GET", "/readyz")
        body = json.loads(connection.getresponse().read())
        return [str(reason) for reason in body["reasons"]]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as exc:
        return [f"/readyz gives no answer: {exc}"]
    finally:
        connection.close()


def _names(config: Config) -> Iterator[Finding]:
    name = urlsplit(config.public_url).hostname or socket.gethostname()
    what = f"name {name}"
    try:
        found = sorted({str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError) as exc:
        yield fault(
            what,
            f"this machine does not know it: {getattr(exc, 'strerror', None) or exc}",
            f"give {name} an address in the DNS, or name another host in public_url of cloudmasterd.conf",
        )
        return
    if all(address.startswith("127.") or address == "::1" for address in found):
        yield warn(
            what,
            f"it is {', '.join(found)} here: cloud instances and browsers elsewhere cannot go there",
            f"take {name} out of the 127.0.0.1 line in /etc/hosts, and see that the DNS has its address",
        )
    else:
        yield ok(what, ", ".join(found))


def _database(where: Places) -> Iterator[Finding]:
    try:
        health = look_at(where.database)
    except StoreError as exc:
        yield fault(
            "database", str(exc), "start cloudmasterd once, or put a backup back: cloudmasterctl restore"
        )
        return
    if health.problem:
        yield fault("database", health.problem, "stop cloudmasterd, then cloudmasterctl restore FILE --force")
    else:
        yield ok("database", f"{where.database} is sound, schema version {health.version}")
        yield _record(where)


def _record(where: Places) -> Finding:
    verdict = look_at_record(where.database)
    if verdict.whole:
        return ok("audit", f"{verdict.head.count} records, whole from {verdict.first} on")
    return fault(
        "audit",
        f"the record is not whole: {verdict.wrong[0]}",
        "somebody wrote into the database past cloudmasterd: keep a copy, then cloudmasterctl audit verify",
    )


def _permissions(where: Places) -> Iterator[Finding]:
    found = [finding for finding in _modes(where) if finding is not None]
    yield from found
    owners = list(_owners(where))
    yield from owners
    if not found and not owners:
        yield ok("permissions", "secrets are nobody else's, and cloudmasterd can write what it has to")


def _modes(where: Places) -> Iterator[Optional[Finding]]:
    for place in where.listed:
        if place.kind in (Kind.DATABASE, Kind.PASSWORD):
            for ending in ("", "-wal"):
                path = Path(f"{place.path}{ending}")
                if path.exists():
                    yield judge_mode(path, path.stat().st_mode, 0o077, _ANYBODY)
        elif place.kind in (Kind.AUTHORITY, Kind.IDENTITY, Kind.MASTER, Kind.CERTMASTER):
            if place.path.is_dir():
                yield judge_mode(place.path, place.path.stat().st_mode, 0o022, "others can put files there")
            for path in files_of(place):
                mode = path.stat().st_mode
                yield judge_mode(path, mode, 0o777 & ~place.mode(path, mode) | 0o022, _ANYBODY)


def _owners(where: Places) -> Iterator[Finding]:
    folder = where.database.parent
    if not where.database.exists():
        return
    owner = folder.stat().st_uid
    for path in (where.database, Path(f"{where.database}-wal"), Path(f"{where.database}.lock")):
        if path.exists() and path.stat().st_uid != owner:
            yield fault(
                "permissions",
                f"{path} is user {path.stat().st_uid}'s, and its folder user {owner}'s, the daemon",
                f"chown --reference={folder} {path}",
            )
    certificate = where.func.ca_cert
    if certificate.exists() and os.geteuid() == 0 and owner and not _may_read(certificate, owner):
        yield fault(
            "permissions",
            f"user {owner}, who runs cloudmasterd, cannot read {certificate}, the authority of all",
            f"chgrp certmaster {certificate.parent} {certificate}; chmod 0750 {certificate.parent};"
            f" chmod 0644 {certificate}; usermod -aG certmaster cloudmasterd",
        )


def _may_read(path: Path, user: int) -> bool:
    """By owner and groups alone, as the kernel decides without ACLs."""
    try:
        name = pwd.getpwuid(user)
    except KeyError:
        return True
    groups = set(os.getgrouplist(name.pw_name, name.pw_gid))
    for one, owners, members, others in ((path.parent, 0o100, 0o010, 0o001), (path, 0o400, 0o040, 0o004)):
        found = one.stat()
        needed = owners if found.st_uid == user else members if found.st_gid in groups else others
        if not stat.S_IMODE(found.st_mode) & needed:
            return False
    return True


def _certificates(where: Places, now: datetime) -> Iterator[Finding]:
    ends = certificate_ends(where.func)
    if not where.func.ca_cert.exists():
        yield fault("authority", f"there is no {where.func.ca_cert}", "systemctl enable --now certmaster")
    for path, end in ends:
        is_ca = path == where.func.ca_cert
        yield judge_end(f"certificate {path}", end, now, _RENEW_CA if is_ca else _RENEW_OWN)


def _own_certificate(config: Config, clock: Clock) -> Iterator[Finding]:
    own = open_own(config.func_root, config.pki_dir, clock.now)
    if own is None:
        return
    trouble = own.trouble()
    if trouble:
        yield fault(_OWN, trouble, "systemctl status certmaster; journalctl -u cloudmasterd")
    else:
        yield judge_end(_OWN, own.expires_at(), clock.now(), "see the log of cloudmasterd, which renews it")


def _room(config: Config, where: Places) -> Iterator[Finding]:
    seen: set[int] = set()
    for path in (where.database.parent, config.image_dir, where.func.cadir):
        if path.is_dir() and path.stat().st_dev not in seen:
            seen.add(path.stat().st_dev)
            usage = shutil.disk_usage(path)
            yield judge_room("disk", path, usage.free, usage.total)


def _cobbler(config: Config, clock: Clock) -> Iterator[Finding]:
    if config.cobbler_server is None:
        return
    what = f"cobbler at {config.cobbler_server}"
    try:
        Cobbler(config.cobbler_server, clock).modified()
    except CobblerError as exc:
        yield fault(
            what, str(exc), "systemctl status cobblerd httpd there; cobbler_server in cloudmasterd.conf"
        )
    else:
        yield ok(what, "answers")
