"""The command `func`: what it prints and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from func.overlord.cli import main
from tests.func.overlord.farm import Farm, write_root

NAMES = ["cloud1.example.org", "cloud2.example.org"]


Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(farm: Farm, tmp_path: Path) -> str:
    farm.answer = lambda name, method, args: args or {"virt.freemem": 14245, "test.ping": 1}[method]
    write_root(tmp_path, farm, [*NAMES, "down.example.org"], {"down.example.org": "127.0.0.77"})
    return str(tmp_path)


def run(root: str, *words: str) -> int:
    return main(["--root", root, *words])


def test_call_prints_a_dict(root: str, capsys: Capture) -> None:
    assert run(root, "cloud*", "call", "virt", "freemem") == 0
    assert capsys.readouterr().out == "{'cloud1.example.org': 14245, 'cloud2.example.org': 14245}\n"


def test_arguments_may_look_like_options(root: str, capsys: Capture) -> None:
    assert run(root, "cloud1*", "call", "-j", "test", "echo", "-1", "--sort", "a b") == 0
    assert json.loads(capsys.readouterr().out) == {"cloud1.example.org": ["-1", "--sort", "a b"]}


def test_xmlrpc_raw_and_verbose(root: str, capsys: Capture) -> None:
    assert run(root, "cloud1*", "call", "-x", "--sort", "-f", "5", "virt", "freemem") == 0
    assert "<name>cloud1.example.org</name>" in capsys.readouterr().out
    assert run(root, "cloud1*", "call", "--raw", "-v", "virt", "freemem") == 0
    seen = capsys.readouterr()
    assert seen.out == "{'cloud1.example.org': 14245}\n"
    assert seen.err == "calling virt.freemem on cloud1.example.org\n"


def test_ping_says_who_answers(root: str, capsys: Capture) -> None:
    assert run(root, "*", "ping", "-v") == 0
    seen = capsys.readouterr()
    assert seen.out.splitlines() == [
        "[ ok ... ] cloud1.example.org",
        "[ ok ... ] cloud2.example.org",
        "[ FAILED ] down.example.org",
    ]
    assert seen.err.startswith("down.example.org: [Errno 111] Connection refused")


def test_strict_makes_a_failed_minion_an_exit_status(root: str, capsys: Capture) -> None:
    assert run(root, "*", "call", "test", "ping") == 0
    assert "['REMOTE_ERROR',\n" in capsys.readouterr().out
    assert run(root, "--strict", "*", "call", "test", "ping") == 4
    assert run(root, "--strict", "-e", "down*", "*", "ping") == 0


def test_list_minions(root: str, capsys: Capture) -> None:
    assert run(root, "-e", "down*", "*", "list_minions") == 0
    assert capsys.readouterr().out.splitlines() == NAMES


def test_no_match_is_status_one_in_funcs_words(root: str, capsys: Capture) -> None:
    assert run(root, "x*", "ping") == 1
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", 'ERROR: Can\'t find any minions matching "x*".\n')


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
        (["ping", "cloud1*"], "func \"*\" ping cloud1*"),
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
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    assert ended.stdout == "{'cloud1.e"
