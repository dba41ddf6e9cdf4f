"""The command `func`: what it prints and how it exits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from certmaster import __version__
from func.overlord.cli import main
from func.overlord.cli.command import COMMANDS
from tests.func.overlord.cli.support import NAMES, Capture, run
from tests.func.overlord.farm import Farm


def test_strict_makes_a_failed_minion_an_exit_status(root: str, capsys: Capture) -> None:
    assert run(root, "*", "call", "test", "ping") == 0
    assert "['REMOTE_ERROR',\n" in capsys.readouterr().out
    assert run(root, "--strict", "*", "call", "test", "ping") == 4
    assert run(root, "--strict", "-e", "down*", "*", "ping") == 0


def test_no_match_is_status_one_in_funcs_words(root: str, capsys: Capture) -> None:
    assert run(root, "x*", "ping") == 1
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", 'ERROR: Can\'t find any minions matching "x*".\n')


def test_a_mistyped_name_is_answered_with_the_nearest(root: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "etc/func/groups").write_text("[web]\nhost = cloud1*\n")
    for spec, near in (("cloud1", NAMES[0]), ("claud2.example.org", NAMES[1]), ("@wbe", "@web")):
        assert run(root, spec, "ping") == 1
        assert capsys.readouterr().err.splitlines()[1].startswith(f"Did you mean {near}")


def test_the_version_is_that_of_the_distribution(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"func {__version__}\n")


def test_help_lists_every_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert "exit status: 0 done" in shown


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["*", command, "--help"])
    assert end.value.code == 0
    assert f"func SPEC {command}" in capsys.readouterr().out


def test_a_request_id_reaches_the_minion(root: str, farm: Farm) -> None:
    assert run(root, "--request-id", "deploy-17", "cloud1*", "ping") == 0
    assert b"X-Request-Id: deploy-17\r\n" in farm.raw_requests[-1]
    assert run(root, "--request-id", "not one", "cloud1*", "ping") == 1


def test_a_bad_file_is_status_one(root: str, tmp_path: Path, capsys: Capture) -> None:
    conf = tmp_path / "bad.conf"
    conf.write_text("[main]\nlisten_port = ten\n")
    assert run(root, "-c", str(conf), "*", "ping") == 1
    assert "bad.conf: listen_port = ten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["*", "cal", "virt", "freemem"], "no command 'cal': did you mean 'call'?"),
        (["*", "frobnicate"], "the commands are call, ping, list_minions, show"),
        (["*"], "COMMAND"),
        (["*", "call", "virt"], "a module and a method are needed"),
        (["ping", "cloud1*"], 'func "*" ping cloud1*'),
        (["*", "call", "-s"], "which job?"),
        (["-t", "-1", "*", "ping"], "seconds, more than 0"),
        (["-t", "soon", "*", "ping"], "soon"),
        (["*", "call", "--port", "0", "virt", "info"], "a port is a number"),
        (["*", "ping", "extra"], "extra"),
    ],
)
def test_wrong_usage_is_status_two(root: str, words: list[str], text: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        run(root, *words)
    assert end.value.code == 2
    assert text in capsys.readouterr().err


def test_a_reader_who_leaves_early_sees_no_traceback(root: str) -> None:
    command = f"{sys.executable} -c 'from func.overlord.cli import main; raise SystemExit(main())'"
    script = f"{command} --root {root} cloud1.example.org call test echo {'x' * 100_000} | head -c 10"
    ended = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}, check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    assert ended.stdout == "{'cloud1.e"


def test_the_command_starts_without_what_it_seldom_needs() -> None:
    code = "import sys, func.overlord.cli; print([name for name in sys.modules if 'cryptography' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )  # fmt: skip
    assert done.stdout == "[]\n"
