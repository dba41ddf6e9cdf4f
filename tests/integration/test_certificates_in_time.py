"""Certificates in the life of real processes: revoked, renewed and enrolled in a crowd, nothing restarted."""

from __future__ import annotations

import http.client
import random
import signal
import socket
import ssl
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from certmaster import ca
from demo.cloud import Cloud, free_ports
from func.config import load_certmaster_config, load_overlord_config
from func.overlord.client import Client
from func.overlord.fanout import Fanout
from tests.integration.conftest import write_log
from tests.integration.support import eventually, run_command

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ONE, TWO = "cloud1.example.org", "cloud2.example.org"
CROWD = 1000
PING = ("test.ping", ())


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Two minions that look after their certificates every second, and no cloud master."""
    made = Cloud(tmp_path_factory.mktemp("in-time"), clouds=2, ports=free_ports(), log=write_log)
    try:
        made.prepare()
        for name in (ONE, TWO):
            file = made.root_of(name) / "etc/certmaster/minion.conf"
            file.write_text(file.read_text() + "upkeep_interval_s = 1\n")
        made.start_certmaster()
        for name in (ONE, TWO):
            made.start_minion(name)
        yield made
    finally:
        made.stop()


def files(cloud: Cloud, name: str) -> Path:
    return cloud.root_of(name) / "etc/pki/certmaster"


def test_a_due_certificate_is_renewed_and_used_without_a_restart(cloud: Cloud) -> None:
    cert, key = files(cloud, ONE) / f"{ONE}.cert", files(cloud, ONE) / f"{ONE}.pem"
    before = key.read_bytes()
    cadir = cloud.root_of("certmaster") / "etc/pki/certmaster/ca"
    pair = [(cadir / f"certmaster.{end}").read_bytes() for end in ("crt", "key")]
    csr = ca.make_request(before, ONE)
    soon = ca.sign(csr, pair[0], pair[1], 7, datetime.now(timezone.utc) - timedelta(days=20), 25)
    for path in (cert, cloud.root_of("certmaster") / f"var/lib/certmaster/certs/{ONE}.cert"):
        path.with_suffix(".tmp").write_bytes(soon)
        path.with_suffix(".tmp").replace(path)
    eventually(lambda: key.read_bytes() != before, "a new key")
    eventually(lambda: ca.key_matches(cert.read_bytes(), key.read_bytes()), "its certificate")
    with Client(ONE, root=cloud.root_of("certmaster")) as client:
        served = ca.serial_number(cert.read_bytes())

        def seen() -> bool:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadir / "certmaster.crt")
            context.load_cert_chain(cadir / "certmaster.crt", cadir / "certmaster.key")
            where = (cloud.node(ONE).address, cloud.ports.func)
            with socket.create_connection(where, timeout=60) as sock:
                with context.wrap_socket(sock, server_hostname=ONE) as tls:
                    return ca.serial_number(tls.getpeercert(binary_form=True) or b"") == served

        eventually(seen, "the new certificate in a handshake")
        assert client.test.ping() == {ONE: 1}


def call(connection: http.client.HTTPSConnection) -> bytes:
    body = xmlrpc.client.dumps((), "test.ping").encode()
    connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
    return connection.getresponse().read()


def as_leaf(cloud: Cloud, name: str) -> http.client.HTTPSConnection:
    """A connection to the first minion that shows another minion's certificate."""
    folder = files(cloud, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.cert")
    context.load_cert_chain(folder / f"{name}.cert", folder / f"{name}.pem")
    context.check_hostname = False
    return http.client.HTTPSConnection(cloud.node(ONE).address, cloud.ports.func, timeout=60, context=context)


def test_a_revoked_minion_is_refused_on_kept_connections_too(cloud: Cloud) -> None:
    master = cloud.root_of("certmaster")
    fanout = Fanout(load_overlord_config(master), load_certmaster_config(master))
    kept = as_leaf(cloud, TWO)
    try:
        before = {r.minion: r.value for group in fanout.ask({ONE: PING, TWO: PING}, 30) for r in group}
        assert before == {ONE: 1, TWO: 1}
        assert b"AccessToMethodDenied" in call(kept), "it is let in, and allowed nothing"
        done = run_command(cloud, "certmaster-ca", "--revoke", TWO)
        assert done.returncode == 0, done.stderr
        after = {r.minion: r for group in fanout.ask({ONE: PING, TWO: PING}, 30) for r in group}
        assert after[ONE].value == 1
        assert "its certificate has been revoked" in str(after[TWO].error)
        listed, authority = files(cloud, ONE) / "ca.crl", (files(cloud, ONE) / "ca.cert").read_bytes()
        eventually(
            lambda: ca.read_crl(listed.read_bytes(), authority).serials, "the list on the other minion"
        )
        with pytest.raises((OSError, http.client.HTTPException)):
            call(kept)
        with closing(as_leaf(cloud, TWO)) as anew, pytest.raises((OSError, http.client.HTTPException)):
            call(anew)
    finally:
        kept.close()
        fanout.close()


def wait_for_cert(port: int, csr: str) -> bytes:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy:
        signed, cert, _ = proxy.wait_for_cert(csr)
        assert signed
        return bytes(cert.encode())


def test_a_crowd_enrols_at_once_while_certmaster_is_killed_at_random_moments(cloud: Cloud) -> None:
    keys = [ca.new_key() for _ in range(4)]
    names = [f"crowd{n}.example.org" for n in range(CROWD)]
    requests = {name: ca.make_request(keys[n % 4], name).decode() for n, name in enumerate(names)}
    port, again, done = cloud.ports.certmaster, [], threading.Event()
    # however fast they are, some have to come after the last kill
    last, all_kills = names[-10:], threading.Event()

    def enrol(name: str) -> bytes:
        if name in last:
            all_kills.wait()
        deadline = time.monotonic() + 600
        while True:
            try:
                return wait_for_cert(port, requests[name])
            except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError):
                assert time.monotonic() < deadline, f"{name} was not let in"
                again.append(name)
                done.wait(0.02)  # the pace of asking, not a wait

    chance, kills = random.Random(6), 0
    with ThreadPoolExecutor(50) as pool:
        certs = [pool.submit(enrol, name) for name in names]
        try:
            while kills < 6:
                time.sleep(chance.uniform(0.1, 0.8))  # where it hits is the matter of the test
                cloud.processes["certmaster"].send(signal.SIGKILL)
                cloud.end("certmaster")
                cloud.start_certmaster()
                kills += 1
        finally:
            all_kills.set()
        pems = [future.result(900) for future in certs]
    assert kills == 6
    assert len({ca.serial_number(pem) for pem in pems}) == CROWD
    assert [ca.common_name(pem) for pem in pems] == names
    folder = cloud.root_of("certmaster") / "var/lib/certmaster"
    # What was given out is what lies there: no certificate was lost, none half written.
    assert [(folder / f"certs/{name}.cert").read_bytes() for name in names] == pems
    listed = run_command(cloud, "certmaster-ca", "--list-signed", "crowd*").stdout.split()
    assert sorted(listed) == sorted(names)
    assert run_command(cloud, "certmaster-ca", "--list").stdout == ""
    audit = cloud.root_of("certmaster") / "var/log/certmaster/audit.log"
    signed = [line.split(": signed, serial ")[1].split(",")[0] for line in audit.read_text().splitlines()
              if " sign crowd" in line]  # fmt: skip
    assert len(set(signed)) == len(signed), "no serial number was written down twice"
    print(f"{kills} kills, {len(again)} requests sent again")
