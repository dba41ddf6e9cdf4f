"""What the three daemons tell systemd, as processes: ready when they serve, alive while they do, stopping."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.cloud import free_ports

pytestmark = pytest.mark.integration
TREE = Path(__file__).resolve().parents[2]
WAIT_S = 60
LOOK_S = 6  # so often each is asked in these tests


class Systemd:
    """systemd's end of the socket that NOTIFY_SOCKET names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(WAIT_S)
        self.socket.bind(str(path))

    def hears(self) -> str:
        return self.socket.recv(4096).decode()

    def waits_for(self, beginning: str) -> str:
        while True:
            told = self.hears()
            if told.startswith(beginning):
                return told

    def forgets(self) -> None:
        """What was told up to now."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            self.socket.settimeout(WAIT_S)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    told = Systemd(tmp_path / "notify")
    yield told
    told.socket.close()


@contextmanager
def service(function: str, root: Path, systemd: Systemd) -> Iterator[subprocess.Popen[bytes]]:
    module, name = function.rsplit(".", 1)
    code = f"import sys; from {module} import {name} as main; sys.exit(main())"
    environ = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": str(LOOK_S * 3 * 10**6)}
    command = [sys.executable, "-c", code, "--root", str(root)]
    with subprocess.Popen(command, env=environ, cwd=TREE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()


def ends(process: subprocess.Popen[bytes], systemd: Systemd) -> None:
    process.terminate()
    assert systemd.waits_for("STOPPING=1") == "STOPPING=1\nSTATUS=stopping"
    assert process.wait(WAIT_S) == 0


def configure(root: Path, file: str, **settings: object) -> None:
    path = root / "etc" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[main]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))


def a_certmaster(root: Path) -> int:
    port = free_ports().certmaster
    configure(root, "certmaster/certmaster.conf", listen_addr="127.0.0.1", listen_port=port, autosign="no")
    configure(root, "certmaster/minion.conf", certmaster="127.0.0.1", certmaster_port=port)
    return port


def test_a_certmaster_is_ready_alive_and_ends(tmp_path: Path, systemd: Systemd) -> None:
    port = a_certmaster(tmp_path)
    with service("certmaster.cli.certmaster", tmp_path, systemd) as process:
        told = systemd.hears()
        assert told == f"READY=1\nSTATUS=http://127.0.0.1:{port}/, requests wait for certmaster-ca"
        assert (tmp_path / "etc/pki/certmaster/ca/certmaster.crt").exists()
        assert [systemd.hears(), systemd.hears()] == ["WATCHDOG=1"] * 2
        ends(process, systemd)


def test_a_cloud_master_is_ready_when_it_answers(tmp_path: Path, systemd: Systemd) -> None:
    port = free_ports().web
    configure(tmp_path, "cloudmasterd/cloudmasterd.conf", listen_port=port)
    (tmp_path / "var/lib/cloudmasterd").mkdir(parents=True)
    with service("cloudmasterd.cli.main", tmp_path, systemd) as process:
        assert systemd.hears() == f"READY=1\nSTATUS=http://127.0.0.1:{port}/"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=WAIT_S) as answer:
            assert answer.status == 200
        assert [systemd.hears(), systemd.hears()] == ["WATCHDOG=1"] * 2
        ends(process, systemd)


def test_a_minion_without_a_certificate_keeps_nobody_waiting_and_says_what_it_waits_for(
    tmp_path: Path, systemd: Systemd
) -> None:
    name, port = "cloud1.example.org", free_ports().func
    a_certmaster(tmp_path)
    configure(tmp_path, "func/minion.conf", minion_name=name, listen_addr="127.0.0.1", listen_port=port)
    mute = Systemd(tmp_path / "other")
    with service("certmaster.cli.certmaster", tmp_path, mute):
        mute.waits_for("READY=1")
        with service("func.minion.cli.main", tmp_path, systemd) as process:
            assert systemd.hears() == (
                f"READY=1\nSTATUS={name} has no certificate yet and asks the certmaster for it"
            )
            assert systemd.hears() == "WATCHDOG=1"
            csr = tmp_path / f"var/lib/certmaster/csrs/{name}.csr"
            while not csr.exists():
                assert systemd.hears() == "WATCHDOG=1"
            sign = "import sys; from certmaster.cli import certmaster_ca as main; sys.exit(main())"
            command = [sys.executable, "-c", sign, "--root", str(tmp_path), "--sign", name]
            subprocess.run(command, check=True, cwd=TREE, stdout=subprocess.DEVNULL)
            assert systemd.waits_for("READY=1") == f"READY=1\nSTATUS={name} at 127.0.0.1 port {port}"
            assert systemd.hears() == "WATCHDOG=1"
            ends(process, systemd)
    mute.socket.close()


def test_a_process_that_does_not_move_is_silent(tmp_path: Path, systemd: Systemd) -> None:
    a_certmaster(tmp_path)
    with service("certmaster.cli.certmaster", tmp_path, systemd) as process:
        systemd.waits_for("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        systemd.forgets()
        systemd.socket.settimeout(LOOK_S * 2)
        with pytest.raises(socket.timeout):
            systemd.hears()
