"""The command as an administrator meets it: arguments, exit codes, one clear line for what is in the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmasterd import __version__
from cloudmasterd.cli import BAD_CONFIG, CANNOT_START, OK, main
from cloudmasterd.config import documentation
from tests.ports import held_port

PROGRAM = [sys.executable, "-c", "import sys; from cloudmasterd.cli import main; sys.exit(main())"]
REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_S = 60


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.fixture
def root(tmp_path: Path, port: int) -> Path:
    (tmp_path / "etc/cloudmasterd").mkdir(parents=True)
    (tmp_path / "var/lib/cloudmasterd").mkdir(parents=True)
    settings(tmp_path, f"listen_port = {port}\n")
    return tmp_path


def settings(root: Path, text: str) -> None:
    (root / "etc/cloudmasterd/cloudmasterd.conf").write_text(f"[main]\n{text}")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, cwd=REPOSITORY)


@pytest.fixture
def daemon(root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [*PROGRAM, "--root", str(root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        yield process
        if process.poll() is None:
            process.kill()


def ready_line(process: subprocess.Popen[str]) -> str:
    """The line that says where it serves; before it there may be warnings, as there is no certmaster here."""
    assert process.stderr is not None
    while "cloudmasterd is ready" not in (line := process.stderr.readline()):
        assert " WARNING " in line, line
    return line


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_ends_with_0_when_told_to(
    daemon: subprocess.Popen[str], port: int, number: signal.Signals
) -> None:
    assert ready_line(daemon).endswith(f"cloudmasterd is ready: http://127.0.0.1:{port}/\n")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S) as answer:
        assert json.load(answer) == {"status": "ok"}
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/clouds", timeout=DEADLINE_S)
    refused.value.close()
    daemon.send_signal(number)
    _, rest = daemon.communicate(timeout=DEADLINE_S)
    assert daemon.returncode == OK
    assert f"cloudmasterd stops ({number.name})\n" in rest
    assert "Traceback" not in rest


@pytest.mark.slow
def test_a_second_master_on_the_database_is_refused_and_the_first_stays(
    daemon: subprocess.Popen[str], root: Path, port: int
) -> None:
    ready_line(daemon)
    settings(root, "listen_port = 1\n")
    second = run("--root", root)
    assert second.returncode == CANNOT_START
    assert "in use by another cloudmasterd" in only_line(second.stderr)
    assert daemon.poll() is None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S) as answer:
        assert answer.status == 200


def only_line(text: str) -> str:
    line, rest = text.split("\n", 1)
    assert rest == "", text
    assert line.startswith("cloudmasterd: ")
    return line


@pytest.mark.slow
def test_a_port_in_use_is_told_with_how_to_find_its_owner(root: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        ended = run("--root", root)
    assert ended.returncode == CANNOT_START
    line = only_line(ended.stderr)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in line
    assert "ss -ltnp" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "words"),
    [("192.0.2.1", "this machine has no such address"), ("no-such-host.invalid", "give an IP address")],
)
def test_an_address_that_is_not_ours_is_told(root: Path, port: int, address: str, words: str) -> None:
    settings(root, f"listen_port = {port}\nlisten_addr = {address}\n")
    ended = run("--root", root)
    assert ended.returncode == CANNOT_START
    assert words in only_line(ended.stderr)


@pytest.mark.slow
def test_a_database_without_its_folder_is_told(root: Path) -> None:
    settings(root, "database = /nowhere/x.db\n")
    ended = run("--root", root)
    assert ended.returncode == CANNOT_START
    assert "/nowhere" in only_line(ended.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("etc/cloudmasterd/cloudmasterd.conf", "[main]\nport = 1\n", "unknown key 'port': did you mean"),
        ("etc/func/overlord.conf", "[main]\nlisten_port = x\n", "overlord.conf"),
    ],
)  # fmt: skip
def test_a_bad_file_is_a_configuration_error(root: Path, file: str, text: str, words: str) -> None:
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(text)
    ended = run("--root", root)
    assert ended.returncode == BAD_CONFIG
    assert words in only_line(ended.stderr)


@pytest.mark.slow
def test_a_failed_start_leaves_the_database_free(root: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert run("--root", root).returncode == CANNOT_START
    settings(root, "listen_addr = 192.0.2.1\n")
    assert "no such address" in run("--root", root).stderr


def test_wrong_arguments_end_with_2(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--colour"])
    assert caught.value.code == BAD_CONFIG
    assert "--colour" in capsys.readouterr().err


def test_the_version_is_told(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == OK
    assert capsys.readouterr().out == f"cloudmasterd {__version__}\n"


def test_the_help_names_the_exit_codes(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Exit codes: 0 ended when told to" in " ".join(capsys.readouterr().out.split())


def test_check_config_prints_the_effective_settings(root: Path, port: int, capsys) -> None:
    assert main(["--root", str(root), "--check-config"]) == OK
    told = capsys.readouterr().out
    assert f"listen_port = {port}\n" in told
    assert f"database = {root}/var/lib/cloudmasterd/cloudmasterd.db\n" in told


def test_check_config_ends_with_2_for_a_bad_file(root: Path, capsys) -> None:
    settings(root, "log_level = LOUD\n")
    assert main(["--root", str(root), "--check-config"]) == BAD_CONFIG
    assert "log_level = 'LOUD' is not right" in capsys.readouterr().err


@pytest.mark.slow
def test_the_root_may_come_from_the_environment(root: Path, port: int) -> None:
    command = [*PROGRAM, "--check-config"]
    environment = {**os.environ, "CERTMASTER_ROOT": str(root)}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert f"listen_port = {port}\n" in told.stdout


def test_list_settings_is_the_documentation(capsys) -> None:
    assert main(["--list-settings"]) == OK
    assert capsys.readouterr().out == documentation()
