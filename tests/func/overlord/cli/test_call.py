"""`func SPEC call`: what it prints, and what it does with jobs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from func import wire
from func.overlord.cli.job import after
from tests.func.overlord.cli.support import DOWN, NAMES, Capture, run
from tests.func.overlord.farm import Farm
from tests.func.overlord.historic import HistoricMinion

A, B = NAMES
Historic = dict[str, HistoricMinion]


def test_call_prints_a_dict(root: str, capsys: Capture) -> None:
    assert run(root, "cloud*", "call", "virt", "freemem") == 0
    assert capsys.readouterr().out == "{'cloud1.example.org': 14245, 'cloud2.example.org': 14245}\n"


def test_arguments_may_look_like_options(root: str, capsys: Capture) -> None:
    assert run(root, "cloud1*", "call", "-j", "test", "echo", "-1", "--sort", "a b") == 0
    assert json.loads(capsys.readouterr().out) == {A: ["-1", "--sort", "a b"]}


def test_the_form_can_be_chosen(root: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(root, "cloud1*", "call", "-x", "--sort", "-f", "5", "virt", "freemem") == 0
    assert b"<name>cloud1.example.org</name>" in capfdbinary.readouterr().out
    for flag in ("--raw", "-b"):
        assert run(root, "cloud1*", "call", flag, "virt", "freemem") == 0
        assert capfdbinary.readouterr().out == b"{'cloud1.example.org': 14245}\n"
    assert run(root, "cloud1*", "call", "-p", "virt", "freemem") == 0
    assert pickle.loads(capfdbinary.readouterr().out) == {A: 14245}


def test_verbose_says_whom_is_called(root: str, capsys: Capture) -> None:
    assert run(root, "cloud1*", "call", "-v", "virt", "freemem") == 0
    assert capsys.readouterr().err == "calling virt.freemem on cloud1.example.org\n"


def test_a_filter_leaves_minions_out(root: str, historic: Historic, farm: Farm, capsys: Capture) -> None:
    historic[B].facts = {"os": "RHEL"}
    assert run(root, "cloud*", "call", "-j", "--filter", "os=RHEL", "test", "ping") == 0
    assert json.loads(capsys.readouterr().out) == {B: 1}
    assert run(root, "cloud*", "call", "--filteror", "os=RHEL,cpus>4", "test", "ping") == 0
    assert farm.calls[-1][2] == [{"__fact__": ["OR", [["os", "RHEL"], ["cpus__gt", "4"]]]}]
    assert run(root, "*", "call", "--filter", "nonsense", "test", "ping") == 1
    assert "'nonsense' is no filter" in capsys.readouterr().err


def test_calls_through_other_overlords_are_refused(root: str, capsys: Capture) -> None:
    assert run(root, "*", "call", "-d", "test", "ping") == 1
    assert "not supported" in capsys.readouterr().err


def begin(root: str, capsys: Capture, spec: str = "cloud*") -> str:
    assert run(root, spec, "call", "-n", "-j", "test", "sleep", "5") == 0
    return str(json.loads(capsys.readouterr().out)["job_id"])


def test_a_job_is_begun_and_asked_for_later(root: str, historic: Historic, capsys: Capture) -> None:
    assert run(root, "cloud*", "call", "-n", "test", "sleep", "5") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("JOB_ID: 'cloud*-test-sleep-")
    job_id = shown.split("'")[1]
    assert run(root, "*", "call", "--jobid", job_id) == 5
    assert capsys.readouterr().out == "(3, {})\n"
    historic[A].finish(1)
    assert run(root, "*", "call", "-s", job_id) == 5
    assert capsys.readouterr().out == f"(3, {{{A!r}: 1}})\n"
    historic[B].finish(2)
    assert run(root, "*", "call", "-j", "-s", job_id) == 0
    assert json.loads(capsys.readouterr().out) == [1, {A: 1, B: 2}]


def test_the_status_of_a_job_that_failed_is_four_when_strict(
    root: str, historic: Historic, capsys: Capture
) -> None:
    job_id = begin(root, capsys)
    for minion in historic.values():
        minion.finish(wire.remote_error("exceptions.Exception", "khaboom"))
    assert run(root, "*", "call", "--jobid", job_id) == 0
    assert run(root, "--strict", "*", "call", "--jobid", job_id) == 4


def test_an_unknown_job_is_status_one_and_names_those_there_are(
    root: str, historic: Historic, capsys: Capture
) -> None:
    assert run(root, "*", "call", "--jobid", "no-such-job-1") == 1
    assert capsys.readouterr().err == "ERROR: there is no job 'no-such-job-1', or no longer\n"
    job_id = begin(root, capsys)
    assert run(root, "*", "call", "--jobid", "no-such-job-1") == 1
    assert capsys.readouterr().err.endswith(f"there are {job_id!r}\n")


def ends_at_once(historic: Historic, farm: Farm, values: dict[str, object]) -> None:
    """Let every job have ended when it is first asked for."""

    def answer(name: str, method: str, args: list[object]) -> object:
        said = historic[name].answer(method, args)
        historic[name].finish(values[name])
        return said

    farm.answer = answer


def test_waiting_prints_a_tuple_for_each_minion(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    ends_at_once(historic, farm, {A: [1, "a"], B: 2})
    assert run(root, "cloud*", "call", "-a", "test", "sleep") == 0
    assert capsys.readouterr().out == f"({A!r}, [1, 'a'])\n({B!r}, 2)\n"
    assert run(root, "cloud*", "call", "-a", "-j", "test", "sleep") == 0
    assert capsys.readouterr().out == f'["{A}", [1, "a"]]\n["{B}", 2]\n'


def test_waiting_for_all_prints_what_a_plain_call_would(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    ends_at_once(historic, farm, {A: 1, B: 2})
    assert run(root, "cloud*", "call", "-a", "--sort", "-j", "test", "sleep") == 0
    assert json.loads(capsys.readouterr().out) == {A: 1, B: 2}


def test_waiting_is_strict_when_asked_to_be(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    ends_at_once(historic, farm, {A: 1, B: wire.remote_error("exceptions.Exception", "khaboom")})
    assert run(root, "--strict", "cloud*", "call", "-a", "test", "sleep") == 4
    assert "'khaboom'" in capsys.readouterr().out


def test_a_minion_that_is_down_is_a_result_of_the_job(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    ends_at_once(historic, farm, {A: 1, B: 2})
    assert run(root, f"cloud1*;{DOWN}", "call", "-a", "test", "sleep") == 0
    shown = capsys.readouterr().out
    assert f"({A!r}, 1)\n" in shown
    assert f"({DOWN!r},\n ['REMOTE_ERROR',\n  'socket.error',\n  '[Errno 111]" in shown


def test_methods_of_the_file_are_always_run_in_the_background(
    root: str, historic: Historic, farm: Farm, capsys: Capture
) -> None:
    (Path(root) / "etc/func/async_methods.conf").write_text(
        "[main]\nforce_async = test.sleep, virt.install\n"
    )
    ends_at_once(historic, farm, {A: 1, B: 2})
    assert run(root, "cloud1*", "call", "test", "sleep") == 0
    assert capsys.readouterr().out == f"({A!r}, 1)\n"
    assert "async.test.sleep" in [method for _, method, _ in farm.calls]
    assert run(root, "cloud1*", "call", "test", "ping") == 0
    assert capsys.readouterr().out == f"{{{A!r}: 1}}\n"


def test_what_a_method_prints_is_shown(root: str, historic: Historic, farm: Farm, capsys: Capture) -> None:
    ends_at_once(historic, farm, {A: 1, B: 2})
    assert run(root, "cloud1*", "call", "-a", "-l", "test", "sleep") == 0
    assert capsys.readouterr().out == f"------HOST : {A} -------\none\ntwo\n({A!r}, 1)\n"
    job_id = begin(root, capsys, "cloud1*")
    assert run(root, "*", "call", "-o", A, job_id) == 0
    assert capsys.readouterr().out == f"------HOST : {A} -------\none\ntwo\n"
    assert run(root, "*", "call", "-o", A, "no-such-job-1") == 1


def test_how_far_a_method_is_can_be_asked(root: str, historic: Historic, farm: Farm, capsys: Capture) -> None:
    ends_at_once(historic, farm, {A: 1, B: 2})
    job_id = begin(root, capsys, "cloud1*")
    assert run(root, "*", "call", "-r", A, job_id) == 0
    assert capsys.readouterr().out == "3 of 7\n"
    historic[A].jobs.clear()
    assert run(root, "*", "call", "-r", A, job_id) == 0
    assert "does not tell how far" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shown", "lines", "new"),
    [
        ([], ["a", "b"], ["a", "b"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a"], [], []),
    ],
)
def test_only_what_is_new_of_a_log_is_shown(shown: list[str], lines: list[str], new: list[str]) -> None:
    assert after(shown, lines) == new
