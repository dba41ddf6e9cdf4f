"""Machines enrol by one-time tokens: real certmasters, true and false, and somebody who listens."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import signal
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca, proof
from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.support import ask, eventually, get_cloud, run_command

NEW = "cloud2.example.org"
TOKENS = "/api/v1/enrolment-tokens"
JSON = {"Content-Type": "application/json"}
KEYS = [ca.new_key() for _ in range(3)]


def unsigning(cloud: Cloud) -> None:
    """Have its certmaster sign nothing by itself, as outside of a demo."""
    file = cloud.root_of("certmaster") / "etc/certmaster/certmaster.conf"
    file.write_text(file.read_text().replace("autosign = yes", "autosign = no"))


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud master, a certmaster that signs nothing by itself, and nobody enrolled."""
    made = Cloud(
        tmp_path_factory.mktemp("tokens"), clouds=2, ports=free_ports(), log=write_log,
        settings={"poll_interval_s": 1, "public_url": "http://127.0.0.1/"},
    )  # fmt: skip
    try:
        made.prepare()
        unsigning(made)
        made.start_certmaster()
        made.start_master()
        yield made
    finally:
        made.stop()


def make_token(cloud: Cloud, name: str, **more: Any) -> Any:
    answer = ask(cloud, "POST", TOKENS, body=json.dumps({"name": name, **more}).encode(), headers=JSON)
    assert answer.status == 201, answer.body
    return answer.json


def bring(cloud: Cloud, name: str, made: Any, certmaster_port: int = 0) -> Path:
    """Write what a kickstart writes on a machine: its certmaster, the pin, the token; the token's file."""
    root = cloud.root_of(name)
    port = certmaster_port or cloud.ports.certmaster
    (root / "etc/certmaster/minion.conf").write_text(
        f"[main]\ncertmaster = {made['metadata']['certmaster']}\ncertmaster_port = {port}\n"
        f"ca_fingerprint = {made['metadata']['genome_ca']}\n"
    )
    token = root / "etc/certmaster/token"
    token.touch(mode=0o600)
    token.write_text(made["metadata"]["genome_token"])
    return token


def forget(cloud: Cloud, name: str) -> None:
    """Install the machine anew: nothing it had is there any more."""
    shutil.rmtree(cloud.root_of(name) / "etc/pki", ignore_errors=True)


def proved(key: bytes, name: str, token: str) -> str:
    plain = ca.make_request(key, name)
    fingerprint = ca.read_request(plain).key_fingerprint
    return ca.make_request(key, name, proof.make(token, name, fingerprint)).decode()


def wait_for_cert(port: int, csr: str) -> Any:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy:
        return proxy.wait_for_cert(csr)


@contextmanager
def listener(target: int) -> Iterator[tuple[int, list[bytes]]]:
    """Somebody on the way to a port of this machine who passes everything on and keeps what is sent there."""
    kept: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def relay() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, socket.create_connection(("127.0.0.1", target)) as onward:
                    threading.Thread(target=pump, args=(onward, client), daemon=True).start()
                    while data := client.recv(65536):
                        kept.append(data)
                        onward.sendall(data)

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

        thread = threading.Thread(target=relay)
        thread.start()
        yield server.getsockname()[1], kept
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def test_a_machine_with_a_token_becomes_a_cloud_instance_by_itself(careful: Cloud) -> None:
    made = make_token(careful, NEW, expires_s=600)
    token = bring(careful, NEW, made)
    careful.start_minion(NEW)
    eventually(lambda: get_cloud(careful, NEW).get("state") == "up", f"{NEW} up")
    assert not token.exists()
    (known,) = ask(careful, "GET", TOKENS).json["items"]
    assert (known["id"], known["state"], known["used_by"]) == (made["id"], "used", NEW)
    assert run_command(careful, "certmaster-ca", "--list").stdout == ""


def test_an_installed_anew_cloud_instance_needs_a_token_that_replaces(careful: Cloud) -> None:
    careful.end(NEW)
    before = careful.root_of("certmaster") / f"var/lib/certmaster/certs/{NEW}.cert"
    old = before.read_bytes()
    forget(careful, NEW)
    bring(careful, NEW, make_token(careful, NEW))
    done = run_command(careful, "certmaster-request", "--once", "--name", NEW, root=careful.root_of(NEW))
    assert done.returncode == 1
    assert "is signed for another key" in done.stderr
    assert before.read_bytes() == old

    bring(careful, NEW, make_token(careful, NEW, replace=True))
    careful.start_minion(NEW)
    eventually(lambda: ask(careful, "POST", f"/api/v1/clouds/{NEW}/refresh").status == 200, f"{NEW} answers")
    kept = list((careful.root_of("certmaster") / "var/lib/certmaster/replaced").iterdir())
    assert [path.read_bytes() for path in kept] == [old]
    assert before.read_bytes() != old


def test_a_false_certmaster_gets_nothing_and_gives_nothing(careful: Cloud, tmp_path: Path) -> None:
    name = "cloud1.example.org"
    false = Cloud(tmp_path / "false", clouds=1, ports=free_ports(), log=write_log)
    false.prepare()
    false.start_certmaster()  # signs whoever asks
    try:
        made = make_token(careful, name)
        token = bring(careful, name, made, certmaster_port=false.ports.certmaster)
        root = careful.root_of(name)
        done = run_command(careful, "certmaster-request", "--once", "--name", name, root=root)
        assert done.returncode == 1
        assert "somebody answers in its place" in done.stderr
        assert sorted(path.name for path in (root / "etc/pki/certmaster").iterdir()) == [
            ".lock", f"{name}.csr", f"{name}.pem"
        ]  # fmt: skip
        assert token.exists()
        seen = b"".join(p.read_bytes() for p in false.root.rglob("*") if p.is_file())
        assert made["token"].encode() not in seen
    finally:
        false.stop()
    bring(careful, name, made)
    done = run_command(careful, "certmaster-request", "--once", "--name", name, root=root)
    assert done.returncode == 0, done.stderr


def test_what_a_listener_captured_lets_no_other_key_in(careful: Cloud) -> None:
    name = "cloud1.example.org"
    forget(careful, name)
    assert run_command(careful, "certmaster-ca", "--clean", name).returncode == 0
    made = make_token(careful, name)
    root = careful.root_of(name)
    # the true certmaster does not answer the machine, so that its token is still good when it is replayed
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bring(careful, name, made, certmaster_port=silent.getsockname()[1])
        captured: list[bytes] = []

        def swallow() -> None:
            client, _ = silent.accept()
            with client:
                while b"</methodCall>" not in b"".join(captured):
                    captured.append(client.recv(65536))

        thread = threading.Thread(target=swallow)
        thread.start()
        run_command(careful, "certmaster-request", "--once", "--name", name, root=root)
        thread.join(60)
    everything = b"".join(captured)
    assert made["token"].encode() not in everything
    (csr,), _ = xmlrpc.client.loads(everything.partition(b"\r\n\r\n")[2])
    shown = ca.read_request(csr.encode()).challenge
    with pytest.raises(xmlrpc.client.Fault, match="does not prove to have it"):
        wait_for_cert(careful.ports.certmaster, ca.make_request(KEYS[1], name, shown).decode())
    with pytest.raises(xmlrpc.client.Fault, match="does not prove to have it"):
        wait_for_cert(
            careful.ports.certmaster, ca.make_request(KEYS[1], "cloud9.example.org", shown).decode()
        )
    # replayed as it is it serves the machine it was captured from
    signed, cert, _ = wait_for_cert(careful.ports.certmaster, csr)
    assert signed and ca.key_matches(
        cert.encode(), next((root / "etc/pki/certmaster").glob("*.pem")).read_bytes()
    )
    with listener(careful.ports.certmaster) as (port, kept):
        bring(careful, name, made, certmaster_port=port)
        done = run_command(careful, "certmaster-request", "--once", "--name", name, root=root)
        assert done.returncode == 0, done.stderr
    assert (root / f"etc/pki/certmaster/{name}.cert").read_text() == cert
    assert made["token"].encode() not in b"".join(kept)


def test_of_fifty_that_use_one_token_at_once_one_gets_in(careful: Cloud) -> None:
    made = make_token(careful, "crowd*.example.org")
    requests = [proved(KEYS[n % 3], f"crowd{n}.example.org", made["token"]) for n in range(50)]

    def enrol(csr: str) -> bool:
        try:
            return bool(wait_for_cert(careful.ports.certmaster, csr)[0])
        except xmlrpc.client.Fault as fault:
            assert "was used up by crowd" in fault.faultString
            return False

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(enrol, requests)) == 1
    signed = run_command(careful, "certmaster-ca", "--list-signed", "crowd*").stdout.split()
    assert len(signed) == 1
    assert run_command(careful, "certmaster-ca", "--list").stdout == ""


def test_kill_9_at_any_moment_loses_no_machine_and_lets_no_second_in(careful: Cloud) -> None:
    names = [f"k{n}.example.org" for n in range(40)]
    tokens = {name: make_token(careful, name)["token"] for name in names}
    requests = {name: proved(KEYS[n % 3], name, tokens[name]) for n, name in enumerate(names)}
    port = careful.ports.certmaster
    asked_again: list[str] = []

    def enrol(name: str) -> bytes:
        deadline = time.monotonic() + 300
        while True:
            try:
                signed, cert, _ = wait_for_cert(port, requests[name])
                assert signed
                return bytes(cert.encode())
            except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError):
                assert time.monotonic() < deadline, f"{name} was not let in"
                asked_again.append(name)
                time.sleep(0.02)  # the pace of asking, not a wait

    chance = random.Random(4)
    careful.end("certmaster")
    with ThreadPoolExecutor(2) as pool:
        certs = [pool.submit(enrol, name) for name in names]
        kills = 0
        while kills < 8 and not all(future.done() for future in certs):
            careful.start_certmaster()
            time.sleep(chance.uniform(0.005, 0.06))  # where it hits is the matter of the test
            careful.processes["certmaster"].send(signal.SIGKILL)
            careful.end("certmaster")
            kills += 1
        careful.start_certmaster()
        pems = [future.result(600) for future in certs]
    assert kills > 1
    assert asked_again
    assert len({ca.serial_number(pem) for pem in pems}) == len(names)
    assert [ca.common_name(pem) for pem in pems] == names
    files = careful.root_of("certmaster") / "var/lib/certmaster/certs"
    assert [(files / f"{name}.cert").read_bytes() for name in names] == pems
    for n, name in enumerate(names):
        with pytest.raises(xmlrpc.client.Fault, match="was used up by|is being used by"):
            wait_for_cert(port, proved(KEYS[(n + 1) % 3], name, tokens[name]))
    assert ask(careful, "GET", TOKENS).status == 200, "the cloud master found the new socket"
    print(f"{kills} kills, {len(asked_again)} requests sent again")
