"""`make run` from the outside: it says where it is, runs once, and leaves nothing behind however it ends."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.cloud import free_ports
from demo.ports import free_port
from tests.integration.support import REPOSITORY, eventually, pids_below

DEMO = [sys.executable, "-m", "demo"]


def environment(**env: str) -> dict[str, str]:
    """Two cloud instances on ports of their own, so that nobody's demo is in the way."""
    ports = free_ports()
    mine = {"PYTHONPATH": str(REPOSITORY), "CLOUDS": "2", "PORT": str(ports.web)}
    mine.update(FUNC_PORT=str(ports.func), CERTMASTER_PORT=str(ports.certmaster))
    return {**os.environ, **mine, **env}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A place to run the demo in: it keeps everything under var of where it is started."""
    return tmp_path


class Demo:
    """A demo in a process of its own, its output read line by line."""

    def __init__(self, directory: Path, port: int, argv: list[str] = DEMO, **env: str) -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self.process = subprocess.Popen(
            argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
            env=environment(PORT=str(port), **env),
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self._reader.join(60)  # ends with the last of the programs that have its output
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, text: str, within_s: float = 180.0) -> str:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                self.seen.append(self.lines.get(timeout=0.1))
            except queue.Empty:
                assert self.process.poll() is None, "\n".join(self.seen)
                continue
            if text in self.seen[-1]:
                return self.seen[-1]
        raise AssertionError(f"no line with {text!r}:\n" + "\n".join(self.seen))


@contextmanager
def demo(directory: Path, port: int, **more: str) -> Iterator[Demo]:
    made = Demo(directory, port, **more)
    try:
        yield made
    finally:
        made.kill()
        eventually(lambda: not pids_below(directory), "the kernel to end the demo's programs")


def get(directory: Path, port: int, path: str) -> str:
    """What is answered to the token that the demo left."""
    token = (directory / "var/admin-token").read_text().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def test_it_says_where_it_is_and_ends_everything_on_term(directory: Path) -> None:
    port = free_port()
    with demo(directory, port) as running:
        line = running.wait_for("cloudmasterd is ready")
        assert line == f"cloudmasterd is ready: http://127.0.0.1:{port}/"
        assert "cloud1.example.org" in get(directory, port, "/api/v1/clouds")
        # certmaster, two minions, the master; a program that one of them starts looks like it for a moment
        eventually(lambda: len(pids_below(directory)) == 4, "four programs")
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert pids_below(directory) == []


def test_it_can_be_run_again_and_knows_its_certificates(directory: Path) -> None:
    port = free_port()
    with demo(directory, port) as running:
        running.wait_for("cloudmasterd is ready")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
    certificate = directory / "var/master/var/lib/certmaster/certs/cloud1.example.org.cert"
    first = certificate.read_bytes()
    with demo(directory, port) as running:
        running.wait_for("cloudmasterd is ready")
        assert certificate.read_bytes() == first


def said_before_it_was_ready(running: Demo) -> list[str]:
    """What the demo itself said, without the lines of its programs."""
    running.wait_for("cloudmasterd is ready")
    return [line for line in running.seen[:-1] if " | " not in line]


def test_the_first_run_says_the_password_once_and_where_it_is(directory: Path) -> None:
    port = free_port()
    file = directory / "var/master/var/lib/cloudmasterd/first-password"
    with demo(directory, port) as running:
        said = said_before_it_was_ready(running)
        password = file.read_text().strip()
        kept = "var/master/var/lib/cloudmasterd/first-password"
        assert said[-3:-1] == [
            f"sign in as admin with the password {password}",
            f"first password of admin, until it is changed: {kept}",
        ]
        assert not [line for line in running.seen if " | " in line and password in line], "no log has it"
        running.process.terminate()
        assert running.process.wait(60) == 0
    with demo(directory, port) as running:
        said = said_before_it_was_ready(running)
        assert said[-2] == f"first password of admin, until it is changed: {kept}"
        assert not [line for line in running.seen if password in line]
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_admins_token_is_kept_and_made_anew_when_it_is_none_any_more(directory: Path) -> None:
    port = free_port()
    file = directory / "var/admin-token"
    kept = []
    for spoil in ("nothing", "the token", "the file", "nothing more"):
        with demo(directory, port) as running:
            assert (
                said_before_it_was_ready(running)[-1] == "API token of admin, for programs: var/admin-token"
            )
            assert json.loads(get(directory, port, "/api/v1/whoami"))["role"] == "admin"
            kept.append(file.read_text())
            assert file.stat().st_mode & 0o777 == 0o600
            assert not [line for line in running.seen if kept[-1].strip() in line]
            if spoil == "the token":
                revoke(directory, kept[-1])
            running.process.terminate()
            assert running.process.wait(60) == 0
        if spoil == "the file":
            file.write_text("cmt_0123456789ab_guessed\nund was ganz anderes: ü\n")
    assert kept[0] == kept[1], "it is used again while it works"
    assert len(set(kept)) == 3, "and only then"


def revoke(directory: Path, token: str) -> None:
    program = Path(sys.prefix) / "bin/cloudmasterctl"
    command = [str(program), "--root", str(directory / "var/master"), "token", "revoke", token.split("_")[1]]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_without_its_folder_it_begins_anew(directory: Path) -> None:
    port = free_port()
    passwords = []
    for _ in range(2):
        with demo(directory, port) as running:
            running.wait_for("sign in as admin with the password")
            passwords.append(running.seen[-1])
            running.wait_for("cloudmasterd is ready")
            running.process.terminate()
            assert running.process.wait(60) == 0
        shutil.rmtree(directory / "var")
    assert passwords[0] != passwords[1]


def test_a_killed_demo_leaves_no_process_behind(directory: Path) -> None:
    with demo(directory, free_port()) as running:
        running.wait_for("cloudmasterd is ready")
        assert pids_below(directory)
        running.process.kill()
        running.process.wait(60)
        eventually(lambda: not pids_below(directory), "no program left")


def test_a_second_one_says_so_and_leaves_the_first_alone(directory: Path) -> None:
    port = free_port()
    with demo(directory, port) as first:
        first.wait_for("cloudmasterd is ready")
        before = sorted(pids_below(directory))
        second = subprocess.run(
            DEMO, cwd=directory, capture_output=True, text=True, timeout=120, check=False,
            env=environment(),
        )  # fmt: skip
        assert second.returncode == 1
        assert f"http://127.0.0.1:{port}/" in second.stderr
        assert str(first.process.pid) in second.stderr
        assert sorted(pids_below(directory)) == before
        assert first.process.poll() is None


def test_a_program_that_dies_is_reported_and_the_others_go_on(directory: Path) -> None:
    with demo(directory, free_port()) as running:
        running.wait_for("cloudmasterd is ready")
        (minion,) = pids_below(directory / "var/cloud2.example.org")
        os.kill(minion, signal.SIGKILL)
        line = running.wait_for("note: cloud2.example.org")
        assert "SIGKILL" in line and "funcd --root" in line
        assert running.process.poll() is None


def test_without_its_master_it_ends_and_says_why(directory: Path) -> None:
    with demo(directory, free_port()) as running:
        running.wait_for("cloudmasterd is ready")
        master = [
            pid
            for pid in pids_below(directory)
            if b"bin/cloudmasterd" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(master[0], signal.SIGKILL)
        running.wait_for("demo: cloudmasterd was ended by SIGKILL")
        assert running.process.wait(60) == 1
        assert pids_below(directory) == []


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ({"PORT": "abc"}, "from 1 to 65535"),
        ({"CLOUDS": "0"}, "from 1 to 250"),
        ({"CLOUDS": "2.5"}, "from 1 to 250"),
    ],
)
def test_a_number_that_is_none_is_refused_before_anything_starts(
    tmp_path: Path, env: dict[str, str], hint: str
) -> None:
    done = subprocess.run(
        DEMO, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env=environment(**env),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert hint in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_named_before_anything_starts(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            DEMO, cwd=directory, capture_output=True, text=True, timeout=120, check=False,
            env=environment(PORT=str(port)),
        )  # fmt: skip
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr and "PORT=" in done.stderr
    assert not (directory / "var/master").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This checkout under another name, with a var of its own."""
    for entry in REPOSITORY.iterdir():
        if entry.name not in ("var", ".git"):
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.skipif(
    not (REPOSITORY / ".venv/stamp-project").exists(), reason="make setup has not been run here"
)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ending_make_ends_everything(checkout: Path, signum: signal.Signals) -> None:
    port = free_port()
    # The set-up is not to be repeated: it would put the commands of the real .venv below this checkout.
    running = Demo(checkout, port, ["make", "-o", ".venv/stamp-project", "run"])
    try:
        running.wait_for(f"cloudmasterd is ready: http://127.0.0.1:{port}/")
        if signum == signal.SIGINT:
            os.killpg(running.process.pid, signum)  # as a terminal does it
        else:
            running.process.send_signal(signum)
        running.process.wait(60)
        eventually(lambda: not pids_below(checkout), "no program left")
    finally:
        running.kill()
