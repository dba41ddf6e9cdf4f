"""The command `func` and Func's API against real minions: jobs over a restart, files, groups, facts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.support import eventually, python_script, run_command

pytestmark = pytest.mark.integration
ONE, TWO = NAMES = ["cloud1.example.org", "cloud2.example.org"]

OFF_BY_DEFAULT = ("Command", "CopyFile", "GetFile")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Two minions whose command and file modules are on, and no cloud master."""
    made = Cloud(tmp_path_factory.mktemp("func"), clouds=2, ports=free_ports(), log=write_log)
    try:
        made.prepare()
        for name in NAMES:
            for module in OFF_BY_DEFAULT:
                file = made.root_of(name) / f"etc/func/modules/{module}.conf"
                file.write_text("[main]\nenabled = yes\n")
        made.start_certmaster()
        for name in NAMES:
            made.start_minion(name)
        yield made
    finally:
        made.stop()


def func(cloud: Cloud, *words: str) -> tuple[int, str]:
    done = run_command(cloud, "func", *words)
    assert done.stderr == "", done.stderr
    return done.returncode, done.stdout


def func_json(cloud: Cloud, *words: str) -> Any:
    return json.loads(func(cloud, *words)[1])


def job_status(cloud: Cloud, job_id: str) -> tuple[int, Any]:
    """The exit status, and [code, {minion: value}]."""
    status, shown = func(cloud, "*", "call", "-j", "--jobid", job_id)
    return status, json.loads(shown)


def test_a_job_outlives_the_command_and_the_minion(cloud: Cloud, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = f"echo begun; until test -e {gate}; do sleep 0.1; done; echo done"
    job_id = func_json(cloud, "*", "call", "-n", "-j", "command", "run", command)["job_id"]
    assert job_status(cloud, job_id) == (5, [3, {}])
    cloud.end(ONE)
    status, (code, values) = job_status(cloud, job_id)
    assert (status, code, values) == (5, 3, {})
    cloud.start_minion(ONE)
    assert job_status(cloud, job_id) == (5, [3, {}])
    gate.touch()
    eventually(lambda: job_status(cloud, job_id)[0] == 0, "both commands to end")
    assert job_status(cloud, job_id)[1] == [1, dict.fromkeys(NAMES, [0, "begun\ndone\n", ""])]


def test_a_minion_that_stays_away_is_code_four_until_it_is_back(cloud: Cloud, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = f"until test -e {gate}; do sleep 0.1; done"
    job_id = func_json(cloud, ONE, "call", "-n", "-j", "command", "run", command)["job_id"]
    cloud.end(ONE)
    status, (code, values) = job_status(cloud, job_id)
    assert (status, code) == (5, 4)
    assert values[ONE][:2] == ["REMOTE_ERROR", "socket.error"]
    cloud.start_minion(ONE)
    gate.touch()
    eventually(lambda: job_status(cloud, job_id)[0] == 0, "the command to end")


def test_waiting_prints_results_and_what_the_method_says(cloud: Cloud) -> None:
    status, shown = func(cloud, ONE, "call", "-a", "-l", "command", "run", "echo one; echo two >&2; sleep 1")
    assert status == 0
    assert shown.startswith(f"------HOST : {ONE} -------\n")
    assert shown.endswith(f"({ONE!r}, [0, 'one\\n', 'two\\n'])\n")


def test_a_method_tells_how_far_it_is(cloud: Cloud) -> None:
    job_id = func_json(cloud, ONE, "call", "-n", "-j", "test", "sleep", "2")["job_id"]
    assert func(cloud, "*", "call", "-r", ONE, job_id) == (0, "2 of 2\n")
    assert job_status(cloud, job_id)[0] == 0


def test_an_unknown_method_ends_its_job_with_an_error(cloud: Cloud) -> None:
    status, shown = func(cloud, "--strict", "*", "call", "-a", "--sort", "-j", "test", "nonsense")
    assert status == 4
    kinds = {name: value[:2] for name, value in json.loads(shown).items()}
    assert kinds == dict.fromkeys(NAMES, ["REMOTE_ERROR", "func.minion.codes.InvalidMethodException"])


def test_a_program_waits_for_a_job_as_in_func(cloud: Cloud) -> None:
    shown = python_script(
        cloud,
        "import time\n"
        "from func import jobthing, utils\n"
        "from func.overlord.client import Client\n"
        "client = Client('*', nforks=10, **{'async': True})\n"
        "job_id = client.test.sleep(1)\n"
        "code, results = jobthing.JOB_ID_RUNNING, None\n"
        "while code != jobthing.JOB_ID_FINISHED:\n"
        "    code, results = client.job_status(job_id)\n"
        "    time.sleep(0.2)\n"
        "print(sorted(results), any(utils.is_error(value) for value in results.values()))\n"
        "print(job_id in client.open_job_ids())\n",
    )
    assert shown == f"{NAMES} False\nTrue\n"


def test_a_file_goes_to_all_and_comes_back(cloud: Cloud, tmp_path: Path) -> None:
    content = os.urandom(150_001)
    sent = tmp_path / "sent"
    sent.write_bytes(content)
    sent.chmod(0o640)
    assert func(cloud, "*", "copyfile", "--file", str(sent), "--remotepath", "/srv/new/here") == (0, "")
    for name in NAMES:
        there = cloud.root_of(name) / "srv/new/here"
        assert (there.read_bytes(), there.stat().st_mode & 0o777) == (content, 0o640)
    assert func(cloud, "*", "getfile", "-r", "/srv/new/here", "-l", str(tmp_path / "all")) == (0, "")
    assert [(tmp_path / "all" / name / "here").read_bytes() for name in NAMES] == [content, content]


def test_a_file_that_is_not_there_is_said(cloud: Cloud, tmp_path: Path) -> None:
    done = run_command(cloud, "func", ONE, "getfile", "-r", "/srv/nothing", "-l", str(tmp_path / "all"))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"{ONE}: IOError: it cannot open the file for reading\n"


def test_a_group_is_made_used_and_removed(cloud: Cloud) -> None:
    assert func(cloud, "*", "group", "--ah", "@first:cloud1*") == (0, "")
    assert func(cloud, "@first", "ping") == (0, f"[ ok ... ] {ONE}\n")
    assert func(cloud, "-e", "@first", "*", "ping") == (0, f"[ ok ... ] {TWO}\n")
    assert func(cloud, "*", "group", "--rg", "first") == (0, "")
    assert run_command(cloud, "func", "@first", "ping").returncode == 1


def test_facts_choose_the_minions(cloud: Cloud) -> None:
    assert func_json(cloud, "*", "call", "-j", "--filter", "cpus>=1", "test", "ping") == {ONE: 1, TWO: 1}
    assert func_json(cloud, "*", "call", "-j", "--filter", "cpus>9999", "test", "ping") == {}
    job = ["call", "-a", "--sort", "-j", "--filteror", "cpus>9999,cpus>=1"]
    assert func_json(cloud, "*", *job, "test", "ping") == {ONE: 1, TWO: 1}


def test_a_request_id_is_in_the_minions_record(cloud: Cloud) -> None:
    assert func(cloud, "--request-id", "deploy-17", ONE, "call", "test", "add", "1", "2")[0] == 0
    record = cloud.root_of(ONE) / "var/log/func/methods/calls.log"
    assert any("test.add" in line and "deploy-17" in line for line in record.read_text().splitlines())


def test_hardware_grep_and_check_speak_of_real_minions(cloud: Cloud) -> None:
    assert set(func_json(cloud, "*", "show", "-j", "hardware")) == set(NAMES)
    assert func(cloud, "*", "grep", "-m", "test", "anything")[0] == 0
    assert func(cloud, "*", "check", "--certmaster") == (0, "SCAN RESULTS:\nEnd of Report.\n")
