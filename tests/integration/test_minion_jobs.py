"""Asynchronous calls of a real minion: they outlast the connection, and the minion itself."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from func import wire
from tests.func.minion.funcd import Funcd, configure, enrolled, turn_on
from tests.func.minion.helpers import Authority
from tests.integration.support import eventually

MODULE = """
from func.minion.modules import func_module

class Backup(func_module.FuncModule):
    version = "1.0"

    def run(self, steps):
        for number in range(int(steps)):
            self.run.logger.info("step %d", number)
            self.run.logger.progress(number + 1, int(steps))
        return "saved"
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "own", "master.example.org-CA-KEY")


@pytest.fixture
def root(tmp_path: Path, authority: Authority) -> Path:
    root = enrolled(tmp_path, authority.issue("cloud1.example.org"))
    turn_on(root, "Command")
    (root / "usr/lib/func/modules.d").mkdir(parents=True, mode=0o755)
    for name, text in (("backup", MODULE), ("broken", "import nothing_there\n")):
        file = root / f"usr/lib/func/modules.d/{name}.py"
        file.write_text(text)
        file.chmod(0o644)
    return root


@pytest.fixture
def funcd(root: Path) -> Iterator[Callable[[], Funcd]]:
    started: list[Funcd] = []

    def start() -> Funcd:
        started.append(Funcd(root))
        started[-1].says("funcd is ready")
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(60)


@pytest.fixture
def ask(root: Path, authority: Authority) -> Callable[..., Any]:
    """Call a method on a connection of its own."""
    port = int(configure(root)["listen_port"])

    def ask(method: str, *args: Any) -> Any:
        context = authority.own.client()
        session = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        try:
            headers = {"Content-Type": "text/xml", "X-Request-Id": "task-17"}
            session.request("POST", "/RPC2", wire.encode_call(method, args), headers)
            return wire.decode_response(session.getresponse().read())
        finally:
            session.close()

    return ask


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_goes_on_without_its_minion_and_the_next_one_tells_its_end(
    root: Path, funcd: Callable[[], Funcd], ask: Callable[..., Any], number: int
) -> None:
    first = funcd()
    go = root / "go"
    job_id = ask(
        "async.command.run", f"echo begun; until [ -e {go} ]; do sleep 0.05; done; echo done; exit 3"
    )
    ended_before = ask("async.test.add", 1, 2)
    eventually(lambda: ask("jobs.job_status", ended_before) == [1, 3], "the short one ends")
    eventually(lambda: ask("jobs.tail_output", job_id) == ["begun\n", ""], "the command has begun")
    first.end(number)
    funcd()
    assert ask("jobs.job_status", ended_before) == [1, 3]
    assert ask("jobs.job_status", job_id) == [0, -1]
    assert ask("jobs.tail_output", job_id) == ["begun\n", ""]
    go.touch()
    eventually(lambda: ask("jobs.job_status", job_id) == [1, [3, "begun\ndone\n", ""]], "its end is told")


def test_what_ran_inside_a_minion_that_died_is_lost_and_says_why(
    funcd: Callable[[], Funcd], ask: Callable[..., Any]
) -> None:
    first = funcd()
    job_id = ask("async.test.sleep", 600)
    assert ask("jobs.job_status", job_id) == [0, -1]
    first.end(signal.SIGKILL)
    funcd()
    code, why = ask("jobs.job_status", job_id)
    assert code == 2
    assert why[:2] == ["REMOTE_ERROR", "func.minion.codes.JobLost"]
    assert "test.sleep: funcd ended" in why[2]


def test_a_module_of_somebody_else_runs_as_a_job_and_a_broken_one_is_told(
    root: Path, funcd: Callable[[], Funcd], ask: Callable[..., Any]
) -> None:
    running = funcd()
    assert "broken.py: skipped: ModuleNotFoundError" in running.says("broken.py")
    assert "backup" in ask("system.list_modules")
    job_id = ask("async.backup.run", "3")
    eventually(lambda: ask("jobs.job_status", job_id) == [1, "saved"], "it ends")
    assert ask("jobs.get_progress", job_id) == [3, 3]
    assert ask("jobs.tail_output", job_id)[0].splitlines()[0] == "INFO - step 0"
    assert running.end() == 0
    audit = (root / "var/log/func/methods/calls.log").read_text()
    assert f"async.backup.run('3') began {job_id} " in audit
    assert f"async.backup.run('3') ok {job_id} " in audit
    assert all(line.endswith(" ms request task-17") for line in audit.splitlines())


def test_a_fact_filter_decides_who_answers(funcd: Callable[[], Funcd], ask: Callable[..., Any]) -> None:
    funcd()
    yes = {"__fact__": ["AND", [["cpus__gte", "1"], ["NOT", ["AND", [["os", "none"]]]]]]}
    facts, value = ask("test.add", yes, 1, 2)
    assert (facts["__fact__"][0], value) == (True, 3)
    assert set(facts["__fact__"][1]) == {"cpus", "os"}
    (only,) = ask("test.add", {"__fact__": ["AND", [["cpus__lt", 1]]]}, 1, 2)
    assert only["__fact__"][0] is False
