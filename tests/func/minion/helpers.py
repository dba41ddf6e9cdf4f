"""A certmaster's authority, a server with real TLS on port 0, and a node for libvirt's test driver."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Optional

from certmaster import ca
from func import tls, wire
from func.minion.acl import Peer
from func.minion.server import Limits, MinionServer


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = 60.0) -> Any:
    """The first true value of `condition`; fails after the limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {limit_s} s in vain: {what}")


@dataclass(frozen=True)
class Identity:
    cert_file: Path
    key_file: Path
    ca_file: Path

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.cert_file.read_text())

    def client(self) -> ssl.SSLContext:
        context = tls.client_context(self.cert_file, self.key_file, self.ca_file)
        context.check_hostname = False
        return context


class Authority:
    """A certmaster without the daemon."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.now = datetime.now(timezone.utc)
        self.key = ca.new_key()
        self.cert = ca.make_ca(name, self.key, 1, self.now)
        self.serial = 1
        folder.mkdir(parents=True)
        (folder / "ca.cert").write_bytes(self.cert)
        (folder / "ca.key").write_bytes(self.key)

    @property
    def own(self) -> Identity:
        return Identity(self.folder / "ca.cert", self.folder / "ca.key", self.folder / "ca.cert")

    def issue(self, name: str) -> Identity:
        self.serial += 1
        key = ca.new_key()
        (self.folder / f"{name}.pem").write_bytes(key)
        signed = ca.sign(ca.make_request(key, name), self.cert, self.key, self.serial, self.now, 30)
        (self.folder / f"{name}.cert").write_bytes(signed)
        return Identity(self.folder / f"{name}.cert", self.folder / f"{name}.pem", self.folder / "ca.cert")


def echo(peer: Peer, method: str, args: Any) -> Any:
    return [method, *args]


class Running:
    """A server in a thread of its own, and calls to it."""

    def __init__(self, identity: Identity, dispatch: Any, limits: Limits) -> None:
        context = tls.server_context(identity.cert_file, identity.key_file, identity.ca_file)
        self.server = MinionServer("127.0.0.1", 0, context, dispatch, limits)
        self.address = self.server.server_address
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def plain(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def connect(self, identity: Identity) -> ssl.SSLSocket:
        sock = self.plain()
        try:
            return identity.client().wrap_socket(sock)
        except OSError:
            sock.close()
            raise

    @contextlib.contextmanager
    def session(self, identity: Identity) -> Iterator[http.client.HTTPSConnection]:
        connection = http.client.HTTPSConnection(*self.address, context=identity.client(), timeout=60)
        with contextlib.closing(connection):
            yield connection

    def call(self, identity: Identity, method: str, *args: Any) -> Any:
        with self.session(identity) as session:
            return call(session, method, *args)

    def end(self) -> None:
        self.server.shutdown()
        self._thread.join(60)
        assert not self._thread.is_alive()


def call(session: http.client.HTTPSConnection, method: str, *args: Any) -> Any:
    session.request("POST", "/RPC2", wire.encode_call(method, list(args)), {"Content-Type": "text/xml"})
    response = session.getresponse()
    body = response.read()
    assert response.status == 200, body
    return wire.decode_response(body)


def post(body: bytes, path: str = "/RPC2", extra: str = "", length: Optional[int] = None) -> bytes:
    """A request as bytes, for those who do not want a well-behaved client in between."""
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {size}\r\n\r\n".encode() + body


def read_all(sock: socket.socket) -> bytes:
    """Everything until the peer ends the connection, in whatever way it does."""
    found = b""
    with contextlib.suppress(OSError):
        while True:
            data = sock.recv(65536)
            if not data:
                break
            found += data
    return found


NODE = """<node>
 <domain type='test'><name>off1</name><uuid>11111111-1111-1111-1111-111111111111</uuid>
  <test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>5</test:runstate>
  <memory unit='MiB'>512</memory><currentMemory unit='MiB'>256</currentMemory><vcpu>2</vcpu>
  <os><type>hvm</type></os>
  <devices><graphics type='vnc' port='5901' listen='127.0.0.1'/></devices></domain>
 <domain type='test'><name>run1</name><uuid>22222222-2222-2222-2222-222222222222</uuid>
  <memory unit='MiB'>1024</memory><vcpu current='1'>4</vcpu><os><type>hvm</type></os></domain>
 <domain type='test'><name>paused1</name><uuid>33333333-3333-3333-3333-333333333333</uuid>
  <test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>3</test:runstate>
  <memory unit='MiB'>2048</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>
 <cpu><mhz>2400</mhz><model>x86_64</model><active>16</active>
  <nodes>1</nodes><sockets>1</sockets><cores>8</cores><threads>2</threads></cpu>
 <memory>16777216</memory>
</node>
"""
