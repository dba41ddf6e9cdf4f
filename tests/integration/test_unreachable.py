"""Cloud instances that die, come back, or are not to be trusted; a certificate is what lets anybody in."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.support import ask, eventually, get_cloud, list_machines, refresh, run_command

DEAD = "cloud2.example.org"


def test_a_killed_minion_stays_in_the_list_with_its_last_figures_and_comes_back(cloud: Cloud) -> None:
    before = get_cloud(cloud, DEAD)
    machines = [m["name"] for m in list_machines(cloud, f"&cloud={DEAD}")]
    cloud.processes[DEAD].send(signal.SIGKILL)
    eventually(lambda: get_cloud(cloud, DEAD)["state"] == "unreachable", f"{DEAD} unreachable")
    dead = get_cloud(cloud, DEAD)
    assert dead["error"]
    assert dead["free_memory_mb"] == before["free_memory_mb"]
    assert [m["name"] for m in list_machines(cloud, f"&cloud={DEAD}")] == machines
    seen = dead["observed_at"]
    assert refresh(cloud, DEAD).status == 504
    assert get_cloud(cloud, DEAD)["observed_at"] == seen, "an age must not be made up"

    others = get_cloud(cloud, "cloud1.example.org")["observed_at"]
    eventually(lambda: get_cloud(cloud, "cloud1.example.org")["observed_at"] > others, "the others go on")
    done = run_command(cloud, "func", "*", "call", "virt", "freemem")
    assert "'cloud1.example.org': " in done.stdout and "REMOTE_ERROR" in done.stdout

    assert cloud.ended() == [(DEAD, -signal.SIGKILL)]
    cloud.start_minion(DEAD)
    refresh(cloud, DEAD)
    back = get_cloud(cloud, DEAD)
    assert (back["state"], back["error"]) == ("up", None)
    assert back["observed_at"] > seen


def test_a_hung_minion_is_unreachable_and_holds_up_nobody(cloud: Cloud) -> None:
    cloud.processes[DEAD].send(signal.SIGSTOP)
    try:
        eventually(lambda: get_cloud(cloud, DEAD)["state"] == "unreachable", f"{DEAD} unreachable")
        seen = get_cloud(cloud, "cloud3.example.org")["observed_at"]
        eventually(lambda: get_cloud(cloud, "cloud3.example.org")["observed_at"] > seen, "the others go on")
    finally:
        cloud.processes[DEAD].send(signal.SIGCONT)
    eventually(lambda: refresh(cloud, DEAD).status == 200, f"{DEAD} back")


def test_a_restarted_master_still_knows_everything(cloud: Cloud) -> None:
    before = {m["uuid"] for m in list_machines(cloud)}
    cloud.end("cloudmasterd")
    cloud.start_master()
    assert {m["uuid"] for m in list_machines(cloud)} == before
    cloud.wait_for_first_round()


# --------------------------------------------------------------------------------- whom nobody trusts


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud instance whose certificate another certmaster signed."""
    other = Cloud(tmp_path / "other", clouds=1, ports=free_ports(), log=write_log)
    other.prepare()
    try:
        other.start_certmaster()
        other.start_minion("cloud1.example.org")
        yield other
    finally:
        other.stop()


def test_a_minion_with_a_certificate_of_another_authority_is_refused(cloud: Cloud, stranger: Cloud) -> None:
    name = "cloud1.example.org"
    cloud.end(name)
    ours, theirs = cloud.root_of(name) / "etc/pki/certmaster", stranger.root_of(name) / "etc/pki/certmaster"
    kept = ours.with_name("kept")
    ours.rename(kept)
    shutil.copytree(theirs, ours)
    try:
        cloud.start_minion(name)
        answer = refresh(cloud, name)
        assert answer.status in (502, 504), answer.body
        item = get_cloud(cloud, name)
        assert item["state"] == "unreachable"
        assert "certificate" in item["error"].lower()
    finally:
        cloud.end(name)
        shutil.rmtree(ours)
        kept.rename(ours)
        cloud.start_minion(name)
    assert refresh(cloud, name).status == 200


def handshake(address: tuple[str, int], context: ssl.SSLContext) -> bytes:
    """What a minion answers to a call over this context; with TLS 1.3 a refusal shows at the first read."""
    with socket.create_connection(address, timeout=60) as plain, context.wrap_socket(plain) as tls:
        tls.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        return tls.recv(100)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_client_without_a_certificate_is_refused(cloud: Cloud) -> None:
    with pytest.raises(OSError):
        assert handshake(("127.0.0.2", cloud.ports.func), trusting()) == b"", "a minion talked to a stranger"
        raise ConnectionResetError("closed without a word, which is a refusal as well")


def test_a_client_with_a_certificate_of_another_authority_is_refused(cloud: Cloud, stranger: Cloud) -> None:
    context = trusting()
    directory = stranger.root_of("cloud1.example.org") / "etc/pki/certmaster"
    context.load_cert_chain(directory / "cloud1.example.org.cert", directory / "cloud1.example.org.pem")
    with pytest.raises(OSError):
        assert handshake(("127.0.0.2", cloud.ports.func), context) == b"", "a minion talked to a stranger"
        raise ConnectionResetError("closed without a word, which is a refusal as well")


def test_a_minion_may_not_command_its_neighbour(cloud: Cloud) -> None:
    context = trusting()
    directory = cloud.root_of("cloud2.example.org") / "etc/pki/certmaster"
    context.load_cert_chain(directory / "cloud2.example.org.cert", directory / "cloud2.example.org.pem")
    body = b"<?xml version='1.0'?><methodCall><methodName>virt.freemem</methodName><params/></methodCall>"
    with socket.create_connection(("127.0.0.2", cloud.ports.func), timeout=60) as plain:
        with context.wrap_socket(plain) as tls:
            head = (
                f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            tls.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: tls.recv(4096), b""))
    assert b"AccessToMethodDenied" in answer


def test_all_of_it_left_the_cloud_well(cloud: Cloud) -> None:
    eventually(
        lambda: all(c["state"] == "up" for c in ask(cloud, "GET", "/api/v1/clouds").json["items"]), "all up"
    )
