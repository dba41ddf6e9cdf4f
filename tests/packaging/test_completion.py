"""What bash completes: run in a real bash, of the commands as they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from cloudmasterd.accounts import User
from cloudmasterd.rights import Role
from cloudmasterd.store import Store
from func.overlord.cli.command import COMMANDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging/bash-completion"
PROGRAMS = {
    "func": Path(sys.prefix) / "bin/func",
    "certmaster-ca": Path(sys.prefix) / "bin/certmaster-ca",
    "cloudmasterctl": Path(sys.prefix) / "bin/cloudmasterctl",
    "cloudmasterd": Path(sys.prefix) / "bin/cloudmasterd",
    "genome-replace-self": ROOT / "genome-replace-self/genome-replace-self",
}

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

COMPLETE = """
set -u
. "$1"
COMP_WORDS=("${@:3}"); COMP_CWORD=$(($# - 3))
"_$(basename "$1" | tr - _)" "$2"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(command: str, *words: str) -> set[str]:
    """What is offered for the last of the words, the command's name before them."""
    program = PROGRAMS[command]
    if not program.exists():
        pytest.skip(f"{program} is not there: the commands are installed by make setup")
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(FOLDER / command), str(program), command, *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


def test_func_completes_its_commands() -> None:
    assert completed("func", "*", "") == set(COMMANDS)
    assert completed("func", "-t", "5", "--root", "=", "/x", "*", "li") == {"list_minions"}
    assert completed("func", "@", "web", "ca") == {"call"}


@pytest.mark.slow
def test_func_completes_options_before_and_behind_the_command() -> None:
    before = completed("func", "--")
    assert {"--timeout", "--exclude", "--strict", "--version"} <= before
    assert "--jobid" not in before
    behind = completed("func", "*", "call", "--")
    assert {"--jobid", "--async", "--sort", "--filter"} <= behind
    assert completed("func", "*", "copyfile", "--rem") == {"--remotepath"}
    assert completed("func", "*", "show", "") == {"hardware"}


def test_files_are_completed_where_they_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("")
    for words in (
        ["func", "*", "copyfile", "-f", str(tmp_path / "mo")],
        ["cloudmasterd", "--config", str(tmp_path / "mo")],
        ["genome-replace-self", "--metadata-file", str(tmp_path / "mo")],
    ):
        assert completed(*words) == {str(tmp_path / "motd")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "some"),
    [
        ("certmaster-ca", {"--sign", "--list-signed", "--new-token"}),
        ("cloudmasterd", {"--config", "--check-config"}),
        ("genome-replace-self", {"--cobbler", "--metadata-file", "--cancel"}),
    ],
)
def test_options_are_those_of_the_command(command: str, some: set[str]) -> None:
    offered = completed(command, "--")
    help_text = subprocess.run(
        [PROGRAMS[command], "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert some <= offered
    assert all(option in help_text for option in offered)


def test_metadata_keys_wait_for_their_value() -> None:
    assert completed("genome-replace-self", "-m", "cert") == {"certmaster="}


@pytest.mark.parametrize("command", sorted(PROGRAMS))
def test_each_file_is_registered_for_its_command(command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", '. "$1"; complete -p "$2"', "bash", str(FOLDER / command), command],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.endswith(f" {command}\n")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("command", sorted(PROGRAMS))
def test_shellcheck_has_nothing_to_say(command: str) -> None:
    done = subprocess.run(
        ["shellcheck", "-s", "bash", str(FOLDER / command)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.slow
def test_cloudmasterctl_completes_its_commands_and_theirs() -> None:
    assert {"status", "check", "backup", "restore", "user", "token"} <= completed("cloudmasterctl", "")
    assert completed("cloudmasterctl", "--root", "/x", "user", "") == {
        "list", "create", "change", "password", "delete",
    }  # fmt: skip
    assert completed("cloudmasterctl", "token", "re") == {"revoke"}
    assert {"--role", "--scope", "--password-file"} <= completed("cloudmasterctl", "user", "create", "--")
    assert completed("cloudmasterctl", "user", "create", "--role", "") == {"viewer", "operator", "admin"}


@pytest.mark.slow
def test_cloudmasterctl_completes_files(tmp_path: Path) -> None:
    (tmp_path / "master.tar.gz").touch()
    found = {str(tmp_path / "master.tar.gz")}
    assert completed("cloudmasterctl", "restore", f"{tmp_path}/m") == found
    assert completed("cloudmasterctl", "token", "create", "--file", f"{tmp_path}/m") == found


@pytest.mark.slow
def test_cloudmasterctl_completes_the_names_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "var/lib/cloudmasterd/cloudmasterd.db"
    database.parent.mkdir(parents=True)
    with closing(Store(database)) as store:
        for name in ("ann", "bob"):
            store.users.add(User(name, Role.VIEWER, datetime.now(timezone.utc)), None)
    monkeypatch.setenv("CERTMASTER_ROOT", str(tmp_path))
    assert completed("cloudmasterctl", "user", "delete", "") == {"ann", "bob"}
    assert completed("cloudmasterctl", "token", "list", "--user", "a") == {"ann"}
    assert completed("cloudmasterctl", "token", "revoke", "") == set()
