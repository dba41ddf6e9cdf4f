"""The commands of `func` that need no file of tests to themselves."""

from __future__ import annotations

import json
from pathlib import Path

from tests.func.overlord.cli.support import DOWN, NAMES, Capture, run
from tests.func.overlord.farm import Farm
from tests.func.overlord.historic import HistoricMinion

A, B = NAMES
Historic = dict[str, HistoricMinion]


def test_ping_says_who_answers(root: str, capsys: Capture) -> None:
    assert run(root, "*", "ping", "-v") == 0
    seen = capsys.readouterr()
    assert seen.out.splitlines() == [
        "[ ok ... ] cloud1.example.org",
        "[ ok ... ] cloud2.example.org",
        "[ FAILED ] down.example.org",
    ]
    assert seen.err.startswith("down.example.org: [Errno 111] Connection refused")


def test_ping_in_json_says_why_not(root: str, capsys: Capture) -> None:
    assert run(root, "*", "ping", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown[A] == {"ok": True, "error": None}
    assert shown[DOWN]["ok"] is False
    assert shown[DOWN]["error"].startswith("[Errno 111] Connection refused")


def test_list_minions(root: str, farm: Farm, capsys: Capture) -> None:
    assert run(root, "-e", "down*", "*", "list_minions") == 0
    assert capsys.readouterr().out.splitlines() == NAMES
    assert run(root, "-e", "down*", "*", "list_minions", "-j") == 0
    assert json.loads(capsys.readouterr().out) == NAMES
    assert farm.calls == []


def test_hardware_is_shown_whole_or_by_name(root: str, historic: Historic, capsys: Capture) -> None:
    assert run(root, "cloud*", "show", "hardware", "systemMemory", "os", "nonsense") == 0
    assert capsys.readouterr().out == f"{A}:\n2001\nFedora\n{B}:\n2001\nFedora\n"
    assert run(root, "cloud1*", "show", "hardware") == 0
    assert capsys.readouterr().out == f"{A}:\n{{'devices': [], 'os': 'Fedora', 'systemMemory': '2001'}}\n"
    assert run(root, "cloud1*", "show", "--json", "hardware", "os") == 0
    assert json.loads(capsys.readouterr().out) == {A: {"os": "Fedora"}}


def test_hardware_of_a_minion_that_is_down_is_said_apart(
    root: str, historic: Historic, capsys: Capture
) -> None:
    assert run(root, "--strict", "*", "show", "hardware", "os") == 4
    seen = capsys.readouterr()
    assert DOWN not in seen.out
    assert seen.err.startswith(f"{DOWN}: [Errno 111]")


def test_a_file_is_put_and_fetched(root: str, historic: Historic, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "motd").write_text("hello")
    put = ["copyfile", f"--file={tmp_path / 'motd'}", "--remotepath=/motd", "--force"]
    assert run(root, "cloud*", *put) == 0
    assert capsys.readouterr() == ("", "")
    assert (historic[B].folder / "motd").read_text() == "hello"
    fetch = ["getfile", "-r", "/motd", "-l", str(tmp_path / "all")]
    assert run(root, "cloud*", *fetch, "-v") == 0
    assert capsys.readouterr().out == "".join(f"{n}: {tmp_path}/all/{n}/motd\n" for n in NAMES)


def test_who_did_not_take_a_file_makes_the_status_four(
    root: str, historic: Historic, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "motd").write_text("hello")
    put = ["copyfile", "-f", str(tmp_path / "motd"), "--remotepath", "/motd"]
    assert run(root, "*", *put, "-v") == 4
    seen = capsys.readouterr()
    assert seen.out.splitlines() == [f"[ ok ... ] {A}", f"[ ok ... ] {B}", f"[ FAILED ] {DOWN}"]
    assert seen.err.startswith(f"{DOWN}: [Errno 111]")
    assert run(root, "cloud*", "copyfile", "-f", str(tmp_path / "none"), "--remotepath", "/x") == 1
    assert run(root, "cloud*", *put, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {A: None, B: None}


def test_who_did_not_give_a_file_makes_the_status_four(
    root: str, historic: Historic, tmp_path: Path, capsys: Capture
) -> None:
    (historic[A].folder / "motd").write_text("hello")
    assert run(root, "cloud*", "getfile", "-r", "/motd", "-l", str(tmp_path / "all"), "-j") == 4
    seen = capsys.readouterr()
    assert json.loads(seen.out) == {
        A: {"path": f"{tmp_path}/all/{A}/motd", "error": None},
        B: {"path": None, "error": "IOError: it cannot open the file for reading"},
    }
    assert seen.err == f"{B}: IOError: it cannot open the file for reading\n"


def test_grep_asks_the_modules_that_can_be_asked(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    assert run(root, "cloud*", "grep", "word") == 0
    assert capsys.readouterr().out == "".join(f"{name}: {{'ping': ['has word']}}\n" for name in NAMES)
    asked = {method for _, method, _ in farm.calls}
    assert asked == {"system.inventory", "test.grep", "hardware.grep"}


def test_grep_keeps_to_the_modules_named(root: str, historic: Historic, farm: Farm, capsys: Capture) -> None:
    assert run(root, "cloud1*", "grep", "-j", "-m", "test", "-m", "plain", "word") == 0
    assert json.loads(capsys.readouterr().out) == {A: {"test": {"ping": ["has word"]}}}
    assert {method for _, method, _ in farm.calls} == {"system.inventory", "test.grep"}
    assert run(root, "--strict", "*", "grep", "word") == 4
    assert capsys.readouterr().err.startswith(f"{DOWN}: [Errno 111]")


def test_dump_config_shows_what_is_in_use(root: str, farm: Farm, capsys: Capture) -> None:
    assert run(root, "-t", "7", "*", "dump_config", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["listen_port"] == farm.port
    assert shown["cert_file"] == f"{root}/etc/pki/certmaster/ca/certmaster.crt"
    assert shown["cert_dn"] == "master.example.org-CA-KEY"
    assert isinstance(shown["certificate_hash"], int)
    assert shown["timeout"] == 7
    assert run(root, "*", "dump_config") == 0
    text = capsys.readouterr().out
    assert text.startswith("config:\n\tlog_level = INFO\n")
    assert f"certificate hash: {shown['certificate_hash']}\n" in text
    assert "timeout: 60.0\n" in text


def test_what_a_minion_says_cannot_steer_the_terminal(root: str, farm: Farm, capsys: Capture) -> None:
    said = "web\x9b2J\rroot@master# \u202e"
    farm.answer = lambda name, method, args: ["REMOTE_ERROR", "builtins.ValueError", said, "trace"]
    run(root, "cloud1*", "show", "hardware")
    told = capsys.readouterr()
    assert "\\x9b2J\\rroot@master# \\u202e" in told.err
    assert not set("\x9b\r\u202e") & set(told.out + told.err)
