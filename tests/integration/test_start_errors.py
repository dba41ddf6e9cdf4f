"""A program that cannot start says what is wrong and what would be right, and ends with an error."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from demo.cloud import Cloud, free_ports
from demo.layout import Ports
from tests.integration.support import ask, eventually, run_command


@pytest.fixture
def idle(tmp_path: Path) -> Cloud:
    """The files of a cloud that nobody has started."""
    made = Cloud(tmp_path / "idle", clouds=1, ports=free_ports())
    made.prepare()
    return made


def failure(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode not in (0, -signal.SIGKILL), done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def set_config(idle: Cloud, text: str) -> Path:
    file = idle.root_of("cloudmasterd") / "etc/cloudmasterd/cloudmasterd.conf"
    file.write_text(text)
    return file


def test_a_second_master_on_the_same_database_is_refused(cloud: Cloud) -> None:
    root = cloud.root_of("cloudmasterd")
    file = root / "second.conf"
    file.write_text(f"[main]\nlisten_addr = 127.0.0.1\nlisten_port = {free_ports().web}\n")
    text = failure(run_command(cloud, "cloudmasterd", "--config", str(file)))
    assert "cloudmasterd.db" in text
    assert ask(cloud, "GET", "/api/v1/clouds").status == 200, "the first one goes on"


@pytest.mark.parametrize("program", ["cloudmasterd", "certmaster"])
def test_a_port_in_use_is_named(idle: Cloud, program: str) -> None:
    port = idle.ports.web if program == "cloudmasterd" else idle.ports.certmaster
    with socket.create_server(("127.0.0.1", port)):
        text = failure(run_command(idle, program))
    assert str(port) in text
    assert "use" in text


def test_a_minion_names_the_port_in_use(cloud: Cloud) -> None:
    text = failure(run_command(cloud, "funcd", root=cloud.root_of("cloud1.example.org")))
    assert str(cloud.ports.func) in text
    assert "use" in text


def test_an_unknown_key_is_named_with_its_line_and_its_nearest_neighbour(idle: Cloud) -> None:
    file = set_config(idle, "[main]\nlisten_addr = 127.0.0.1\nlisten_prot = 8107\n")
    text = failure(run_command(idle, "cloudmasterd"))
    assert f"{file}:3" in text
    assert "listen_prot" in text and "listen_port" in text


def test_a_bad_value_says_what_would_be_right(idle: Cloud) -> None:
    set_config(idle, "[main]\nlisten_port = many\n")
    text = failure(run_command(idle, "cloudmasterd"))
    assert "listen_port" in text and "many" in text and "65535" in text


def test_an_unreadable_configuration_file_is_named(idle: Cloud, tmp_path: Path) -> None:
    file = set_config(idle, "[main]\n")
    file.chmod(0)
    if os.geteuid() == 0:  # root may read everything but a directory
        file.unlink()
        file.mkdir()
    assert str(file) in failure(run_command(idle, "cloudmasterd"))


def test_a_configuration_file_that_is_asked_for_must_be_there(idle: Cloud, tmp_path: Path) -> None:
    missing = tmp_path / "missing.conf"
    assert str(missing) in failure(run_command(idle, "cloudmasterd", "--config", str(missing)))


def test_a_database_that_is_none_is_named_and_left_alone(idle: Cloud) -> None:
    database = idle.root_of("cloudmasterd") / "var/lib/cloudmasterd/cloudmasterd.db"
    database.write_bytes(b"my diary, not a database\n" * 100)
    assert str(database) in failure(run_command(idle, "cloudmasterd"))
    assert database.read_bytes().startswith(b"my diary")


def test_a_minion_says_which_certmaster_does_not_answer(tmp_path: Path) -> None:
    lonely = Cloud(tmp_path / "lonely", clouds=1, ports=Ports(*free_ports_tuple()))
    lonely.prepare()
    said: list[str] = []
    lonely._log = lambda name, line: said.append(line)
    lonely._spawn("cloud1.example.org", "funcd")
    try:
        port = str(lonely.ports.certmaster)
        eventually(lambda: any(port in line for line in list(said)), f"a line with port {port}")
    finally:
        lonely.stop()


def free_ports_tuple() -> tuple[int, int, int]:
    ports = free_ports()
    return ports.web, ports.func, ports.certmaster


def test_func_names_the_specification_nobody_matches(cloud: Cloud) -> None:
    done = run_command(cloud, "func", "*.nowhere.org", "call", "test", "ping")
    assert done.returncode == 1
    assert 'Can\'t find any minions matching "*.nowhere.org"' in done.stdout + done.stderr
