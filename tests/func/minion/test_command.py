"""Commands in a shell, waited for and as jobs that outlast the minion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.minion import children
from func.minion.codes import FuncException
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from func.minion.modules.command import Command
from tests.func.minion.helpers import wait_for


@pytest.fixture
def command(tmp_path: Path) -> Command:
    folder = tmp_path / "etc/func/modules"
    folder.mkdir(parents=True)
    (folder / "Command.conf").write_text("[main]\nenabled = yes\nlimit_s = 60\n")
    return Command(tmp_path)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("echo out; echo err >&2; exit 3", [3, "out\n", "err\n"]),
        ("true", [0, "", ""]),
        ("kill -9 $$", [137, "", "Killed\n"]),
        ("no-such-program 2>/dev/null", [127, "", ""]),
        ("cat", [0, "", ""]),  # nothing waits for input that never comes
        ("pwd", [0, "/\n", ""]),
        ("printf 'b\\303\\274cher'", [0, "bücher", ""]),
        ("echo '\"$0\" $1'", [0, '"$0" $1\n', ""]),
        ("exit 1 # a comment", [1, "", ""]),
    ],
)
def test_a_command_answers_its_code_and_what_it_said(command: Command, line: str, answer: list[Any]) -> None:
    assert command.run(line) == answer


def test_the_environment_is_funcds_or_the_one_given(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_FUNCD", "1")
    assert command.run('echo "$FROM_FUNCD $MINE"')[1] == "1 \n"
    assert command.run('echo "$FROM_FUNCD $MINE"', {"MINE": "2"})[1] == " 2\n"


@pytest.mark.parametrize(
    ("line", "env"),
    [("", None), (" \n", None), (["ls"], None), ("a\0b", None), ("x" * 200_000, None), ("ls", "PATH=/bin"),
     ("ls", {"A": 1}), ("ls", {"A=B": "1"}), ("ls", {"": "1"}), ("ls", {"A": "\0"})],
)  # fmt: skip
def test_what_is_no_command_is_told(command: Command, line: Any, env: Any) -> None:
    with pytest.raises(FuncException):
        command.run(line, env)


def test_bytes_that_are_no_text_can_be_sent(command: Command) -> None:
    answer = command.run("printf 'a\\000\\033\\377b'")
    assert wire.decode_response(wire.encode_result(answer))[1] == "a\ufffdb"


def test_of_much_output_the_end_is_answered(command: Command) -> None:
    out = command.run("head -c 5000000 /dev/zero | tr '\\0' x; echo end")[1]
    assert len(out) < 2_200_000
    assert out.startswith("[2902852 bytes before this are left out]\n")
    assert out.endswith("xend\n")


@pytest.mark.slow
def test_a_command_that_takes_too_long_is_ended_with_all_it_started(command: Command, tmp_path: Path) -> None:
    command.options["limit_s"] = 5
    command.save_config()
    with pytest.raises(children.Overdue):
        command.run(f"sleep 87654 & echo $! > {tmp_path}/pid; sleep 60")
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in state_of(pid), "its child has ended")


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_what_a_command_leaves_running_is_left_alone(command: Command) -> None:
    began = time.monotonic()
    code, out, _ = command.run("sleep 600 >/dev/null 2>&1 & echo $!")
    assert (code, time.monotonic() - began < 60) == (0, True)
    os.kill(int(out), 9)  # it ran on: else there would be nothing to kill


def test_a_program_exists_or_not(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("#!/bin/sh\n")
    assert command.exists("/bin/tool") is False
    (tmp_path / "bin/tool").chmod(0o755)
    assert command.exists("/bin/tool") is True
    assert command.exists("/bin/other") is False


def test_while_a_job_runs_its_output_can_be_read(command: Command, tmp_path: Path) -> None:
    jobs = Jobs(JobFiles(tmp_path / "jobs"))
    go = tmp_path / "go"
    line = f"echo begun; echo trouble >&2; while [ ! -e {go} ]; do sleep 0.02; done; echo done; exit 4"
    job_id = jobs.begin("command.run", lambda: command.run(line))
    wait_for(lambda: jobs.tail(job_id) == ["begun\n", "trouble\n"], "the first words can be read")
    assert jobs.status(job_id) == [0, -1]
    go.touch()
    wait_for(lambda: jobs.status(job_id)[0] == 1, "the job ends")
    assert jobs.status(job_id) == [1, [4, "begun\ndone\n", "trouble\n"]]
    assert jobs.tail(job_id) == ["begun\ndone\n", "trouble\n"]


MINION = """
import sys
from pathlib import Path
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from func.minion.modules.command import Command
root = Path(sys.argv[1])
jobs = Jobs(JobFiles(root / "jobs"))
print(jobs.begin("command.run", lambda: Command(root).run(sys.argv[2])), flush=True)
sys.stdin.readline()
jobs.close(5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "closed"])
def test_a_command_outlasts_its_minion_and_its_end_is_known_to_the_next(
    tmp_path: Path, command: Command, how: str
) -> None:
    go = tmp_path / "go"
    command.options["limit_s"] = 60
    command.save_config()
    line = f"echo begun; while [ ! -e {go} ]; do sleep 0.02; done; echo done; exit 5"
    minion = subprocess.Popen(
        [sys.executable, "-c", MINION, str(tmp_path), line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    with minion:
        assert minion.stdout is not None
        job_id = minion.stdout.readline().strip()
        after = Jobs(JobFiles(tmp_path / "jobs"))
        wait_for(lambda: after.tail(job_id)[0] == "begun\n", "the command has begun")
        if how == "killed":
            minion.kill()
        else:
            minion.communicate("\n", timeout=60)
    assert after.status(job_id) == [0, -1]
    go.touch()
    wait_for(lambda: after.status(job_id)[0] != 0, "the command ends")
    assert after.status(job_id) == [1, [5, "begun\ndone\n", ""]]
    # Written down: the next one after that need not find out again.
    assert Jobs(JobFiles(tmp_path / "jobs")).status(job_id) == [1, [5, "begun\ndone\n", ""]]


def test_a_command_that_died_with_the_minion_is_lost(tmp_path: Path, command: Command) -> None:
    command.options["limit_s"] = 60
    command.save_config()
    minion = subprocess.Popen(
        # It is its parent that would write down the end.
        [sys.executable, "-c", MINION, str(tmp_path), "echo $PPID; sleep 60"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    with minion:
        assert minion.stdout is not None
        job_id = minion.stdout.readline().strip()
        after = Jobs(JobFiles(tmp_path / "jobs"))
        parent = int(wait_for(lambda: after.tail(job_id)[0].strip(), "the command has begun"))
        minion.kill()
    os.kill(parent, signal.SIGKILL)
    assert children.end_all(tmp_path / "jobs" / job_id, grace_s=0.1)
    code, why = after.status(job_id)
    assert code == 2
    assert "command.run: funcd ended while this call ran" in why[2]
