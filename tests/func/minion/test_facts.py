"""Facts, and calls that only some minions shall answer."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.minion.codes import BadFactQuery
from func.minion.fact_query import FactFilter, judge
from func.minion.facts import SOURCES, Facts
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from func.minion.modules.fact import FactsModule
from func.overlord.facts import Q
from tests.func.minion.helpers import wait_for


class Known:
    """A machine of which these facts are true."""

    def names(self) -> list[str]:
        return ["cpus", "hostname", "os", "x.os_name"]

    def find(self, name: str) -> Any:
        return {"os": "Fedora 42", "x.os_name": "Fedora 42", "cpus": 8, "hostname": "cloud1.example.org"}[
            name
        ]


class Methods:
    def __init__(self) -> None:
        self.ran: list[Any] = []

    def call(self, method: str, args: Any) -> Any:
        self.ran.append((method, list(args)))
        return "value"


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        (["AND", [["os", "Fedora 42"]]], True),
        (["AND", [["os", "fedora 42"]]], False),
        (["AND", [["os__iexact", "fedora 42"]]], True),
        (["AND", [["os__contains", "dora"]]], True),
        (["AND", [["os__contains", "DORA"]]], False),
        (["AND", [["os__icontains", "DORA"]]], True),
        (["AND", [["os__startswith", "Fed"], ["cpus__gt", 7]]], True),
        (["AND", [["os__startswith", "Fed"], ["cpus__gt", 8]]], False),
        (["OR", [["os__startswith", "RHEL"], ["cpus__gte", "8"]]], True),
        (["OR", [["cpus__lt", 8], ["cpus__lte", "7"]]], False),
        (["AND", [["cpus", "8"]]], True),
        (["AND", [["cpus__contains", 8]]], True),
        (["AND", [["x.os_name", "Fedora 42"]]], True),
        (["NOT", ["AND", [["os", "RHEL"]]]], True),
        (["AND", [["NOT", ["OR", [["os", "RHEL"], ["cpus", 8]]]], ["cpus", 8]]], False),
        (["OR", [["AND", [["cpus", 1], ["os", "x"]]], ["AND", [["cpus", 8], ["os__gt", "F"]]]]], True),
        (["AND", ["os", "Fedora 42", "cpus", 8]], True),
        (["NOT", ["AND", ["os", "Fedora 42", "cpus", 9]]], True),
        (["os", "Fedora 42"], True),
        ([["os", "Fedora 42"], ["cpus", 9]], False),
        (["AND", ["NOT", ["AND", [["cpus", 9]]]]], True),
    ],
)
def test_a_filter_holds_or_not(query: Any, verdict: bool) -> None:
    assert judge(query, Known())[0] is verdict


@pytest.mark.parametrize(
    ("q", "verdict"),
    [
        (Q(os__contains="Fedora", cpus__gt=4), True),
        (Q(os__contains="Fedora") & ~Q(cpus__gt=4), False),
        (Q(os="x") | Q(cpus=8), True),
        (~(Q(os="x") | Q(cpus=8)), False),
        (~Q(os="x") & ~Q(cpus=9), True),
        (Q(os="x").under("OR").joined(Q(cpus=8), "OR") & Q(hostname__startswith="cloud"), True),
    ],
)
def test_what_our_overlord_asks_is_understood(q: Q, verdict: bool) -> None:
    assert judge(wire.decode_response(wire.encode_result(q.to_wire())), Known())[0] is verdict


def test_all_facts_that_were_looked_at_are_shown() -> None:
    assert judge(["OR", [["os", "Fedora 42"], ["cpus__gt", 1]]], Known()) == (
        True,
        {"os": "Fedora 42", "cpus": 8},
    )


def nested(depth: int) -> Any:
    query: Any = ["AND", [["cpus", 8]]]
    for _ in range(depth):
        query = ["NOT", query]
    return query


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ([], "is a list such as"),
        ("os", "is a list such as"),
        ({"os": 1}, "is a list such as"),
        (None, "is a list such as"),
        (["AND"], "takes one list"),
        (["AND", [], []], "takes one list"),
        (["AND", []], "a list of one or more"),
        (["AND", "os"], "a list of one or more"),
        (["AND", [5]], "is a list such as"),
        (["AND", [["os"]]], "a name and a value"),
        (["AND", [["colour", "red"]]], "no fact 'colour' is known here; there are cpus, hostname, os"),
        (["AND", [["os__like", "x"]]], "compared by contains, gt"),
        (["AND", [["cpus__gt", "many"]]], "is a number, here 8; 'many' is none"),
        (["AND", [["cpus", None]]], "is a number"),
        (["AND", ["os", "x"] * 300], "200 facts at most"),
        (nested(200), "nested at most 16 deep"),
    ],
)
def test_what_is_no_filter_is_told(query: Any, text: str) -> None:
    with pytest.raises(BadFactQuery, match=text):
        judge(query, Known())


def test_a_call_with_a_filter_runs_where_it_holds() -> None:
    methods = Methods()
    filtered = FactFilter(methods, Known())
    yes = {"__fact__": ["AND", [["cpus__gt", 4]]]}
    assert filtered.call("virt.info", [yes, "a", 1]) == [{"__fact__": [True, {"cpus": 8}]}, "value"]
    assert methods.ran == [("virt.info", ["a", 1])]


def test_a_call_with_a_filter_does_not_run_where_it_does_not_hold() -> None:
    methods = Methods()
    filtered = FactFilter(methods, Known())
    assert filtered.call("virt.info", [{"__fact__": ["AND", [["cpus__gt", 9]]]}, "a"]) == [
        {"__fact__": [False, {"cpus": 8}]}
    ]
    error = filtered.call("virt.info", [{"__fact__": ["AND", [["colour", "red"]]]}, "a"])
    assert error[:2] == ["REMOTE_ERROR", "func.minion.codes.BadFactQuery"]
    assert methods.ran == []


@pytest.mark.parametrize("args", [[], ["a"], [{"a": 1}], ["a", {"__fact__": 1}]])
def test_a_call_without_a_filter_passes_through(args: Any) -> None:
    methods = Methods()
    assert FactFilter(methods, Known()).call("test.echo", args) == "value"
    assert methods.ran == [("test.echo", args)]


def test_a_job_may_have_a_filter(tmp_path: Path) -> None:
    jobs = Jobs(JobFiles(tmp_path))
    filtered = FactFilter(Methods(), Known())
    job_id = jobs.begin("x.y", lambda: filtered.call("x.y", [{"__fact__": ["AND", [["cpus", 8]]]}]))
    wait_for(lambda: jobs.status(job_id)[0] == 1, "it ends")
    assert jobs.status(job_id) == [1, [{"__fact__": [True, {"cpus": 8}]}, "value"]]


def test_facts_are_those_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       2048000 kB\n")
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Fedora Linux 42"\nID=fedora\nVERSION_ID=42\n')
    facts = Facts(tmp_path)
    assert facts.find("os") == facts.find("hardware.os_name") == "Fedora Linux 42"
    assert (facts.find("os_id"), facts.find("os_version")) == ("fedora", "42")
    assert (facts.find("memory"), facts.find("swap")) == (2000, 0)
    assert facts.find("hostname") == socket.gethostname()
    assert facts.find("kernel") == platform.release()
    assert facts.find("cpus") == os.cpu_count()
    assert facts.find("runlevel") == facts.find("vendor") == ""


def test_facts_can_be_looked_at(tmp_path: Path) -> None:
    module = FactsModule(tmp_path, Facts(tmp_path))
    assert set(SOURCES) < set(module.list_fact_methods())
    assert module.list_fact_modules() == ["hardware", "network"]
    assert module.show_fact_method("os")["name"] == "hardware.os_name"
    assert module.show_fact_method("hardware.os_name")["tag"] == "os"
    assert module.show_fact_method("x") == module.show_fact_module("x") == module.call_fact("x") == {}
    assert module.show_fact_module("hardware")["name"] == "hardware"
    assert module.call_fact("cpus") == os.cpu_count()
    assert module.grep(" CPUS ")["fact.list_fact_methods"] == [f"cpus: {os.cpu_count()}"]
    for name in module.list_fact_methods():
        wire.encode_result(module.call_fact(name))
